//! Android Key Attestation: whether a phone's key lives in hardware (requirements A, wire.md §7).
//!
//! Invariants: a tier above `none` is given only to a chain that ends at a root the operator supplied,
//! whose signatures and dates hold, whose leaf holds the enrolling key and names this enrolment code's
//! challenge; whatever is missing or wrong is named, stored and shown, never passed in silence.

mod status;

use std::path::Path;

use mingjing_proto::limits;
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};
use x509_parser::prelude::{ASN1Time, X509Certificate};

use crate::error::{Error, Result};

pub use status::StatusList;

/// How much a phone's key can be trusted not to leave it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum Tier {
    /// Nothing is proven.
    None,
    /// Attested, but kept by Android's software.
    Software,
    /// Attested: kept by a secure element or a trusted execution environment.
    Hardware,
}

impl Tier {
    /// The word stored and shown.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What an attestation proved, or why it proved nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Evidence {
    /// Kept by a StrongBox.
    Strongbox,
    /// Kept by a trusted execution environment.
    Tee,
    /// In hardware, but made elsewhere: somebody may have a copy.
    Imported,
    /// Kept by software.
    Software,
    /// The phone sent no chain.
    Absent,
    /// The operator supplied no roots to check it against.
    NoRoots,
    /// Bytes that are no attestation chain.
    Malformed,
    /// A signature, a name or a usage within the chain does not hold.
    Broken,
    /// It ends at a root the operator did not supply.
    Untrusted,
    /// A certificate is not valid now.
    Expired,
    /// The operator's status list names a certificate as revoked.
    Revoked,
    /// The operator's status list names a certificate as suspended.
    Suspended,
    /// It names another challenge: it was made for another enrolment.
    Challenge,
    /// It is about another key.
    ForeignKey,
}

impl Evidence {
    /// The word stored and shown.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The tier it is worth.
    pub fn tier(self) -> Tier {
        match self {
            Self::Strongbox | Self::Tee => Tier::Hardware,
            Self::Imported | Self::Software => Tier::Software,
            Self::Absent
            | Self::NoRoots
            | Self::Malformed
            | Self::Broken
            | Self::Untrusted
            | Self::Expired
            | Self::Revoked
            | Self::Suspended
            | Self::Challenge
            | Self::ForeignKey => Tier::None,
        }
    }
}

/// The roots the operator trusts to attest keys.
#[derive(Debug, Default)]
pub struct Roots {
    /// DER.
    certificates: Vec<Vec<u8>>,
}

impl Roots {
    /// Reads PEM certificates from a file, or from every `.pem` and `.crt` file of a folder.
    pub fn load(path: &Path) -> Result<Self> {
        let wrong = |path: &Path, what: &str| {
            Error::Config(format!(
                "phones.attestation_roots: {}: {what}; it must hold PEM certificates",
                path.display()
            ))
        };
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            files.clear();
            for entry in std::fs::read_dir(path).map_err(Error::file(path))? {
                let file = entry.map_err(Error::file(path))?.path();
                if file
                    .extension()
                    .is_some_and(|it| it == "pem" || it == "crt")
                {
                    files.push(file);
                }
            }
            files.sort();
        }
        let mut roots = Self::default();
        for file in &files {
            let bytes = std::fs::read(file).map_err(Error::file(file))?;
            let before = roots.certificates.len();
            for pem in x509_parser::pem::Pem::iter_from_buffer(&bytes) {
                let pem = pem.map_err(|_| wrong(file, "broken PEM"))?;
                roots
                    .add(&pem.contents)
                    .map_err(|()| wrong(file, "not a certificate"))?;
            }
            if roots.certificates.len() == before {
                return Err(wrong(file, "no certificate in it"));
            }
        }
        if roots.certificates.is_empty() {
            return Err(wrong(path, "no .pem or .crt file in it"));
        }
        Ok(roots)
    }

    fn add(&mut self, der: &[u8]) -> Result<(), ()> {
        parse(der).map_err(|_| ())?;
        self.certificates.push(der.to_vec());
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Whether there are none: nothing can be proven then.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }
}

/// Weighs the chain a phone sent with its key.
///
/// `spki` is the enrolling key, `challenge` SHA-256 of the enrolment code's secret.
pub fn weigh(
    roots: &Roots,
    status: &StatusList,
    chain: &[Vec<u8>],
    spki: &[u8],
    challenge: &[u8; 32],
    now_ms: i64,
) -> Evidence {
    if chain.is_empty() {
        return Evidence::Absent;
    }
    if roots.is_empty() {
        return Evidence::NoRoots;
    }
    verify(roots, status, chain, spki, challenge, now_ms).unwrap_or_else(|why| why)
}

