//! The envelope of a backup: AES-256-GCM chunks under a key of this file alone.
//!
//! Format: `mingjing-backup-1\n` ‖ salt[16] ‖ chunks of (length u32be ‖ ciphertext ‖ tag). The nonce is the
//! chunk's number; its additional data say whether it is the last. Invariants: the salt makes the key
//! new for each file, so counting nonces never repeat; chunks can't be dropped, moved or cut off.

use std::fmt;
use std::io::{ErrorKind, Read, Write};

use argon2::Argon2;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

const MAGIC: &[u8] = b"mingjing-backup-1\n";
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

/// What locks a backup.
pub enum Secret {
    /// Typed by a person; stretched with Argon2id.
    Passphrase(Zeroizing<String>),
    /// 32 random bytes of a key file.
    Key(Zeroizing<[u8; 32]>),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    fn key(&self, salt: &[u8; 16]) -> Result<LessSafeKey> {
        let mut bytes = Zeroizing::new([0; 32]);
        match self {
            Self::Passphrase(text) => Argon2::default()
                .hash_password_into(text.as_bytes(), salt, &mut *bytes)
                .map_err(|error| Error::Config(format!("the passphrase: {error}")))?,
            Self::Key(key) => Salt::new(HKDF_SHA256, salt)
                .extract(&key[..])
                .expand(&[b"mingjing backup"], HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut *bytes))
                .expect("HKDF gives 32 bytes"),
        }
        let key = UnboundKey::new(&AES_256_GCM, &*bytes).expect("32 bytes are an AES-256 key");
        Ok(LessSafeKey::new(key))
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn io(error: std::io::Error) -> Error {
    Error::file("backup")(error)
}

/// Seals what is written into it.
pub(super) struct Sealing<W> {
    out: W,
    key: LessSafeKey,
    number: u64,
    plain: Vec<u8>,
}

impl<W: Write> Sealing<W> {
    pub(super) fn new(secret: &Secret, mut out: W) -> Result<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).expect("the system gives random bytes");
        out.write_all(MAGIC).map_err(io)?;
        out.write_all(&salt).map_err(io)?;
        Ok(Self {
            out,
            key: secret.key(&salt)?,
            number: 0,
            plain: Vec::with_capacity(CHUNK),
        })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.plain.len() == CHUNK {
                self.seal(false)?;
            }
            let taken = bytes.len().min(CHUNK - self.plain.len());
            self.plain.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.seal(true)?;
        self.out.flush().map_err(io)
    }

    fn seal(&mut self, last: bool) -> Result<()> {
        let aad = Aad::from([u8::from(last)]);
        self.key
            .seal_in_place_append_tag(nonce(self.number), aad, &mut self.plain)
            .expect("a chunk is far below the limit of AES-GCM");
        let length = u32::try_from(self.plain.len()).expect("a chunk is small");
        self.out.write_all(&length.to_be_bytes()).map_err(io)?;
        self.out.write_all(&self.plain).map_err(io)?;
        self.plain.clear();
        self.number += 1;
        Ok(())
    }
}

/// Opens what [`Sealing`] sealed.
pub(super) struct Opening<R> {
    from: R,
    key: LessSafeKey,
    number: u64,
    plain: Vec<u8>,
    at: usize,
    last: bool,
}

impl<R> fmt::Debug for Opening<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening")
    }
}

impl<R: Read> Opening<R> {
    pub(super) fn new(secret: &Secret, mut from: R) -> Result<Self> {
        let mut head = [0; 34];
        from.read_exact(&mut head).map_err(cut)?;
        let (magic, salt) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(Error::Config(
                "this file is no backup of Mingjing".to_owned(),
            ));
        }
        let salt: &[u8; 16] = salt.try_into().expect("16 of 34 bytes are left");
        let mut opening = Self {
            from,
            key: secret.key(salt)?,
            number: 0,
            plain: Vec::new(),
            at: 0,
            last: false,
        };
        opening.chunk().map_err(|_| {
            Error::Config(
                "the backup does not open: another passphrase or key, or damaged bytes".to_owned(),
            )
        })?;
        Ok(opening)
    }

    pub(super) fn read(&mut self, mut into: &mut [u8]) -> Result<()> {
        while !into.is_empty() {
            if self.at == self.plain.len() {
                if self.last {
                    return Err(super::damaged("it ends too early"));
                }
                self.chunk()?;
                continue;
            }
            let taken = into.len().min(self.plain.len() - self.at);
            into[..taken].copy_from_slice(&self.plain[self.at..self.at + taken]);
            self.at += taken;
            into = &mut into[taken..];
        }
        Ok(())
    }

    /// Makes sure that everything was read and nothing follows.
    pub(super) fn finish(mut self) -> Result<()> {
        let mut rest = [0; 1];
        let follows = self.from.read(&mut rest).map_err(io)? > 0;
        if !self.last || self.at != self.plain.len() || follows {
            return Err(super::damaged("it goes on behind its end"));
        }
        Ok(())
    }

    fn chunk(&mut self) -> Result<()> {
        let mut length = [0; 4];
        self.from.read_exact(&mut length).map_err(cut)?;
        let length = u32::from_be_bytes(length) as usize;
        if !(TAG..=CHUNK + TAG).contains(&length) {
            return Err(super::damaged("a chunk of impossible length"));
        }
        let mut sealed = vec![0; length];
        self.from.read_exact(&mut sealed).map_err(cut)?;
        for last in [false, true] {
            let mut plain = sealed.clone();
            let aad = Aad::from([u8::from(last)]);
            if let Ok(opened) = self.key.open_in_place(nonce(self.number), aad, &mut plain) {
                let opened = opened.len();
                plain.truncate(opened);
                (self.plain, self.at, self.last) = (plain, 0, last);
                self.number += 1;
                return Ok(());
            }
        }
        Err(super::damaged("a chunk was changed"))
    }
}

fn cut(error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::UnexpectedEof {
        return super::damaged("it is cut off");
    }
    io(error)
}
