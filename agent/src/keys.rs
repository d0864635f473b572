//! The buffer's keys: one a category, each wrapped, in one file of fixed size (wire.md §2).
//!
//! Invariants:
//! - the file never grows, shrinks or moves: a slot is overwritten where it lies, then `fdatasync`ed,
//!   so a destroyed key leaves no older copy in another file;
//! - slot 0 is the control key; nothing here destroys it;
//! - a slot lies within one 512-byte sector, so a torn write can't damage its neighbour;
//! - keys are zeroed in memory when they are dropped.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mingjing_proto::pb::Category;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

const MAGIC: &[u8; 16] = b"mingjing-keys-1\0";
const SECTOR: usize = 512;
const SLOTS: usize = 9;
/// Key id, nonce, wrapped key with its tag.
const SLOT_BYTES: usize = 8 + 12 + 32 + 16;
const FILE_BYTES: usize = SECTOR * (SLOTS + 1);

/// Why a key can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or writing the file.
    #[error("key file {path} can't be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Not this program's file.
    #[error(
        "{path} is not a key file of this program; restore it, or move the whole folder away and enrol again"
    )]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The wrapping key handed over is another one.
    #[error(
        "the wrapping key does not open {path}; hand over the one it was made with, or move the whole folder away and enrol again"
    )]
    Wrapping {
        /// The file.
        path: PathBuf,
    },
    /// Sealing failed.
    #[error("sealing failed")]
    Seal,
}

/// Fresh random bytes from the system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    bytes
}

/// One category's key, opened.
pub struct Key {
    /// Its id; a later grant makes another.
    pub id: u64,
    cipher: LessSafeKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Key {
    fn new(id: u64, bytes: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("the key has 32 bytes");
        Self {
            id,
            cipher: LessSafeKey::new(key),
        }
    }

    /// Seals `plain`; the nonce is random and stands beside the result.
    pub fn seal(&self, aad: &[u8], mut plain: Vec<u8>) -> Result<([u8; 12], Vec<u8>), KeyError> {
        let nonce = random();
        self.cipher
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut plain,
            )
            .map_err(|_| KeyError::Seal)?;
        Ok((nonce, plain))
    }

    /// Opens what [`Key::seal`] sealed; `None` when anything was changed.
    pub fn open(&self, aad: &[u8], nonce: [u8; 12], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let plain = self
            .cipher
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut sealed,
            )
            .ok()?;
        let length = plain.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

/// The key file.
#[derive(Debug)]
pub struct Keys {
    file: File,
    path: PathBuf,
    wrapping: Key,
    slots: [Option<Key>; SLOTS],
}

impl Keys {
    /// Opens the file, or makes it with a control key. `wrapping` stays in memory only.
    pub fn open(path: &Path, wrapping: &[u8; 32]) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        let mut keys = Self {
            file,
            path: path.to_owned(),
            wrapping: Key::new(0, wrapping),
            slots: [const { None }; SLOTS],
        };
        if keys.file.metadata().map_err(io)?.len() == 0 {
            keys.create()?;
        } else {
            keys.load()?;
        }
        Ok(keys)
    }

    /// A file that is not whole (power lost while it was made) holds no key yet: `load` refuses
    /// anything but the full length, and its magic is written last.
    fn create(&mut self) -> Result<(), KeyError> {
        self.write(0, &[0; FILE_BYTES])?;
        self.make(Category::Control)?;
        self.write(0, MAGIC)
    }

