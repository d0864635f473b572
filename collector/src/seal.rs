//! Sealing at rest: master key → data key per (account, UTC day, category) → subkey per purpose.
//!
//! Invariants (design §7): content keys exist in this module only; every sealed value is bound to its
//! place by additional data; deleting a row of `data_keys` makes everything under it unreadable;
//! nothing here is ever printed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use siphasher::sip::SipHasher24;
use sqlx::Row;
use zeroize::Zeroizing;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::master::MasterKey;

/// Day used for values that belong to no day.
pub const NO_DAY: i32 = 0;

/// What a sealed value is for; each purpose has its own subkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A record's body.
    Record,
    /// What a finding keeps.
    Finding,
    /// Names of people and devices.
    Name,
    /// Comments, answers, letters.
    Note,
}

impl Purpose {
    const ALL: [Self; 4] = [Self::Record, Self::Finding, Self::Name, Self::Note];

    fn label(self) -> &'static [u8] {
        match self {
            Self::Record => b"mingjing record",
            Self::Finding => b"mingjing finding",
            Self::Name => b"mingjing name",
            Self::Note => b"mingjing note",
        }
    }
}

/// Which data key: the unit of erasure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    /// Account id of the register, or a device or "people" for what belongs to no account.
    pub account: String,
    /// UTC day, days since 1970-01-01; [`NO_DAY`] for values that belong to no day.
    pub day: i32,
    /// The category's number.
    pub category: i32,
}

impl KeyName {
    /// The key of what findings about this account keep, apart from the records' own.
    pub fn finding(account: &str, day: i32, category: i32) -> Self {
        Self {
            account: format!("findings/{account}"),
            day,
            category,
        }
    }

    /// The key of people's names.
    pub fn people() -> Self {
        Self {
            account: "people".to_owned(),
            day: NO_DAY,
            category: 0,
        }
    }
}

/// A data key, expanded.
pub struct DataKey {
    purposes: [LessSafeKey; Purpose::ALL.len()],
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        32
    }
}

fn subkey(prk: &Prk, label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    prk.expand(&[label], KeyBytes)
        .and_then(|okm| okm.fill(&mut *bytes))
        .expect("HKDF gives 32 bytes");
    bytes
}

fn aes(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are an AES-256 key"))
}

fn seal_with(key: &LessSafeKey, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new()
        .fill(&mut nonce)
        .expect("the system gives random bytes");
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut sealed[NONCE_LEN..],
        )
        .expect("values are far below the limit of AES-GCM");
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

fn open_with(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(Error::Sealed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Sealed)?;
    let mut plain = sealed.to_vec();
    let length = key
        .open_in_place(nonce, Aad::from(aad), &mut plain)
        .map_err(|_| Error::Sealed)?
        .len();
    plain.truncate(length);
    Ok(plain)
}

impl DataKey {
    fn new(bytes: &[u8; 32]) -> Self {
        let prk = Salt::new(HKDF_SHA256, b"mingjing data key").extract(bytes);
        Self {
            purposes: Purpose::ALL.map(|purpose| aes(&subkey(&prk, purpose.label()))),
        }
    }

    /// nonce ‖ ciphertext ‖ tag; `aad` binds the value to its place.
    pub fn seal(&self, purpose: Purpose, aad: &[u8], plain: &[u8]) -> Vec<u8> {
        seal_with(&self.purposes[purpose as usize], aad, plain)
    }

    /// The plain bytes, if key, place and bytes are right.
    pub fn open(&self, purpose: Purpose, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        open_with(&self.purposes[purpose as usize], aad, sealed)
    }
}

/// The master key's holder.
pub struct Sealer {
    wrapping: LessSafeKey,
    secret_wrapping: LessSafeKey,
    hashing: [u8; 16],
    cache: Mutex<HashMap<KeyName, Arc<DataKey>>>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// Data keys kept expanded in memory, at most.
const CACHED_KEYS: usize = 20_000;

impl Sealer {
    /// From the 32 bytes of the master key.
    pub fn new(master: &[u8; 32]) -> Self {
        let prk = Salt::new(HKDF_SHA256, b"mingjing master key").extract(master);
        let mut hashing = [0; 16];
        hashing.copy_from_slice(&subkey(&prk, b"mingjing keyed hash")[..16]);
        Self {
            wrapping: aes(&subkey(&prk, b"mingjing wrap")),
            secret_wrapping: aes(&subkey(&prk, b"mingjing secrets")),
            hashing,
            cache: Mutex::default(),
        }
    }

    /// With the master key found there.
    pub fn open(key: &MasterKey) -> Result<Self> {
        Ok(Self::new(&*key.read()?))
    }

    /// A new master key, in the form of its file.
    pub fn new_master_key() -> Zeroizing<String> {
        let mut master = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *master)
            .expect("the system gives random bytes");
        Zeroizing::new(format!("{}\n", hex::encode(*master)))
    }

    /// Seals a secret of the collector itself (private keys) for a file.
    pub fn seal_secret(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        seal_with(&self.secret_wrapping, name.as_bytes(), plain)
    }

    /// Opens what [`Self::seal_secret`] sealed.
    pub fn open_secret(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        open_with(&self.secret_wrapping, name.as_bytes(), sealed).map(Zeroizing::new)
    }

