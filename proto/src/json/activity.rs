//! The fields of an activity's line.

use serde::{Deserialize, Serialize};

use super::{AccountActivity, JsonError, is_default, parse_rfc3339, rfc3339};
use crate::pb;
use crate::vocabulary::Named;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActivityJson {
    at: String,
    kind: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    account: String,
    #[serde(default)]
    direction: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conversation: Option<ConversationJson>,
    #[serde(default, skip_serializing_if = "is_default")]
    peer: String,
    #[serde(default, skip_serializing_if = "is_default")]
    sender: String,
    #[serde(default, skip_serializing_if = "is_default")]
    content: String,
    #[serde(default, skip_serializing_if = "is_default")]
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount_fen: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    members: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    target: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    confidence: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<IntervalJson>,
    #[serde(default, skip_serializing_if = "is_default")]
    count: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    truncated: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    full_bytes: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConversationJson {
    title: String,
    #[serde(default)]
    group: bool,
    #[serde(default)]
    external: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntervalJson {
    from: String,
    to: String,
}

impl ActivityJson {
    pub(super) fn new(account: &str, it: &pb::Activity) -> Self {
        Self {
            at: rfc3339(it.at_ms, it.utc_offset_min),
            kind: it.kind().name().to_owned(),
            category: it.kind().category().name().to_owned(),
            account: account.to_owned(),
            direction: it.direction().name().to_owned(),
            conversation: it.conversation.as_ref().map(|it| ConversationJson {
                title: it.title.clone(),
                group: it.group,
                external: it.external,
            }),
            peer: it.peer.clone(),
            sender: it.sender.clone(),
            content: it.content.clone(),
            text: it.text.clone(),
            amount_fen: it.amount_fen,
            members: it.members.clone(),
            target: it.target.clone(),
            source: it.source().name().to_owned(),
            confidence: it.confidence().name().to_owned(),
            interval: it.interval.as_ref().map(|span| IntervalJson {
                from: rfc3339(span.from_ms, it.utc_offset_min),
                to: rfc3339(span.to_ms, it.utc_offset_min),
            }),
            count: it.count,
            truncated: it.truncated,
            full_bytes: it.full_bytes,
        }
    }
}

fn word<T: Named + Default>(name: &str, field: &'static str) -> Result<T, JsonError> {
    if name.is_empty() {
        return Ok(T::default());
    }
    T::from_name(name).ok_or(JsonError::Word { field })
}

impl TryFrom<ActivityJson> for AccountActivity {
    type Error = JsonError;

    fn try_from(json: ActivityJson) -> Result<Self, JsonError> {
        let (at_ms, utc_offset_min) = parse_rfc3339(&json.at, "at")?;
        let kind = pb::Kind::from_name(&json.kind).ok_or(JsonError::Word { field: "kind" })?;
        let category: pb::Category = word(&json.category, "category")?;
        if !json.category.is_empty() && category != kind.category() {
            return Err(JsonError::Word { field: "category" });
        }
        let interval = match json.interval {
            Some(span) => Some(pb::Interval {
                from_ms: parse_rfc3339(&span.from, "interval.from")?.0,
                to_ms: parse_rfc3339(&span.to, "interval.to")?.0,
            }),
            None => None,
        };
        Ok(Self {
            account: json.account,
            activity: pb::Activity {
                at_ms,
                utc_offset_min,
                kind: kind.into(),
                direction: word::<pb::Direction>(&json.direction, "direction")?.into(),
                conversation: json.conversation.map(|it| pb::Conversation {
                    title: it.title,
                    group: it.group,
                    external: it.external,
                }),
                peer: json.peer,
                sender: json.sender,
                content: json.content,
                text: json.text,
                amount_fen: json.amount_fen,
                members: json.members,
                target: json.target,
                source: word::<pb::Source>(&json.source, "source")?.into(),
                confidence: word::<pb::Confidence>(&json.confidence, "confidence")?.into(),
                interval,
                count: json.count,
                truncated: json.truncated,
                full_bytes: json.full_bytes,
                wall_delta_ms: 0,
                time_source: pb::TimeSource::Anchored.into(),
            },
        })
    }
}