fn verify(
    roots: &Roots,
    status: &StatusList,
    chain: &[Vec<u8>],
    spki: &[u8],
    challenge: &[u8; 32],
    now_ms: i64,
) -> Result<Evidence, Evidence> {
    if chain.len() > limits::ATTESTATION_CERTS
        || chain
            .iter()
            .any(|it| it.len() > limits::ATTESTATION_CERT_BYTES)
    {
        return Err(Evidence::Malformed);
    }
    let certificates = chain
        .iter()
        .map(|der| parse(der))
        .collect::<Result<Vec<_>, _>>()?;
    let anchored = anchor(roots, &certificates)?;
    for pair in certificates.windows(2) {
        issued_by(&pair[0], &pair[1])?;
    }
    let listed = certificates
        .iter()
        .find_map(|it| status.of(it.raw_serial()));
    if let Some(taken_back) = listed {
        return Err(taken_back);
    }
    let now = ASN1Time::from_timestamp(now_ms.div_euclid(1000)).map_err(|_| Evidence::Expired)?;
    // The operator's root is trusted as it stands; Google's own first root has run out.
    if certificates[..anchored]
        .iter()
        .any(|it| !it.validity().is_valid_at(now))
    {
        return Err(Evidence::Expired);
    }
    let leaf = &certificates[0];
    if leaf.public_key().raw != spki {
        return Err(Evidence::ForeignKey);
    }
    // Only the leaf speaks about the key: a key that is itself attested could sign any story above.
    if certificates[1..].iter().any(|it| extension(it).is_some()) {
        return Err(Evidence::Broken);
    }
    let description = Description::read(extension(leaf).ok_or(Evidence::Malformed)?)
        .ok_or(Evidence::Malformed)?;
    if description.challenge != challenge {
        return Err(Evidence::Challenge);
    }
    Ok(description.evidence())
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Evidence> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(Evidence::Malformed),
    }
}

/// How many certificates stand below the operator's root.
fn anchor(roots: &Roots, chain: &[X509Certificate<'_>]) -> Result<usize, Evidence> {
    let (top, below) = chain.split_last().ok_or(Evidence::Malformed)?;
    for root in &roots.certificates {
        let root = parse(root)?;
        // Phones send their root along; it may be another issue for the same key.
        if !below.is_empty() && root.public_key().raw == top.public_key().raw {
            return Ok(below.len());
        }
        // A root of the same name and another key is another root.
        if issued_by(top, &root).is_ok() {
            return Ok(chain.len());
        }
    }
    Err(Evidence::Untrusted)
}

/// SHA-256 and longer, RSA and ECDSA; no SHA-1.
const SIGNATURES: [&str; 5] = [
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
    "1.2.840.10045.4.3.2",
    "1.2.840.10045.4.3.3",
];

fn issued_by(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
) -> Result<(), Evidence> {
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    let may_sign = issuer.is_ca()
        && match issuer.key_usage() {
            Ok(usage) => usage.is_none_or(|it| it.value.key_cert_sign()),
            Err(_) => false,
        };
    let holds = certificate.issuer().as_raw() == issuer.subject().as_raw()
        && may_sign
        && SIGNATURES.contains(&&*algorithm)
        && certificate
            .verify_signature(Some(issuer.public_key()))
            .is_ok();
    if holds { Ok(()) } else { Err(Evidence::Broken) }
}

const ATTESTATION: &str = "1.3.6.1.4.1.11129.2.1.17";

fn extension<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    let mut found = certificate
        .extensions()
        .iter()
        .filter(|it| it.oid.to_id_string() == ATTESTATION);
    found.next().map(|it| it.value)
}

/// What is used of the extension `KeyDescription`.
struct Description<'a> {
    attestation_level: u32,
    key_level: u32,
    challenge: &'a [u8],
    /// `origin` of what the hardware enforces: 0 is made inside.
    origin: Option<u32>,
}

/// Tag of `origin` in an `AuthorizationList`.
const ORIGIN: u32 = 702;
const GENERATED: u32 = 0;

impl<'a> Description<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let (rest, sequence) = Any::from_der(der).ok()?;
        if !rest.is_empty() || sequence.header.tag() != Tag::Sequence {
            return None;
        }
        let fields = children(sequence.data)?;
        let [
            _,
            attestation_level,
            _,
            key_level,
            challenge,
            _,
            _,
            hardware,
        ] = &fields[..]
        else {
            return None;
        };
        if challenge.header.tag() != Tag::OctetString || hardware.header.tag() != Tag::Sequence {
            return None;
        }
        let mut origin = None;
        for entry in children(hardware.data)? {
            if entry.header.class() == Class::ContextSpecific && entry.header.tag().0 == ORIGIN {
                let (_, value) = Any::from_der(entry.data).ok()?;
                origin = Some(value.as_u32().ok()?);
            }
        }
        Some(Self {
            attestation_level: level(attestation_level)?,
            key_level: level(key_level)?,
            challenge: challenge.data,
            origin,
        })
    }

    /// The weaker of who speaks and what it speaks about.
    fn evidence(&self) -> Evidence {
        match self.attestation_level.min(self.key_level) {
            0 => Evidence::Software,
            _ if self.origin != Some(GENERATED) => Evidence::Imported,
            1 => Evidence::Tee,
            _ => Evidence::Strongbox,
        }
    }
}

/// Software 0, TEE 1, StrongBox 2; a level not known yet proves nothing.
fn level(value: &Any<'_>) -> Option<u32> {
    let level = value.clone().enumerated().ok()?.0;
    (level <= 2).then_some(level)
}

/// The values of a sequence; the size of the certificate bounds them.
fn children(mut data: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let (rest, value) = Any::from_der(data).ok()?;
        found.push(value);
        data = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests;
