//! What the unit tests of this crate share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use mingjing_proto::pb::{self, SignedKind};

use crate::clock::Clock;
use crate::identity::{Identity, Signer};

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

/// A company: a root, and a certificate for each kind of signature.
pub(crate) struct Company {
    root: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    now_ms: i64,
}

impl Company {
    pub(crate) fn new(now_ms: i64) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = dated(now_ms);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root");
        let issuer = rcgen::Issuer::new(params, key);
        Self {
            root,
            issuer,
            now_ms,
        }
    }

    pub(crate) fn roots(&self) -> Vec<Vec<u8>> {
        vec![self.root.der().to_vec()]
    }

    pub(crate) fn sign(&self, kind: SignedKind, payload: Vec<u8>) -> pb::Signed {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = dated(self.now_ms);
        let usage = mingjing_proto::signed::extended_key_usage(kind).expect("a kind");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::Other(usage)];
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        let bytes = mingjing_proto::signed::bytes(kind, &payload);
        pb::Signed {
            kind: kind.into(),
            payload,
            certificate_chain: vec![leaf.der().to_vec()],
            signature: rcgen::SigningKey::sign(&key, &bytes).expect("signed"),
        }
    }

    /// A certificate for a device key, as enrolment would give it.
    pub(crate) fn identity(&self, signer: &dyn Signer) -> Identity {
        let request = rcgen::SubjectPublicKeyInfo::from_der(signer.public_key_spki());
        let request = request.expect("a key");
        let leaf = dated(self.now_ms)
            .signed_by(&request, &self.issuer)
            .expect("a certificate");
        Identity {
            device_id: vec![5; 16],
            certificate_chain: vec![leaf.der().to_vec()],
            roots: self.roots(),
            session_server: "https://127.0.0.1:1".into(),
            enrolment_server: "https://127.0.0.1:1".into(),
            company: "晨光办公".into(),
            person: "p-01".into(),
            ..Identity::default()
        }
    }
}

fn dated(now_ms: i64) -> rcgen::CertificateParams {
    let at = |ms: i64| time::OffsetDateTime::from_unix_timestamp(ms / 1000).expect("a time");
    let mut params = rcgen::CertificateParams::default();
    params.not_before = at(now_ms - 86_400_000);
    params.not_after = at(now_ms + 7 * 86_400_000);
    params
}
