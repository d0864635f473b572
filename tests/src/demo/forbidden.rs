//! Searches files for many phrases that must not be readable in them, in one pass.
//!
//! Invariant: a phrase is found as UTF-8, as UTF-16 of either order and inside base64 of either
//! alphabet at any of its three offsets.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daachorse::DoubleArrayAhoCorasick;

use crate::search;

/// What a search came to.
#[derive(Debug, Default)]
pub struct Searched {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// File and phrase of every find; a phrase once a file.
    pub found: Vec<(PathBuf, String)>,
}

/// Searches every file below `dir`, all phrases in one pass.
pub fn search_all(dir: &Path, phrases: &[String]) -> anyhow::Result<Searched> {
    let mut patterns: Vec<(Vec<u8>, usize)> = phrases
        .iter()
        .enumerate()
        .flat_map(|(index, phrase)| forms(phrase).into_iter().map(move |form| (form, index)))
        .collect();
    patterns.sort();
    patterns.dedup_by(|one, other| one.0 == other.0);
    let automaton = DoubleArrayAhoCorasick::<usize>::with_values(patterns)
        .map_err(|error| anyhow::anyhow!("the phrases make no automaton: {error}"))?;
    let mut searched = Searched::default();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = std::fs::read_dir(&dir).with_context(|| format!("{}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
                continue;
            }
            let path = entry.path();
            let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
            searched.files += 1;
            searched.bytes += bytes.len() as u64;
            let mut indexes: Vec<usize> = automaton
                .find_overlapping_iter(&bytes)
                .map(|found| found.value())
                .collect();
            indexes.sort_unstable();
            indexes.dedup();
            let found = indexes.into_iter().filter_map(|index| phrases.get(index));
            searched
                .found
                .extend(found.map(|phrase| (path.clone(), phrase.clone())));
        }
    }
    Ok(searched)
}

/// How a phrase may lie in a file.
fn forms(phrase: &str) -> Vec<Vec<u8>> {
    let mut forms = search::forms(phrase);
    let url_safe = |form: &Vec<u8>| {
        let swapped = form.iter().map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        swapped.collect()
    };
    let others: Vec<_> = forms.iter().map(url_safe).collect();
    forms.extend(others);
    forms
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn phrases_are_found_in_every_form_and_only_where_they_are() {
        let phrase = "油焖春笋的做法";
        let around = |offset: usize| format!("{}{phrase}尾", "x".repeat(offset));
        let mut files: Vec<(&str, Vec<u8>)> = vec![
            ("utf8", format!("甲{phrase}乙").into_bytes()),
            (
                "little",
                phrase.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            ),
            (
                "big",
                phrase.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            ),
        ];
        for (name, offset) in [("base0", 0), ("base1", 1), ("base2", 2)] {
            files.push((name, STANDARD_NO_PAD.encode(around(offset)).into_bytes()));
        }
        files.push(("url", URL_SAFE_NO_PAD.encode(around(1)).into_bytes()));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        for (name, bytes) in &files {
            std::fs::write(dir.path().join("below").join(name), bytes).unwrap();
        }
        std::fs::write(dir.path().join("clean"), "油焖春天的笋").unwrap();
        let searched =
            search_all(dir.path(), &[phrase.to_owned(), "别的词语啊".to_owned()]).unwrap();
        let mut names: Vec<_> = searched
            .found
            .iter()
            .map(|(path, found)| {
                assert_eq!(found, phrase);
                path.file_name().unwrap().to_str().unwrap()
            })
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["base0", "base1", "base2", "big", "little", "url", "utf8"]
        );
        assert_eq!(searched.files, 8);
    }
}
