//! The JSON form of signals and activities, one object a line (design §5).
//!
//! Invariants: unknown fields, a missing body and broken lines are errors that name the line; what is
//! written reads back equal; empty values are left out.

mod activity;
mod signal;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{Offset, TimeZone};

use self::activity::ActivityJson;
use self::signal::SignalJson;
use crate::pb;

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

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
