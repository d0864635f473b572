//! One compiled pattern: where it may be read, what it means, and the fields it captures.
//!
//! Invariant: a pattern never matches outside its place; captures are slices of what was seen.

use std::collections::BTreeMap;

use mingjing_proto::pb::{Confidence, Direction, Kind};
use mingjing_proto::vocabulary::{COVERAGE_CONTENTS, MESSAGE_CONTENTS, Named};
use regex_lite::Captures;
use serde::Deserialize;

use super::expression::Expression;
use super::source::{PatternSource, with_words};
use super::{PackError, WindowRole};

/// The structural place a pattern is read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// A notification's text before anything is taken off it.
    Notice,
    /// A notification's body, without unread count and sender.
    Body,
    /// A word before a colon that is a label, not a person.
    Label,
    /// What stands in brackets before the sender: the holder was mentioned.
    Mention,
    /// A title that names the app itself, not a conversation.
    AppTitle,
    /// A service account's title.
    ServiceTitle,
    /// A title that says it is a group's.
    GroupTitle,
    /// A centred line of a chat page.
    System,
    /// A time separator of a chat page.
    Time,
    /// A line inside a bubble of several parts that says what the bubble is.
    Bubble,
    /// The description of a part of a bubble without words of its own.
    Media,
    /// A line inside a bubble that belongs to the app: read marks, states.
    Noise,
    /// A read mark beside a bubble.
    Receipt,
    /// A line under the title of a chat with somebody from outside the company.
    Outside,
    /// A title with the company or app of somebody from outside behind the name.
    OutsideTitle,
    /// A chip that floats over a chat: new messages, back to the newest.
    Chip,
    /// The description of an avatar.
    Avatar,
    /// The description of a control that only a chat page has.
    ChatControl,
    /// A line of a page.
    Page,
    /// The question of a dialog.
    Dialog,
    /// A button of a dialog that says no.
    Cancel,
    /// The title of the contact list.
    ListTitle,
    /// A row at the top of the contact list.
    ListTop,
    /// Another line of the contact list that is no contact.
    ListFixed,
    /// The line under the contact list that counts it.
    ListTotal,
    /// A control of a page, no part of what it says.
    PageControl,
    /// The label of the account id on the account's own page.
    AccountId,
}

impl Place {
    /// Texts longer than this many bytes are not of this place.
    pub(crate) fn longest(self) -> usize {
        match self {
            Self::Notice | Self::Body => mingjing_proto::limits::TEXT_BYTES,
            Self::System | Self::Dialog => 4096,
            Self::Page => 1024,
            Self::Label
            | Self::Mention
            | Self::AppTitle
            | Self::ServiceTitle
            | Self::GroupTitle
            | Self::Time
            | Self::Bubble
            | Self::Media
            | Self::Noise
            | Self::Receipt
            | Self::Outside
            | Self::OutsideTitle
            | Self::Chip
            | Self::Avatar
            | Self::ChatControl
            | Self::Cancel
            | Self::ListTitle
            | Self::ListTop
            | Self::ListFixed
            | Self::ListTotal
            | Self::PageControl
            | Self::AccountId => 256,
        }
    }
}

/// What must follow a dialog before its question counts as answered with yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The app returns to its main window.
    MainWindow,
    /// The chat page is empty.
    EmptyChat,
    /// One bubble is gone from the chat page.
    BubbleGone,
    /// The login page opens.
    Login,
}

/// Where the remaining words of a bubble or body go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Text,
    Target,
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) place: Place,
    pub(crate) windows: Vec<WindowRole>,
    pub(crate) kind: Option<Kind>,
    pub(crate) kind_out: Option<Kind>,
    pub(crate) direction: Direction,
    pub(crate) content: String,
    pub(crate) confidence: Option<Confidence>,
    pub(crate) rest: Rest,
    pub(crate) title: Option<Expression>,
    pub(crate) channel: Option<Expression>,
    pub(crate) regex: Expression,
    pub(crate) also: Vec<Expression>,
    pub(crate) never: Vec<Expression>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) flip: bool,
    pub(crate) maybe: Vec<Expression>,
}

/// Named captures of one match; absent groups are empty.
#[derive(Debug)]
pub(crate) struct Captured<'t>(Option<Captures<'t>>);

impl<'t> Captured<'t> {
    /// The words of a named group, or of its twin `name_by` in another form of the sentence.
    pub(crate) fn get(&self, name: &str) -> &'t str {
        let group = |name: &str| self.0.as_ref().and_then(|it| it.name(name));
        group(name)
            .or_else(|| group(&format!("{name}_by")))
            .map_or("", |it| it.as_str().trim())
    }

    /// A whole number of a named group.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.get(name).parse().ok()
    }
}

