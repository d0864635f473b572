//! Where the master key comes from: a file, or a credential systemd hands to the service.
//!
//! Invariants: the key's bytes exist in memory only here and in [`crate::seal`], zeroed after use; a key
//! file others may read is refused; neither the key nor a part of it is ever printed.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Name of the key's file in the data folder, and of the credential.
pub const FILE: &str = "master.key";
/// Where systemd puts a service's credentials (systemd.exec(5), `LoadCredential=`).
pub const CREDENTIALS_ENV: &str = "CREDENTIALS_DIRECTORY";

/// The place of the master key: 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKey {
    /// A file readable by its owner only.
    File(PathBuf),
    /// A credential: systemd lets only the service read it, whatever the mode bits say.
    Credential(PathBuf),
}

impl MasterKey {
    /// The file `given` if there is one, else the credential, else the file in the data folder.
    pub fn find(given: Option<&Path>, credentials: Option<&Path>, data_dir: &Path) -> Self {
        if let Some(path) = given {
            return Self::File(path.to_owned());
        }
        match credentials.map(|dir| dir.join(FILE)) {
            Some(path) if path.exists() => Self::Credential(path),
            _ => Self::in_folder(data_dir),
        }
    }

    /// The file in the data folder.
    pub fn in_folder(data_dir: &Path) -> Self {
        Self::File(data_dir.join(FILE))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Credential(path) => path,
        }
    }

    /// What the notice tells employees of it (N6).
    pub fn seal_mode(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Credential(_) => "systemd",
        }
    }

    /// The key as its file holds it.
    pub fn text(&self) -> Result<Zeroizing<String>> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path();
        if let Self::File(_) = self {
            let mode = match std::fs::metadata(path) {
                Ok(metadata) => metadata.permissions().mode(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(Error::Config(format!(
                        "{}: no master key; put the copy of it there (mode 600), name it with --master-key, \
                         or pass it with LoadCredential={FILE}:…",
                        path.display()
                    )));
                }
                Err(error) => return Err(Error::file(path)(error)),
            };
            if mode & 0o077 != 0 {
                return Err(Error::Config(format!(
                    "{}: others may read the master key; run: chmod 600 {}",
                    path.display(),
                    path.display()
                )));
            }
        }
        std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(Error::file(path))
    }

    /// The key's bytes.
    pub(crate) fn read(&self) -> Result<Zeroizing<[u8; 32]>> {
        let text = self.text()?;
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), &mut *key).map_err(|_| {
            Error::Config(format!(
                "{}: a master key is 64 hexadecimal digits",
                self.path().display()
            ))
        })?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_given_comes_before_the_credential_and_that_before_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (data, credentials) = (dir.path().join("data"), dir.path().join("credentials"));
        std::fs::create_dir_all(&credentials).unwrap();
        let find =
            |given: Option<&str>| MasterKey::find(given.map(Path::new), Some(&credentials), &data);
        // A service with other credentials only keeps its key in the folder.
        assert_eq!(find(None), MasterKey::File(data.join(FILE)));
        write(&credentials.join(FILE), &"ab".repeat(32), 0o440);
        let credential = find(None);
        assert_eq!(credential, MasterKey::Credential(credentials.join(FILE)));
        assert_eq!(find(Some("/k")), MasterKey::File("/k".into()));
        // systemd's access list shows as group bits.
        assert_eq!(*credential.read().unwrap(), [0xab; 32]);
        assert_eq!(credential.seal_mode(), "systemd");
    }

    #[test]
    fn a_key_that_is_missing_open_or_garbled_is_refused_with_its_cure() {
        let dir = tempfile::tempdir().unwrap();
        let key = MasterKey::in_folder(dir.path());
        let refused = |expected: &str| {
            let error = key.read().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused("LoadCredential");
        write(key.path(), &"ab".repeat(32), 0o640);
        refused("chmod 600");
        write(key.path(), "abcd", 0o600);
        refused("64 hexadecimal digits");
    }
}
