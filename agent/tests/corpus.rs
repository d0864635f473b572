//! The corpus: signals and the activities they must become (docs/recognition.md).
//!
//! Two folders with their own scores: `corpus` may be read while packs are written, `heldout` may not,
//! so a failing held-out case shows its name only, unless `MINGJING_SHOW_HELDOUT=1`. `MINGJING_CORPUS`
//! names a further folder of such files, whose scores are printed file by file and judge nothing.

use std::fmt::Write as _;
use std::path::Path;

use mingjing_agent::pack::PackSet;
use mingjing_agent::proof::recording::{Pass, Recording, off_account};
use mingjing_agent::recognise::{Recogniser, Watch};
use mingjing_agent::scope::without_text;
use mingjing_proto::json;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(alias = "name")]
    case: String,
    #[serde(default)]
    trap: bool,
    #[serde(default)]
    about: String,
    signals: Vec<Value>,
    expect: Vec<Map<String, Value>>,
    #[serde(default)]
    forbid: Vec<Map<String, Value>>,
    #[serde(default)]
    account_name: String,
    #[serde(default)]
    watched_since: Option<String>,
    /// The account begins unproven.
    #[serde(default)]
    prove: bool,
}

#[derive(Default)]
struct Score {
    right: usize,
    all: usize,
    forbidden: usize,
}

/// What the case's signals become, as JSON.
fn recognised(case: &Case) -> Vec<Value> {
    let mut recogniser = Recogniser::new(PackSet::builtin());
    let since_ms = case.watched_since.as_ref().map_or(0, |at| {
        json::parse_rfc3339(at, "watched_since").expect("a time").0
    });
    let private = |_: &str| false;
    let packs = PackSet::builtin();
    let mut gate = Recording::new(0, case.prove, None);
    let mut activities = Vec::new();
    for signal in &case.signals {
        let signal = json::signal_from_line(&signal.to_string())
            .unwrap_or_else(|error| panic!("{}: {error}", case.case));
        let pass = gate.pass(&packs, &signal);
        let watched_ms = match pass {
            Pass::Read { since_ms } | Pass::Ends { since_ms } => since_ms,
            Pass::Window | Pass::OffAccount | Pass::Drop => 0,
        };
        let watch = Watch {
            own_name: &case.account_name,
            since_ms: since_ms.max(watched_ms),
            private: &private,
        };
        let found = match pass {
            Pass::Read { .. } | Pass::Ends { .. } => recogniser.recognise(&signal, &watch),
            Pass::Window => recogniser.recognise(&without_text(&signal), &watch),
            Pass::OffAccount => vec![off_account(&signal)],
            Pass::Drop => Vec::new(),
        };
        if matches!(pass, Pass::Ends { .. }) {
            recogniser.forget();
        }
        for activity in found {
            let line = json::activity_to_line("work", &activity);
            activities.push(serde_json::from_str(&line).expect("what was just written"));
        }
    }
    activities
}

/// Whether an activity has every field the expectation names; an absent field is empty.
fn agrees(activity: &Value, expected: &Map<String, Value>) -> bool {
    expected.iter().all(|(field, expected)| {
        let seen = activity.get(field).unwrap_or(&Value::Null);
        match (expected, seen) {
            (Value::Object(expected), seen) => agrees(seen, expected),
            (Value::String(expected), Value::Null) => expected.is_empty(),
            (Value::Array(expected), Value::Null) => expected.is_empty(),
            (Value::String(expected), Value::String(seen)) if field == "at" => {
                let moment = |text: &str| json::parse_rfc3339(text, "at").ok().map(|it| it.0);
                moment(expected) == moment(seen)
            }
            (expected, seen) => expected == seen,
        }
    })
}

fn run(folder: &Path, shown: bool, report: &mut String) -> Score {
    let mut score = Score::default();
    let Ok(files) = std::fs::read_dir(folder) else {
        return score;
    };
    let mut files: Vec<_> = files.map(|it| it.expect("a folder entry").path()).collect();
    files.retain(|it| it.extension().is_some_and(|it| it == "jsonl"));
    files.sort();
    for file in &files {
        let (right_before, before) = (score.right, score.all);
        let text = std::fs::read_to_string(file).expect("a corpus file");
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let case: Case = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{name}:{}: {error}", index + 1));
            let seen = recognised(&case);
            let forbidden = seen
                .iter()
                .any(|activity| case.forbid.iter().any(|it| agrees(activity, it)));
            let right = !forbidden
                && seen.len() == case.expect.len()
                && seen
                    .iter()
                    .zip(&case.expect)
                    .all(|(seen, expected)| agrees(seen, expected));
            score.all += 1;
            score.forbidden += usize::from(forbidden);
            score.right += usize::from(right);
            if !right {
                let place = format!("{name}:{}", index + 1);
                describe(
                    report,
                    &case,
                    &place,
                    if shown { Some(&seen) } else { None },
                );
            }
        }
        let (right, all) = (score.right - right_before, score.all - before);
        writeln!(report, "{name}: {right}/{all}").expect("writing to a string");
    }
    score
}

fn describe(report: &mut String, case: &Case, place: &str, seen: Option<&Vec<Value>>) {
    let trap = if case.trap { " trap" } else { "" };
    let mut line = |text: String| writeln!(report, "{text}").expect("writing to a string");
    let Some(seen) = seen else {
        return line(format!("wrong: {}", case.case));
    };
    line(format!(
        "wrong: {} ({place}){trap} {}",
        case.case, case.about
    ));
    for (what, list) in [("expected ", &case.expect), ("forbidden", &case.forbid)] {
        for it in list {
            line(format!("  {what} {}", Value::Object(it.clone())));
        }
    }
    for it in seen {
        line(format!("  seen      {it}"));
    }
}

#[test]
fn every_case_becomes_what_it_must() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut report = String::new();
    let visible = run(&fixtures.join("corpus"), true, &mut report);
    let show = std::env::var("MINGJING_SHOW_HELDOUT").is_ok_and(|it| it == "1");
    let heldout = run(&fixtures.join("heldout"), show, &mut report);
    if let Some(folder) = std::env::var_os("MINGJING_CORPUS") {
        let further = run(Path::new(&folder), true, &mut report);
        println!(
            "{}: {}/{} right, {} forbidden readings",
            folder.display(),
            further.right,
            further.all,
            further.forbidden
        );
    }
    println!("{report}");
    for (name, score) in [("visible", &visible), ("heldout", &heldout)] {
        let Score {
            right,
            all,
            forbidden,
        } = score;
        println!("{name}: {right}/{all} right, {forbidden} forbidden readings");
    }
    assert_eq!(visible.right, visible.all, "visible cases are wrong");
    assert_eq!(heldout.right, heldout.all, "held-out cases are wrong");
}
