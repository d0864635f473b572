//! Keeps what was recognised until the collector has it on disk.
//!
//! Invariants:
//! - `append` returns only when the records are on the disk, all of one call or none;
//! - a record leaves only through [`Buffer::ack`], or becomes part of a `Gap` by withdrawal, the cap,
//!   damage or off hours; a gap takes exactly the seqs it replaces and the links after it stay;
//! - acknowledgements need not be durable: a record that comes back after a crash is sent again and
//!   acknowledged again by its equal link; so they wait in memory, a bounded number, and go with the next
//!   batch;
//! - where the chain ends is told by its last record: a record is one write;
//! - headers and links are plain, bodies are sealed under their category's key, named values under the
//!   control key;
//! - the last 50 sent events of a category stay readable under its key until that key is destroyed;
//! - no other module uses sled.

mod format;
mod gaps;
mod read;
mod rewrite;
mod sent;

mod state;
mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use mingjing_proto::chain::{self, Link};
use mingjing_proto::pb::{self, Category};
use prost::Message;

use crate::keys::{KeyError, Keys};
use format::{Header, META, Meta, Plain, Stored, link_of, record_key};
use store::{Changes, Store, part_key};

pub use format::Unanchored;
pub use rewrite::Retimed;

/// Removals of acknowledged records that wait for a batch, at most.
const LEAVING: usize = 64;

/// Why the buffer can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BufferError {
    /// Another process, or another agent of this one, holds the folder.
    #[error("{path} is held by another agent; stop that one first")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Reading or writing failed; nothing is claimed, and the next call tries again.
    #[error(
        "{path} can't be read or written (is the disk full?); it is tried again with the next call"
    )]
    Disk {
        /// What could not be used.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database is damaged.
    #[error(
        "{path} is damaged; start again and it is set aside: what it held unsent is lost and the collector notes it, and consent has to be given again"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
    },
    /// A category without a key: nothing of it may be kept.
    #[error("category {category} has no key, so nothing of it can be kept")]
    NoKey {
        /// Its name.
        category: &'static str,
    },
    /// Sealing, or the key file.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Where a phone stands in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Epoch, from 1.
    pub epoch: u64,
    /// First seq not yet acknowledged; `head_seq + 1` when there is none.
    pub first_seq: u64,
    /// Link at `first_seq - 1`.
    pub link_before: Link,
    /// Last seq given out.
    pub head_seq: u64,
    /// Its link.
    pub head_link: Link,
}

/// A record to append.
#[derive(Debug)]
pub struct NewRecord {
    /// Its category; control records lie under the control key.
    pub category: Category,
    /// Seqs it takes.
    pub count: u32,
    /// The hashed bytes.
    pub body: Vec<u8>,
    /// Set when its times have no anchor.
    pub unanchored: Option<Unanchored>,
    /// Categories this record holds the newest consent of.
    pub consent_of: Vec<Category>,
}

/// What is waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Events not yet acknowledged.
    pub events: u64,
    /// Their bytes on disk, roughly.
    pub bytes: u64,
    /// Events by category.
    pub by_category: Vec<(Category, u64)>,
    /// Events acknowledged since the buffer was made, by category.
    pub sent: Vec<(Category, u64)>,
}

/// One record as it goes out.
#[derive(Debug)]
pub enum Outgoing {
    /// Sent as it is.
    Frame(pb::RecordFrame),
    /// To be signed, then sent as a control record.
    Gap(pb::Gap),
}

impl Outgoing {
    /// Last seq it takes.
    pub fn last_seq(&self) -> u64 {
        match self {
            Self::Frame(frame) => frame.first_seq + u64::from(frame.count) - 1,
            Self::Gap(gap) => gap.last_seq,
        }
    }
}

/// What bounds the buffer.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// Bytes not yet acknowledged, at most.
    pub bytes: u64,
    /// Their age, at most.
    pub age_ms: i64,
}

