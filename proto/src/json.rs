//! The JSON form of signals and activities, one object a line (design §5).
//!
//! Invariants: unknown fields, a missing body and broken lines are errors that name the line; what is
//! written reads back equal; empty values are left out.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::pb;
use crate::vocabulary::Named;

/// A line that is not a signal or an activity.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, an unknown field, or a field of the wrong shape. Values are not repeated.
    #[error("not the JSON of {what} (column {column}): {problem}; design §5 lists the fields")]
    Shape {
        /// "a signal" or "an activity".
        what: &'static str,
        /// Column of the line where reading stopped.
        column: usize,
        /// What is wrong, without repeating values.
        problem: &'static str,
    },
    /// A time that is not RFC 3339.
    #[error(
        "field {field} is not an RFC 3339 time with an offset, such as 2026-03-02T09:15:00+08:00"
    )]
    Time {
        /// The field.
        field: &'static str,
    },
    /// A name that is not in the vocabulary.
    #[error("field {field} holds a word that is not in the vocabulary of design §5")]
    Word {
        /// The field.
        field: &'static str,
    },
    /// A signal has exactly one of the four bodies.
    #[error("a signal has exactly one of: notification, screen, contacts, state")]
    Body,
}

impl JsonError {
    fn shape(what: &'static str, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let problem = if text.starts_with("unknown field") {
            "a field that does not belong there"
        } else if text.starts_with("missing field") {
            "a field is missing"
        } else if text.starts_with("unknown variant") {
            "a word that is not in the vocabulary"
        } else if text.starts_with("invalid type") || text.starts_with("invalid value") {
            "a value of the wrong type"
        } else {
            "broken JSON"
        };
        Self::Shape {
            what,
            column: error.column(),
            problem,
        }
    }
}

/// Reads one line as a signal.
pub fn signal_from_line(line: &str) -> Result<pb::Signal, JsonError> {
    let json: SignalJson =
        serde_json::from_str(line).map_err(|error| JsonError::shape("a signal", &error))?;
    json.try_into()
}

/// Writes a signal as one line, without the line feed.
pub fn signal_to_line(signal: &pb::Signal) -> String {
    serde_json::to_string(&SignalJson::from(signal)).expect("signals are plain data")
}

/// An activity with the fields its record carries once for all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountActivity {
    /// Account id of the register.
    pub account: String,
    /// What happened.
    pub activity: pb::Activity,
}

/// Reads one line as an activity.
pub fn activity_from_line(line: &str) -> Result<AccountActivity, JsonError> {
    let json: ActivityJson =
        serde_json::from_str(line).map_err(|error| JsonError::shape("an activity", &error))?;
    json.try_into()
}

/// Writes an activity as one line, without the line feed.
pub fn activity_to_line(account: &str, activity: &pb::Activity) -> String {
    serde_json::to_string(&ActivityJson::new(account, activity)).expect("activities are plain data")
}

/// RFC 3339 with the given offset; `Z` when it is zero.
pub fn rfc3339(at_ms: i64, utc_offset_min: i32) -> String {
    let Ok(at) = Timestamp::from_millisecond(at_ms) else {
        return "out of range".to_owned();
    };
    let offset = Offset::from_seconds(utc_offset_min.saturating_mul(60)).unwrap_or(Offset::UTC);
    if offset == Offset::UTC {
        return at.to_string();
    }
    let zoned = at.to_zoned_datetime(TimeZone::fixed(offset));
    zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
}

