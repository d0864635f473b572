//! Renders the notice an employee reads before anything is captured (requirements N1–N16).
//!
//! Invariants: methods, categories and what is never collected come from the compiled manifest, hours,
//! retention and accounts from the policy, and the company's text may only be added; the display layers
//! show these sections and word nothing themselves; the hash is that of the delivered bytes.

mod words;

use std::collections::BTreeMap;

use mingjing_proto::manifest::MANIFEST;
use mingjing_proto::pb::{self, Category};
use mingjing_proto::vocabulary::Named;
use serde::Serialize;

use crate::policy::{Notice, Policy};
use words::Words;

/// A notice ready to be shown.
#[derive(Clone, Debug, Serialize)]
pub struct Rendered {
    /// Its version.
    pub version: u32,
    /// SHA-256 of the delivered bytes, hexadecimal: what a consent names.
    pub sha256: String,
    /// The language it is rendered in.
    pub language: String,
    /// In the order to show them.
    pub sections: Vec<Section>,
    /// Each category with a switch of its own, none of them on.
    pub switches: Vec<Switch>,
}

/// One section.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Number in requirements.md, such as `N4`.
    pub id: &'static str,
    /// Heading.
    pub title: String,
    /// Lines.
    pub lines: Vec<String>,
}

/// One category to decide on.
#[derive(Clone, Debug, Serialize)]
pub struct Switch {
    /// Name in the vocabulary, such as `money`.
    pub category: &'static str,
    /// As shown.
    pub title: &'static str,
    /// What belongs to it, with an example.
    pub example: &'static str,
    /// Needs its own attention (N9).
    pub sensitive: bool,
}

/// What of this phone belongs into the notice.
#[derive(Debug)]
pub struct Live<'a> {
    /// Permissions actually held (N3).
    pub permissions: &'a BTreeMap<String, bool>,
    /// Capturing, or why not (N10).
    pub state: &'static str,
    /// Device id, hexadecimal.
    pub device: String,
}

/// Renders `notice` with `policy` in `language` (`zh-CN`, otherwise English).
pub fn render(
    notice: &Notice,
    previous: Option<&Notice>,
    policy: &Policy,
    live: &Live<'_>,
    language: &str,
) -> Rendered {
    let words = words::of(language);
    let text = text_of(&notice.notice, words.language);
    let mut sections = Vec::new();
    let mut add = |id: &'static str, lines: Vec<String>| {
        let lines: Vec<String> = lines.into_iter().filter(|it| !it.is_empty()).collect();
        if !lines.is_empty() {
            let title = words.title(id).to_owned();
            sections.push(Section { id, title, lines });
        }
    };
    add(
        "N1",
        vec![
            text.company.clone(),
            label(words.contact, &text.contact),
            label(words.privacy_contact, &text.privacy_contact),
        ],
    );
    add("N2", vec![text.purposes.clone()]);
    add("N3", methods(words, policy, live));
    add("N4", categories(words, policy));
    add("N5", retention(words, policy, &text));
    add(
        "N6",
        vec![
            text.readers.clone(),
            words.seal_mode(&notice.notice.seal_mode).to_owned(),
        ],
    );
    add("N7", vec![words.rules.to_owned()]);
    add("N8", vec![words.rights.to_owned()]);
    add("N9", sensitive(words, policy));
    add("N10", hours(words, policy, live));
    add(
        "N11",
        vec![text.refusal_consequences.clone(), words.refusal.to_owned()],
    );
    add("N12", versions(words, notice, previous, policy));
    add("N13", vec![words.limits.to_owned()]);
    add("N16", vec![text.addition.clone()]);
    Rendered {
        version: notice.notice.version,
        sha256: hex::encode(notice.sha256),
        language: words.language.to_owned(),
        sections,
        switches: switches(words, policy),
    }
}

/// The company's text in `language`, else in the first one there is.
fn text_of(notice: &pb::Notice, language: &str) -> pb::NoticeText {
    let texts = &notice.texts;
    texts
        .iter()
        .find(|it| it.language == language)
        .or(texts.first())
        .cloned()
        .unwrap_or_default()
}

