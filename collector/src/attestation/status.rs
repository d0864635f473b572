//! Attesting certificates their maker took back: the operator's copy of Google's status list.
//!
//! Invariants: a list is taken whole or not at all; an entry whose status this release does not know is an
//! error and not a pass; serials compare as numbers, whatever zeros stand before them.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::Evidence;
use crate::error::{Error, Result};

/// The certificates that no longer prove anything.
#[derive(Debug, Default)]
pub struct StatusList {
    listed: HashMap<String, Evidence>,
}

#[derive(Deserialize)]
struct File {
    entries: HashMap<String, Entry>,
}

/// What else an entry says (reason, comment, expiry) changes nothing.
#[derive(Deserialize)]
struct Entry {
    status: Status,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Revoked,
    Suspended,
}

impl StatusList {
    /// Reads the list; without a path nothing is listed.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let bytes = std::fs::read(path).map_err(Error::file(path))?;
        Self::parse(&bytes).map_err(|what| {
            Error::Config(format!(
                "phones.attestation_status: {}: {what}; load the file again from \
                 https://android.googleapis.com/attestation/status, or set it to \"\" to do without",
                path.display()
            ))
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is not Google's list of attestation status ({error})"))?;
        let mut listed = HashMap::with_capacity(file.entries.len());
        for (serial, entry) in file.entries {
            let hexadecimal = serial.chars().all(|it| it.is_ascii_hexdigit());
            if serial.is_empty() || !hexadecimal {
                return Err(format!("{serial:?} is no serial number in hexadecimal"));
            }
            let evidence = match entry.status {
                Status::Revoked => Evidence::Revoked,
                Status::Suspended => Evidence::Suspended,
            };
            listed.insert(plain(&serial), evidence);
        }
        Ok(Self { listed })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// What the list says of a certificate with this serial, if anything.
    pub(super) fn of(&self, serial: &[u8]) -> Option<Evidence> {
        self.listed.get(&plain(&hex::encode(serial))).copied()
    }
}

fn plain(serial: &str) -> String {
    serial.trim_start_matches('0').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_compare_as_numbers() {
        let list = r#"{"entries": {
            "c35747a084470c3135aeefe2b8d40cd6": {"status": "REVOKED", "reason": "KEY_COMPROMISE"},
            "0AB": {"status": "SUSPENDED", "expires": "2030-01-01"}
        }}"#;
        let list = StatusList::parse(list.as_bytes()).unwrap();
        let long = hex::decode("00c35747a084470c3135aeefe2b8d40cd6").unwrap();
        assert_eq!(list.of(&long), Some(Evidence::Revoked));
        assert_eq!(list.of(&[0xab]), Some(Evidence::Suspended));
        assert_eq!(list.of(&[0, 0xab]), Some(Evidence::Suspended));
        assert_eq!(list.of(&[0xab, 0]), None);
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn a_list_that_cannot_be_read_names_the_setting_the_file_and_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        for (text, what) in [
            ("", "not Google's list"),
            ("[]", "not Google's list"),
            ("{}", "entries"),
            (r#"{"entries": {"ab": {}}}"#, "status"),
            (r#"{"entries": {"ab": {"status": "DOUBTED"}}}"#, "DOUBTED"),
            (r#"{"entries": {"xyz": {"status": "REVOKED"}}}"#, "xyz"),
            (r#"{"entries": {"": {"status": "REVOKED"}}}"#, "serial"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = StatusList::load(Some(&path)).unwrap_err().to_string();
            for part in [
                what,
                "phones.attestation_status",
                "status.json",
                "load the file again",
            ] {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
        let absent = StatusList::load(Some(&dir.path().join("absent"))).unwrap_err();
        assert!(absent.to_string().contains("absent"), "{absent}");
        assert!(StatusList::load(None).unwrap().is_empty());
    }
}
