//! The files of a rule set: read from folders or compiled in, and the problems found in them.
//!
//! Invariants: files are kept in the order of their names, so equal files give an equal version; a file
//! or folder above its limit is a problem, not memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use ring::digest;

use super::{Problem, RulesError, shipped};

/// Largest rule or lexicon file.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// Most files in a folder.
const MAX_FILES: usize = 1_000;

/// Texts by file stem, with the path to name in problems.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) rules: Vec<RuleFile>,
    pub(super) lexicons: BTreeMap<String, Text>,
}

/// A file of rules; rules of a site replace shipped ones of the same id.
#[derive(Debug)]
pub(super) struct RuleFile {
    pub(super) text: Text,
    pub(super) site: bool,
}

#[derive(Debug)]
pub(super) struct Text {
    pub(super) path: String,
    pub(super) text: String,
}

/// Collects problems until they are told together.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, file: &str, line: u64, problem: impl Into<String>) {
        self.0.push(Problem {
            file: file.to_owned(),
            line,
            problem: problem.into(),
        });
    }

    pub(super) fn into_result(mut self) -> Result<(), RulesError> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0
            .sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Err(RulesError::Problems(self.0))
    }
}

impl Files {
    pub(super) fn builtin() -> Self {
        let text = |folder: &str, (name, text): &(&str, &str)| Text {
            path: format!("{folder}/{name}"),
            text: (*text).to_owned(),
        };
        Self {
            rules: shipped::RULES
                .iter()
                .map(|file| RuleFile {
                    text: text("rules", file),
                    site: false,
                })
                .collect(),
            lexicons: shipped::LEXICONS
                .iter()
                .map(|file| (stem(file.0), text("lexicons", file)))
                .collect(),
        }
    }

    pub(super) fn read(rules_dir: &Path, lexicons_dir: &Path, problems: &mut Problems) -> Self {
        let rules = read_dir(rules_dir, &["yaml", "yml"], problems);
        let lexicons = read_dir(lexicons_dir, &["txt"], problems);
        Self {
            rules: rules
                .into_values()
                .map(|text| RuleFile { text, site: false })
                .collect(),
            lexicons: lexicons
                .into_iter()
                .map(|(name, text)| (stem(&name), text))
                .collect(),
        }
    }

    /// Puts the files of a site over these.
    pub(super) fn lay_over(&mut self, site: Self) {
        self.rules.extend(
            site.rules
                .into_iter()
                .map(|file| RuleFile { site: true, ..file }),
        );
        self.lexicons.extend(site.lexicons);
    }

    pub(super) fn version(&self) -> [u8; 32] {
        let rules = self.rules.iter().map(|file| &file.text);
        hash(
            rules
                .chain(self.lexicons.values())
                .map(|it| it.text.as_str()),
        )
    }
}

/// SHA-256 over texts, each with its length before it.
pub(super) fn hash<'a>(texts: impl Iterator<Item = &'a str>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in texts {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

fn stem(name: &str) -> String {
    name.rsplit_once('.')
        .map_or(name, |(stem, _)| stem)
        .to_owned()
}

fn read_dir(dir: &Path, extensions: &[&str], problems: &mut Problems) -> BTreeMap<String, Text> {
    let mut texts = BTreeMap::new();
    let shown = dir.display().to_string();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            problems.add(
                &shown,
                0,
                format!("the folder can't be read ({error}); check its path and rights"),
            );
            return texts;
        }
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                problems.add(&shown, 0, format!("the folder can't be read ({error})"));
                return texts;
            }
        };
        let name = path.file_name().and_then(|name| name.to_str());
        let extension = path.extension().and_then(|it| it.to_str());
        let (Some(name), Some(extension)) = (name, extension) else {
            continue;
        };
        if name.starts_with('.') || !extensions.contains(&extension) {
            continue;
        }
        if texts.len() == MAX_FILES {
            problems.add(
                &shown,
                0,
                format!("more than {MAX_FILES} files; merge some"),
            );
            return texts;
        }
        match read_file(&path) {
            Ok(text) => {
                let path = path.display().to_string();
                texts.insert(name.to_owned(), Text { path, text });
            }
            Err(problem) => problems.add(&path.display().to_string(), 0, problem),
        }
    }
    texts
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("can't be read ({error}); check its rights"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!(
            "is larger than {} MB; split it",
            MAX_FILE_BYTES >> 20
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8; save it as UTF-8".to_owned())?;
    Ok(text.trim_start_matches('\u{FEFF}').to_owned())
}
