//! The phone app's file: what the provisioning QR code may say of it.
//!
//! Invariants: nothing of the file is believed beyond its bounds; the signing certificate is read from
//! the signature blocks Android itself reads (APK Signature Scheme v2 and v3), which have to agree.
//! Whether the signature holds is Android's to check when it installs, and `apksigner`'s before.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};

use crate::config::Phones;
use crate::error::{Error, Result};
use mingjing_proto::chain::sha256;

/// What identifies an app's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apk {
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// SHA-256 of the certificate that signed it.
    pub signer_sha256: [u8; 32],
}

const END: &[u8; 4] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const LONGEST_COMMENT: usize = 65_535;
const MAGIC: &[u8; 16] = b"APK Sig Block 42";
const LARGEST_BLOCK: u64 = 8 * 1024 * 1024;
const SCHEME_2: u32 = 0x7109_871a;
const SCHEME_3: u32 = 0xf053_68c0;

/// Reads an app's file.
pub fn read(path: &Path) -> Result<Apk> {
    let mut file = File::open(path).map_err(Error::file(path))?;
    let failed = |error| Error::file(path)(error);
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        context.update(&buffer[..count]);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    let block = block(&mut file).map_err(failed)?;
    let signer = block.as_deref().and_then(signer).ok_or_else(|| {
        Error::Config(format!(
            "{}: not an APK signed with scheme v2 or v3 by one certificate; sign it with apksigner",
            path.display()
        ))
    })?;
    Ok(Apk {
        sha256: digest,
        signer_sha256: sha256(signer),
    })
}

/// The signing block's pairs, which stand before the central directory.
fn block(file: &mut File) -> std::io::Result<Option<Vec<u8>>> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_bytes = length.min((END_BYTES + LONGEST_COMMENT) as u64);
    let tail = part(file, length - tail_bytes, tail_bytes)?;
    let Some(end) = (0..=tail.len().saturating_sub(END_BYTES))
        .rev()
        .find(|at| tail[*at..].starts_with(END))
    else {
        return Ok(None);
    };
    let Some(directory) = tail.get(end + 16..end + 20).map(u32_of) else {
        return Ok(None);
    };
    let directory = u64::from(directory);
    // size u64 ‖ pairs ‖ size u64 ‖ magic: the size counts everything behind the first field.
    if directory < 32 || directory > length {
        return Ok(None);
    }
    let footer = part(file, directory - 24, 24)?;
    let size = u64_of(&footer[..8]);
    if &footer[8..] != MAGIC || !(24..=LARGEST_BLOCK).contains(&size) || size + 8 > directory {
        return Ok(None);
    }
    let start = directory - size - 8;
    if u64_of(&part(file, start, 8)?) != size {
        return Ok(None);
    }
    part(file, start + 8, size - 24).map(Some)
}

fn part(file: &mut File, from: u64, bytes: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut part = vec![0; usize::try_from(bytes).map_err(std::io::Error::other)?];
    file.read_exact(&mut part)?;
    Ok(part)
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("called with 4 bytes"))
}

fn u64_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("called with 8 bytes"))
}

/// The one certificate that signed, DER.
fn signer(mut pairs: &[u8]) -> Option<&[u8]> {
    let mut found: Option<&[u8]> = None;
    while !pairs.is_empty() {
        let length = usize::try_from(u64_of(pairs.get(..8)?)).ok()?;
        let pair = pairs.get(8..8_usize.checked_add(length)?)?;
        let id = u32_of(pair.get(..4)?);
        if id == SCHEME_2 || id == SCHEME_3 {
            let certificate = certificate(&pair[4..])?;
            if found.is_some_and(|it| it != certificate) {
                return None;
            }
            found = Some(certificate);
        }
        pairs = &pairs[8 + length..];
    }
    found
}

/// signers → the only signer → signed data → digests, certificates → the first certificate.
fn certificate(value: &[u8]) -> Option<&[u8]> {
    let (signers, _) = prefixed(value)?;
    let (signer, others) = prefixed(signers)?;
    if !others.is_empty() {
        return None;
    }
    let (signed, _) = prefixed(signer)?;
    let (_digests, rest) = prefixed(signed)?;
    let (certificates, _) = prefixed(rest)?;
    Some(prefixed(certificates)?.0)
}

/// A value with its length in front, and what follows it.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(u32_of(bytes.get(..4)?)).ok()?;
    let rest = &bytes[4..];
    (length <= rest.len()).then(|| rest.split_at(length))
}

impl Apk {
    /// The checksum as the provisioning QR code writes it.
    pub fn checksum(&self) -> String {
        checksum(&self.signer_sha256)
    }