/// The buffer.
#[derive(Debug)]
pub struct Buffer {
    store: Store,
    meta: Meta,
    ring: sent::Ring,
    /// Acknowledged, and not yet removed.
    leaving: Changes,
    /// Some acknowledgement is not yet in the database.
    acks_wait: bool,
    cap: Cap,
    genesis: Link,
    /// Last seq handed to a session; an overflow gap beyond it may still grow.
    sent_seq: u64,
    /// First seq of the overflow gap that was not sent since it was made.
    growing: Option<u64>,
    known_ms: i64,
    /// A database with content lies here.
    in_use: bool,
}

impl Buffer {
    /// Opens the buffer in `dir`, or makes it; `genesis` is the link before the first record.
    pub fn open(
        dir: &Path,
        genesis: Link,
        keys: &Keys,
        cap: Cap,
        cache_bytes: u64,
    ) -> Result<Self, BufferError> {
        let (store, in_use) = Store::open(dir, cache_bytes)?;
        let mut buffer = Self {
            store,
            in_use,
            meta: Meta::default(),
            ring: sent::Ring::default(),
            leaving: Changes::default(),
            acks_wait: false,
            cap,
            genesis,
            sent_seq: 0,
            growing: None,
            known_ms: 0,
        };
        buffer.load(keys)?;
        Ok(buffer)
    }

