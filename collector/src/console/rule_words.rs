//! A rule in words, from the text that was in force when it judged.
//!
//! Invariant: what is shown beside a finding is the rule of that moment, never a newer one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use super::words::Language;
use crate::Shared;
use crate::error::Result;
use crate::findings;

/// What people are told about a rule.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuleWords {
    id: String,
    title: Title,
    /// Article of the policy.
    pub(super) article: String,
    /// What a reviewer should know about wrong hits.
    pub(super) false_positives: String,
    /// Who answers for the rule.
    pub(super) owner: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Title {
    zh: String,
    en: String,
}

impl RuleWords {
    /// The title, or the rule's id when its text was not kept.
    pub(super) fn title(&self, language: Language) -> &str {
        let title = match language {
            Language::Chinese => &self.title.zh,
            Language::English => &self.title.en,
        };
        if title.is_empty() { &self.id } else { title }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    One(RuleWords),
    List(Vec<RuleWords>),
}

type Key = ([u8; 32], String);

/// Rules read so far.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<Key, Arc<RuleWords>>>);

const CACHED: usize = 2_000;

impl Cache {
    /// The words of a rule in a rule set.
    pub(super) async fn get(
        &self,
        shared: &Shared,
        rule_set: &[u8; 32],
        rule: &str,
    ) -> Result<Arc<RuleWords>> {
        let key = (*rule_set, rule.to_owned());
        if let Some(known) = self.lock().get(&key) {
            return Ok(known.clone());
        }
        let yaml = findings::rule_text(&shared.db, rule_set, rule).await?;
        let read = yaml
            .as_deref()
            .map(|yaml| parse(yaml, rule))
            .or_else(|| in_force(shared, rule_set, rule));
        let kept = read.is_some();
        let words = Arc::new(read.unwrap_or_else(|| unknown(rule)));
        if kept {
            let mut cache = self.lock();
            if cache.len() >= CACHED {
                cache.clear();
            }
            cache.insert(key, words.clone());
        }
        Ok(words)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<RuleWords>>> {
        self.0
            .lock()
            .expect("no panic while holding the rules' words")
    }
}

fn unknown(rule: &str) -> RuleWords {
    RuleWords {
        id: rule.to_owned(),
        ..RuleWords::default()
    }
}

// The set in force needs no stored text.
fn in_force(shared: &Shared, rule_set: &[u8; 32], rule: &str) -> Option<RuleWords> {
    let set = shared.rules();
    let rule = set.rule(rule).filter(|_| set.version() == *rule_set)?;
    Some(RuleWords {
        id: rule.id.clone(),
        title: Title {
            zh: rule.title_zh.clone(),
            en: rule.title_en.clone(),
        },
        article: rule.article.clone(),
        false_positives: rule.false_positives.clone(),
        owner: rule.owner.clone(),
    })
}

fn parse(yaml: &str, rule: &str) -> RuleWords {
    let found = match serde_saphyr::from_str(yaml) {
        Ok(Stored::One(words)) => Some(words),
        Ok(Stored::List(list)) => list.into_iter().find(|it| it.id == rule),
        Err(_) => None,
    };
    RuleWords {
        id: rule.to_owned(),
        ..found.unwrap_or_default()
    }
}
