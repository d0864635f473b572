//! What the demo prints for the person who started it, in Chinese and in English.

use std::fmt::Write as _;

use super::day::Fate;
use super::stage::{OFFICE, PASSWORD, Stage};

/// Address, logins, what to look at first.
pub fn text(stage: &Stage) -> String {
    let mut text = String::new();
    let console = &stage.collector.addresses().console;
    let date = stage.date;
    let mut line = |words: &str| writeln!(text, "{words}").expect("writing to memory");
    line("");
    line(&format!(
        "  明镜演示  控制台：{console}   （演示证书由自建 CA 签发，浏览器提示时选择继续）"
    ));
    line(&format!(
        "  Mingjing demo, console: {console}   (its certificate is of the demo's own authority: accept it)"
    ));
    line("");
    line(&format!("  登录密码都是 / every password:  {PASSWORD}"));
    for (login, what) in office() {
        line(&format!("    {login:<10}{what}"));
    }
    if let Some(first) = stage.phones.first() {
        line(&format!(
            "    {:<10}员工 {}：自己的记录、谁看过我 / an employee: own findings, who read them",
            first.person.login, first.person.name
        ));
    }
    line("");
    line("  先看什么 / what to look at first");
    line("    1. reviewer → 预警：预警边演示边到达；打开一条要先写理由，打开即留痕");
    line(
        "       reviewer → Alerts: they arrive while the day runs; opening one asks for a reason and is logged",
    );
    line("    2. admin → 手机：十二部手机的状态；管理员看不到任何聊天内容");
    line(
        "       admin → Phones: the state of twelve phones; the administrator sees no content at all",
    );
    line("    3. auditor → 审计：刚才的每一次查看；员工登录后能看到谁看过自己");
    line("       auditor → Audit: every look just taken; the employee sees it too");
    line("");
    line(&format!("  这一天（{date}）/ this day ({date})"));
    for player in &stage.phones {
        let (zh, en) = match player.person.fate {
            Fate::Works => continue,
            Fate::Refuses => ("不同意采集：零记录", "refuses consent: nothing is kept"),
            Fate::Withdraws { .. } => (
                "14:40 撤回同意：此后零记录",
                "withdraws at 14:40: nothing after",
            ),
            Fate::Offline { .. } => (
                "10:20–11:34 断网：之后补传",
                "no network 10:20-11:34: sent afterwards",
            ),
            Fate::Revoked { .. } => (
                "15:30 证书吊销：一秒内断开",
                "certificate revoked at 15:30: cut off",
            ),
        };
        line(&format!(
            "    {:<10}{}  {zh} / {en}",
            player.person.login, player.person.name
        ));
    }
    line("");
    line("  全天约一分钟放到 16:30，之后放慢，新预警陆续出现；按 Ctrl-C 结束。");
    line("  The day runs to 16:30 in about a minute and then slowly on; Ctrl-C ends the demo.");
    line("");
    text
}

fn office() -> impl Iterator<Item = (&'static str, &'static str)> {
    let words = [
        "管理员：手机、账号、设置，无内容 / IT: phones, accounts, settings, no content",
        "审阅员：全公司预警与理由 / reviews alerts of all departments",
        "销售一部负责人：本部门 / head of one department: that department only",
        "审计员：操作日志 / the audit log",
        "制度管理：规则、词库、告知书 / rules, words, notices",
        "隐私专员：个人请求、审批 / subject requests, approvals",
    ];
    OFFICE.iter().map(|it| it.0).zip(words)
}
