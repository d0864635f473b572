//! The fields of a signal's line.

use serde::{Deserialize, Serialize};

use super::{JsonError, is_default, parse_rfc3339, rfc3339};
use crate::pb;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalJson {
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
