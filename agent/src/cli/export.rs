//! `mingjing-agent export`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mingjing_agent::{Agent, Letter};
use mingjing_proto::json::{activity_to_line, rfc3339};
use mingjing_proto::{letter, pb};
use prost::Message;
use serde_json::{Value, json};

use super::place::Place;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let agent = arguments.place.open()?;
    let text = serde_json::to_string_pretty(&copy(&agent)?)?;
    match &arguments.output {
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string()),
        None => writeln!(std::io::stdout(), "{text}").context("standard output"),
    }
}

/// Everything this phone holds about its employee.
fn copy(agent: &Agent) -> anyhow::Result<Value> {
    let mut sent = Vec::new();
    for (_, events) in agent.sent()? {
        for activity in &events.activities {
            let line = activity_to_line(&events.account, activity);
            sent.push(serde_json::from_str::<Value>(&line)?);
        }
    }
    let consents = agent.consents()?;
    let consents: Vec<Value> = consents.iter().map(consent).collect();
    let letters: Vec<Value> = agent.letters().iter().map(received).collect();
    let checkpoints: Vec<Value> = agent.checkpoints().iter().map(checkpoint).collect();
    let contradicting = agent.contradicting_checkpoints();
    let contradicting: Vec<Value> = contradicting.iter().map(checkpoint).collect();
    let roots: Vec<String> = agent
        .roots()
        .iter()
        .map(|it| BASE64_STANDARD.encode(it))
        .collect();
    Ok(json!({
        "status": agent.status(),
        "consents": consents,
        "receipt": agent.receipt().map(|it| json!({
            "accepted": it.accepted,
            "at": rfc3339(it.at_ms, 0),
            "epoch": it.epoch,
            "seq": it.seq,
            "audit_seq": it.audit_seq,
            "audit_link": hex::encode(&it.audit_link),
        })),
        "sent": sent,
        "letters": letters,
        "own_letters": agent.own_letters().iter().map(own_letter).collect::<Vec<_>>(),
        "audit_checkpoints": checkpoints,
        "audit_contradiction": contradicting,
        "roots": roots,
    }))
}

fn consent(newest: &pb::NewestConsent) -> Value {
    let signed = newest.consent.clone().unwrap_or_default();
    let consent = pb::Consent::decode(&*signed.payload).unwrap_or_default();
    let decisions: Vec<Value> = consent
        .decisions
        .iter()
        .map(|it| {
            let (category, decision): (&str, &str) = (it.category().into(), it.decision().into());
            json!({ "category": category, "decision": decision })
        })
        .collect();
    json!({
        "epoch": newest.epoch,
        "seq": newest.seq,
        "notice_version": consent.notice_version,
        "notice_sha256": hex::encode(&consent.notice_sha256),
        "language": consent.language,
        "decisions": decisions,
        "at": rfc3339(consent.wall_ms, 0),
        "given_how": consent.given_how,
        "payload": BASE64_STANDARD.encode(&signed.payload),
        "signature": BASE64_STANDARD.encode(&signed.signature),
    })
}

/// An audit checkpoint, readable and as signed: `mingjing-collector audit verify --witness` reads these.
fn checkpoint(signed: &pb::Signed) -> Value {
    let it = pb::AuditCheckpoint::decode(&*signed.payload).unwrap_or_default();
    json!({
        "collector": it.collector,
        "seq": it.seq,
        "link": hex::encode(&it.link),
        "at": rfc3339(it.at_ms, 0),
        "signed": BASE64_STANDARD.encode(signed.encode_to_vec()),
    })
}

/// Something the employee wrote.
pub(super) fn own_letter(own: &pb::OwnLetter) -> Value {
    let body = own.letter.as_ref().and_then(|it| it.body.as_ref());
    let letter = body.and_then(letter::of);
    json!({
        "kind": letter.map(|it| it.kind),
        "id": letter.map(|it| it.id),
        "asks": letter.map(|it| it.asks).filter(|it| !it.is_empty()),
        "finding": letter.map(|it| it.finding).filter(|it| !it.is_empty()),
        "text": letter.map(|it| it.text),
        "state": own.state,
        "at": (own.at_ms > 0).then(|| rfc3339(own.at_ms, 0)),
    })
}

fn received(letter: &Letter) -> Value {
    match letter {
        Letter::Finding(it) => json!({
            "finding": it.finding_id, "rule": it.rule_id, "title": it.rule_title,
            "at": rfc3339(it.at_ms, 0), "state": it.state,
        }),
        Letter::Read(it) => json!({
            "read_at": rfc3339(it.at_ms, 0), "role": it.reader_role, "reason": it.reason,
            "what": it.what,
        }),
        Letter::Coaching(it) => {
            json!({ "coaching": it.id, "text": it.text, "at": rfc3339(it.at_ms, 0) })
        }
        Letter::Directive(it) => {
            json!({ "directive": it.id, "text": it.text, "due": rfc3339(it.due_ms, 0) })
        }
    }
}
