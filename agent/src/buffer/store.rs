//! sled, and nothing but sled: one key space, atomic batches, one durable flush.
//!
//! Invariants: no value is longer than 3 kB; `flush` returns only when the bytes are on the disk (sled
//! itself only starts the write on plain Linux, so the `db` file is `fdatasync`ed as well); after an
//! I/O error the database is reopened before it is used again, because sled stays failed.
//!
//! What a write costs: sled writes a batch's manifest apart from its content, and a leaf of up to 16
//! entries anew after ten changes to it. So one change goes without a batch, and what changes often does
//! not lie beside values that are large.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::BufferError;

/// A leaf holds up to 19 entries while it is merged, and what is longer than a quarter of a segment would
/// become a file of its own.
pub(super) const PART_BYTES: usize = 3072;

/// sled keeps two or three of these in memory; its own choice is twice as much.
const SEGMENT_BYTES: usize = 256 << 10;

/// What must be free before a database is opened: some of sled's segments.
const ROOM_BYTES: u64 = 2 << 20;

/// How often sled's own lock is tried before giving up: 50 × 100 ms.
const LOCK_ATTEMPTS: u32 = 50;

/// We hold `dir/lock`, so sled's own lock can only be held by threads of a database this process has
/// just dropped; they offer nothing to wait for but time.
#[allow(
    clippy::disallowed_methods,
    reason = "sled's threads signal nothing when they let go"
)]
fn wait() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}

/// A key and its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// Changes that become visible together or not at all; the last one of a key counts.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    pub(super) fn insert(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.insert(key.into(), Some(value.into()));
    }

    pub(super) fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.0.insert(key.into(), None);
    }

    /// Adds changes that come after these.
    pub(super) fn then(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Debug)]
struct Open {
    db: sled::Db,
    file: File,
}

/// An open database.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    cache_bytes: u64,
    open: Option<Open>,
    lock: File,
}