impl Pattern {
    /// The fields, when the text matches.
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Option<Captured<'t>> {
        if self.regex.has_groups() {
            return self.regex.captures(text).map(|it| Captured(Some(it)));
        }
        self.regex.is_match(text).then_some(Captured(None))
    }

    /// Whether everything the pattern takes is spelled out in it: no part anybody could have written.
    pub(crate) fn is_fixed(&self) -> bool {
        !self.regex.as_str().contains('.')
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Whether the pattern may be read in a notification of this channel.
    pub(crate) fn takes_channel(&self, channel: &str) -> bool {
        self.channel.as_ref().is_none_or(|it| it.is_match(channel))
    }

    /// Whether the text says something that the pattern must not be read in.
    pub(crate) fn refuses(&self, text: &str) -> bool {
        self.never.iter().any(|it| it.is_match(text))
    }
}

/// Compiles one pattern and holds it to its own examples.
pub(super) fn compile(
    file: &str,
    yaml: &str,
    words: &BTreeMap<String, String>,
    source: PatternSource,
) -> Result<Pattern, PackError> {
    let id = source.id.clone();
    let fail = |problem: String, cure: &'static str| PackError::Pattern {
        file: file.to_owned(),
        line: line_of(yaml, &id),
        id: id.clone(),
        problem,
        cure,
    };
    let regex = |text: &str| {
        let whole = with_words(text, words)
            .map_err(|name| fail(format!("no words {name}"), "add them under words:"))?;
        Expression::new(&whole).map_err(|it| fail(it, "correct the expression"))
    };
    let kind = |name: &Option<String>| match name {
        Some(name) => Kind::from_name(name)
            .map(Some)
            .ok_or_else(|| fail(format!("no kind {name}"), "use a kind of activity.proto")),
        None => Ok(None),
    };
    let mut pattern = Pattern {
        kind: kind(&source.kind)?,
        kind_out: kind(&source.kind_out)?,
        direction: word(source.direction.as_deref())
            .map_err(|it| fail(it, "use in, out or none"))?
            .unwrap_or(Direction::None),
        confidence: word(source.confidence.as_deref())
            .map_err(|it| fail(it, "use weak, likely or certain"))?,
        rest: match source.rest.as_deref() {
            None | Some("text") => Rest::Text,
            Some("target") => Rest::Target,
            Some("none") => Rest::Nothing,
            Some(other) => {
                return Err(fail(format!("no rest {other}"), "use text, target or none"));
            }
        },
        title: source.title.as_deref().map(regex).transpose()?,
        channel: source.channel.as_deref().map(regex).transpose()?,
        regex: regex(&source.text)?,
        also: source
            .also
            .iter()
            .map(|it| regex(it))
            .collect::<Result<_, _>>()?,
        never: source
            .never
            .iter()
            .map(|it| regex(it))
            .collect::<Result<_, _>>()?,
        place: source.place,
        windows: source.windows,
        content: source.content.unwrap_or_default(),
        outcome: source.confirmed_by,
        flip: source.flip,
        maybe: source
            .maybe
            .iter()
            .map(|it| regex(it))
            .collect::<Result<_, _>>()?,
    };
    let content = pattern.content.as_str();
    if !content.is_empty()
        && !MESSAGE_CONTENTS.contains(&content)
        && !COVERAGE_CONTENTS.contains(&content)
    {
        let problem = format!("no content {content}");
        return Err(fail(problem, "use a content of docs/recognition.md"));
    }
    if source.hit.is_empty() || source.miss.is_empty() {
        return Err(fail(
            "no example".into(),
            "give at least one hit and one miss",
        ));
    }
    for hit in &source.hit {
        if !pattern.is_match(hit) || pattern.refuses(hit) {
            return Err(fail(format!("misses its hit {hit:?}"), "correct either"));
        }
    }
    for miss in &source.miss {
        if pattern.is_match(miss) && !pattern.refuses(miss) {
            return Err(fail(format!("hits its miss {miss:?}"), "correct either"));
        }
    }
    pattern.regex.release();
    Ok(pattern)
}

fn word<T: Named>(name: Option<&str>) -> Result<Option<T>, String> {
    match name {
        Some(name) => T::from_name(name)
            .map(Some)
            .ok_or_else(|| format!("no word {name}")),
        None => Ok(None),
    }
}

fn line_of(yaml: &str, id: &str) -> usize {
    let is_id = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ").trim_start();
        line.strip_prefix("id:")
            .is_some_and(|it| it.trim().trim_matches(['"', '\'']) == id)
    };
    yaml.lines().position(is_id).map_or(0, |index| index + 1)
}
