//! What an operator does about a store that fails, and whether it fails now.
//!
//! Invariant: a failure is told until a batch was stored again, or until none came for a while.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::VariantArray)]
pub enum Cure {
    /// The disk is full.
    Space,
    /// The data folder or the file is read-only.
    Writable,
    /// The database is damaged.
    Restore,
    /// The disk answers with errors.
    Disk,
    /// The database can't be reached.
    Reach,
    /// Nothing known.
    Look,
}

impl Cure {
    /// Name in the locale files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Space => "space",
            Self::Writable => "writable",
            Self::Restore => "restore",
            Self::Disk => "disk",
            Self::Reach => "reach",
            Self::Look => "look",
        }
    }

    /// The cure of what the database's driver says. The codes are not in both drivers' texts, so the
    /// engines' own words are looked at.
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        let text = error.to_string();
        let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        if has(&["disk is full", "No space left", "File too large"]) {
            Self::Space
        } else if has(&[
            "readonly database",
            "read-only",
            "unable to open database file",
        ]) {
            Self::Writable
        } else if has(&["malformed", "not a database", "invalid page"]) {
            Self::Restore
        } else if has(&["disk I/O error"]) {
            Self::Disk
        } else if has(&["terminating connection", "shutting down", "starting up"]) {
            Self::Reach
        } else {
            Self::Look
        }
    }
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Space => {
                "free or add disk space; phones keep everything and send it again by themselves"
            }
            Self::Writable => {
                "make the data folder writable for the collector's user; nothing is lost meanwhile"
            }
            Self::Restore => "the database is damaged: stop, keep a copy, restore the last backup",
            Self::Disk => {
                "look at the disk and the kernel log; phones keep everything and send it again"
            }
            Self::Reach => {
                "start the database or the way to it; the collector reconnects by itself"
            }
            Self::Look => "see the error; phones keep what was not acknowledged",
        })
    }
}

/// How long a failure is told when no other batch comes: nobody may be sending any.
const TOLD: Duration = Duration::from_secs(30);

/// Whether batches can't be stored.
#[derive(Debug, Default)]
pub struct Failing(Mutex<Option<(Instant, Cure)>>);

impl Failing {
    /// A batch could not be stored (`Some`) or was stored (`None`).
    pub fn set(&self, cure: Option<Cure>) {
        let now = Instant::now();
        *self.0.lock().expect("no panic while holding it") = cure.map(|cure| (now, cure));
    }

    /// Why the newest batch could not be stored, as the cure for it.
    pub fn now(&self) -> Option<Cure> {
        let failing = *self.0.lock().expect("no panic while holding it");
        failing
            .filter(|(since, _)| since.elapsed() < TOLD)
            .map(|(_, cure)| cure)
    }
}
