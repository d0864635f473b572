//! The device key: who signs TLS handshakes, certificate requests, consents, gaps and checkpoints.
//!
//! Invariant: a signer gives out signatures and its public key, nothing else.

use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use zeroize::Zeroizing;

use super::{IdentityError, write_whole};

/// SubjectPublicKeyInfo of a P-256 key up to its point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The key store would not sign.
#[derive(Debug, thiserror::Error)]
#[error("the device key can't sign now: {0}")]
pub struct SignError(
    /// Why, without secrets.
    pub String,
);

/// A P-256 key that signs. The Android Keystore is one, [`SoftwareSigner`] another.
pub trait Signer: std::fmt::Debug + Send + Sync + 'static {
    /// SubjectPublicKeyInfo, DER, 91 bytes.
    fn public_key_spki(&self) -> &[u8];
    /// ECDSA with SHA-256, ASN.1 DER. May block and may fail.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// The uncompressed point (65 bytes) at the end of a P-256 SubjectPublicKeyInfo.
pub fn public_point(spki: &[u8]) -> &[u8] {
    spki.strip_prefix(&SPKI_PREFIX).unwrap_or(spki)
}

/// A key in a file of mode 0600 (PKCS#8). For computers and tests; phones use their Keystore.
#[derive(Debug)]
pub struct SoftwareSigner {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl SoftwareSigner {
    /// Reads the key in `path`, or makes one there.
    pub fn open(path: &Path) -> Result<Self, IdentityError> {
        let damaged = || IdentityError::Damaged {
            path: path.to_owned(),
        };
        let random = SystemRandom::new();
        let pkcs8 = match std::fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
                    .map_err(|_| damaged())?;
                write_whole(path, made.as_ref())?;
                Zeroizing::new(made.as_ref().to_vec())
            }
            Err(source) => {
                return Err(IdentityError::Io {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random)
            .map_err(|_| damaged())?;
        let spki = [&SPKI_PREFIX[..], pair.public_key().as_ref()].concat();
        Ok(Self { pair, spki })
    }
}

impl Signer for SoftwareSigner {
    fn public_key_spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| SignError("the software key failed".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mingjing_proto::device_signed::verify;

    #[test]
    fn the_key_file_is_made_once_and_its_signatures_verify() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("device.key");
        let signer = SoftwareSigner::open(&path).expect("made");
        let again = SoftwareSigner::open(&path).expect("read");
        assert_eq!(signer.public_key_spki(), again.public_key_spki());
        let signature = signer.sign(b"text").expect("signed");
        let point = public_point(again.public_key_spki());
        assert_eq!(point.len(), 65);
        assert_eq!(verify(point, b"text", &signature), Ok(()));
        std::fs::write(&path, b"no key").expect("written");
        assert!(SoftwareSigner::open(&path).is_err());
    }
}