    fn load(&mut self) -> Result<(), KeyError> {
        let mut bytes = Zeroizing::new(vec![0; FILE_BYTES]);
        let whole = self.file.read_exact_at(&mut bytes, 0);
        let length = self.file.metadata().map(|it| it.len()).unwrap_or(0);
        if whole.is_err() || length != FILE_BYTES as u64 || bytes[..MAGIC.len()] != MAGIC[..] {
            if bytes.iter().take(MAGIC.len()).all(|byte| *byte == 0) {
                return self.create();
            }
            return Err(KeyError::Format {
                path: self.path.clone(),
            });
        }
        for index in 0..SLOTS {
            let at = SECTOR * (index + 1);
            self.slots[index] = self.unwrap(index, &bytes[at..at + SLOT_BYTES]);
        }
        if self.slots[0].is_none() {
            return Err(KeyError::Wrapping {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    /// A slot torn while it was written or destroyed counts as empty.
    fn unwrap(&self, index: usize, slot: &[u8]) -> Option<Key> {
        let id = u64::from_be_bytes(slot[..8].try_into().ok()?);
        if id == 0 {
            return None;
        }
        let nonce = slot[8..20].try_into().ok()?;
        let opened = self
            .wrapping
            .open(&slot_aad(index, id), nonce, slot[20..].to_vec())?;
        let bytes: Zeroizing<[u8; 32]> =
            Zeroizing::new(Zeroizing::new(opened)[..].try_into().ok()?);
        Some(Key::new(id, &bytes))
    }

    /// The key of a category; `None` when its slot is empty.
    pub fn get(&self, category: Category) -> Option<&Key> {
        self.slots[slot(category)].as_ref()
    }

    /// The control key, which always exists.
    pub fn control(&self) -> &Key {
        self.slots[0].as_ref().expect("open made sure of it")
    }

    /// Makes a key for `category` unless it has one.
    pub fn make(&mut self, category: Category) -> Result<(), KeyError> {
        let index = slot(category);
        if self.slots[index].is_some() {
            return Ok(());
        }
        let id = u64::from_be_bytes(random()) | 1;
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random());
        let (nonce, wrapped) = self.wrapping.seal(&slot_aad(index, id), bytes.to_vec())?;
        let mut sector = [0; SLOT_BYTES];
        sector[..8].copy_from_slice(&id.to_be_bytes());
        sector[8..20].copy_from_slice(&nonce);
        sector[20..].copy_from_slice(&wrapped);
        self.write(SECTOR * (index + 1), &sector)?;
        self.slots[index] = Some(Key::new(id, &bytes));
        Ok(())
    }

    /// Destroys the key of a category for good, in memory first. The control key stays.
    pub fn destroy(&mut self, category: Category) -> Result<(), KeyError> {
        let index = slot(category);
        if index == 0 {
            return Ok(());
        }
        self.slots[index] = None;
        self.write(SECTOR * (index + 1), &[0; SECTOR])
    }

    fn write(&self, at: usize, bytes: &[u8]) -> Result<(), KeyError> {
        let io = |source| KeyError::Io {
            path: self.path.clone(),
            source,
        };
        self.file.write_all_at(bytes, at as u64).map_err(io)?;
        rustix::fs::fdatasync(&self.file).map_err(|errno| io(errno.into()))
    }
}

fn slot(category: Category) -> usize {
    usize::try_from(category as i32).expect("categories are small")
}

fn slot_aad(index: usize, id: u64) -> Vec<u8> {
    let index = u8::try_from(index).expect("nine slots");
    [b"mingjing-slot-1", &[index][..], &id.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAPPING: [u8; 32] = [7; 32];

    #[test]
    fn a_key_survives_reopening_and_its_destruction_does_too() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("keys");
        let mut keys = Keys::open(&path, &WRAPPING).expect("made");
        keys.make(Category::Money).expect("made");
        let id = keys.get(Category::Money).expect("there").id;
        let (nonce, sealed) = keys.control().seal(b"a", b"text".to_vec()).expect("sealed");
        drop(keys);

        let mut keys = Keys::open(&path, &WRAPPING).expect("opened");
        assert_eq!(keys.get(Category::Money).map(|key| key.id), Some(id));
        assert_eq!(
            keys.control().open(b"a", nonce, sealed.clone()),
            Some(b"text".to_vec())
        );
        assert_eq!(keys.control().open(b"b", nonce, sealed), None);
        let wrapped = std::fs::read(&path).expect("read")[SECTOR * 5..][8..SLOT_BYTES].to_vec();
        keys.destroy(Category::Money).expect("destroyed");
        assert!(keys.get(Category::Money).is_none());
        let file = std::fs::read(&path).expect("read");
        assert_eq!(file.len(), FILE_BYTES);
        assert!(!file.windows(16).any(|it| it == &wrapped[..16]));
        keys.make(Category::Money).expect("made again");
        assert_ne!(keys.get(Category::Money).map(|key| key.id), Some(id));
        keys.destroy(Category::Control).expect("a no-op");
        assert!(
            Keys::open(&path, &WRAPPING)
                .expect("opened")
                .get(Category::Money)
                .is_some()
        );
    }

    #[test]
    fn another_wrapping_key_and_a_foreign_file_are_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("keys");
        drop(Keys::open(&path, &WRAPPING).expect("made"));
        assert!(matches!(
            Keys::open(&path, &[8; 32]),
            Err(KeyError::Wrapping { .. })
        ));
        std::fs::write(&path, b"something else entirely").expect("written");
        assert!(matches!(
            Keys::open(&path, &WRAPPING),
            Err(KeyError::Format { .. })
        ));
    }
}
