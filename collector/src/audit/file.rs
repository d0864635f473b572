//! The audit log as a file, and its verification without a collector.
//!
//! Invariants: verifying reads nothing but the file and the witnesses; a log that was changed and
//! signed anew by whoever holds every key holds by itself, and fails against a phone that had seen a
//! checkpoint of before.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mingjing_proto::chain::Link;
use mingjing_proto::pb::{self, SignedKind};
use mingjing_proto::signed;
use prost::Message;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::{Entry, Placed, checkpoints, genesis, link};
use crate::Shared;
use crate::error::{Error, Result};

const FORMAT: &str = "mingjing-audit-1";
/// Bytes of a line at most; an entry is far smaller.
const LONGEST_LINE: u64 = 1 << 20;
/// Entries read from the database at once.
const PAGE: i64 = 1000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum Line {
    Head {
        format: String,
        /// DER, base64.
        roots: Vec<String>,
    },
    Entry {
        collector: String,
        seq: i64,
        at_ms: i64,
        actor: String,
        action: String,
        subject: String,
        detail: String,
        link: String,
    },
    Checkpoint {
        /// `Signed`, base64.
        checkpoint: String,
    },
}

/// Writes every chain and its checkpoints, one JSON object a line; returns how many entries.
pub async fn export(shared: &Shared, out: &mut impl Write) -> Result<u64> {
    let mut write = |line: &Line| -> Result<()> {
        let json = serde_json::to_string(line).expect("strings are JSON");
        writeln!(out, "{json}").map_err(Error::file("audit export"))
    };
    let roots = shared.ca.roots();
    write(&Line::Head {
        format: FORMAT.to_owned(),
        roots: roots.iter().map(|it| BASE64_STANDARD.encode(it)).collect(),
    })?;
    // Checkpoints are read first: each then stands before the end of the entries.
    let signed = checkpoints::all(&shared.db).await?;
    let mut entries = 0;
    let mut after = (String::new(), 0);
    loop {
        let page = super::page(&shared.db, &after.0, after.1, PAGE).await?;
        let Some((collector, last)) = page.last() else {
            break;
        };
        after = (collector.clone(), last.seq);
        for (collector, placed) in page {
            entries += 1;
            let Placed {
                seq,
                at_ms,
                entry,
                link,
            } = placed;
            write(&Line::Entry {
                collector,
                seq,
                at_ms,
                actor: entry.actor,
                action: entry.action,
                subject: entry.subject,
                detail: entry.detail,
                link: hex::encode(link),
            })?;
        }
    }
    for signed in signed {
        write(&Line::Checkpoint {
            checkpoint: BASE64_STANDARD.encode(signed),
        })?;
    }
    Ok(entries)
}

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An entry does not follow from the one before.
    #[error("the log of {collector} is broken at entry {seq}")]
    Broken {
        /// Whose chain.
        collector: String,
        /// Where.
        seq: i64,
    },
    /// A checkpoint whose signature does not lead to a root.
    #[error("{by}: a checkpoint is not signed by the company")]
    Unsigned {
        /// Who showed it.
        by: String,
    },
    /// A checkpoint names another link than the log has there.
    #[error(
        "{by}: entry {seq} of {collector} was another one when it was signed: the log was changed"
    )]
    Changed {
        /// Who showed the checkpoint.
        by: String,
        /// Whose chain.
        collector: String,
        /// Where.
        seq: i64,
    },
    /// A checkpoint stands behind the end of the log.
    #[error(
        "{by}: entry {seq} of {collector} was signed, and the log ends at {last}: entries are missing"
    )]
    Missing {
        /// Who showed the checkpoint.
        by: String,
        /// Whose chain.
        collector: String,
        /// Where.
        seq: i64,
        /// Last entry there is.
        last: i64,
    },
    /// The witness belongs to another company.
    #[error("{by}: its company's root is not among those of the log")]
    Foreign {
        /// The witness.
        by: String,
    },
}

