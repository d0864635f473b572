use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PublicKeyData,
};
use strum::VariantArray;
use time::OffsetDateTime;

use super::*;

const NOW_MS: i64 = 1_790_000_000_000;
const CHALLENGE: [u8; 32] = [7; 32];
const OID: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 1, 17];

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 0x80, "short forms are enough here");
    let length = u8::try_from(content.len()).unwrap();
    [&[tag, length][..], content].concat()
}

/// A `KeyDescription`; `origin` none leaves it out.
fn description(levels: (u8, u8), challenge: &[u8], origin: Option<u8>) -> Vec<u8> {
    // [702] EXPLICIT INTEGER, its tag number in the long form.
    let origin = origin.map(|it| {
        let value = der(0x02, &[it]);
        [&[0xbf, 0x85, 0x3e, 3][..], &value].concat()
    });
    let parts = [
        der(0x02, &[100]),
        der(0x0a, &[levels.0]),
        der(0x02, &[100]),
        der(0x0a, &[levels.1]),
        der(0x04, challenge),
        der(0x04, b""),
        der(0x30, b""),
        der(0x30, &origin.unwrap_or_default()),
    ];
    der(0x30, &parts.concat())
}

fn params(name: &str, ca: bool, valid_ms: (i64, i64)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = if ca {
        IsCa::Ca(BasicConstraints::Unconstrained)
    } else {
        IsCa::ExplicitNoCa
    };
    let at = |ms: i64| OffsetDateTime::from_unix_timestamp(ms / 1000).unwrap();
    (params.not_before, params.not_after) = (at(valid_ms.0), at(valid_ms.1));
    params
}

const YEAR_MS: i64 = 365 * 86_400_000;
const VALID: (i64, i64) = (NOW_MS - YEAR_MS, NOW_MS + YEAR_MS);
const OVER: (i64, i64) = (NOW_MS - 2 * YEAR_MS, NOW_MS - YEAR_MS);

/// Root, intermediate, leaf: made anew for each case, so that one thing can be wrong.
struct Maker {
    root_valid: (i64, i64),
    middle_valid: (i64, i64),
    middle_is_ca: bool,
    middle_extension: Option<Vec<u8>>,
    leaf_valid: (i64, i64),
    extension: Option<Vec<u8>>,
}

struct Made {
    roots: Roots,
    /// Leaf, intermediate, root.
    chain: Vec<Vec<u8>>,
    spki: Vec<u8>,
}

impl Default for Maker {
    fn default() -> Self {
        Self {
            root_valid: VALID,
            middle_valid: VALID,
            middle_is_ca: true,
            middle_extension: None,
            leaf_valid: VALID,
            extension: Some(description((1, 1), &CHALLENGE, Some(0))),
        }
    }
}

impl Maker {
    fn make(self) -> Made {
        let extension = |content| CustomExtension::from_oid_content(&OID, content);
        let (root_key, middle_key, key) = (
            KeyPair::generate().unwrap(),
            KeyPair::generate().unwrap(),
            KeyPair::generate().unwrap(),
        );
        let spki = key.subject_public_key_info();
        let root_params = params("root", true, self.root_valid);
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let mut middle_params = params("middle", self.middle_is_ca, self.middle_valid);
        middle_params.custom_extensions =
            self.middle_extension.into_iter().map(extension).collect();
        let middle = middle_params.signed_by(&middle_key, &root_issuer).unwrap();
        let middle_issuer = Issuer::new(middle_params, middle_key);
        let mut leaf_params = params("Android Keystore Key", false, self.leaf_valid);
        leaf_params.custom_extensions = self.extension.into_iter().map(extension).collect();
        let leaf = leaf_params.signed_by(&key, &middle_issuer).unwrap();
        let root = root.der().to_vec();
        Made {
            roots: Roots {
                certificates: vec![root.clone()],
            },
            chain: vec![leaf.der().to_vec(), middle.der().to_vec(), root],
            spki,
        }
    }
}