    /// A keyed hash of a name, for columns that must group without being readable.
    pub fn keyed_hash(&self, text: &str) -> u64 {
        SipHasher24::new_with_key(&self.hashing).hash(text.as_bytes())
    }

    fn cached(&self, name: &KeyName) -> Option<Arc<DataKey>> {
        self.cache
            .lock()
            .expect("no panic while holding the key cache")
            .get(name)
            .cloned()
    }

    fn remember(&self, name: KeyName, key: DataKey) -> Arc<DataKey> {
        let mut cache = self
            .cache
            .lock()
            .expect("no panic while holding the key cache");
        if cache.len() >= CACHED_KEYS {
            cache.clear();
        }
        cache.entry(name).or_insert_with(|| Arc::new(key)).clone()
    }

    fn unwrap_row(&self, name: &KeyName, wrapped: &[u8]) -> Result<Arc<DataKey>> {
        let bytes = Zeroizing::new(open_with(&self.wrapping, &wrap_aad(name), wrapped)?);
        let bytes: &[u8; 32] = bytes[..].try_into().map_err(|_| Error::Sealed)?;
        Ok(self.remember(name.clone(), DataKey::new(bytes)))
    }

    /// The data key of this name for reading; `Error::Sealed` once it has been destroyed.
    pub async fn existing_key(&self, db: &Db, name: &KeyName) -> Result<Arc<DataKey>> {
        if let Some(key) = self.cached(name) {
            return Ok(key);
        }
        let row = sqlx::query(
            "select wrapped from data_keys where account = $1 and day = $2 and category = $3",
        )
        .bind(&name.account)
        .bind(i64::from(name.day))
        .bind(i64::from(name.category))
        .fetch_optional(db.reader())
        .await?
        .ok_or(Error::Sealed)?;
        self.unwrap_row(name, row.try_get::<&[u8], _>("wrapped")?)
    }

    /// The data key of this name, made if there is none yet; it is on disk before it is used.
    pub async fn key(&self, db: &Db, name: &KeyName, now_ms: i64) -> Result<Arc<DataKey>> {
        match self.existing_key(db, name).await {
            Ok(key) => return Ok(key),
            Err(Error::Sealed) => {}
            Err(error) => return Err(error),
        }
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(&mut *bytes)
            .expect("the system gives random bytes");
        let wrapped = seal_with(&self.wrapping, &wrap_aad(name), &*bytes);
        sqlx::query(
            "insert into data_keys (account, day, category, wrapped, created_ms)
             values ($1, $2, $3, $4, $5) on conflict do nothing",
        )
        .bind(&name.account)
        .bind(i64::from(name.day))
        .bind(i64::from(name.category))
        .bind(wrapped)
        .bind(now_ms)
        .execute(db.writer())
        .await?;
        // Another collector may have been first: the row on disk decides.
        let row = sqlx::query(
            "select wrapped from data_keys where account = $1 and day = $2 and category = $3",
        )
        .bind(&name.account)
        .bind(i64::from(name.day))
        .bind(i64::from(name.category))
        .fetch_one(db.writer())
        .await?;
        self.unwrap_row(name, row.try_get::<&[u8], _>("wrapped")?)
    }
}

fn wrap_aad(name: &KeyName) -> Vec<u8> {
    let mut aad = b"data_keys".to_vec();
    aad.extend_from_slice(&name.day.to_be_bytes());
    aad.extend_from_slice(&name.category.to_be_bytes());
    aad.extend_from_slice(name.account.as_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_in_its_place_for_its_purpose() {
        let key = DataKey::new(&[7; 32]);
        let sealed = key.seal(Purpose::Record, b"here", "转账给我".as_bytes());
        assert_eq!(
            key.open(Purpose::Record, b"here", &sealed).unwrap(),
            "转账给我".as_bytes()
        );
        assert!(key.open(Purpose::Record, b"there", &sealed).is_err());
        assert!(key.open(Purpose::Finding, b"here", &sealed).is_err());
        assert!(
            DataKey::new(&[8; 32])
                .open(Purpose::Record, b"here", &sealed)
                .is_err()
        );
        assert!(key.open(Purpose::Record, b"here", &sealed[..5]).is_err());
    }

    #[tokio::test]
    async fn destroying_the_row_destroys_what_it_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open("", dir.path()).await.unwrap();
        let name = KeyName {
            account: "work".into(),
            day: 20_000,
            category: 1,
        };
        let sealer = Sealer::new(&[1; 32]);
        let sealed = sealer
            .key(&db, &name, 0)
            .await
            .unwrap()
            .seal(Purpose::Record, b"", b"x");
        let again = Sealer::new(&[1; 32]);
        let key = again.existing_key(&db, &name).await.unwrap();
        assert_eq!(key.open(Purpose::Record, b"", &sealed).unwrap(), b"x");
        sqlx::query("delete from data_keys")
            .execute(db.writer())
            .await
            .unwrap();
        let later = Sealer::new(&[1; 32]);
        assert!(matches!(
            later.existing_key(&db, &name).await,
            Err(Error::Sealed)
        ));
        assert!(
            Sealer::new(&[2; 32])
                .existing_key(&db, &name)
                .await
                .is_err()
        );
    }
}
