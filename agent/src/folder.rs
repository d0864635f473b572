//! The folder of an agent on a computer: what a phone keeps in its Keystore lies here in files of
//! mode 0600.
//!
//! Invariant: each file is made once and never replaced; losing one means enrolling again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::Config;
use crate::identity::{IdentityError, Signer, SoftwareSigner, write_whole};
use crate::{Host, Parts, keys};

const DEVICE_KEY: &str = "device.key";
const WRAPPING_KEY: &str = "wrapping.key";

/// An agent's folder.
#[derive(Clone, Debug)]
pub struct Folder {
    dir: PathBuf,
}

impl Folder {
    /// Uses `dir`, making it (mode 0700) when it is not there.
    pub fn open(dir: &Path) -> Result<Self, IdentityError> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| IdentityError::Io {
                path: dir.to_owned(),
                source,
            })?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Its path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The device key, made on first use.
    pub fn signer(&self) -> Result<Arc<dyn Signer>, IdentityError> {
        Ok(Arc::new(SoftwareSigner::open(&self.dir.join(DEVICE_KEY))?))
    }

    /// The key that wraps the buffer's keys, made on first use.
    pub fn wrapping_key(&self) -> Result<Zeroizing<[u8; 32]>, IdentityError> {
        let path = self.dir.join(WRAPPING_KEY);
        match std::fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => match bytes[..].try_into() {
                Ok(key) => Ok(Zeroizing::new(key)),
                Err(_) => Err(IdentityError::Damaged { path }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key: Zeroizing<[u8; 32]> = Zeroizing::new(keys::random());
                write_whole(&path, &key[..])?;
                Ok(key)
            }
            Err(source) => Err(IdentityError::Io { path, source }),
        }
    }

    /// Everything an agent of this folder is started with.
    pub fn parts(
        &self,
        clock: Arc<dyn Clock>,
        host: Arc<dyn Host>,
    ) -> Result<Parts, IdentityError> {
        Ok(Parts {
            config: Config::new(&self.dir),
            wrapping_key: self.wrapping_key()?,
            signer: self.signer()?,
            clock,
            host,
        })
    }
}
