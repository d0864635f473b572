//! `pack check`: loads packs as the agent would and says what they hold.
//!
//! Invariant: what passes here loads on a phone, and nothing else does.

use super::{PackError, PackSet, source};

/// What a set of packs holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// Patterns, each with a hit and a miss that hold.
    pub patterns: usize,
    /// Examples tried.
    pub examples: usize,
    /// Window classes known.
    pub windows: usize,
}

/// Checks a set of packs.
pub fn check_files(files: &[(String, String)]) -> Result<Checked, PackError> {
    let set = PackSet::from_files(1, files)?;
    let sources = source::read(files)?;
    Ok(Checked {
        patterns: set.packs.iter().map(|it| it.patterns.len()).sum(),
        examples: sources
            .iter()
            .flat_map(|it| &it.patterns)
            .map(|it| it.hit.len() + it.miss.len())
            .sum(),
        windows: set.packs.iter().map(|it| it.windows.len()).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{BUILTIN, WindowRole};
    use super::*;

    fn pack(patterns: &str) -> Vec<(String, String)> {
        let yaml = format!("pack: t\npackages: [com.tencent.mm]\npatterns:\n{patterns}");
        vec![("t.yaml".to_owned(), yaml)]
    }

    #[test]
    fn the_shipped_packs_hold_their_examples() {
        let files = BUILTIN.map(|(name, json)| (name.to_owned(), json.to_owned()));
        let checked = match check_files(&files) {
            Ok(checked) => checked,
            Err(error) => panic!("{error}"),
        };
        assert!(checked.examples >= 2 * checked.patterns);
    }

    #[test]
    fn the_packs_compiled_in_say_what_their_authors_wrote() {
        for (name, json) in BUILTIN {
            let name = name.replace(".json", ".yaml");
            let path = format!("{}/packs/{name}", env!("CARGO_MANIFEST_DIR"));
            let yaml = std::fs::read_to_string(path).expect("an author's file");
            let read = |text: &str| source::read(&[(name.clone(), text.to_owned())]);
            let (author, phone) = (read(&yaml).expect("YAML"), read(json).expect("JSON"));
            assert_eq!(format!("{author:?}"), format!("{phone:?}"));
        }
    }

    #[test]
    fn a_bad_pack_of_a_phone_names_what_is_wrong() {
        for (json, expected) in [
            (r#"{"pack":"t""#, "t.json:1: EOF while parsing"),
            (
                r#"{"pack":"t","packages":[],"shout":1}"#,
                "unknown field `shout`",
            ),
            (
                r#"{"pack":"t","packages":[],"versions":[{"from":7,"to":"8"}]}"#,
                "expected a string",
            ),
            (
                r#"{"pack":"t","packages":[],"patterns":[{"id":"a","place":"system","text":"x","hit":["z"],"miss":["y"]}]}"#,
                "pattern a: ",
            ),
        ] {
            let files = [("t.json".to_owned(), json.to_owned())];
            let error = check_files(&files).expect_err("must be refused");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_bad_pack_names_file_line_and_cure() {
        for (patterns, expected) in [
            (
                "  - {id: a, place: system, text: '(', hit: [x], miss: [w]}",
                "correct the expression",
            ),
            (
                "  - id: a\n    place: system\n    text: x\n    hit: [x]\n    miss: []",
                "t.yaml:4: pattern a: no example; give at least one hit and one miss",
            ),
            (
                "  - id: a\n    place: system\n    text: x\n    hit: [z]\n    miss: [w]",
                "misses its hit",
            ),
            (
                "  - id: a\n    place: system\n    text: x\n    hit: [x]\n    miss: [xy]",
                "hits its miss",
            ),
            (
                "  - id: a\n    place: nowhere\n    text: x\n    hit: [x]\n    miss: [w]",
                "t.yaml:5",
            ),
            (
                "  - id: a\n    place: system\n    text: x\n    hit: [1]\n    miss: [w]",
                "The string value [1] must be quoted",
            ),
            (
                "  - id: a\n    place: system\n    kind: nonsense\n    text: x\n    hit: [x]\n    miss: [w]",
                "use a kind of activity.proto",
            ),
            (
                "  - id: a\n    place: system\n    text: 'x{{nope}}'\n    hit: [x]\n    miss: [w]",
                "no words nope; add them under words:",
            ),
            (
                "  - id: a\n    place: system\n    shout: 1\n    text: x\n    hit: [x]\n    miss: [w]",
                "docs/recognition.md",
            ),
        ] {
            let error = check_files(&pack(patterns)).expect_err("must be refused");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_version_stands_somewhere_against_the_packs() {
        let packs = PackSet::builtin();
        for (package, version, fit) in [
            ("com.tencent.mm", "8.0.56", "fits"),
            ("com.tencent.mm", "6.3.1", "older"),
            ("com.tencent.wework", "9.1", "newer"),
            ("com.tencent.mm", "", "unknown"),
            ("com.example", "1.0", "unknown"),
        ] {
            assert_eq!(packs.fit(package, version), fit, "{package} {version}");
        }
    }

    #[test]
    fn windows_are_known_by_class_name_short_or_whole() {
        let packs = PackSet::builtin();
        for (package, class, role) in [
            ("com.tencent.mm", ".ui.LauncherUI", WindowRole::Main),
            (
                "com.tencent.mm",
                "com.tencent.mm.ui.LauncherUI",
                WindowRole::Main,
            ),
            (
                "com.tencent.mm",
                "com.tencent.mm.ui.chatting.ChattingUI",
                WindowRole::Chat,
            ),
            (
                "com.tencent.mm",
                "com.tencent.mm.plugin.sns.ui.SnsTimeLineUI",
                WindowRole::Moments,
            ),
            (
                "com.tencent.mm",
                ".plugin.profile.ui.ContactInfoUI",
                WindowRole::Profile,
            ),
            (
                "com.tencent.mm",
                "com.tencent.mm.plugin.webwx.ui.ExtDeviceWXLoginUI",
                WindowRole::DesktopLogin,
            ),
            (
                "com.tencent.mm",
                ".plugin.account.ui.LoginPasswordUI",
                WindowRole::Login,
            ),
            (
                "com.tencent.wework",
                "com.tencent.wework.msg.controller.MessageListActivity",
                WindowRole::Chat,
            ),
            (
                "com.tencent.wework",
                "MessageListActivity",
                WindowRole::Chat,
            ),
            ("com.example", ".ui.LauncherUI", WindowRole::Other),
        ] {
            assert_eq!(packs.window(package, class), role, "{class}");
        }
    }
}
