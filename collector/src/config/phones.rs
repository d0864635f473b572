//! Settings of phones: enrolment, attested keys, the app's file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::attestation::Tier;

/// Enrolment settings.
#[derive(Clone, Debug)]
pub struct Phones {
    /// Whether a new phone waits for confirmation.
    pub confirm: bool,
    /// Serials that need none.
    pub known_serials: Vec<String>,
    /// Days a phone's certificate lasts.
    pub certificate_days: u16,
    /// Hours an enrolment code is good for.
    pub token_hours: u16,
    /// PEM file or folder of the roots that may attest keys.
    pub attestation_roots: Option<PathBuf>,
    /// Copy of Google's list of attesting certificates that were taken back.
    pub attestation_status: Option<PathBuf>,
    /// The least tier that may enrol.
    pub minimum_trust: Tier,
    /// Where a phone that is set up by QR code loads the app; empty: nowhere.
    pub apk_url: String,
    /// The same file here, compared at the start.
    pub apk_file: Option<PathBuf>,
    /// SHA-256 of that file.
    pub apk_sha256: Option<[u8; 32]>,
    /// SHA-256 of the certificate that signed it.
    pub apk_signer_sha256: Option<[u8; 32]>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhonesFile {
    confirm: bool,
    known_serials: Vec<String>,
    certificate_days: u16,
    token_hours: u16,
    attestation_roots: String,
    attestation_status: String,
    minimum_trust: String,
    apk_url: String,
    apk_file: String,
    apk_sha256: String,
    apk_signer_sha256: String,
}

impl PhonesFile {
    /// Validated; paths are seen from the data folder.
    pub(super) fn phones(self, data_dir: &Path) -> Result<Phones, String> {
        if !(1..=30).contains(&self.certificate_days) {
            return Err("phones.certificate_days must be 1 to 30".to_owned());
        }
        if !(1..=24).contains(&self.token_hours) {
            return Err("phones.token_hours must be 1 to 24 (requirements A)".to_owned());
        }
        let minimum_trust = self.minimum_trust.parse().map_err(|_| {
            format!(
                "phones.minimum_trust holds {:?}; write \"none\", \"software\" or \"hardware\"",
                self.minimum_trust
            )
        })?;
        if minimum_trust > Tier::None && self.attestation_roots.is_empty() {
            return Err(
                "phones.minimum_trust asks for attested keys, and without phones.attestation_roots \
                 none can be: set it to the PEM file of the roots you trust"
                    .to_owned(),
            );
        }
        let hash = |name: &str, text: &str| -> Result<_, String> {
            if text.is_empty() {
                return Ok(None);
            }
            let mut bytes = [0; 32];
            // apksigner and keytool print colons.
            hex::decode_to_slice(text.replace(':', "").trim(), &mut bytes).map_err(|_| {
                format!(
                    "phones.{name} is 64 hexadecimal digits; `mingjing-collector apk check FILE` prints it"
                )
            })?;
            Ok(Some(bytes))
        };
        let apk_sha256 = hash("apk_sha256", &self.apk_sha256)?;
        let apk_signer_sha256 = hash("apk_signer_sha256", &self.apk_signer_sha256)?;
        if !self.apk_url.is_empty() {
            if !self.apk_url.starts_with("https://") || self.apk_url.len() > 500 {
                return Err("phones.apk_url must begin with https://".to_owned());
            }
            if apk_signer_sha256.is_none() {
                return Err(
                    "phones.apk_url needs phones.apk_signer_sha256, else a phone would install whatever \
                     lies there; `mingjing-collector apk check FILE` prints it"
                        .to_owned(),
                );
            }
        }
        let path = |name: String| (!name.is_empty()).then(|| data_dir.join(name));
        Ok(Phones {
            confirm: self.confirm,
            known_serials: self.known_serials,
            certificate_days: self.certificate_days,
            token_hours: self.token_hours,
            attestation_roots: path(self.attestation_roots),
            attestation_status: path(self.attestation_status),
            minimum_trust,
            apk_url: self.apk_url,
            apk_file: path(self.apk_file),
            apk_sha256,
            apk_signer_sha256,
        })
    }
}
