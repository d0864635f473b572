use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::normalise::normalise;

fn builtin() -> RuleSet {
    RuleSet::builtin().unwrap_or_else(|error| panic!("{error}"))
}

fn message(text: &str, direction: pb::Direction) -> pb::Activity {
    pb::Activity {
        kind: pb::Kind::Message.into(),
        direction: direction.into(),
        content: "text".to_owned(),
        text: text.to_owned(),
        ..pb::Activity::default()
    }
}

fn hits(set: &RuleSet, activity: &pb::Activity) -> Vec<Hit> {
    let normalised = normalise(&activity.text);
    let event = Event {
        account: "work",
        department: "sales",
        class: "employee",
        local_minute_of_day: 600,
        weekday: 2,
        activity,
        normalised: &normalised,
    };
    let mut out = Vec::new();
    set.judge(&event, &MemoryCounts::default(), &mut out);
    out
}

fn ids(set: &RuleSet, text: &str) -> Vec<String> {
    let activity = message(text, pb::Direction::Out);
    let hits = hits(set, &activity);
    hits.iter().map(|hit| set.at(hit.rule).id.clone()).collect()
}

/// Loads one rule and one lexicon from files and answers the error, if any.
fn load(rule: &str, lexicon: &str) -> Result<RuleSet, String> {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("rule.yaml"), rule).expect("written");
    fs::write(dir.path().join("words.txt"), lexicon).expect("written");
    RuleSet::load(Some((dir.path(), dir.path())), None).map_err(|error| error.to_string())
}

const RULE: &str = "\
id: kickback
title: {zh: 返点, en: Kickback}
article: 第1条
level: high
kinds: [message]
words: {lexicons: [words]}
examples:
  hit: [给你返点]
  miss: [返点政策见附件]
";

