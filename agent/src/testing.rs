//! What the unit tests of this crate share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::Clock;

/// A clock that moves when it is told to.
#[derive(Debug)]
pub(crate) struct TestClock {
    wall_ms: AtomicI64,
    elapsed_ms: AtomicU64,
    boot: AtomicU64,
}

impl TestClock {
    pub(crate) const BOOTED_MS: u64 = 1_000_000;

    pub(crate) fn at(wall_ms: i64) -> Arc<Self> {
        Arc::new(Self {
            wall_ms: wall_ms.into(),
            elapsed_ms: Self::BOOTED_MS.into(),
            boot: 1.into(),
        })
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.elapsed_ms.fetch_add(ms, Ordering::SeqCst);
        let ms = i64::try_from(ms).expect("small");
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn set_wall(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }

    pub(crate) fn reboot(&self) {
        self.boot.fetch_add(1, Ordering::SeqCst);
        self.elapsed_ms.store(Self::BOOTED_MS, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }
    fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms.load(Ordering::SeqCst)
    }
    fn boot_id(&self) -> [u8; 16] {
        let mut id = [9; 16];
        id[..8].copy_from_slice(&self.boot.load(Ordering::SeqCst).to_be_bytes());
        id
    }
}

/// A fresh software key.
pub(crate) fn signer() -> crate::identity::SoftwareSigner {
    let dir = tempfile::tempdir().expect("a folder");
    crate::identity::SoftwareSigner::open(&dir.path().join("key")).expect("a key")
}
