//! What the device key signs outside TLS, and how a signature is checked.
//!
//! Invariant: every purpose has its own context prefix, so a signature for one never serves another.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `Control.consent`
    Consent,
    /// `Control.gap`
    Gap,
}

impl Purpose {
    fn context(self) -> &'static [u8] {
        match self {
            Self::Consent => b"mingjing-consent-1",
            Self::Gap => b"mingjing-gap-1",
        }
    }

    /// The bytes that are signed: context ‖ payload.
    pub fn bytes(self, payload: &[u8]) -> Vec<u8> {
        [self.context(), payload].concat()
    }
}

/// A signature that the named key did not make over these bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature is not by the named key")]
pub struct BadSignature;

/// Checks an ASN.1 ECDSA P-256 SHA-256 signature; `public_point` is the uncompressed point (65 bytes).
pub fn verify(public_point: &[u8], signed: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_point)
        .verify(signed, signature)
        .map_err(|_| BadSignature)
}