fn label(name: &str, value: &str) -> String {
    if value.is_empty() {
        return String::new();
    }
    format!("{name}{value}")
}

fn methods(words: &Words, policy: &Policy, live: &Live<'_>) -> Vec<String> {
    let named = |list: &[String]| -> String {
        let list: Vec<&str> = list.iter().map(|key| words.key(key)).collect();
        list.join(words.comma)
    };
    let mut lines = vec![
        label(words.methods, &named(&MANIFEST.methods)),
        label(words.apps, &named(&MANIFEST.apps)),
    ];
    for account in &policy.policy.accounts {
        let user = if account.user == 0 {
            String::new()
        } else {
            format!(" (user {})", account.user)
        };
        let account = format!(
            "{} · {}{user}",
            words.key(&account.package),
            account.shown_id
        );
        lines.push(label(words.account, &account));
    }
    for (permission, held) in live.permissions {
        let held = if *held { words.held } else { words.not_held };
        lines.push(label(
            words.permission,
            &format!("{} · {held}", words.key(permission)),
        ));
    }
    lines.push(words.read_only.to_owned());
    lines
}

/// Categories of the app and the policy, in the order of the vocabulary.
fn in_policy(policy: &Policy) -> impl Iterator<Item = Category> + '_ {
    Category::CONSENTED.into_iter().filter(|category| {
        policy.allows(*category) && MANIFEST.categories.iter().any(|it| it == category.name())
    })
}

fn categories(words: &Words, policy: &Policy) -> Vec<String> {
    let mut lines: Vec<String> = in_policy(policy)
        .map(|category| {
            let (title, example) = words.category(category);
            format!("{title}{}{example}", words.colon)
        })
        .collect();
    let (title, example) = words.category(Category::Device);
    lines.push(format!("{title}{}{example}", words.colon));
    let never: Vec<&str> = MANIFEST.never.iter().map(|key| words.key(key)).collect();
    lines.push(label(words.never, &never.join(words.comma)));
    lines
}

fn retention(words: &Words, policy: &Policy, text: &pb::NoticeText) -> Vec<String> {
    let mut lines: Vec<String> = policy
        .terms
        .retention
        .iter()
        .map(|it| {
            let (title, _) = words.category(it.category());
            words.retention(title, it.days_unmatched, it.days_matched)
        })
        .collect();
    lines.push(words.phone_buffer.to_owned());
    lines.push(label(words.stored_where, &text.stored_where));
    lines
}

fn sensitive(words: &Words, policy: &Policy) -> Vec<String> {
    in_policy(policy)
        .filter(|category| MANIFEST.sensitive.iter().any(|it| it == category.name()))
        .map(|category| words.sensitive(category).to_owned())
        .collect()
}

fn hours(words: &Words, policy: &Policy, live: &Live<'_>) -> Vec<String> {
    let mut lines = vec![policy.terms.given_hours.clone()];
    match &policy.hours {
        Some(hours) => lines.push(hours.weekly_text(words.weekdays)),
        None => lines.push(words.no_hours.to_owned()),
    }
    lines.push(words.outside_hours.to_owned());
    if policy.terms.pause_minutes_per_day > 0 {
        lines.push(words.pause(policy.terms.pause_minutes_per_day));
    }
    lines.push(label(words.now, words.state(live.state)));
    lines
}

fn versions(
    words: &Words,
    notice: &Notice,
    previous: Option<&Notice>,
    policy: &Policy,
) -> Vec<String> {
    let published = i64::max(notice.notice.published_at_ms, 0);
    let date = jiff::Timestamp::from_millisecond(published)
        .map(|it| {
            let at = jiff::tz::Offset::UTC.to_datetime(it);
            format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())
        })
        .unwrap_or_default();
    let mut lines = vec![
        words.version(notice.notice.version, &date),
        format!("SHA-256 {}", hex::encode(notice.sha256)),
        words.policy_version(policy.policy.version),
    ];
    if let Some(previous) = previous {
        lines.extend(changes(words, previous, notice));
    }
    lines
}