impl Store {
    /// Opens `dir/buffer`, holding `dir/lock` as long as it lives.
    ///
    /// Also says whether a database with content lay there: sled quietly begins anew on a file it
    /// can't read, and that must not look like a first start.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<(Self, bool), BufferError> {
        let lock_path = dir.join("lock");
        let lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|source| BufferError::Disk {
                path: lock_path.clone(),
                source: source.into(),
            })?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| BufferError::Locked { path: lock_path })?;
        let mut store = Self {
            path: dir.join("buffer"),
            cache_bytes,
            open: None,
            lock,
        };
        let in_use = store.was_in_use();
        store.reopen()?;
        Ok((store, in_use))
    }

    fn was_in_use(&self) -> bool {
        self.path.join("db").exists() && self.lock.metadata().is_ok_and(|it| it.len() > 0)
    }

    /// Notes that the database has content now.
    pub(super) fn note_in_use(&self) -> Result<(), BufferError> {
        let noted = self.lock.write_all_at(b"1", 0);
        noted.map_err(|source| BufferError::Disk {
            path: self.path.with_file_name("lock"),
            source: source.into(),
        })
    }

    #[cfg(test)]
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// The database's folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an I/O error left it closed.
    pub(super) fn is_broken(&self) -> bool {
        self.open.is_none()
    }

    /// Opens the database again after an I/O error.
    pub(super) fn reopen(&mut self) -> Result<(), BufferError> {
        self.open = None;
        self.has_room()?;
        let config = sled::Config::new()
            .path(&self.path)
            .cache_capacity(self.cache_bytes)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(None);
        let mut attempts = 0;
        let db = loop {
            // sled panics on some kinds of damage; that must not take the app with it.
            let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
            match opened {
                Err(_) => {
                    return Err(BufferError::Damaged {
                        path: self.path.clone(),
                    });
                }
                Ok(Ok(db)) => break db,
                Ok(Err(sled::Error::Io(error)))
                    if attempts < LOCK_ATTEMPTS && error.to_string().contains("lock") =>
                {
                    attempts += 1;
                    wait();
                }
                Ok(Err(error)) => return Err(self.classify(error)),
            }
        };
        let file = File::open(self.path.join("db")).map_err(|source| BufferError::Disk {
            path: self.path.join("db"),
            source: source.into(),
        })?;
        self.open = Some(Open { db, file });
        Ok(())
    }

    /// sled writes while it recovers, and on a full disk it loses what was there: it is not opened then.
    fn has_room(&self) -> Result<(), BufferError> {
        let full = |source: std::io::Error| BufferError::Disk {
            path: self.path.clone(),
            source: source.into(),
        };
        let dir = self.path.parent().unwrap_or(&self.path);
        let disk = rustix::fs::statvfs(dir).map_err(|errno| full(errno.into()))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_BYTES {
            return Err(full(std::io::ErrorKind::StorageFull.into()));
        }
        Ok(())
    }

    fn classify(&self, error: sled::Error) -> BufferError {
        let path = self.path.clone();
        match error {
            sled::Error::Corruption { .. }
            | sled::Error::Unsupported(_)
            | sled::Error::CollectionNotFound(_)
            | sled::Error::ReportableBug(_) => BufferError::Damaged { path },
            sled::Error::Io(_) => BufferError::Disk {
                path,
                source: Box::new(error),
            },
        }
    }

    fn db(&self) -> Result<&sled::Db, BufferError> {
        let open = self.open.as_ref().ok_or_else(|| BufferError::Disk {
            path: self.path.clone(),
            source: "closed after an earlier error".into(),
        })?;
        Ok(&open.db)
    }

    fn keep<T>(&mut self, result: Result<T, BufferError>) -> Result<T, BufferError> {
        if result.is_err() {
            self.open = None;
        }
        result
    }

    /// Makes `changes` visible together.
    pub(super) fn apply(&mut self, changes: Changes) -> Result<(), BufferError> {
        let applied = self
            .db()
            .and_then(|db| change(db, changes).map_err(|error| self.classify(error)));
        self.keep(applied)
    }

    /// Puts everything applied so far on the disk.
    pub(super) fn flush(&mut self) -> Result<(), BufferError> {
        let flushed = self
            .db()?
            .flush()
            .map(|_| ())
            .map_err(|error| self.classify(error));
        self.keep(flushed)?;
        let synced = match &self.open {
            Some(open) => rustix::fs::fdatasync(&open.file).map_err(|errno| BufferError::Disk {
                path: self.path.clone(),
                source: std::io::Error::from(errno).into(),
            }),
            None => Ok(()),
        };
        self.keep(synced)
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, BufferError> {
        let value = self.db()?.get(key).map_err(|error| self.classify(error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Entries from `from` on whose key begins with `prefix`, in order.
    pub(super) fn range(
        &self,
        prefix: &[u8],
        from: &[u8],
    ) -> Result<impl Iterator<Item = Result<Entry, BufferError>> + use<'_>, BufferError> {
        let prefix = prefix.to_vec();
        let entries = self.db()?.range(from.to_vec()..);
        Ok(entries
            .map(|entry| {
                entry
                    .map(|(key, value)| (key.to_vec(), value.to_vec()))
                    .map_err(|error| self.classify(error))
            })
            .take_while(move |entry| {
                entry
                    .as_ref()
                    .map_or(true, |(key, _)| key.starts_with(&prefix))
            }))
    }

    /// Adds a value of any length in parts.
    pub(super) fn put_parts(changes: &mut Changes, key: &[u8], first_part: u16, value: &[u8]) {
        for (part, chunk) in (first_part..).zip(value.chunks(PART_BYTES)) {
            changes.insert(part_key(key, part), chunk);
        }
    }
}

fn change(db: &sled::Db, changes: Changes) -> sled::Result<()> {
    if changes.len() > 1 {
        let mut batch = sled::Batch::default();
        for (key, value) in changes.0 {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        return db.apply_batch(batch);
    }
    for (key, value) in changes.0 {
        match value {
            Some(value) => db.insert(key, value)?,
            None => db.remove(key)?,
        };
    }
    Ok(())
}

/// `key` with the number of a part.
pub(super) fn part_key(key: &[u8], part: u16) -> Vec<u8> {
    [key, &part.to_be_bytes()].concat()
}
