//! Letters the employee writes: answers, requests, complaints, done directives.
//!
//! Invariant: kind and id name a letter of one phone for good; both sides judge a letter by
//! [`problem`], so what the phone keeps the collector takes.

use crate::limits::{LETTER_BYTES, LETTER_ID_BYTES};
use crate::pb::{self, from_device::Body};

/// What a subject request may ask for (requirements R).
pub const REQUEST_KINDS: [&str; 4] = ["copy", "correct", "delete", "explain"];

/// Characters of an id repeated in an answer about it.
pub const NAME_CHARS: usize = 64;

/// The parts of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter<'a> {
    /// `answer`, `subject_request`, `complaint` or `done`.
    pub kind: &'static str,
    /// The id the phone gave it; a done directive is named by the directive.
    pub id: &'a str,
    /// What was written.
    pub text: &'a str,
    /// Of an answer: the finding.
    pub finding: &'a str,
    /// Of a request: one of [`REQUEST_KINDS`].
    pub asks: &'a str,
}

/// The letter in a message, if it is one.
pub fn of(body: &Body) -> Option<Letter<'_>> {
    let letter = |kind, id, text| Letter {
        kind,
        id,
        text,
        finding: "",
        asks: "",
    };
    match body {
        Body::Answer(it) => Some(Letter {
            finding: &it.finding_id,
            ..letter("answer", &it.id, &it.text)
        }),
        Body::SubjectRequest(it) => Some(Letter {
            asks: &it.kind,
            ..letter("subject_request", &it.id, &it.text)
        }),
        Body::Complaint(it) => Some(letter("complaint", &it.id, &it.text)),
        Body::Done(it) => Some(letter("done", &it.directive_id, "")),
        Body::Hello(_)
        | Body::Batch(_)
        | Body::Checkpoint(_)
        | Body::GrantProof(_)
        | Body::Status(_) => None,
    }
}

/// Why a letter can't be taken, as `LetterReceived.refusal` says it; `None` when it can.
pub fn problem(letter: &Letter<'_>) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    // An id lies unsealed: letters that spell something have no place in it.
    if letter.id.is_empty() || letter.id.len() > LETTER_ID_BYTES || !letter.id.bytes().all(plain) {
        return Some("id");
    }
    if letter.text.len() > LETTER_BYTES {
        return Some("too_long");
    }
    if letter.kind == "subject_request" && !REQUEST_KINDS.contains(&letter.asks) {
        return Some("kind");
    }
    if letter.kind == "answer" && letter.finding.len() != 64 {
        return Some("finding");
    }
    None
}

/// The name both sides call a letter by.
pub fn name(letter: &pb::FromDevice) -> Option<(&'static str, &str)> {
    let letter = of(letter.body.as_ref()?)?;
    Some((letter.kind, letter.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_taken_or_named_by_its_problem() {
        let complaint = |id: &str, text: String| {
            Body::Complaint(pb::Complaint {
                id: id.to_owned(),
                text,
            })
        };
        let request = |kind: &str| {
            Body::SubjectRequest(pb::SubjectRequest {
                id: "1".to_owned(),
                kind: kind.to_owned(),
                text: String::new(),
            })
        };
        let answer = |finding_id: String| {
            Body::Answer(pb::Answer {
                id: "1".to_owned(),
                finding_id,
                text: "不是这样".to_owned(),
            })
        };
        for (body, expected) in [
            (complaint("0a-Z_9.x", "x".repeat(LETTER_BYTES)), None),
            (
                complaint("1", "x".repeat(LETTER_BYTES + 1)),
                Some("too_long"),
            ),
            (complaint("", String::new()), Some("id")),
            (complaint("张三", String::new()), Some("id")),
            (complaint(&"a".repeat(65), String::new()), Some("id")),
            (request("copy"), None),
            (request("everything"), Some("kind")),
            (answer("ab".repeat(32)), None),
            (answer("ab".to_owned()), Some("finding")),
        ] {
            let letter = of(&body).expect("all of these are letters");
            assert_eq!(problem(&letter), expected, "{}", letter.kind);
        }
        assert!(of(&Body::Status(pb::Status::default())).is_none());
    }
}
