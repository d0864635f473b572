//! A replay that is killed goes on without loss or doubles.

use std::io::Write;

use mingjing_proto::json::signal_to_line;

use super::*;
use crate::replay::{self, Options};

#[test]
fn a_killed_replay_goes_on_after_the_last_line_on_the_disk() {
    let mut phone = Phone::informed();
    phone.grant(&Category::CONSENTED);
    let page = phone.page(
        ".plugin.setting.ui.setting.SettingsPersonalInfoUI",
        "微信号：wxid_work",
    );
    let path = phone.dir.path().join("day.jsonl");
    let mut file = std::fs::File::create(&path).expect("a file");
    let mut signals = vec![page];
    for number in 0..9 {
        let mut signal = phone.message("王经理", &format!("第{number}条"));
        signal.at_ms += 60_000 + number * 1_000;
        signals.push(signal);
    }
    for signal in &mut signals {
        signal.elapsed_ms = 0;
        writeln!(file, "{}", signal_to_line(signal)).expect("written");
    }
    let options = Options {
        speed: 0.0,
        signals_per_call: 2,
    };
    for calls in [2, 1, 100] {
        let mut left = calls;
        let go_on = || {
            left -= 1;
            left >= 0
        };
        replay::run(phone.agent(), &path, options, go_on).expect("replayed");
        phone.start();
    }
    let texts: Vec<String> = phone.waiting().into_iter().map(|it| it.text).collect();
    let expected: Vec<String> = (0..9).map(|number| format!("第{number}条")).collect();
    assert_eq!(texts, expected);
    assert_eq!(phone.agent().status().input_line, 10);
}

#[test]
fn a_broken_line_is_named() {
    let phone = Phone::informed();
    let path = phone.dir.path().join("day.jsonl");
    std::fs::write(&path, "\n{\"at\": 5}\n").expect("written");
    let error = replay::run(phone.agent(), &path, Options::default(), || true);
    let error = error.expect_err("not a signal").to_string();
    assert!(error.contains("day.jsonl:2"), "{error}");
}