impl Made {
    fn weigh(&self) -> Evidence {
        self.weigh_by(&StatusList::default())
    }

    fn weigh_by(&self, status: &StatusList) -> Evidence {
        weigh(
            &self.roots,
            status,
            &self.chain,
            &self.spki,
            &CHALLENGE,
            NOW_MS,
        )
    }
}

#[test]
fn each_level_gives_its_tier() {
    for (levels, origin, expected, tier) in [
        ((2, 2), Some(0), Evidence::Strongbox, Tier::Hardware),
        ((1, 1), Some(0), Evidence::Tee, Tier::Hardware),
        ((1, 2), Some(0), Evidence::Tee, Tier::Hardware),
        ((0, 0), Some(0), Evidence::Software, Tier::Software),
        ((0, 1), Some(0), Evidence::Software, Tier::Software),
        ((1, 0), Some(0), Evidence::Software, Tier::Software),
        ((1, 1), Some(2), Evidence::Imported, Tier::Software),
        ((2, 2), None, Evidence::Imported, Tier::Software),
        ((3, 3), Some(0), Evidence::Malformed, Tier::None),
    ] {
        let extension = Some(description(levels, &CHALLENGE, origin));
        let made = Maker {
            extension,
            ..Maker::default()
        }
        .make();
        assert_eq!(made.weigh(), expected, "{levels:?} {origin:?}");
        assert_eq!(expected.tier(), tier);
    }
}

#[test]
fn whatever_is_missing_or_wrong_is_named_and_proves_nothing() {
    let make = |maker: Maker| maker.make();
    let with = |extension| {
        make(Maker {
            extension,
            ..Maker::default()
        })
    };
    let check = |made: &Made, expected: Evidence, what: &str| {
        assert_eq!(made.weigh(), expected, "{what}");
        assert_eq!(expected.tier(), Tier::None, "{what}");
    };
    check(&with(None), Evidence::Malformed, "no extension");
    check(
        &with(Some(vec![0x30, 0x80])),
        Evidence::Malformed,
        "garbage in the extension",
    );
    check(
        &with(Some(der(0x30, b""))),
        Evidence::Malformed,
        "an empty description",
    );
    let mut trailing = description((1, 1), &CHALLENGE, Some(0));
    trailing.push(0);
    check(&with(Some(trailing)), Evidence::Malformed, "trailing bytes");
    let other = description((1, 1), &[8; 32], Some(0));
    check(&with(Some(other)), Evidence::Challenge, "another challenge");
    let short = description((1, 1), &CHALLENGE[..31], Some(0));
    check(&with(Some(short)), Evidence::Challenge, "a cut challenge");

    let leaf_valid = OVER;
    check(
        &make(Maker {
            leaf_valid,
            ..Maker::default()
        }),
        Evidence::Expired,
        "leaf",
    );
    let middle_valid = OVER;
    check(
        &make(Maker {
            middle_valid,
            ..Maker::default()
        }),
        Evidence::Expired,
        "middle",
    );
    let middle_is_ca = false;
    check(
        &make(Maker {
            middle_is_ca,
            ..Maker::default()
        }),
        Evidence::Broken,
        "no authority",
    );
    let middle_extension = Some(description((2, 2), &CHALLENGE, Some(0)));
    check(
        &make(Maker {
            middle_extension,
            ..Maker::default()
        }),
        Evidence::Broken,
        "a second attestation above the leaf",
    );

    let made = make(Maker::default());
    assert_eq!(
        made.weigh(),
        Evidence::Tee,
        "the chain all of these were made from"
    );
    let foreign = Made {
        spki: KeyPair::generate().unwrap().subject_public_key_info(),
        ..made
    };
    check(&foreign, Evidence::ForeignKey, "another key");

    let mut made = make(Maker::default());
    made.roots = Roots::default();
    check(&made, Evidence::NoRoots, "no roots");
    made.roots = make(Maker::default()).roots;
    check(
        &made,
        Evidence::Untrusted,
        "another root of the same key length",
    );
    let mut made = make(Maker::default());
    made.chain.clear();
    check(&made, Evidence::Absent, "no chain");
    let mut made = make(Maker::default());
    made.chain[1] = make(Maker::default()).chain[1].clone();
    check(
        &made,
        Evidence::Broken,
        "another intermediate of the same name",
    );
    let mut made = make(Maker::default());
    made.chain.remove(1);
    check(&made, Evidence::Broken, "a link left out");
    let mut made = make(Maker::default());
    *made.chain[0].last_mut().unwrap() ^= 1;
    check(&made, Evidence::Broken, "a changed signature");
    let mut made = make(Maker::default());
    made.chain[0].push(0);
    check(&made, Evidence::Malformed, "bytes after a certificate");
    let mut made = make(Maker::default());
    made.chain[2] = vec![0x41; 100];
    check(&made, Evidence::Malformed, "garbage");
    let mut made = make(Maker::default());
    let root = made.chain[2].clone();
    made.chain.resize(limits::ATTESTATION_CERTS + 1, root);
    check(&made, Evidence::Malformed, "too many");
    let mut made = make(Maker::default());
    made.chain[0].resize(limits::ATTESTATION_CERT_BYTES + 1, 0);
    check(&made, Evidence::Malformed, "too large");
}