    /// Moves a damaged database out of the way, for somebody to look at; only the last one is kept. Its
    /// records stay sealed under keys that a withdrawal destroys.
    pub fn set_aside(dir: &Path) -> Result<PathBuf, BufferError> {
        let (path, aside) = (dir.join("buffer"), dir.join("buffer.damaged"));
        let disk = |source: std::io::Error| BufferError::Disk {
            path: path.clone(),
            source: source.into(),
        };
        match std::fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(error)),
            _ => {}
        }
        std::fs::rename(&path, &aside).map_err(disk)?;
        tracing::error!(
            path = %aside.display(),
            "the buffer is damaged and was set aside: what it held unsent is lost"
        );
        Ok(aside)
    }

    fn load(&mut self, keys: &Keys) -> Result<(), BufferError> {
        self.meta = match self.store.get(META)? {
            Some(bytes) => Meta::decode(&*bytes).map_err(|_| self.damaged())?,
            None if self.in_use => return Err(self.damaged()),
            None => Meta {
                epoch: 1,
                head_link: self.genesis.to_vec(),
                acked_link: self.genesis.to_vec(),
                events: vec![0; 9],
                sent: vec![0; 9],
                ..Meta::default()
            },
        };
        self.leaving = Changes::default();
        self.acks_wait = false;
        self.meta.events.resize(9, 0);
        // A buffer of an earlier release has not counted.
        self.meta.sent.resize(9, 0);
        self.catch_up()?;
        if !self.in_use {
            self.commit(self.meta.clone(), Changes::default())?;
            self.store.flush()?;
            self.store.note_in_use()?;
            self.in_use = true;
        }
        if self.meta.moving_to != 0 {
            self.finish_move(keys)?;
        }
        self.load_ring()
    }

    /// Counts the records that follow the last one [`Meta`] knows.
    fn catch_up(&mut self) -> Result<(), BufferError> {
        let mut meta = self.meta.clone();
        for header in self.headers(meta.head_seq + 1)? {
            let header = header?;
            if header.first_seq != meta.head_seq + 1 {
                return Err(self.damaged());
            }
            meta.follow(&header);
        }
        self.meta = meta;
        Ok(())
    }

    /// Opens the database again when an earlier error closed it.
    fn ready(&mut self, keys: &Keys) -> Result<(), BufferError> {
        if self.store.is_broken() {
            let (epoch, acked_seq) = (self.meta.epoch, self.meta.acked_seq);
            self.store.reopen()?;
            self.load(keys)?;
            self.let_go(epoch, acked_seq)?;
            tracing::info!("the buffer works again");
        }
        Ok(())
    }

    fn damaged(&self) -> BufferError {
        BufferError::Damaged {
            path: self.store.path().to_owned(),
        }
    }

    /// Where the chain stands.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.meta.epoch,
            first_seq: self.meta.acked_seq + 1,
            link_before: link_of(&self.meta.acked_link),
            head_seq: self.meta.head_seq,
            head_link: link_of(&self.meta.head_link),
        }
    }

    /// What is waiting.
    pub fn queue(&self) -> Queue {
        let counted = |counts: &[u64]| -> Vec<(Category, u64)> {
            Category::CONSENTED
                .into_iter()
                .chain([Category::Device])
                .map(|category| (category, counts[index(category)]))
                .filter(|(_, events)| *events > 0)
                .collect()
        };
        let by_category = counted(&self.meta.events);
        Queue {
            events: by_category.iter().map(|(_, events)| events).sum(),
            bytes: self.meta.bytes,
            by_category,
            sent: counted(&self.meta.sent),
        }
    }

    /// Highest input line stored with a record call.
    pub fn input_line(&self) -> u64 {
        self.meta.input_line
    }

    /// Appends `records` and, in the same batch, the replay's `input_line`; enforces the cap; returns
    /// when all of it is on the disk. The first seq given out is returned.
    pub fn append(
        &mut self,
        keys: &Keys,
        records: Vec<NewRecord>,
        input_line: u64,
        now_ms: i64,
    ) -> Result<u64, BufferError> {
        self.ready(keys)?;
        let mut meta = self.meta.clone();
        let mut changes = Changes::default();
        let first = meta.head_seq + 1;
        for record in records {
            self.add(keys, &mut meta, &mut changes, record, now_ms)?;
        }
        meta.input_line = meta.input_line.max(input_line);
        if meta == self.meta {
            return Ok(first);
        }
        if meta.input_line > self.meta.input_line || self.leaving.len() >= LEAVING {
            self.commit(meta, changes)?;
        } else {
            self.store.apply(changes)?;
            self.meta = meta;
        }
        self.enforce_cap(now_ms)?;
        self.store.flush()?;
        Ok(first)
    }

    fn add(
        &self,
        keys: &Keys,
        meta: &mut Meta,
        changes: &mut Changes,
        record: NewRecord,
        now_ms: i64,
    ) -> Result<(), BufferError> {
        let key = keys.get(record.category).ok_or(BufferError::NoKey {
            category: record.category.into(),
        })?;
        let mut header = Header {
            epoch: meta.epoch,
            first_seq: meta.head_seq + 1,
            count: record.count,
            category: record.category.into(),
            at_ms: now_ms,
            unanchored: record.unanchored,
            known_ms: self.known_ms(),
            ..Header::default()
        };
        let plain = Plain::new(record.body);
        header.link = chain::link(&link_of(&meta.head_link), header.place(), &plain.inner()).into();
        let sealed = format::seal(key, &mut header, &plain)?;
        put_record(changes, &header, &sealed);
        for category in record.consent_of {
            self.put_consent(keys, changes, category, &header, &plain.body)?;
        }
        meta.follow(&header);
        Ok(())
    }

    /// Remembers a time known for certain; it reaches the disk with the next change.
    pub fn know(&mut self, known_ms: i64) {
        self.known_ms = self.known_ms.max(known_ms);
    }

    /// The last time known for certain.
    pub fn known_ms(&self) -> i64 {
        self.known_ms.max(self.meta.known_ms)
    }

    /// Applies `changes` with what waited for a batch, and says where that leaves the buffer.
    fn commit(&mut self, mut meta: Meta, changes: Changes) -> Result<(), BufferError> {
        meta.known_ms = self.known_ms();
        let mut all = std::mem::take(&mut self.leaving);
        all.then(changes);
        all.insert(META, meta.encode_to_vec());
        self.store.apply(all)?;
        self.meta = meta;
        self.acks_wait = false;
        Ok(())
    }

    /// A session ended: what it had in flight counts as not sent.
    pub fn forget_sent(&mut self) {
        self.sent_seq = self.meta.acked_seq;
    }

    /// Lets go of every record that ends at or before `through`. Not flushed: see the module's docs.
    pub fn ack(&mut self, keys: &Keys, epoch: u64, through: u64) -> Result<(), BufferError> {
        self.ready(keys)?;
        self.let_go(epoch, through)?;
        if self.leaving.len() >= LEAVING {
            self.commit(self.meta.clone(), Changes::default())?;
        }
        Ok(())
    }

    fn let_go(&mut self, epoch: u64, through: u64) -> Result<(), BufferError> {
        if epoch != self.meta.epoch || through <= self.meta.acked_seq {
            return Ok(());
        }
        let mut meta = self.meta.clone();
        let mut changes = Changes::default();
        let mut sent = Vec::new();
        for header in self.headers(meta.acked_seq + 1)? {
            let header = header?;
            if header.last_seq() > through {
                break;
            }
            meta.acked_seq = header.last_seq();
            meta.acked_link.clone_from(&header.link);
            meta.count(&header, Change::Out);
            if header.is_content() {
                meta.sent[index(header.category())] += u64::from(header.count);
                sent.push(header);
            } else {
                remove_record(&mut changes, &header);
            }
        }
        let outdated = self.ring.push(sent);
        for entry in outdated {
            remove_parts(&mut changes, entry.epoch, entry.first_seq, entry.parts);
        }
        self.leaving.then(changes);
        self.acks_wait = true;
        self.meta = meta;
        Ok(())
    }
}

