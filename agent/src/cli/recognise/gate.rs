//! Whose signals these are: the account proof for a recording of one account.
//!
//! Invariants:
//! - only the account's own page proves; a login or switch page ends the proof;
//! - unless told otherwise a recording begins proven, and is only proven again by the id it showed before;
//! - what is dropped is not read.

use std::collections::BTreeMap;

use mingjing_agent::pack::{PackSet, WindowRole};
use mingjing_proto::pb::signal::Body;
use mingjing_proto::pb::{self, Confidence, Direction, Kind, Source};

/// What happens to a signal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Read it; the watch began then.
    Read { since_ms: i64 },
    /// Read it, then forget everything: the account is not proven any more.
    Ends { since_ms: i64 },
    /// Drop it, and say once that the account is not proven.
    OffAccount,
    /// Drop it.
    Drop,
}

/// The state of every app's account.
#[derive(Debug)]
pub(crate) struct Gate {
    user: u32,
    prove: bool,
    shown_id: Option<String>,
    apps: BTreeMap<String, App>,
}

#[derive(Debug)]
struct App {
    proven: bool,
    since_ms: i64,
    shown: Option<String>,
    told: bool,
}

impl Gate {
    pub(crate) fn new(user: u32, prove: bool, shown_id: Option<String>) -> Self {
        Self {
            user,
            prove,
            shown_id,
            apps: BTreeMap::new(),
        }
    }

    /// Decides about one signal.
    pub(crate) fn pass(&mut self, packs: &PackSet, signal: &pb::Signal) -> Pass {
        if signal.user != self.user {
            return Pass::Drop;
        }
        if let Some(Body::State(state)) = &signal.body {
            if self.prove && is_break(state) {
                self.apps.clear();
            }
            return Pass::Read { since_ms: 0 };
        }
        let prove = self.prove;
        let wanted = self.shown_id.clone();
        let app = self
            .apps
            .entry(signal.package.clone())
            .or_insert_with(|| App {
                proven: !prove,
                since_ms: 0,
                shown: wanted,
                told: false,
            });
        let since_ms = app.since_ms;
        if let Some(Body::Screen(screen)) = &signal.body {
            let role = packs.window(&signal.package, &screen.window);
            if matches!(role, WindowRole::Login | WindowRole::SwitchAccount) {
                let was = std::mem::replace(&mut app.proven, false);
                app.told = !prove;
                return if was {
                    Pass::Ends { since_ms }
                } else {
                    Pass::Drop
                };
            }
            if let Some(id) = packs.shown_account_id(&signal.package, screen) {
                app.shown_id(id, signal.at_ms, prove);
            }
        }
        match (app.proven, std::mem::replace(&mut app.told, true)) {
            (true, _) => Pass::Read {
                since_ms: app.since_ms,
            },
            (false, false) => Pass::OffAccount,
            (false, true) => Pass::Drop,
        }
    }
}

impl App {
    fn shown_id(&mut self, id: &str, at_ms: i64, prove: bool) {
        let known = self.shown.as_deref();
        let first = known.is_none() && (self.proven || prove);
        if first || known == Some(id) {
            self.shown.get_or_insert_with(|| id.to_owned());
            if !self.proven {
                self.since_ms = at_ms;
            }
            self.proven = true;
            self.told = false;
        } else {
            // Somebody else's page: the account was switched unseen.
            self.proven = false;
            self.told = !prove;
        }
    }
}

/// The watch was interrupted: an account may have been switched meanwhile.
fn is_break(state: &pb::DeviceState) -> bool {
    let off = matches!(
        state.value.as_str(),
        "off" | "false" | "0" | "no" | "disabled" | "disconnected" | "lost"
    );
    match state.kind.as_str() {
        "boot" | "app_update" => true,
        "listener" | "accessibility" => off,
        _ => false,
    }
}

/// `coverage: off_account`.
pub(crate) fn off_account(signal: &pb::Signal) -> pb::Activity {
    pb::Activity {
        at_ms: signal.at_ms,
        utc_offset_min: signal.utc_offset_min,
        kind: Kind::Coverage.into(),
        direction: Direction::None.into(),
        content: "off_account".to_owned(),
        source: Source::State.into(),
        confidence: Confidence::Certain.into(),
        ..pb::Activity::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(at_ms: i64, window: &str, text: &str) -> pb::Signal {
        pb::Signal {
            at_ms,
            package: "com.tencent.mm".to_owned(),
            body: Some(Body::Screen(pb::Screen {
                window: window.to_owned(),
                nodes: vec![pb::Node {
                    text: text.to_owned(),
                    ..pb::Node::default()
                }],
                ..pb::Screen::default()
            })),
            ..pb::Signal::default()
        }
    }

    const PAGE: &str = ".plugin.setting.ui.setting.SettingsPersonalInfoUI";
    const SWITCH: &str = ".plugin.setting.ui.setting.SettingsSwitchAccountUI";
    const CHAT: &str = ".ui.chatting.ChattingUI";

    #[test]
    fn only_the_same_account_proves_again() {
        let packs = PackSet::builtin();
        let mut gate = Gate::new(0, false, None);
        for (at, window, text, expected) in [
            (1, PAGE, "微信号：wxid_work1", Pass::Read { since_ms: 0 }),
            (2, CHAT, "好", Pass::Read { since_ms: 0 }),
            (3, SWITCH, "", Pass::Ends { since_ms: 0 }),
            (4, CHAT, "好", Pass::Drop),
            (5, PAGE, "微信号：wxid_private", Pass::Drop),
            (6, CHAT, "好", Pass::Drop),
            (7, PAGE, "微信号：wxid_work1", Pass::Read { since_ms: 7 }),
            (8, CHAT, "好", Pass::Read { since_ms: 7 }),
        ] {
            assert_eq!(
                gate.pass(&packs, &screen(at, window, text)),
                expected,
                "{at}"
            );
        }
    }

    #[test]
    fn proving_begins_unproven_and_says_so_once() {
        let packs = PackSet::builtin();
        let mut gate = Gate::new(0, true, Some("wxid_work1".to_owned()));
        for (at, window, text, expected) in [
            (1, CHAT, "好", Pass::OffAccount),
            (2, CHAT, "好", Pass::Drop),
            (
                3,
                ".plugin.profile.ui.ContactInfoUI",
                "微信号：wxid_work1",
                Pass::Drop,
            ),
            (4, PAGE, "微信号：wxid_other", Pass::Drop),
            (5, PAGE, "微信号：wxid_work1", Pass::Read { since_ms: 5 }),
            (6, CHAT, "好", Pass::Read { since_ms: 5 }),
        ] {
            let seen = gate.pass(&packs, &screen(at, window, text));
            if at == 4 {
                assert_ne!(seen, Pass::Read { since_ms: 4 });
            } else {
                assert_eq!(seen, expected, "{at}");
            }
        }
    }

    #[test]
    fn other_android_users_are_dropped() {
        let packs = PackSet::builtin();
        let mut signal = screen(1, CHAT, "好");
        signal.user = 999;
        assert_eq!(Gate::new(0, false, None).pass(&packs, &signal), Pass::Drop);
    }
}