#[test]
fn every_shipped_file_is_compiled_in() {
    for (folder, listed) in [
        ("rules", shipped::RULES.as_slice()),
        ("lexicons", shipped::LEXICONS.as_slice()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let there: BTreeSet<String> = fs::read_dir(path)
            .expect("the folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let listed: BTreeSet<String> = listed.iter().map(|file| file.0.to_owned()).collect();
        assert_eq!(there, listed, "{folder}");
    }
}

#[test]
fn each_of_the_ten_harms_has_a_rule_in_force() {
    let set = builtin();
    for harm in 22..=31 {
        let harm = format!("S{harm}");
        let covers = |rule: &Rule| rule.status == Status::Active && rule.covers.contains(&harm);
        assert!(set.rules().any(covers), "{harm}");
    }
}

#[test]
fn honest_talk_is_silent() {
    let set = builtin();
    for line in include_str!("tests/honest.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        assert_eq!(ids(&set, line), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn what_customers_say_is_not_held_against_employees() {
    let set = builtin();
    for line in include_str!("tests/harmful.txt").lines() {
        let Some((_, text)) = line.split_once('\t') else {
            continue;
        };
        let activity = message(text, pb::Direction::In);
        let hits = hits(&set, &activity);
        let of = hits.iter().map(|hit| set.at(hit.rule).id.as_str());
        assert!(
            of.clone()
                .all(|id| id == "s25-customer-says-paid-privately"),
            "{text}"
        );
    }
}

#[test]
fn harmful_talk_is_found_with_its_words() {
    let set = builtin();
    for line in include_str!("tests/harmful.txt").lines() {
        let Some((id, text)) = line.split_once('\t') else {
            continue;
        };
        let activity = message(text, pb::Direction::Out);
        let hits = hits(&set, &activity);
        let hit = hits.iter().find(|hit| set.at(hit.rule).id.contains(id));
        let hit = hit.unwrap_or_else(|| panic!("{line}"));
        for span in &hit.spans {
            assert!(
                text.get(span.range.clone())
                    .is_some_and(|part| !part.is_empty()),
                "{line}"
            );
        }
    }
}

#[test]
fn disguises_change_nothing() {
    let set = builtin();
    for (id, texts) in [
        (
            "private-contact",
            &[
                "加我薇信",
                "加我威❤信",
                "V❤",
                "加微❤信私下聊",
                "vx",
                "➕V",
                "ＶＸ：１２３",
                "加 我 v x",
                "加我\u{200b}薇\u{200b}信",
            ][..],
        ),
        (
            "s25-payment-diverted",
            &[
                "私下打给我",
                "私.下.打.给.我",
                "打我私人卡",
                "打我俬人卡",
                "转我個人帳戶",
            ][..],
        ),
        (
            "s24-price-difference",
            &["返点", "返 點", "返😀点", "回*扣", "回，扣"][..],
        ),
        (
            "s22-own-product",
            &["别跟公司说", "別 跟 公 司 說", "我另外有货", "比公司便宜"][..],
        ),
    ] {
        for text in texts {
            let found = ids(&set, text);
            assert!(found.iter().any(|found| found == id), "{text}: {found:?}");
        }
    }
}

#[test]
fn problems_name_file_line_and_cure() {
    for (rule, lexicon, expected) in [
        (RULE.to_owned(), "返点\n!返点政策", None),
        (
            RULE.to_owned(),
            "返点",
            Some("rule.yaml:9: this example of `kickback` should miss"),
        ),
        (
            RULE.to_owned(),
            "好处",
            Some("rule.yaml:8: this example of `kickback` should hit"),
        ),
        (
            RULE.to_owned(),
            "返点\n{好处",
            Some("words.txt:2: a brace is not closed"),
        ),
        (
            RULE.replace("[words]", "[other]"),
            "返点",
            Some("rule.yaml:6: there is no lexicon `other`; add other.txt"),
        ),
        (
            RULE.replace("[message]", "[letter]"),
            "返点",
            Some("rule.yaml:5: `letter` is not a kind"),
        ),
        (
            RULE.replace("level: high", "level: hot"),
            "返点",
            Some("rule.yaml:4:"),
        ),
        (
            RULE.replace("level: high", "level: high\nlvl: 1"),
            "返点",
            Some("rule.yaml:5:"),
        ),
        (
            RULE.replace("  miss: [返点政策见附件]\n", ""),
            "返点",
            Some("has no miss example; add one"),
        ),
        (
            format!("{RULE}where: hour > 3\n"),
            "返点",
            Some("rule.yaml:10: `where` asks for `hour`"),
        ),
        (
            format!("{RULE}count: {{over: 3, within: 1y, by: peer}}\n"),
            "返点",
            Some("rule.yaml:10: `1y` is not a window"),
        ),
        (
            format!("{RULE}hours: {{from: 9, to: \"18:00\"}}\n"),
            "返点",
            Some("rule.yaml:10: `9` is not a time of day"),
        ),
    ] {
        match (load(&rule, lexicon), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => assert!(error.contains(expected), "{error}"),
            (result, _) => panic!("{expected:?}: {:?}", result.err()),
        }
    }
}

#[test]
fn all_problems_are_told_at_once_and_a_site_replaces_by_id() {
    let rule = format!("{}where: hour > 3\n", RULE.replace("[words]", "[other]"));
    let error = load(&rule, "{好处").expect_err("three problems");
    assert!(error.starts_with("3 problems"), "{error}");

    let dir = tempfile::tempdir().expect("a folder");
    let rule = RULE.replace("kickback", "s28-contact-deleted");
    fs::write(dir.path().join("rule.yaml"), rule).expect("written");
    fs::write(dir.path().join("words.txt"), "返点\n!返点政策").expect("written");
    let set = RuleSet::load(None, Some((dir.path(), dir.path()))).expect("loads");
    let shipped = builtin();
    assert_eq!(set.rules().count(), shipped.rules().count());
    assert_eq!(
        set.rule("s28-contact-deleted").map(|rule| &*rule.title_en),
        Some("Kickback")
    );
    assert_ne!(set.version(), shipped.version());
    assert_eq!(builtin().version(), shipped.version());
}

#[test]
fn amounts_hours_scopes_and_counts_narrow_a_rule() {
    let rule = "\
id: many-large-transfers
title: {zh: 大额, en: Large}
article: 第1条
level: high
kinds: [transfer_sent]
direction: out
scope: {departments: [sales]}
amount: {min: 100000}
hours: {from: \"22:00\", to: \"06:00\", days: [5]}
count: {over: 2, within: 1h, by: peer}
where: peer != '财务'
examples:
  hit:
    - {amount_fen: 100000, peer: 甲, department: sales, time: \"23:00\", weekday: 5, times: 3}
    - {amount_fen: 100000, peer: 甲, department: sales, time: \"05:59\", weekday: 6, times: 3}
  miss:
    - {amount_fen: 100000, peer: 甲, department: sales, time: \"23:00\", weekday: 5, times: 2}
    - {amount_fen: 99999, peer: 甲, department: sales, time: \"23:00\", weekday: 5, times: 3}
    - {peer: 甲, department: sales, time: \"23:00\", weekday: 5, times: 3}
    - {amount_fen: 100000, peer: 财务, department: sales, time: \"23:00\", weekday: 5, times: 3}
    - {amount_fen: 100000, peer: 甲, department: support, time: \"23:00\", weekday: 5, times: 3}
    - {amount_fen: 100000, peer: 甲, department: sales, time: \"23:00\", weekday: 6, times: 3}
    - {amount_fen: 100000, peer: 甲, department: sales, time: \"21:59\", weekday: 5, times: 3}
    - {amount_fen: 100000, peer: 甲, department: sales, time: \"23:00\", weekday: 5, times: 3, direction: in}
";
    load(rule, "").unwrap_or_else(|error| panic!("{error}"));
}

proptest! {
    #[test]
    fn separators_between_the_characters_of_a_word_do_not_hide_it(
        word in prop::sample::select(vec!["回扣", "别告诉公司", "走私单", "私人账户", "聊天记录删了"]),
        gaps in prop::collection::vec(
            prop::sample::select(vec!["", " ", "　", "·", "*", "-", "🌹", "❤️", "\u{200b}", "~", "/", "_"]), 8),
    ) {
        thread_local!(static SET: RuleSet = builtin());
        let mut text = String::new();
        for (char, gap) in word.chars().zip(gaps.iter().cycle()) {
            text.push(char);
            text.push_str(gap);
        }
        let (plain, disguised) = SET.with(|set| (ids(set, word), ids(set, &text)));
        for id in plain {
            prop_assert!(disguised.contains(&id), "{} {}", text, id);
        }
    }
}

#[test]
fn a_set_is_shared_between_threads() {
    fn shared<T: Send + Sync + fmt::Debug>(_: &T) {}
    shared(&builtin());
}

#[test]
fn a_text_full_of_words_gives_bounded_hits() {
    let set = builtin();
    for text in ["回扣".repeat(650), "别跟我们公司说我给你".repeat(130)] {
        let activity = message(&text, pb::Direction::Out);
        let hits = hits(&set, &activity);
        assert!(!hits.is_empty());
        assert!(hits.iter().all(|hit| hit.spans.len() <= 32));
    }
}
