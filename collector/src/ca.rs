//! The company's certificate authority: the root, phones' certificates, the collector's own.
//!
//! Invariants: the root's private key is sealed under the master key and opened in this module only;
//! a phone's certificate serves TLS clients only and names the device; a signing certificate signs one
//! kind of message only, and is replaced long before it ends.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use mingjing_proto::chain::{Link, sha256};
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, SignedKind};
use mingjing_proto::signed;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SigningKey,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use sqlx::Row;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::seal::Sealer;

const ROOT_DAYS: i64 = 3650;
const SERVER_DAYS: i64 = 90;
const SIGNING_DAYS: i64 = 90;
// A signature made on the last day has as long again to reach a phone and be checked.
const SIGNING_USED_DAYS: i64 = 45;
// Phones' clocks may be a little behind.
const BACKDATE_MS: i64 = 3_600_000;

/// A certificate with its private key, for a TLS server.
#[derive(Debug)]
pub struct ServerIdentity {
    /// Leaf first, then the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8.
    pub key: PrivatePkcs8KeyDer<'static>,
}

/// What a phone's request asks for, checked.
#[derive(Debug)]
pub struct DeviceKey {
    /// SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// The uncompressed point, 65 bytes.
    pub point: Vec<u8>,
    csr: Vec<u8>,
}

/// The authority.
pub struct Ca {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    signers: RwLock<HashMap<SignedKind, Arc<Signer>>>,
}

/// What signs one kind of message for some weeks.
struct Signer {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    made_ms: i64,
}

impl Signer {
    /// Also false when the clock went back to before the certificate.
    fn serves(&self, now_ms: i64) -> bool {
        let age_ms = now_ms - self.made_ms;
        (-BACKDATE_MS..SIGNING_USED_DAYS * DAY_MS).contains(&age_ms)
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ca")
    }
}

fn failed(error: rcgen::Error) -> Error {
    Error::Authority(error.to_string())
}

fn at(ms: i64) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .map_err(|_| Error::Authority("the clock is out of range".to_owned()))
}

const DAY_MS: i64 = 86_400_000;

impl Ca {
    /// Makes the root and stores it; refuses when there is one.
    pub async fn create(db: &Db, sealer: &Sealer, company: &str, now_ms: i64) -> Result<()> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Mingjing root of {company}"));
        params
            .distinguished_name
            .push(DnType::OrganizationName, company);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = at(now_ms - DAY_MS)?;
        params.not_after = at(now_ms + ROOT_DAYS * DAY_MS)?;
        let root = params.self_signed(&key).map_err(failed)?;
        let mut tx = db.begin().await?;
        for (name, value) in [
            ("root_certificate", root.der().to_vec()),
            (
                "root_key",
                sealer.seal_secret("root_key", key.serialized_der()),
            ),
        ] {
            let inserted = sqlx::query(
                "insert into meta (name, value) values ($1, $2) on conflict do nothing",
            )
            .bind(name)
            .bind(value)
            .execute(&mut *tx)
            .await?;
            if inserted.rows_affected() == 0 {
                return Err(Error::Conflict(
                    "this database already has a certificate authority",
                ));
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Opens the root.
    pub async fn open(db: &Db, sealer: &Sealer) -> Result<Self> {
        let value = async |name: &'static str| -> Result<Vec<u8>> {
            let row = sqlx::query("select value from meta where name = $1")
                .bind(name)
                .fetch_optional(db.reader())
                .await?
                .ok_or_else(|| {
                    Error::Config(
                        "the database has no certificate authority; run: mingjing-collector init"
                            .to_owned(),
                    )
                })?;
            Ok(row.try_get("value")?)
        };
        let root = CertificateDer::from(value("root_certificate").await?);
        let key = sealer
            .open_secret("root_key", &value("root_key").await?)
            .map_err(|_| {
                Error::Config("the master key does not open this database's root key".to_owned())
            })?;
        let key = KeyPair::try_from(&key[..]).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_der(&root, key).map_err(failed)?;
        Ok(Self {
            root,
            issuer,
            signers: RwLock::default(),
        })
    }

    fn issue(
        &self,
        key: &impl PublicKeyData,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        names: &[String],
        now_ms: i64,
        lasts_ms: i64,
    ) -> Result<CertificateDer<'static>> {
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params.not_before = at(now_ms - BACKDATE_MS)?;
        params.not_after = at(now_ms + lasts_ms)?;
        let certificate = params.signed_by(key, &self.issuer).map_err(failed)?;
        Ok(certificate.der().clone())
    }