#[test]
fn a_listed_certificate_anywhere_in_the_chain_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status.json");
    let list = |serial: &str, status: &str| {
        let text = format!(r#"{{"entries": {{"{serial}": {{"status": "{status}"}}}}}}"#);
        std::fs::write(&path, text).unwrap();
        StatusList::load(Some(&path)).unwrap()
    };
    let made = Maker::default().make();
    for place in 0..made.chain.len() {
        let certificate = parse(&made.chain[place]).unwrap();
        let serial = hex::encode(certificate.raw_serial());
        for (status, expected) in [
            ("REVOKED", Evidence::Revoked),
            ("SUSPENDED", Evidence::Suspended),
        ] {
            assert_eq!(made.weigh_by(&list(&serial, status)), expected, "{place}");
            assert_eq!(expected.tier(), Tier::None);
        }
    }
    assert_eq!(made.weigh_by(&list("abcdef", "REVOKED")), Evidence::Tee);
}

#[test]
fn the_operators_root_counts_sent_or_not_and_after_its_own_end() {
    let mut made = Maker::default().make();
    made.chain.pop();
    assert_eq!(made.weigh(), Evidence::Tee, "the phone left the root out");
    let root_valid = OVER;
    let made = Maker {
        root_valid,
        ..Maker::default()
    }
    .make();
    assert_eq!(made.weigh(), Evidence::Tee, "an anchor has no end");
}

#[test]
fn roots_are_read_from_a_file_or_a_folder_and_mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let pem = params("root", true, VALID).self_signed(&key).unwrap().pem();
    let file = dir.path().join("a.pem");
    std::fs::write(&file, format!("{pem}{pem}")).unwrap();
    std::fs::write(dir.path().join("b.crt"), &pem).unwrap();
    std::fs::write(dir.path().join("readme.txt"), "not read").unwrap();
    assert_eq!(Roots::load(&file).unwrap().len(), 2);
    assert_eq!(Roots::load(dir.path()).unwrap().len(), 3);
    let empty = dir.path().join("none.pem");
    std::fs::write(&empty, "").unwrap();
    let broken = dir.path().join("broken.pem");
    std::fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let nothing = dir.path().join("nothing");
    std::fs::create_dir(&nothing).unwrap();
    for path in [&empty, &broken, &nothing, &dir.path().join("absent")] {
        let error = Roots::load(path).unwrap_err().to_string();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn every_evidence_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> =
        Evidence::VARIANTS.iter().map(|it| it.name()).collect();
    assert_eq!(names.len(), Evidence::VARIANTS.len());
}
