//! A phone proves where its key lives, or is shown as one that has not (wire.md §7, requirements A).

use std::path::Path;
use std::sync::Arc;

use mingjing_collector::people::Role;
use mingjing_proto::chain::sha256;
use mingjing_tests::clock::SimClock;
use mingjing_tests::harness::{Collector, Entered, SETTINGS};
use mingjing_tests::raw;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    SerialNumber,
};

const OID: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 1, 17];

/// Who attests keys in these tests.
struct Maker {
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
    root: Vec<u8>,
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    [&[tag, length][..], content].concat()
}

impl Maker {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "attestation root");
        params.serial_number = Some(SerialNumber::from(0xc357_u64));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        Self {
            root_pem: root.pem(),
            root: root.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A trusted execution environment speaks of a key it made.
    fn attest(&self, key: &KeyPair, token: &str) -> Vec<Vec<u8>> {
        let challenge = sha256(&raw::token(token).unwrap().secret);
        let made_inside = [&[0xbf, 0x85, 0x3e, 3][..], &der(2, &[0])].concat();
        let description = [
            der(0x02, &[100]),
            der(0x0a, &[1]),
            der(0x02, &[100]),
            der(0x0a, &[1]),
            der(0x04, &challenge),
            der(0x04, b""),
            der(0x30, b""),
            der(0x30, &made_inside),
        ];
        let mut params = CertificateParams::default();
        let content = der(0x30, &description.concat());
        params.custom_extensions = vec![CustomExtension::from_oid_content(&OID, content)];
        let leaf = params.signed_by(key, &self.issuer).unwrap();
        vec![leaf.der().to_vec(), self.root.clone()]
    }
}

async fn start(dir: &Path, maker: &Maker, minimum: &str) -> (Collector, Entered) {
    let roots = dir.join("roots.pem");
    std::fs::write(&roots, &maker.root_pem).unwrap();
    std::fs::write(dir.join("status.json"), r#"{"entries": {}}"#).unwrap();
    let phones = format!(
        "[phones]\nattestation_roots = \"{}\"\nattestation_status = \"{}\"\nminimum_trust = \"{minimum}\"",
        roots.display(),
        dir.join("status.json").display()
    );
    let settings = SETTINGS.replace("[phones]", &phones);
    let clock = Arc::new(SimClock::real());
    let collector = Collector::start(&dir.join("collector"), &settings, clock)
        .await
        .unwrap();
    let holder = collector
        .person("wang", "王芳", "销售部", &[(Role::Employee, "*")])
        .await
        .unwrap();
    (collector, holder)
}

/// Tier and evidence of the phone enrolled last.
async fn newest(collector: &Collector) -> (String, String) {
    let phones = mingjing_collector::devices::list(&collector.shared.db)
        .await
        .unwrap();
    let newest = phones.iter().max_by_key(|it| it.enrolled_ms).unwrap();
    (newest.trust.clone(), newest.attestation.clone())
}

#[tokio::test]
async fn an_attested_key_shows_its_tier_and_a_borrowed_attestation_shows_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let maker = Maker::new();
    let (collector, holder) = start(dir.path(), &maker, "none").await;
    let key = KeyPair::generate().unwrap();
    let token = collector.token(&holder).await.unwrap();
    let chain = maker.attest(&key, &token);
    raw::enroll_attested(&token, &key, chain.clone())
        .await
        .unwrap();
    assert_eq!(newest(&collector).await, ("hardware".into(), "tee".into()));

    // The same phone's old attestation with a new code; then another phone that sends none.
    for (chain, expected) in [(chain, "challenge"), (Vec::new(), "absent")] {
        collector.clock().jump(1000);
        let token = collector.token(&holder).await.unwrap();
        raw::enroll_attested(&token, &key, chain).await.unwrap();
        assert_eq!(newest(&collector).await, ("none".into(), expected.into()));
    }
}

#[tokio::test]
async fn a_certificate_that_is_listed_proves_nothing_once_the_list_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let maker = Maker::new();
    let (collector, holder) = start(dir.path(), &maker, "none").await;
    let key = KeyPair::generate().unwrap();
    for (list, read, evidence) in [
        (r#"{"entries": {}}"#, true, "tee"),
        (
            r#"{"entries": {"c357": {"status": "REVOKED"}}}"#,
            true,
            "revoked",
        ),
        ("half a li", false, "revoked"),
        (
            r#"{"entries": {"c357": {"status": "SUSPENDED"}}}"#,
            true,
            "suspended",
        ),
    ] {
        collector.clock().jump(1000);
        std::fs::write(dir.path().join("status.json"), list).unwrap();
        let reloaded = collector.shared.reload_attestation_status();
        assert_eq!(reloaded.is_ok(), read, "{list}");
        let token = collector.token(&holder).await.unwrap();
        let chain = maker.attest(&key, &token);
        raw::enroll_attested(&token, &key, chain).await.unwrap();
        assert_eq!(newest(&collector).await.1, evidence, "{list}");
    }
}

#[tokio::test]
async fn a_company_that_asks_for_hardware_refuses_the_rest_and_the_code_stays_good() {
    let dir = tempfile::tempdir().unwrap();
    let maker = Maker::new();
    let (collector, holder) = start(dir.path(), &maker, "hardware").await;
    let key = KeyPair::generate().unwrap();
    let token = collector.token(&holder).await.unwrap();
    let strange = Maker::new().attest(&key, &token);
    let foreign = maker.attest(&KeyPair::generate().unwrap(), &token);
    for chain in [Vec::new(), strange, foreign] {
        let error = raw::enroll_attested(&token, &key, chain).await.unwrap_err();
        let status = error.downcast_ref::<tonic::Status>().unwrap();
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        assert!(status.message().contains("not attested"), "{status}");
    }
    let count = "select cast(count(*) as bigint) from devices";
    assert_eq!(collector.number(count).await.unwrap(), 0);
    raw::enroll_attested(&token, &key, maker.attest(&key, &token))
        .await
        .unwrap();
    assert_eq!(newest(&collector).await, ("hardware".into(), "tee".into()));
}