impl Drop for Buffer {
    /// A clean end needs no record sent twice.
    fn drop(&mut self) {
        if self.acks_wait
            && !self.store.is_broken()
            && let Err(error) = self.commit(self.meta.clone(), Changes::default())
        {
            tracing::warn!(%error, "what was acknowledged last will be sent again");
        }
    }
}

#[derive(Clone, Copy)]
enum Change {
    In,
    Out,
}

impl Meta {
    /// Books the next record at the head.
    fn follow(&mut self, header: &Header) {
        self.head_seq = header.last_seq();
        self.head_link.clone_from(&header.link);
        self.known_ms = self.known_ms.max(header.known_ms);
        self.count(header, Change::In);
    }

    /// Books a record in or out of what is waiting.
    fn count(&mut self, header: &Header, change: Change) {
        let events = match change {
            _ if !header.is_content() => 0,
            Change::In | Change::Out => u64::from(header.count),
        };
        let unanchored = u64::from(header.unanchored.is_some());
        let slot = &mut self.events[index(header.category())];
        match change {
            Change::In => {
                *slot += events;
                self.bytes += header.cost();
                self.unanchored += unanchored;
            }
            Change::Out => {
                *slot = slot.saturating_sub(events);
                self.bytes = self.bytes.saturating_sub(header.cost());
                self.unanchored = self.unanchored.saturating_sub(unanchored);
            }
        }
    }
}

fn index(category: Category) -> usize {
    usize::try_from(category as i32).expect("categories are small")
}

fn put_record(changes: &mut Changes, header: &Header, sealed: &[u8]) {
    let key = record_key(header.epoch, header.first_seq);
    let (beside, apart) = format::beside(sealed);
    let stored = Stored {
        header: Some(header.clone()),
        sealed: beside.to_vec(),
    };
    changes.insert(part_key(&key, 0), stored.encode_to_vec());
    Store::put_parts(changes, &key, 1, apart);
}

fn remove_record(changes: &mut Changes, header: &Header) {
    remove_parts(changes, header.epoch, header.first_seq, header.parts());
}

fn remove_parts(changes: &mut Changes, epoch: u64, first_seq: u64, parts: u16) {
    let key = record_key(epoch, first_seq);
    for part in 0..=parts {
        changes.remove(part_key(&key, part));
    }
}
