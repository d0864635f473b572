//! The commands that read recordings: what they print and how they fail.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use mingjing_proto::pb::Kind;

fn agent(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mingjing-agent"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the agent starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // The command may stop reading at a broken line.
    stdin.write_all(input.as_bytes()).unwrap_or_default();
    drop(stdin);
    child.wait_with_output().expect("the agent ends")
}

const MESSAGE: &str = r#"{"at":"2026-03-02T09:15:00+08:00","package":"com.tencent.mm","notification":{"title":"王芳","text":"合同看过了"}}"#;

#[test]
fn recognise_writes_one_activity_a_line() {
    let output = agent(&["recognise", "--account", "sales-1"], MESSAGE);
    assert!(output.status.success());
    let line = String::from_utf8(output.stdout).expect("text");
    let read = mingjing_proto::json::activity_from_line(line.trim()).expect("an activity");
    assert_eq!(read.account, "sales-1");
    assert_eq!(read.activity.text, "合同看过了");
}

#[test]
fn a_broken_line_is_named_and_not_repeated() {
    let output = agent(
        &["recognise"],
        &format!("{MESSAGE}\n{{\"at\":\"secret\"}}\n"),
    );
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(error.contains("line 2"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn an_unknown_field_is_an_error_that_names_the_line() {
    for broken in [
        MESSAGE.replace("\"package\"", "\"parcel\":1,\"package\""),
        MESSAGE.replace("\"title\"", "\"headline\":\"x\",\"title\""),
        MESSAGE.replace(
            "\"notification\"",
            "\"state\":{\"kind\":\"boot\"},\"notification\"",
        ),
    ] {
        let output = agent(&["recognise"], &format!("{MESSAGE}\n\n{broken}\n"));
        assert_eq!(output.status.code(), Some(1), "{broken}");
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains("line 3"), "{error}");
    }
}

#[test]
fn after_a_login_page_nothing_is_read_but_that_somebody_logged_in() {
    let window = |at: &str, class: &str, text: &str| {
        format!(
            r#"{{"at":"2026-03-02T{at}+08:00","package":"com.tencent.mm","screen":{{"window":"{class}","nodes":[{{"text":"{text}"}}]}}}}"#
        )
    };
    let login = window("09:16:00", ".plugin.account.ui.LoginPasswordUI", "密码");
    let main = window("09:17:00", ".ui.LauncherUI", "妈妈");
    let later = MESSAGE
        .replace("09:15:00", "09:18:00")
        .replace("王芳", "妈妈");
    let output = agent(
        &["recognise"],
        &format!("{MESSAGE}\n{login}\n{main}\n{later}\n"),
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let kinds: Vec<_> = text
        .lines()
        .map(|line| mingjing_proto::json::activity_from_line(line).expect("an activity"))
        .map(|it| it.activity.kind())
        .collect();
    assert_eq!(
        kinds,
        [Kind::Message, Kind::AccountLogout, Kind::AccountLogin]
    );
    assert!(!text.contains("妈妈"), "{text}");
}

#[test]
fn proving_drops_what_came_before_the_account_page() {
    let page = r#"{"at":"2026-03-02T09:16:00+08:00","package":"com.tencent.mm","screen":{"window":".plugin.setting.ui.setting.SettingsPersonalInfoUI","nodes":[{"text":"微信号：wxid_work1"}]}}"#;
    let later = MESSAGE
        .replace("09:15:00", "09:17:00")
        .replace("合同", "报价");
    let output = agent(
        &["recognise", "--prove"],
        &format!("{MESSAGE}\n{page}\n{later}\n"),
    );
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        text.contains("off_account") && text.contains("报价看过了"),
        "{text}"
    );
    assert!(
        !text.contains("合同看过了") && !text.contains("wxid_work1"),
        "{text}"
    );
}

#[test]
fn packs_are_checked_and_dumps_are_masked() {
    assert!(agent(&["pack", "check"], "").status.success());
    let dump = agent(&["dump"], MESSAGE);
    let text = String::from_utf8(dump.stdout).expect("text");
    assert!(
        dump.status.success() && !text.contains("王芳") && !text.contains("合同"),
        "{text}"
    );
}