/// Which of the company's texts changed since the last version, old and new (N12).
fn changes(words: &Words, previous: &Notice, notice: &Notice) -> Vec<String> {
    let old = text_of(&previous.notice, words.language);
    let new = text_of(&notice.notice, words.language);
    let pairs = [
        ("N1", &old.company, &new.company),
        ("N1", &old.contact, &new.contact),
        ("N1", &old.privacy_contact, &new.privacy_contact),
        ("N2", &old.purposes, &new.purposes),
        ("N6", &old.readers, &new.readers),
        ("N5", &old.stored_where, &new.stored_where),
        ("N11", &old.refusal_consequences, &new.refusal_consequences),
        ("N16", &old.addition, &new.addition),
    ];
    let mut lines: Vec<String> = pairs
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(id, old, new)| words.changed(words.title(id), old, new))
        .collect();
    if previous.notice.terms_sha256 != notice.notice.terms_sha256 {
        lines.push(words.terms_changed.to_owned());
    }
    lines
}

fn switches(words: &'static Words, policy: &Policy) -> Vec<Switch> {
    in_policy(policy)
        .map(|category| {
            let (title, example) = words.category(category);
            Switch {
                category: category.name(),
                title,
                example,
                sensitive: MANIFEST.sensitive.iter().any(|it| it == category.name()),
            }
        })
        .collect()
}

impl Rendered {
    /// The message that decides on `categories` after this notice was shown.
    pub fn choice(
        &self,
        categories: &[Category],
        decision: pb::Decision,
        given_how: &str,
    ) -> pb::FromApp {
        let choice = pb::ConsentChoice {
            decisions: categories
                .iter()
                .map(|category| pb::CategoryDecision {
                    category: (*category).into(),
                    decision: decision.into(),
                })
                .collect(),
            language: self.language.clone(),
            given_how: given_how.to_owned(),
            notice_version: self.version,
            notice_sha256: hex::decode(&self.sha256).unwrap_or_default(),
        };
        pb::FromApp {
            body: Some(pb::from_app::Body::Consent(choice)),
        }
    }

    /// The notice as plain text, for the command line and for saving.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            text.push_str(&format!("{} {}\n", section.id, section.title));
            for line in &section.lines {
                text.push_str(&format!("  {line}\n"));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::policy::tests::{DEVICE, notice, policy};

    fn rendered(language: &str) -> Rendered {
        let mut first = notice(1);
        first.texts[0].purposes = "旧目的".into();
        let mut second = notice(2);
        second.texts[0].purposes = "新目的".into();
        let read = |it: pb::Notice| Notice::read(&it.encode_to_vec()).expect("a notice");
        let policy = Policy::read(&policy(1).encode_to_vec(), &DEVICE).expect("a policy");
        let permissions = BTreeMap::from([("listener".to_owned(), true)]);
        let live = Live {
            permissions: &permissions,
            state: "off_hours",
            device: "00".into(),
        };
        render(&read(second), Some(&read(first)), &policy, &live, language)
    }

    #[test]
    fn every_key_of_the_manifest_has_words_in_both_languages() {
        for language in ["zh-CN", "en"] {
            let words = words::of(language);
            let keys = MANIFEST.apps.iter().chain(&MANIFEST.methods);
            for key in keys.chain(&MANIFEST.never) {
                assert_ne!(words.key(key), key.as_str(), "{language}: {key}");
            }
        }
    }

    #[test]
    fn the_notice_names_what_is_and_what_is_never_collected() {
        let zh = rendered("zh-CN").to_text();
        for needle in [
            "晨光办公",
            "红包",
            "朋友圈",
            "通讯录",
            "wxid_work",
            "09:00–18:00",
            "新目的",
            "旧目的",
        ] {
            assert!(zh.contains(needle), "{needle}\n{zh}");
        }
        let en = rendered("en");
        assert_eq!(en.switches.len(), 7);
        assert!(
            en.switches
                .iter()
                .any(|it| it.category == "money" && it.sensitive)
        );
        assert!(en.to_text().contains("Moments"));
        assert!(en.sections.iter().any(|it| it.id == "N10"));
    }
}
