//! What a page of the app shows, as messages.

use mingjing_proto::pb::{self, Category, Decision};
use mingjing_proto::vocabulary::Named;

use crate::{Agent, AgentError, Letter, Rendered, Status};

pub(super) fn of(
    agent: &Agent,
    request: &pb::StatusRequest,
) -> Result<pb::StatusReply, AgentError> {
    let mut reply = pb::StatusReply {
        status: Some(status(agent.status())),
        ..pb::StatusReply::default()
    };
    if request.notice {
        reply.notice = agent.notice(&request.language)?.map(notice);
        reply.receipt = agent.receipt();
    }
    if request.sent {
        reply.sent = agent
            .sent()?
            .into_iter()
            .map(|(_, events)| events)
            .collect();
    }
    if request.letters {
        reply.letters = agent.letters().into_iter().map(letter).collect();
        reply.own_letters = agent.own_letters();
        reply.scripts = agent.scripts();
        reply.checkpoints = agent.checkpoints();
        reply.private_marks = agent.private_marks();
    }
    Ok(reply)
}

fn status(status: Status) -> pb::AgentStatus {
    let names = |counts: std::collections::BTreeMap<&'static str, u64>| {
        counts
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    };
    let category = |name: &&str| Category::from_name(name).map(i32::from);
    pb::AgentStatus {
        state: status.state.to_owned(),
        session: status.session.to_owned(),
        session_problem: status.session_problem,
        company: status.company,
        confirmation_code: status.confirmation_code,
        decisions: status
            .consent
            .iter()
            .filter_map(|(name, decision)| {
                Some(pb::CategoryDecision {
                    category: category(name)?,
                    decision: Decision::from_name(decision)?.into(),
                })
            })
            .collect(),
        granted: status.granted.iter().filter_map(category).collect(),
        grant: status.grant,
        notice_version: status.notice_version,
        policy_version: status.policy_version,
        policy_offered: status.policy_offered,
        queued_events: status.queued_events,
        queued_bytes: status.queued_bytes,
        queued: names(status.queued),
        sent: names(status.sent),
        dropped: names(status.dropped),
        paused_until_ms: status.paused_until_ms,
        last_signal_ms: status.last_signal_ms,
        last_upload_ms: status.last_upload_ms,
        refused_events: status.refused_events,
        problems: status.problems,
        certificate_until_ms: status.certificate_until_ms,
        head_seq: status.head_seq,
        acked_seq: status.acked_seq,
        letters_waiting: u32::try_from(status.letters_waiting).unwrap_or(u32::MAX),
        audit_contradicted: !status.audit_contradiction.is_empty(),
    }
}

fn notice(notice: Rendered) -> pb::RenderedNotice {
    pb::RenderedNotice {
        version: notice.version,
        sha256: hex::decode(notice.sha256).expect("rendered as hexadecimal"),
        language: notice.language,
        sections: notice
            .sections
            .into_iter()
            .map(|it| pb::NoticeSection {
                id: it.id.to_owned(),
                title: it.title,
                lines: it.lines,
            })
            .collect(),
        switches: notice
            .switches
            .into_iter()
            .filter_map(|it| {
                Some(pb::CategorySwitch {
                    category: Category::from_name(it.category)?.into(),
                    title: it.title.to_owned(),
                    example: it.example.to_owned(),
                    sensitive: it.sensitive,
                })
            })
            .collect(),
    }
}

fn letter(letter: Letter) -> pb::ToDevice {
    use pb::to_device::Body;
    let body = match letter {
        Letter::Finding(it) => Body::FindingNotice(it),
        Letter::Read(it) => Body::ReadReceipt(it),
        Letter::Coaching(it) => Body::Coaching(it),
        Letter::Directive(it) => Body::Directive(it),
    };
    pb::ToDevice { body: Some(body) }
}