/// Unix milliseconds and the offset in minutes of an RFC 3339 time.
pub fn parse_rfc3339(text: &str, field: &'static str) -> Result<(i64, i32), JsonError> {
    let bad = || JsonError::Time { field };
    let pieces = DateTimeParser::new()
        .parse_pieces(text)
        .map_err(|_| bad())?;
    let offset = pieces.offset().ok_or_else(bad)?.to_numeric_offset();
    let time = pieces.time().ok_or_else(bad)?;
    let at = offset
        .to_timestamp(pieces.date().to_datetime(time))
        .map_err(|_| bad())?;
    Ok((at.as_millisecond(), offset.seconds() / 60))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalJson {
    at: String,
    #[serde(default)]
    package: String,
    #[serde(default, skip_serializing_if = "is_default")]
    user: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    app_version: String,
    #[serde(default, skip_serializing_if = "is_default")]
    locale: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notification: Option<NotificationJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    screen: Option<ScreenJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contacts: Option<ContactsJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<StateJson>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct NotificationJson {
    event: NotificationEventJson,
    #[serde(skip_serializing_if = "is_default")]
    key: String,
    #[serde(skip_serializing_if = "is_default")]
    channel: String,
    #[serde(skip_serializing_if = "is_default")]
    group: String,
    #[serde(skip_serializing_if = "is_default")]
    title: String,
    #[serde(skip_serializing_if = "is_default")]
    text: String,
    #[serde(skip_serializing_if = "is_default")]
    big_text: String,
    #[serde(skip_serializing_if = "is_default")]
    ticker: String,
    #[serde(skip_serializing_if = "is_default")]
    sub_text: String,
    #[serde(skip_serializing_if = "is_default")]
    lines: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    messages: Vec<NotificationMessageJson>,
    #[serde(skip_serializing_if = "is_default")]
    conversation_title: String,
    #[serde(skip_serializing_if = "is_default")]
    is_group: bool,
    #[serde(skip_serializing_if = "is_default")]
    number: u32,
    #[serde(skip_serializing_if = "is_default")]
    reason: String,
}

#[derive(Serialize, Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum NotificationEventJson {
    #[default]
    Posted,
    Removed,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct NotificationMessageJson {
    #[serde(default, skip_serializing_if = "is_default")]
    sender: String,
    #[serde(default)]
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<TimeJson>,
}

/// A time inside a signal: RFC 3339, or Unix milliseconds as Android hands them over.
#[derive(Serialize, Deserialize, PartialEq)]
#[serde(untagged)]
enum TimeJson {
    Text(String),
    Millis(i64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScreenJson {
    #[serde(default)]
    event: ScreenEventJson,
    window: String,
    #[serde(default)]
    width: i32,
    #[serde(default)]
    height: i32,
    #[serde(default)]
    nodes: Vec<NodeJson>,
}

#[derive(Serialize, Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum ScreenEventJson {
    #[default]
    Opened,
    Changed,
    Left,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct NodeJson {
    #[serde(skip_serializing_if = "is_default")]
    class: String,
    #[serde(skip_serializing_if = "is_default")]
    text: String,
    #[serde(skip_serializing_if = "is_default")]
    desc: String,
    #[serde(skip_serializing_if = "is_default")]
    id: String,
    bounds: [i32; 4],
    #[serde(skip_serializing_if = "is_default")]
    clickable: bool,
    #[serde(skip_serializing_if = "is_default")]
    depth: u32,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ContactsJson {
    names: Vec<ContactNameJson>,
    total: u32,
    complete: bool,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ContactNameJson {
    name: String,
    #[serde(skip_serializing_if = "is_default")]
    remark: String,
    #[serde(skip_serializing_if = "is_default")]
    id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateJson {
    kind: String,
    #[serde(default)]
    value: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TryFrom<SignalJson> for pb::Signal {
    type Error = JsonError;

    fn try_from(json: SignalJson) -> Result<Self, JsonError> {
        use pb::signal::Body;
        let (at_ms, utc_offset_min) = parse_rfc3339(&json.at, "at")?;
        let body = match (json.notification, json.screen, json.contacts, json.state) {
            (Some(it), None, None, None) => Body::Notification(Box::new(it.try_into()?)),
            (None, Some(it), None, None) => Body::Screen(it.into()),
            (None, None, Some(it), None) => Body::Contacts(it.into()),
            (None, None, None, Some(it)) => Body::State(pb::DeviceState {
                kind: it.kind,
                value: it.value,
            }),
            _ => return Err(JsonError::Body),
        };
        Ok(Self {
            at_ms,
            utc_offset_min,
            package: json.package,
            user: json.user,
            app_version: json.app_version,
            locale: json.locale,
            elapsed_ms: 0,
            body: Some(body),
        })
    }
}

impl From<&pb::Signal> for SignalJson {
    fn from(signal: &pb::Signal) -> Self {
        use pb::signal::Body;
        let mut json = Self {
            at: rfc3339(signal.at_ms, signal.utc_offset_min),
            package: signal.package.clone(),
            user: signal.user,
            app_version: signal.app_version.clone(),
            locale: signal.locale.clone(),
            notification: None,
            screen: None,
            contacts: None,
            state: None,
        };
        match &signal.body {
            Some(Body::Notification(it)) => json.notification = Some((&**it).into()),
            Some(Body::Screen(it)) => json.screen = Some(it.into()),
            Some(Body::Contacts(it)) => json.contacts = Some(it.into()),
            Some(Body::State(it)) => {
                json.state = Some(StateJson {
                    kind: it.kind.clone(),
                    value: it.value.clone(),
                });
            }
            None => {}
        }
        json
    }
}

impl TryFrom<NotificationJson> for pb::Notification {
    type Error = JsonError;

    fn try_from(json: NotificationJson) -> Result<Self, JsonError> {
        let message = |it: NotificationMessageJson| {
            let at_ms = match it.at {
                Some(TimeJson::Text(text)) => parse_rfc3339(&text, "messages.at")?.0,
                Some(TimeJson::Millis(at_ms)) => at_ms,
                None => 0,
            };
            Ok(pb::NotificationMessage {
                sender: it.sender,
                text: it.text,
                at_ms,
            })
        };
        let event = match json.event {
            NotificationEventJson::Posted => pb::notification::Event::Posted,
            NotificationEventJson::Removed => pb::notification::Event::Removed,
        };
        Ok(Self {
            event: event.into(),
            key: json.key,
            channel: json.channel,
            group: json.group,
            title: json.title,
            text: json.text,
            big_text: json.big_text,
            ticker: json.ticker,
            sub_text: json.sub_text,
            lines: json.lines,
            messages: json
                .messages
                .into_iter()
                .map(message)
                .collect::<Result<_, _>>()?,
            conversation_title: json.conversation_title,
            is_group: json.is_group,
            number: json.number,
            reason: json.reason,
        })
    }
}

impl From<&pb::Notification> for NotificationJson {
    fn from(it: &pb::Notification) -> Self {
        Self {
            event: match it.event() {
                pb::notification::Event::Posted => NotificationEventJson::Posted,
                pb::notification::Event::Removed => NotificationEventJson::Removed,
            },
            key: it.key.clone(),
            channel: it.channel.clone(),
            group: it.group.clone(),
            title: it.title.clone(),
            text: it.text.clone(),
            big_text: it.big_text.clone(),
            ticker: it.ticker.clone(),
            sub_text: it.sub_text.clone(),
            lines: it.lines.clone(),
            messages: it
                .messages
                .iter()
                .map(|message| NotificationMessageJson {
                    sender: message.sender.clone(),
                    text: message.text.clone(),
                    at: (message.at_ms != 0).then_some(TimeJson::Millis(message.at_ms)),
                })
                .collect(),
            conversation_title: it.conversation_title.clone(),
            is_group: it.is_group,
            number: it.number,
            reason: it.reason.clone(),
        }
    }
}

impl From<ScreenJson> for pb::Screen {
    fn from(json: ScreenJson) -> Self {
        let event = match json.event {
            ScreenEventJson::Opened => pb::screen::Event::Opened,
            ScreenEventJson::Changed => pb::screen::Event::Changed,
            ScreenEventJson::Left => pb::screen::Event::Left,
        };
        let node = |it: NodeJson| {
            let [left, top, right, bottom] = it.bounds;
            pb::Node {
                class: it.class,
                text: it.text,
                desc: it.desc,
                id: it.id,
                left,
                top,
                right,
                bottom,
                clickable: it.clickable,
                depth: it.depth,
            }
        };
        Self {
            event: event.into(),
            window: json.window,
            width: json.width,
            height: json.height,
            nodes: json.nodes.into_iter().map(node).collect(),
        }
    }
}

impl From<&pb::Screen> for ScreenJson {
    fn from(it: &pb::Screen) -> Self {
        Self {
            event: match it.event() {
                pb::screen::Event::Opened => ScreenEventJson::Opened,
                pb::screen::Event::Changed => ScreenEventJson::Changed,
                pb::screen::Event::Left => ScreenEventJson::Left,
            },
            window: it.window.clone(),
            width: it.width,
            height: it.height,
            nodes: it
                .nodes
                .iter()
                .map(|node| NodeJson {
                    class: node.class.clone(),
                    text: node.text.clone(),
                    desc: node.desc.clone(),
                    id: node.id.clone(),
                    bounds: [node.left, node.top, node.right, node.bottom],
                    clickable: node.clickable,
                    depth: node.depth,
                })
                .collect(),
        }
    }
}

impl From<ContactsJson> for pb::ContactList {
    fn from(json: ContactsJson) -> Self {
        Self {
            names: json
                .names
                .into_iter()
                .map(|it| pb::ContactName {
                    name: it.name,
                    remark: it.remark,
                    id: it.id,
                })
                .collect(),
            total: json.total,
            complete: json.complete,
        }
    }
}

impl From<&pb::ContactList> for ContactsJson {
    fn from(it: &pb::ContactList) -> Self {
        Self {
            names: it
                .names
                .iter()
                .map(|name| ContactNameJson {
                    name: name.name.clone(),
                    remark: name.remark.clone(),
                    id: name.id.clone(),
                })
                .collect(),
            total: it.total,
            complete: it.complete,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityJson {
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
    fn new(account: &str, it: &pb::Activity) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_read_back_as_written() {
        for line in [
            r#"{"at":"2026-03-02T09:15:00+08:00","package":"com.tencent.mm","locale":"zh-CN","notification":{"event":"posted","channel":"message_channel_new_id","title":"陈先生","text":"[2条]陈先生: 合同看过了"}}"#,
            r#"{"at":"2026-03-02T01:15:00.25Z","package":"com.tencent.wework","user":10,"screen":{"event":"changed","window":"com.tencent.wework.msg.controller.MessageListActivity","width":1080,"height":2400,"nodes":[{"class":"android.widget.TextView","text":"好","bounds":[1,2,3,4],"depth":3}]}}"#,
            r#"{"at":"2026-03-02T01:15:00Z","package":"com.tencent.mm","contacts":{"names":[{"name":"王","remark":"王总"}],"total":3,"complete":false}}"#,
            r#"{"at":"2026-03-02T01:15:00Z","package":"","state":{"kind":"boot","value":""}}"#,
        ] {
            let signal = signal_from_line(line).expect("a signal");
            assert_eq!(signal_to_line(&signal), line);
        }
    }

    #[test]
    fn bad_lines_say_what_is_wrong_without_repeating_content() {
        for (line, expected) in [
            (
                r#"{"at":"2026-03-02T09:15:00+08:00","secret":1}"#,
                "does not belong",
            ),
            (
                r#"{"at":"2026-03-02 09:15","state":{"kind":"boot"}}"#,
                "RFC 3339",
            ),
            (r#"{"at":"2026-03-02T09:15:00Z"}"#, "exactly one of"),
            (
                r#"{"at":"2026-03-02T09:15:00Z","state":{"kind":"boot"},"contacts":{}}"#,
                "exactly one of",
            ),
            ("{", "broken JSON"),
            (r#"{"package":"x"}"#, "missing"),
        ] {
            let error = signal_from_line(line)
                .expect_err("must be refused")
                .to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn activities_read_back_as_written() {
        let line = r#"{"at":"2026-03-02T09:15:00+08:00","kind":"transfer_received","category":"money","account":"work","direction":"in","conversation":{"title":"李姐","group":false,"external":false},"peer":"李姐","text":"货款","amount_fen":123456,"source":"screen","confidence":"certain","interval":{"from":"2026-03-02T09:00:00+08:00","to":"2026-03-02T09:15:00+08:00"}}"#;
        let read = activity_from_line(line).expect("an activity");
        assert_eq!(activity_to_line(&read.account, &read.activity), line);
    }
}
