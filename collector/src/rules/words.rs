//! All words of all lexicons and rules, matched in one pass.
//!
//! Invariants: the automaton holds each normalised word once, however many lists name it; a word is
//! found only whole (not inside a longer Latin word or number, not across clauses); a phrase is found
//! when its parts follow each other in one sentence; time is nearly linear in the text, since gaps are short.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use daachorse::{CharwiseDoubleArrayAhoCorasick, CharwiseDoubleArrayAhoCorasickBuilder};

use super::files::{Files, Problems};
use super::phrase::{self, Gap};
use crate::normalise::{Normalised, is_clause_mark, is_sentence_mark};

/// Most words and parts in a set.
const MAX_WORDS: usize = 500_000;

/// A list of words: a lexicon, its exceptions, or the words written in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListId(u32);

/// A lexicon as rules name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexicon {
    pub(super) words: ListId,
    pub(super) exceptions: Option<ListId>,
}

/// A word of a list in a normalised text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) list: ListId,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The earliest start a phrase with this end can have; `start` of a word.
    reach: usize,
}

impl Found {
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.reach <= other.start && other.end <= self.end
    }
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Word(ListId),
    Part { phrase: u32, part: u32 },
}

#[derive(Debug)]
struct Phrase {
    list: ListId,
    /// The gap before each part; that of the first means nothing.
    gaps: Vec<Gap>,
}

impl Phrase {
    fn parts(&self) -> u32 {
        u32::try_from(self.gaps.len()).unwrap_or(u32::MAX)
    }
}

/// A part of a phrase in a text; ordered by phrase, part, place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FoundPart {
    phrase: u32,
    part: u32,
    start: usize,
    end: usize,
}

/// The compiled words.
pub(super) struct Words {
    automaton: Option<CharwiseDoubleArrayAhoCorasick<u32>>,
    roles: Vec<Vec<Role>>,
    phrases: Vec<Phrase>,
    names: Vec<Arc<str>>,
}

impl fmt::Debug for Words {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Words")
            .field("words", &self.roles.len())
            .field("phrases", &self.phrases.len())
            .field("lists", &self.names.len())
            .finish_non_exhaustive()
    }
}

/// Gathers lists before the automaton is built.
#[derive(Debug, Default)]
pub(super) struct Builder {
    roles: BTreeMap<String, Vec<Role>>,
    phrases: Vec<Phrase>,
    names: Vec<Arc<str>>,
}

impl Builder {
    /// Adds every lexicon file: a word or phrase a line, `#` comments, `!` exceptions.
    pub(super) fn lexicons<'a>(
        &mut self,
        files: &'a Files,
        problems: &mut Problems,
    ) -> BTreeMap<&'a str, Lexicon> {
        let mut lexicons = BTreeMap::new();
        for (name, file) in &files.lexicons {
            let words = self.list(name);
            let mut exceptions = None;
            for (line, number) in file.text.lines().zip(1_u64..) {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let (list, word) = match line.strip_prefix('!') {
                    Some(word) => (*exceptions.get_or_insert_with(|| self.list(name)), word),
                    None => (words, line),
                };
                if let Err(problem) = self.add(list, word.trim()) {
                    problems.add(&file.path, number, problem);
                }
            }
            lexicons.insert(name.as_str(), Lexicon { words, exceptions });
        }
        lexicons
    }

    /// A new, empty list.
    pub(super) fn list(&mut self, name: &str) -> ListId {
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.into());
        ListId(id)
    }

    /// Adds a word or a phrase to a list.
    pub(super) fn add(&mut self, list: ListId, line: &str) -> Result<(), String> {
        let mut parts = phrase::parse(line)?;
        if parts.len() == 1 {
            for word in parts.remove(0).words {
                self.roles.entry(word).or_default().push(Role::Word(list));
            }
        } else {
            let phrase = u32::try_from(self.phrases.len()).unwrap_or(u32::MAX);
            self.phrases.push(Phrase {
                list,
                gaps: parts.iter().map(|part| part.gap).collect(),
            });
            for (words, part) in parts.into_iter().zip(0_u32..) {
                for word in words.words {
                    let role = Role::Part { phrase, part };
                    self.roles.entry(word).or_default().push(role);
                }
            }
        }
        if self.roles.len() > MAX_WORDS {
            return Err(format!("more than {MAX_WORDS} words in all; remove some"));
        }
        Ok(())
    }

    pub(super) fn build(self, problems: &mut Problems) -> Words {
        let (words, roles): (Vec<String>, Vec<Vec<Role>>) = self.roles.into_iter().unzip();
        let automaton = if words.is_empty() {
            None
        } else {
            let built = CharwiseDoubleArrayAhoCorasickBuilder::new().build(&words);
            built
                .inspect_err(|error| {
                    problems.add(
                        "lexicons",
                        0,
                        format!("the words can't be compiled: {error}"),
                    );
                })
                .ok()
        };
        Words {
            automaton,
            roles,
            phrases: self.phrases,
            names: self.names,
        }
    }
}