    /// The root certificates phones are to trust.
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.root.clone()]
    }

    /// SHA-256 of the root's public key, as enrolment codes carry it.
    pub fn root_spki_sha256(&self) -> Result<Link> {
        let (_, root) = X509Certificate::from_der(&self.root)
            .map_err(|_| Error::Authority("the root does not parse".to_owned()))?;
        Ok(sha256(root.public_key().raw))
    }

    /// A certificate for this collector's listeners.
    pub fn server_identity(&self, names: &[String], now_ms: i64) -> Result<ServerIdentity> {
        let key = KeyPair::generate().map_err(failed)?;
        let leaf = self.issue(
            &key,
            "Mingjing collector",
            ExtendedKeyUsagePurpose::ServerAuth,
            names,
            now_ms,
            SERVER_DAYS * DAY_MS,
        )?;
        Ok(ServerIdentity {
            chain: vec![leaf, self.root.clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }

    /// A phone's certificate, valid for `days` from now. Returns it with its end, Unix milliseconds.
    pub fn device_certificate(
        &self,
        key: &DeviceKey,
        device: DeviceId,
        now_ms: i64,
        days: u16,
    ) -> Result<(Vec<CertificateDer<'static>>, i64)> {
        let csr = CertificateSigningRequestDer::from(&key.csr[..]);
        let csr = CertificateSigningRequestParams::from_der(&csr).map_err(failed)?;
        let lasts_ms = i64::from(days) * DAY_MS;
        let leaf = self.issue(
            &csr.public_key,
            &device.to_string(),
            ExtendedKeyUsagePurpose::ClientAuth,
            &[],
            now_ms,
            lasts_ms,
        )?;
        Ok((vec![leaf], now_ms + lasts_ms))
    }

    /// Whether this company signed an envelope as `kind`, at whatever time: a receipt stays a receipt.
    pub fn has_signed(&self, envelope: &pb::Signed, kind: SignedKind) -> bool {
        let Some(usage) = signed::extended_key_usage(kind).filter(|_| envelope.kind() == kind)
        else {
            return false;
        };
        let (Ok((_, root)), Some(Ok((_, leaf)))) = (
            X509Certificate::from_der(&self.root),
            envelope
                .certificate_chain
                .first()
                .map(|der| X509Certificate::from_der(der)),
        ) else {
            return false;
        };
        let may_sign = leaf.extended_key_usage().is_ok_and(|extension| {
            extension.is_some_and(|extension| {
                let arcs = |oid: &x509_parser::der_parser::Oid<'_>| {
                    oid.iter()
                        .is_some_and(|arcs| arcs.eq(usage.iter().copied()))
                };
                extension.value.other.iter().any(arcs)
            })
        });
        may_sign
            && leaf.verify_signature(Some(root.public_key())).is_ok()
            && UnparsedPublicKey::new(
                &ECDSA_P256_SHA256_ASN1,
                &leaf.public_key().subject_public_key.data,
            )
            .verify(&signed::bytes(kind, &envelope.payload), &envelope.signature)
            .is_ok()
    }

    /// Signs a message for phones.
    pub fn sign(&self, kind: SignedKind, payload: Vec<u8>, now_ms: i64) -> Result<pb::Signed> {
        let signer = self.signer(kind, now_ms)?;
        let signature = signer
            .key
            .sign(&signed::bytes(kind, &payload))
            .map_err(failed)?;
        Ok(pb::Signed {
            kind: kind.into(),
            payload,
            certificate_chain: vec![signer.certificate.to_vec()],
            signature,
        })
    }

    /// The kind's signer, made when there is none that serves now.
    fn signer(&self, kind: SignedKind, now_ms: i64) -> Result<Arc<Signer>> {
        let held = "no panic while holding the signers";
        if let Some(signer) = self.signers.read().expect(held).get(&kind)
            && signer.serves(now_ms)
        {
            return Ok(signer.clone());
        }
        let oid = signed::extended_key_usage(kind)
            .ok_or_else(|| Error::Authority("no signer for this kind".to_owned()))?;
        let key = KeyPair::generate().map_err(failed)?;
        let usage = ExtendedKeyUsagePurpose::Other(oid);
        let lasts_ms = SIGNING_DAYS * DAY_MS;
        let certificate = self.issue(&key, "Mingjing signer", usage, &[], now_ms, lasts_ms)?;
        let signer = Arc::new(Signer {
            certificate,
            key,
            made_ms: now_ms,
        });
        self.signers
            .write()
            .expect(held)
            .insert(kind, signer.clone());
        Ok(signer)
    }
}

impl DeviceKey {
    /// Checks a phone's certificate signing request: well-formed, signed by its key, P-256.
    pub fn from_csr(csr_der: &[u8]) -> Result<Self> {
        let bad = |what: &str| Error::Invalid(format!("certificate signing request: {what}"));
        if csr_der.len() > mingjing_proto::limits::CSR_BYTES {
            return Err(bad("too large"));
        }
        let (_, csr) =
            x509_parser::certification_request::X509CertificationRequest::from_der(csr_der)
                .map_err(|_| bad("not PKCS #10"))?;
        csr.verify_signature()
            .map_err(|_| bad("not signed by its own key"))?;
        let key = &csr.certification_request_info.subject_pki;
        let point = key.subject_public_key.data.to_vec();
        if point.len() != 65 || point[0] != 4 {
            return Err(bad("the key must be P-256"));
        }
        let der = CertificateSigningRequestDer::from(csr_der);
        CertificateSigningRequestParams::from_der(&der).map_err(|_| bad("not acceptable"))?;
        Ok(Self {
            spki: key.raw.to_vec(),
            point,
            csr: csr_der.to_vec(),
        })
    }
}

/// The device a client certificate names. The certificate itself was verified by TLS.
pub fn device_of(certificate: &CertificateDer<'_>) -> Result<(DeviceId, Vec<u8>)> {
    let bad = Error::Unauthenticated("the client certificate names no device");
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Err(bad);
    };
    let name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .and_then(|name| name.parse().ok());
    match name {
        Some(device) => Ok((device, certificate.public_key().raw.to_vec())),
        None => Err(bad),
    }
}

