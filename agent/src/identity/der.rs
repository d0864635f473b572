//! The little DER this crate reads and writes itself: two fields of a certificate, one certificate request.
//!
//! Invariants: nothing is believed because it was read here (webpki judges chains); what is not of the
//! expected form is `None`; no length in the input is trusted.

use super::{SignError, Signer};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed: a certificate's version, a request's attributes.
const CONTEXT_0: u8 = 0xa0;

/// `AlgorithmIdentifier` of ECDSA with SHA-256.
const ECDSA_SHA256: [u8; 12] = [
    SEQUENCE, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];

/// One value: its tag, what it holds, and all its bytes.
struct Value<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

/// The next value, taken off `input`.
fn next<'a>(input: &mut &'a [u8]) -> Option<Value<'a>> {
    let (tag, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ ..=0x7f => (short, rest),
        // Longer than 16 MB is no certificate.
        long => {
            let (digits, rest) = rest.split_at_checked(long & 0x7f)?;
            if !(1..=3).contains(&digits.len()) {
                return None;
            }
            let length = digits.iter().fold(0, |sum, it| sum << 8 | usize::from(*it));
            (length, rest)
        }
    };
    let (content, after) = rest.split_at_checked(length)?;
    let whole = input.get(..input.len() - after.len())?;
    *input = after;
    Some(Value {
        tag: *tag,
        content,
        whole,
    })
}

fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<Value<'a>> {
    next(input).filter(|it| it.tag == tag)
}

/// What is left of a certificate's `TBSCertificate` from its validity on.
fn from_validity(certificate: &[u8]) -> Option<&[u8]> {
    let mut outer = certificate;
    let whole = take(&mut outer, SEQUENCE)?;
    if !outer.is_empty() {
        return None;
    }
    let mut fields = take(&mut { whole.content }, SEQUENCE)?.content;
    if fields.first() == Some(&CONTEXT_0) {
        next(&mut fields)?;
    }
    take(&mut fields, INTEGER)?; // serial number
    take(&mut fields, SEQUENCE)?; // signature
    take(&mut fields, SEQUENCE)?; // issuer
    Some(fields)
}

/// The SubjectPublicKeyInfo of a certificate.
pub(super) fn spki(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = from_validity(certificate)?;
    take(&mut fields, SEQUENCE)?; // validity
    take(&mut fields, SEQUENCE)?; // subject
    Some(take(&mut fields, SEQUENCE)?.whole)
}

/// When a certificate's validity begins and ends, Unix milliseconds.
pub(super) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let mut validity = take(&mut from_validity(certificate)?, SEQUENCE)?.content;
    let from = time_ms(next(&mut validity)?)?;
    let to = time_ms(next(&mut validity)?)?;
    Some((from, to))
}

/// A `Time` as RFC 5280 wants it: in seconds, in UTC, years below 2050 in two digits.
fn time_ms(value: Value<'_>) -> Option<i64> {
    let text = value.content.strip_suffix(b"Z")?;
    let (year, rest) = match (value.tag, text.len()) {
        (UTC_TIME, 12) => text.split_at(2),
        (GENERALIZED_TIME, 14) => text.split_at(4),
        _ => return None,
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0_i16, |sum, it| {
            it.is_ascii_digit().then(|| sum * 10 + i16::from(it - b'0'))
        })
    };
    let year = match number(year)? {
        short if value.tag == UTC_TIME && short < 50 => 2000 + short,
        short if value.tag == UTC_TIME => 1900 + short,
        long => long,
    };
    let mut parts = [0_i8; 5];
    for (part, digits) in parts.iter_mut().zip(rest.chunks(2)) {
        *part = i8::try_from(number(digits)?).ok()?;
    }
    let [month, day, hour, minute, second] = parts;
    let at = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let at = jiff::tz::Offset::UTC.to_timestamp(at).ok()?;
    Some(at.as_millisecond())
}

fn put(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|it| it.len()).sum();
    out.push(tag);
    let digits = length.to_be_bytes();
    let zeros = digits.iter().take_while(|it| **it == 0).count();
    let digits = &digits[zeros..];
    if let ..=0x7f = length {
        out.push(digits.first().copied().unwrap_or(0));
    } else {
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
        out.extend_from_slice(digits);
    }
    parts.iter().for_each(|it| out.extend_from_slice(it));
}

/// A PKCS#10 request for the signer's key, without a name: the collector gives the names.
pub(super) fn request(signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    let version = [INTEGER, 1, 0];
    let no_name = [SEQUENCE, 0];
    let no_attributes = [CONTEXT_0, 0];
    let mut info = Vec::new();
    let fields = [
        &version[..],
        &no_name,
        signer.public_key_spki(),
        &no_attributes,
    ];
    put(&mut info, SEQUENCE, &fields);
    let mut signature = Vec::new();
    put(&mut signature, BIT_STRING, &[&[0], &signer.sign(&info)?]);
    let mut request = Vec::new();
    put(&mut request, SEQUENCE, &[&info, &ECDSA_SHA256, &signature]);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;
    use crate::identity::SoftwareSigner;

    fn certificate(from: (i32, u8, u8), to: (i32, u8, u8)) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        made.der().to_vec()
    }

    #[test]
    fn key_and_validity_are_those_another_reader_sees() {
        for (from, to) in [
            ((2026, 1, 1), (2026, 3, 1)),
            ((1975, 12, 31), (2049, 12, 31)),
            ((2024, 2, 29), (2050, 1, 1)),
            ((2051, 7, 9), (4096, 1, 1)),
        ] {
            let der = certificate(from, to);
            let (_, known) = X509Certificate::from_der(&der).expect("a certificate");
            assert_eq!(spki(&der), Some(known.public_key().raw));
            let known = known.validity();
            let known = (known.not_before.timestamp(), known.not_after.timestamp());
            assert_eq!(validity(&der), Some((known.0 * 1000, known.1 * 1000)));
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_and_never_a_panic() {
        let der = certificate((2026, 1, 1), (2026, 3, 1));
        for length in 0..der.len() {
            assert_eq!(spki(&der[..length]), None, "{length}");
            assert_eq!(validity(&der[..length]), None, "{length}");
        }
        let longer = [&der[..], &[0]].concat();
        assert_eq!(spki(&longer), None, "something follows");
        for at in 0..der.len() {
            for byte in [0, 0x30, 0x7f, 0x80, 0x83, 0x84, 0xff] {
                let mut changed = der.clone();
                changed[at] = byte;
                // Whatever comes out lies within the input.
                let found = spki(&changed).map_or(0, <[u8]>::len);
                assert!(found <= changed.len());
                let _: Option<(i64, i64)> = validity(&changed);
            }
        }
    }

    #[test]
    fn a_request_carries_the_key_and_its_own_signature() {
        let dir = tempfile::tempdir().expect("a folder");
        let signer = SoftwareSigner::open(&dir.path().join("key")).expect("a key");
        let der = request(&signer).expect("a request");
        let (rest, request) = X509CertificationRequest::from_der(&der).expect("a request");
        assert_eq!(rest, b"");
        request.verify_signature().expect("signed by its own key");
        let info = request.certification_request_info;
        assert_eq!(info.subject_pki.raw, signer.public_key_spki());
        assert_eq!(info.subject.iter().count(), 0);
    }
}
