//! What the company signs for its phones, and with which extended key usage.
//!
//! Invariant: a certificate that may sign one kind can't sign another, and none of them can serve TLS.

use crate::pb::SignedKind;

/// The arc all of Mingjing's extended key usages hang on (a UUID arc, so it collides with nobody's).
const ARC: [u64; 3] = [2, 25, 61_871_046_925_717];

/// The extended key usage a certificate needs to sign `kind`; `None` for the unspecified kind.
pub fn extended_key_usage(kind: SignedKind) -> Option<Vec<u64>> {
    let leaf = match kind {
        SignedKind::Unspecified => return None,
        SignedKind::Policy => 1,
        SignedKind::Notice => 2,
        SignedKind::Pack => 3,
        SignedKind::Scripts => 4,
        SignedKind::ConsentReceipt => 5,
        SignedKind::AuditCheckpoint => 6,
    };
    Some([&ARC[..], &[leaf]].concat())
}

/// The bytes a signature covers: "mingjing-signed-1" ‖ kind ‖ payload.
pub fn bytes(kind: SignedKind, payload: &[u8]) -> Vec<u8> {
    let kind = u8::try_from(kind as i32).expect("kinds fit a byte");
    [b"mingjing-signed-1", &[kind][..], payload].concat()
}