/// What a verification found.
#[derive(Debug, Default)]
pub struct Report {
    /// Entries whose links hold.
    pub entries: u64,
    /// Checkpoints of the log itself that hold.
    pub checkpoints: u64,
    /// Checkpoints of witnesses that hold.
    pub witnessed: u64,
    /// What does not hold.
    pub problems: Vec<Problem>,
}

/// A phone's copy (`mingjing-agent export`), as far as it bears witness.
#[derive(Debug)]
pub struct Witness {
    name: String,
    roots: Vec<Vec<u8>>,
    checkpoints: Vec<pb::Signed>,
}

fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

fn checkpoint_of(text: &str) -> Option<pb::Signed> {
    pb::Signed::decode(&*base64(text)?).ok()
}

impl Witness {
    /// Reads a phone's copy; `name` is what problems call it.
    pub fn parse(name: &str, json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Shown {
            signed: String,
        }
        #[derive(Deserialize)]
        struct Phone {
            roots: Vec<String>,
            audit_checkpoints: Vec<Shown>,
            #[serde(default)]
            audit_contradiction: Vec<Shown>,
        }
        let wrong = || {
            Error::Invalid(format!(
                "{name} is no phone's copy; make one with: mingjing-agent export --output FILE"
            ))
        };
        let phone: Phone = serde_json::from_str(json).map_err(|_| wrong())?;
        let shown = phone.audit_checkpoints.iter();
        let shown = shown.chain(&phone.audit_contradiction);
        let checkpoints = shown
            .map(|it| checkpoint_of(&it.signed))
            .collect::<Option<Vec<_>>>();
        let roots = phone
            .roots
            .iter()
            .map(|it| base64(it))
            .collect::<Option<Vec<_>>>();
        Ok(Self {
            name: name.to_owned(),
            roots: roots.ok_or_else(wrong)?,
            checkpoints: checkpoints.ok_or_else(wrong)?,
        })
    }
}

#[derive(Default)]
struct Chains {
    /// Links by place, from entry 1.
    links: BTreeMap<String, Vec<Link>>,
}

impl Chains {
    /// Adds the next entry if it follows.
    fn add(&mut self, collector: &str, placed: &Placed) -> bool {
        let links = self.links.entry(collector.to_owned()).or_default();
        let previous = links.last().copied().unwrap_or_else(|| genesis(collector));
        let next = i64::try_from(links.len()).unwrap_or(i64::MAX) + 1;
        let follows = placed.seq == next
            && link(&previous, placed.seq, placed.at_ms, &placed.entry) == placed.link;
        if follows {
            links.push(placed.link);
        }
        follows
    }

    fn check(&self, by: &str, signed: &pb::Signed, roots: &[Vec<u8>]) -> Option<Problem> {
        let by = by.to_owned();
        let Some(checkpoint) = verified(signed, roots) else {
            return Some(Problem::Unsigned { by });
        };
        let collector = checkpoint.collector;
        let seq = checkpoint.seq.cast_signed();
        let links = self.links.get(&collector).map_or(&[][..], |it| &it[..]);
        let place = usize::try_from(seq - 1).ok();
        match place.and_then(|it| links.get(it)) {
            Some(link) if link[..] == checkpoint.link[..] => None,
            Some(_) => Some(Problem::Changed { by, collector, seq }),
            None => Some(Problem::Missing {
                by,
                collector,
                seq,
                last: i64::try_from(links.len()).unwrap_or(i64::MAX),
            }),
        }
    }
}