impl Words {
    pub(super) fn name(&self, list: ListId) -> &Arc<str> {
        &self.names[list.0 as usize]
    }

    /// Every word of every list in a text.
    pub(super) fn find(&self, original: &str, normalised: &Normalised) -> Vec<Found> {
        let mut found = Vec::new();
        let Some(automaton) = &self.automaton else {
            return found;
        };
        let mut parts = Vec::new();
        // Which parts of a phrase have been seen, a bit each. Words come by their end, so a part that
        // follows another comes after it.
        let mut seen: Vec<u16> = Vec::new();
        let mut complete = false;
        for hit in automaton.find_overlapping_iter(&normalised.text) {
            let (start, end) = (hit.start(), hit.end());
            let span = start..end;
            if self.is_torn(original, normalised, &span) {
                continue;
            }
            for role in &self.roles[hit.value() as usize] {
                match *role {
                    Role::Word(list) => found.push(Found {
                        list,
                        start,
                        end,
                        reach: start,
                    }),
                    Role::Part { phrase, part } => {
                        if seen.is_empty() {
                            seen.resize(self.phrases.len(), 0);
                        }
                        let bits = &mut seen[phrase as usize];
                        if part > 0 && *bits & (1 << (part - 1)) == 0 {
                            continue;
                        }
                        *bits |= 1 << part;
                        complete |= part + 1 == self.phrases[phrase as usize].parts();
                        parts.push(FoundPart {
                            phrase,
                            part,
                            start,
                            end,
                        });
                    }
                }
            }
        }
        if complete {
            parts.retain(|it| {
                let last = self.phrases[it.phrase as usize].parts() - 1;
                seen[it.phrase as usize] & (1 << last) != 0
            });
            self.join(original, normalised, parts, &mut found);
        }
        found
    }

    fn is_torn(&self, original: &str, normalised: &Normalised, span: &Range<usize>) -> bool {
        let word = normalised.text[span.clone()].as_bytes();
        let latin_edge = word.first().is_some_and(u8::is_ascii_alphanumeric)
            || word.last().is_some_and(u8::is_ascii_alphanumeric);
        let is_one_char = normalised.text[span.clone()].chars().nth(1).is_none();
        latin_edge && normalised.is_inside_word(original, span)
            || !is_one_char && !normalised.holds_together(original, span)
    }

    /// Phrases all of whose parts were found, from first part to last.
    fn join(
        &self,
        original: &str,
        normalised: &Normalised,
        mut parts: Vec<FoundPart>,
        found: &mut Vec<Found>,
    ) {
        parts.sort_unstable();
        for of_phrase in parts.chunk_by(|a, b| a.phrase == b.phrase) {
            let phrase = &self.phrases[of_phrase[0].phrase as usize];
            let mut reached: Vec<Reached> = Vec::new();
            for (group, gap) in of_phrase
                .chunk_by(|a, b| a.part == b.part)
                .zip(&phrase.gaps)
            {
                let is_first = group[0].part == 0;
                reached.sort_unstable_by_key(|it| (it.end, it.start));
                reached = group
                    .iter()
                    .filter_map(|part| {
                        if is_first {
                            return Some(Reached::first(part));
                        }
                        let before = reached.partition_point(|it| it.end <= part.start);
                        let follows =
                            |it: &&Reached| follows(original, normalised, it.end..part.start, *gap);
                        let mut near = reached[..before].iter().rev().take_while(follows);
                        let closest = near.next()?;
                        let reach = near.map(|it| it.reach).fold(closest.reach, usize::min);
                        Some(Reached {
                            start: closest.start,
                            end: part.end,
                            reach,
                        })
                    })
                    .collect();
            }
            found.extend(reached.into_iter().map(|it| Found {
                list: phrase.list,
                start: it.start,
                end: it.end,
                reach: it.reach,
            }));
        }
    }
}

/// How far a phrase has been followed.
#[derive(Clone, Copy, Debug)]
struct Reached {
    start: usize,
    end: usize,
    reach: usize,
}

impl Reached {
    fn first(part: &FoundPart) -> Self {
        Self {
            start: part.start,
            end: part.end,
            reach: part.start,
        }
    }
}

/// Whether what stands between two parts is short enough and goes over no end.
fn follows(original: &str, normalised: &Normalised, between: Range<usize>, gap: Gap) -> bool {
    if between.len() > gap.chars * 4 || normalised.text[between.clone()].chars().count() > gap.chars
    {
        return false;
    }
    if gap == Gap::NONE {
        let text = &normalised.text[..between.start];
        let last_char = text.char_indices().next_back().map_or(0, |(at, _)| at);
        return normalised.holds_together(original, &(last_char..between.end + 1));
    }
    let between = &original[normalised.gap(between)];
    !(between.contains(is_sentence_mark) || gap.one_clause && between.contains(is_clause_mark))
}