/// Shared by the listeners.
pub type SharedCa = Arc<Ca>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_device_certificate_names_the_device_and_a_second_root_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open("", dir.path()).await.unwrap();
        let sealer = Sealer::new(&[3; 32]);
        let now = 1_700_000_000_000;
        Ca::create(&db, &sealer, "示例", now).await.unwrap();
        assert!(matches!(
            Ca::create(&db, &sealer, "示例", now).await,
            Err(Error::Conflict(_))
        ));
        let ca = Ca::open(&db, &sealer).await.unwrap();
        assert!(Ca::open(&db, &Sealer::new(&[4; 32])).await.is_err());

        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let key = DeviceKey::from_csr(csr.der()).unwrap();
        let device = DeviceId([5; 16]);
        let (chain, _) = ca.device_certificate(&key, device, now, 7).unwrap();
        assert_eq!(device_of(&chain[0]).unwrap().0, device);
        assert!(DeviceKey::from_csr(b"garbage").is_err());
    }

    #[tokio::test]
    async fn a_signing_certificate_is_replaced_long_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open("", dir.path()).await.unwrap();
        let sealer = Sealer::new(&[3; 32]);
        let start = 1_700_000_000_000;
        Ca::create(&db, &sealer, "示例", start).await.unwrap();
        let ca = Ca::open(&db, &sealer).await.unwrap();
        let sign = |now_ms| {
            let kind = SignedKind::Policy;
            let envelope = ca.sign(kind, b"policy".to_vec(), now_ms).unwrap();
            assert!(ca.has_signed(&envelope, kind));
            let leaf = &envelope.certificate_chain[0];
            let (_, leaf) = X509Certificate::from_der(leaf).unwrap();
            let validity = leaf.validity();
            let day = |ms: i64| (ms - now_ms) / DAY_MS;
            assert!(validity.not_before.timestamp() * 1000 <= now_ms);
            assert!(day(validity.not_after.timestamp() * 1000) >= 45);
            leaf.raw_serial().to_vec()
        };
        let first = sign(start);
        assert_eq!(sign(start + 44 * DAY_MS), first);
        let second = sign(start + 46 * DAY_MS);
        assert_ne!(second, first);
        assert_ne!(sign(start + 200 * DAY_MS), second);
        // The clock was a year ahead and is put right.
        assert_ne!(sign(start), second);
    }
}