/// The checkpoint in an envelope, if one of `roots` (DER) stands behind its signature at its own time.
fn verified(envelope: &pb::Signed, roots: &[Vec<u8>]) -> Option<pb::AuditCheckpoint> {
    let kind = SignedKind::AuditCheckpoint;
    let checkpoint = pb::AuditCheckpoint::decode(&*envelope.payload).ok()?;
    let (_, leaf) = X509Certificate::from_der(envelope.certificate_chain.first()?).ok()?;
    let at = ASN1Time::from_timestamp(checkpoint.at_ms.div_euclid(1000)).ok()?;
    let usage: Vec<_> = signed::extended_key_usage(kind)?
        .iter()
        .map(u64::to_string)
        .collect();
    let usage = usage.join(".");
    let usages = leaf.extended_key_usage().ok()??;
    let may_sign = usages
        .value
        .other
        .iter()
        .any(|it| it.to_id_string() == usage);
    let trusted = roots.iter().any(|root| {
        X509Certificate::from_der(root).is_ok_and(|(_, root)| {
            root.is_ca()
                && root.subject().as_raw() == leaf.issuer().as_raw()
                && leaf.verify_signature(Some(root.public_key())).is_ok()
        })
    });
    let key = &leaf.public_key().subject_public_key.data;
    let signed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
        .verify(&signed::bytes(kind, &envelope.payload), &envelope.signature)
        .is_ok();
    let holds =
        envelope.kind() == kind && may_sign && trusted && signed && leaf.validity().is_valid_at(at);
    holds.then_some(checkpoint)
}

/// Verifies a log that [`export`] wrote, by itself and against what phones have seen.
pub fn verify(mut file: impl BufRead, witnesses: &[Witness]) -> Result<Report> {
    let mut report = Report::default();
    let mut chains = Chains::default();
    let mut roots = Vec::new();
    let mut own = Vec::new();
    let mut broken = false;
    let mut text = String::new();
    for number in 1_u64.. {
        text.clear();
        let bytes = std::io::Read::take(&mut file, LONGEST_LINE)
            .read_line(&mut text)
            .map_err(Error::file("audit file"))?;
        if bytes == 0 {
            break;
        }
        let wrong = || {
            Error::Invalid(format!(
                "line {number} is not of an audit log; make one with: mingjing-collector audit export FILE"
            ))
        };
        match serde_json::from_str(&text).map_err(|_| wrong())? {
            Line::Head {
                format,
                roots: given,
            } if format == FORMAT && number == 1 => {
                let given = given
                    .iter()
                    .map(|it| base64(it))
                    .collect::<Option<Vec<_>>>();
                roots = given.ok_or_else(wrong)?;
            }
            Line::Entry {
                collector,
                seq,
                at_ms,
                actor,
                action,
                subject,
                detail,
                link: hex,
            } if number > 1 => {
                let mut link = [0; 32];
                hex::decode_to_slice(&hex, &mut link).map_err(|_| wrong())?;
                let placed = Placed {
                    seq,
                    at_ms,
                    entry: Entry {
                        actor,
                        action,
                        subject,
                        detail,
                    },
                    link,
                };
                if chains.add(&collector, &placed) {
                    report.entries += 1;
                } else if !broken {
                    // What follows a broken entry breaks too; one place is named.
                    broken = true;
                    report.problems.push(Problem::Broken { collector, seq });
                }
            }
            Line::Checkpoint { checkpoint } if number > 1 => {
                own.push(checkpoint_of(&checkpoint).ok_or_else(wrong)?);
            }
            Line::Head { .. } | Line::Entry { .. } | Line::Checkpoint { .. } => return Err(wrong()),
        }
    }
    if roots.is_empty() {
        return Err(Error::Invalid(
            "the file is empty; make one with: mingjing-collector audit export FILE".to_owned(),
        ));
    }
    for signed in &own {
        match chains.check("the log's own checkpoint", signed, &roots) {
            None => report.checkpoints += 1,
            Some(problem) => report.problems.push(problem),
        }
    }
    for witness in witnesses {
        if !witness.roots.iter().any(|it| roots.contains(it)) {
            report.problems.push(Problem::Foreign {
                by: witness.name.clone(),
            });
        }
        // By the phone's roots: those of the file may be the forger's own.
        for signed in &witness.checkpoints {
            match chains.check(&witness.name, signed, &witness.roots) {
                None => report.witnessed += 1,
                Some(problem) => report.problems.push(problem),
            }
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
