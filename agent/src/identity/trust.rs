//! Which signatures of the company count (wire.md §5).
//!
//! Invariants: the signing certificate leads to a root this phone holds, is valid now, is a P-256 key,
//! and carries the extended key usage of exactly the kind it signed.

use std::sync::LazyLock;

use mingjing_proto::pb::{Signed, SignedKind};
use mingjing_proto::signed;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::signer::public_point;
use super::spki;

/// Why a signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not a kind this agent knows.
    #[error("it is of a kind this app does not know")]
    Kind,
    /// No certificate, or one that can't be read.
    #[error("its certificate can't be read")]
    Certificate,
    /// The certificate does not lead to a root, is not valid now, or may not sign this kind.
    #[error("its certificate may not sign this")]
    Chain(#[source] webpki::Error),
    /// The signature is not by that certificate.
    #[error("its signature is not by the named certificate")]
    Signature,
}

/// The usages' object identifiers, DER contents, by kind.
static USAGES: LazyLock<[Vec<u8>; 7]> = LazyLock::new(|| {
    let mut usages: [Vec<u8>; 7] = Default::default();
    for (kind, der) in (0..).zip(&mut usages) {
        let oid = SignedKind::try_from(kind)
            .ok()
            .and_then(signed::extended_key_usage);
        *der = oid.map(|oid| oid_der(&oid)).unwrap_or_default();
    }
    usages
});

/// X.690 8.19: the first two arcs share a number, each number is base 128, high bit means more.
fn oid_der(arcs: &[u64]) -> Vec<u8> {
    let (first, rest) = arcs.split_at(2);
    let mut der = Vec::new();
    for number in std::iter::once(first[0] * 40 + first[1]).chain(rest.iter().copied()) {
        let mut digits = vec![(number & 0x7f) as u8];
        let mut number = number >> 7;
        while number > 0 {
            digits.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        der.extend(digits.iter().rev());
    }
    der
}

/// Checks an envelope at `at_ms` against the company's `roots` (DER) and tells its kind.
pub fn verify(envelope: &Signed, roots: &[Vec<u8>], at_ms: i64) -> Result<SignedKind, TrustError> {
    let kind = SignedKind::try_from(envelope.kind).map_err(|_| TrustError::Kind)?;
    let usage = &USAGES[usize::try_from(envelope.kind).map_err(|_| TrustError::Kind)?];
    if usage.is_empty() {
        return Err(TrustError::Kind);
    }
    let chain: Vec<CertificateDer<'_>> = envelope
        .certificate_chain
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let (leaf, intermediates) = chain.split_first().ok_or(TrustError::Certificate)?;
    let roots: Vec<CertificateDer<'_>> = roots
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let anchors: Vec<_> = roots
        .iter()
        .filter_map(|root| anchor_from_trusted_cert(root).ok())
        .collect();
    let seconds = u64::try_from(at_ms.div_euclid(1000)).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    EndEntityCert::try_from(leaf)
        .map_err(TrustError::Chain)?
        .verify_for_usage(
            &[webpki::ring::ECDSA_P256_SHA256],
            &anchors,
            intermediates,
            now,
            KeyUsage::required(usage),
            None,
            None,
        )
        .map_err(TrustError::Chain)?;
    let spki = spki(leaf).ok_or(TrustError::Certificate)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_point(&spki))
        .verify(&signed::bytes(kind, &envelope.payload), &envelope.signature)
        .map_err(|_| TrustError::Signature)?;
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Company;

    const NOW_MS: i64 = 1_800_000_000_000;

    #[test]
    fn only_the_right_certificate_of_the_right_root_signs() {
        let company = Company::new(NOW_MS);
        let roots = company.roots();
        let policy = company.sign(SignedKind::Policy, b"payload".to_vec());
        assert_eq!(
            verify(&policy, &roots, NOW_MS).expect("good"),
            SignedKind::Policy
        );

        let mut other_kind = policy.clone();
        other_kind.kind = SignedKind::Pack.into();
        assert!(matches!(
            verify(&other_kind, &roots, NOW_MS),
            Err(TrustError::Chain(_))
        ));
        let mut changed = policy.clone();
        changed.payload.push(0);
        assert!(matches!(
            verify(&changed, &roots, NOW_MS),
            Err(TrustError::Signature)
        ));
        let mut unsigned = policy.clone();
        unsigned.certificate_chain.clear();
        assert!(matches!(
            verify(&unsigned, &roots, NOW_MS),
            Err(TrustError::Certificate)
        ));
        let stranger = Company::new(NOW_MS).roots();
        assert!(matches!(
            verify(&policy, &stranger, NOW_MS),
            Err(TrustError::Chain(_))
        ));
        let much_later = NOW_MS + 400 * 86_400_000;
        assert!(matches!(
            verify(&policy, &roots, much_later),
            Err(TrustError::Chain(_))
        ));
        let mut unknown = policy;
        unknown.kind = 99;
        assert!(matches!(
            verify(&unknown, &roots, NOW_MS),
            Err(TrustError::Kind)
        ));
    }
}
