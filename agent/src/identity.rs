//! Who this phone is: its key, its certificate, the company's roots.
//!
//! Invariants: the private key never leaves its [`Signer`]; the identity file is replaced whole (new
//! file, `fsync`, rename) or not at all; a certificate is stored only after it was checked to be of our
//! key and to lead to a root we hold.

mod der;
mod enrol;
mod renew;
mod signer;
mod trust;

use std::io::Write;
use std::path::{Path, PathBuf};

use mingjing_proto::chain::{self, Link};
use mingjing_proto::ids::DeviceId;
use prost::Message;
use rustls_pki_types::CertificateDer;

use crate::clock::Anchor;

pub use enrol::{EnrolError, PhoneFacts, Token, enrol};
pub(crate) use renew::{RenewError, renew_expired, renew_in};
pub use signer::{SignError, Signer, SoftwareSigner, public_point};
pub use trust::{TrustError, verify};

const FILE: &str = "identity";

/// Why the identity can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Reading or writing a file.
    #[error("{path} can't be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is none.
    #[error("{path} does not exist; enrol this phone first (`mingjing-agent enroll --token …`)")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is not one of ours.
    #[error("{path} is damaged; move the whole folder away and enrol again")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is of another key than the signer's.
    #[error(
        "the certificate in {path} belongs to another key; restore the key it was made for, or enrol again"
    )]
    OtherKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that can't be used.
    #[error("a certificate from the server can't be used: {0}")]
    Certificate(&'static str),
}

/// What enrolment and renewal leave behind.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Identity {
    /// 16 bytes, as the certificate names it.
    #[prost(bytes = "vec", tag = "1")]
    pub device_id: Vec<u8>,
    /// DER, leaf first.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub certificate_chain: Vec<Vec<u8>>,
    /// DER.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub roots: Vec<Vec<u8>>,
    /// `https://host:port` of the session listener.
    #[prost(string, tag = "4")]
    pub session_server: String,
    /// `https://host:port` of the enrolment listener.
    #[prost(string, tag = "5")]
    pub enrolment_server: String,
    /// The company's name.
    #[prost(string, tag = "6")]
    pub company: String,
    /// The person the token was bound to.
    #[prost(string, tag = "7")]
    pub person: String,
    /// Waits for a confirmation in the console.
    #[prost(bool, tag = "8")]
    pub pending: bool,
    /// The six digits shown until then.
    #[prost(string, tag = "9")]
    pub confirmation_code: String,
    /// The server's time at enrolment.
    #[prost(message, optional, tag = "10")]
    pub anchor: Option<Anchor>,
}

/// From when to when a certificate is valid, Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub from_ms: i64,
    /// Last moment.
    pub to_ms: i64,
}

impl Validity {
    /// When it is time to renew: at 70 % of the certificate's life.
    pub fn renew_at_ms(&self) -> i64 {
        self.from_ms + (self.to_ms - self.from_ms) / 10 * 7
    }
}

impl Identity {
    /// Reads the identity of the agent in `dir` and checks that it belongs to `signer`.
    pub fn load(dir: &Path, signer: &dyn Signer) -> Result<Self, IdentityError> {
        let path = dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(IdentityError::Missing { path });
            }
            Err(source) => return Err(IdentityError::Io { path, source }),
        };
        let identity =
            Self::decode(&*bytes).map_err(|_| IdentityError::Damaged { path: path.clone() })?;
        let spki = identity
            .certificate_chain
            .first()
            .and_then(|leaf| spki(leaf))
            .ok_or_else(|| IdentityError::Damaged { path: path.clone() })?;
        if spki != signer.public_key_spki() {
            return Err(IdentityError::OtherKey { path });
        }
        Ok(identity)
    }

    /// Replaces the identity of the agent in `dir`.
    pub fn store(&self, dir: &Path) -> Result<(), IdentityError> {
        write_whole(&dir.join(FILE), &self.encode_to_vec())
    }

    /// The device id.
    pub fn device(&self) -> Result<DeviceId, IdentityError> {
        DeviceId::from_slice(&self.device_id)
            .map_err(|_| IdentityError::Certificate("the device id is not 16 bytes"))
    }

    /// When the certificate is valid.
    pub fn validity(&self) -> Option<Validity> {
        let leaf = self.certificate_chain.first()?;
        let (from_ms, to_ms) = der::validity(leaf)?;
        Some(Validity { from_ms, to_ms })
    }

    pub(crate) fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        self.certificate_chain
            .iter()
            .map(|der| CertificateDer::from(der.clone()))
            .collect()
    }
}

/// The SubjectPublicKeyInfo of a certificate, DER.
pub(crate) fn spki(certificate: &[u8]) -> Option<Vec<u8>> {
    der::spki(certificate).map(<[u8]>::to_vec)
}

/// SHA-256 of the SubjectPublicKeyInfo of a certificate.
pub(crate) fn spki_sha256(certificate: &[u8]) -> Option<Link> {
    spki(certificate).map(|spki| chain::sha256(&spki))
}

/// Refuses a chain that is not of our key, or roots that are none.
fn check_answer(
    chain: &[Vec<u8>],
    roots: &[Vec<u8>],
    signer: &dyn Signer,
) -> Result<(), IdentityError> {
    let leaf = chain
        .first()
        .and_then(|leaf| spki(leaf))
        .ok_or(IdentityError::Certificate("there is none"))?;
    if leaf != signer.public_key_spki() {
        return Err(IdentityError::Certificate("it is of another key"));
    }
    if roots.is_empty() || roots.iter().any(|root| spki(root).is_none()) {
        return Err(IdentityError::Certificate("the roots are not certificates"));
    }
    Ok(())
}

/// Writes a file whole, readable by its owner only: new file, `fsync`, rename.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    use std::os::unix::fs::OpenOptionsExt;
    let io = |source| IdentityError::Io {
        path: path.to_owned(),
        source,
    };
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&new, path).map_err(io)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io)
}
