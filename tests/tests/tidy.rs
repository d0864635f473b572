//! What a stranger would trip over: long files, machine paths, soft tests, dead links.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tracked(patterns: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root())
        .args(["ls-files", "--"])
        .args(patterns)
        .output()
        .expect("git lists the files");
    String::from_utf8(output.stdout)
        .expect("paths are UTF-8")
        .lines()
        .map(|line| root().join(line))
        .filter(|path| path.exists())
        .collect()
}

/// A file of over 800 lines is one where everything meets.
#[test]
fn no_source_file_passes_800_lines() {
    for path in tracked(&["*.rs", "*.java", "*.js"]) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 800, "{}: {lines} lines; split it", path.display());
    }
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    for path in tracked(&["*.rs"]) {
        if path.ends_with("tests/tests/tidy.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for soft in ["#[ignore", "todo!(", "unimplemented!("] {
            assert!(!text.contains(soft), "{} holds {soft}", path.display());
        }
    }
}

#[test]
fn the_top_level_is_the_designs() {
    const SHOWN: [&str; 11] = [
        "Cargo.toml",
        "Cargo.lock",
        "agent",
        "collector",
        "proto",
        "android",
        "tests",
        "docs",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
    ];
    for path in tracked(&["."]) {
        let relative = path.strip_prefix(root()).unwrap();
        let first = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_string_lossy()
            .into_owned();
        assert!(
            first.starts_with('.') || SHOWN.contains(&first.as_str()),
            "{first} is not the design's"
        );
    }
}

/// A link in a document leads to a file that exists.
#[test]
fn links_between_documents_lead_somewhere() {
    for path in tracked(&["*.md"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.contains("://") || target.starts_with('#') || target.is_empty() {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let there = path.parent().unwrap().join(file);
            assert!(
                there.exists(),
                "{}: {target} does not exist",
                path.display()
            );
        }
    }
}