    /// Compares with the settings; the error says what to write where.
    pub fn compare(&self, settings: &Phones) -> Result<()> {
        let differs = |name: &str, set: Option<[u8; 32]>, found: &[u8; 32]| match set {
            Some(set) if set != *found => Err(Error::Config(format!(
                "phones.{name} is {}, the file has {}; set it to that if the file is the right one, \
                 else put the right file in its place",
                hex::encode(set),
                hex::encode(found)
            ))),
            Some(_) | None => Ok(()),
        };
        differs("apk_sha256", settings.apk_sha256, &self.sha256)?;
        differs(
            "apk_signer_sha256",
            settings.apk_signer_sha256,
            &self.signer_sha256,
        )
    }
}

/// URL-safe base64 of a certificate's SHA-256, as Android's set-up wants it.
pub fn checksum(signer_sha256: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(signer_sha256)
}

/// Reads the file the settings name, if any, and compares it with them.
pub fn check_settings(settings: &Phones) -> Result<()> {
    match &settings.apk_file {
        Some(file) => read(file)?.compare(settings),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_length(value: &[u8]) -> Vec<u8> {
        let length = u32::try_from(value.len()).unwrap();
        [&length.to_le_bytes()[..], value].concat()
    }

    fn scheme(certificate: &[u8]) -> Vec<u8> {
        let certificates = with_length(&with_length(certificate));
        let signed = [with_length(b"digests"), certificates, with_length(b"")].concat();
        let signer = [with_length(&signed), with_length(b"signatures")].concat();
        with_length(&with_length(&signer))
    }

    fn pair(id: u32, value: &[u8]) -> Vec<u8> {
        let length = u64::try_from(value.len() + 4).unwrap();
        [&length.to_le_bytes()[..], &id.to_le_bytes(), value].concat()
    }

    fn apk(pairs: &[Vec<u8>]) -> Vec<u8> {
        let entries = b"local entries".to_vec();
        let pairs = pairs.concat();
        let size = u64::try_from(pairs.len() + 24).unwrap().to_le_bytes();
        let block = [&size[..], &pairs, &size, MAGIC].concat();
        let directory = u32::try_from(entries.len() + block.len()).unwrap();
        let end = [&END[..], &[0; 12], &directory.to_le_bytes(), &[0; 2]].concat();
        [entries, block, b"directory".to_vec(), end].concat()
    }

    fn reads(bytes: &[u8]) -> Result<Apk> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.apk");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    #[test]
    fn the_signer_is_found_in_either_scheme_and_must_be_one() {
        let other = pair(0x4272_6577, &[0; 100]);
        let (v2, v3) = (
            pair(SCHEME_2, &scheme(b"cert")),
            pair(SCHEME_3, &scheme(b"cert")),
        );
        for pairs in [
            vec![v2.clone()],
            vec![other.clone(), v3.clone()],
            vec![v2.clone(), other.clone(), v3],
        ] {
            let bytes = apk(&pairs);
            let apk = reads(&bytes).unwrap();
            assert_eq!(apk.signer_sha256, sha256(b"cert"));
            assert_eq!(apk.sha256, sha256(&bytes));
        }
        let foreign = pair(SCHEME_3, &scheme(b"another"));
        for (what, bytes) in [
            ("two signers", apk(&[v2.clone(), foreign])),
            ("no signature", apk(&[other])),
            ("no APK", b"PK".to_vec()),
            ("empty", Vec::new()),
            ("no block", [&b"x"[..], END, &[0; 18]].concat()),
        ] {
            let error = reads(&bytes).unwrap_err().to_string();
            assert!(error.contains("apksigner"), "{what}: {error}");
        }
    }

    #[test]
    fn no_cut_or_changed_file_panics() {
        let whole = apk(&[pair(SCHEME_2, &scheme(b"cert"))]);
        for length in 0..whole.len() {
            drop(reads(&whole[..length]));
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            drop(reads(&changed));
        }
    }

    #[test]
    fn a_difference_is_named_with_both_values_and_the_cure() {
        let found = Apk {
            sha256: [1; 32],
            signer_sha256: [2; 32],
        };
        let mut settings = crate::config::Config::parse("", Path::new("data"))
            .unwrap()
            .phones;
        found.compare(&settings).unwrap();
        settings.apk_signer_sha256 = Some([3; 32]);
        let error = found.compare(&settings).unwrap_err().to_string();
        for part in [
            "apk_signer_sha256",
            &"03".repeat(32),
            &"02".repeat(32),
            "set it to that",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
