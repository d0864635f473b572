//! Whose signals a recording holds: the agent's own proof, for one account.
//!
//! Invariants:
//! - whether an account is proven is decided by [`Watch`] alone;
//! - unless told otherwise a recording begins proven, and is only proven again by the id it showed before;
//! - what is dropped is not read.

use std::collections::BTreeMap;

use mingjing_proto::pb::signal::Body;
use mingjing_proto::pb::{self, Confidence, Direction, Kind, Source};

use super::{Place, Proven, Watch, Whose};
use crate::pack::{PackSet, WindowRole};

/// What happens to a signal.
#[derive(Debug, PartialEq, Eq)]
pub enum Pass {
    /// Read it.
    Read {
        /// When the watch began; 0: before the recording.
        since_ms: i64,
    },
    /// Read it, then forget everything: the account is not proven any more.
    Ends {
        /// When the watch began; 0: before the recording.
        since_ms: i64,
    },
    /// Only the window's class name may be looked at.
    Window,
    /// Drop it, and say once that the account is not proven.
    OffAccount,
    /// Drop it.
    Drop,
}

/// The proof of every app's account.
#[derive(Debug)]
pub struct Recording {
    user: u32,
    prove: bool,
    shown_id: Option<String>,
    watch: Watch,
    apps: BTreeMap<String, App>,
}

/// What is known of one app's account.
#[derive(Debug, Default)]
struct App {
    /// The account, once an id is known.
    accounts: Vec<pb::WorkAccount>,
    /// That it is not proven was said, or need not be.
    told: bool,
}

/// The one account of a recording.
const ACCOUNT: &str = "recorded";

impl Recording {
    /// Of one Android user. `prove`: nothing counts before the account's own page was seen. `shown_id`:
    /// what that page must show; none: what it shows first.
    pub fn new(user: u32, prove: bool, shown_id: Option<String>) -> Self {
        Self {
            user,
            prove,
            shown_id,
            watch: Watch::default(),
            apps: BTreeMap::new(),
        }
    }

    /// Decides about one signal.
    pub fn pass(&mut self, packs: &PackSet, signal: &pb::Signal) -> Pass {
        if signal.user != self.user {
            return Pass::Drop;
        }
        if let Some(Body::State(state)) = &signal.body {
            if self.prove {
                self.watch.state(&signal.package, state);
            }
            return Pass::Read { since_ms: 0 };
        }
        let place = (signal.package.clone(), signal.user);
        self.open(&place);
        let proven = self.watch.proven(&place).is_some();
        let app = self.apps.entry(place.0.clone()).or_default();
        if (proven || self.prove)
            && app.accounts.is_empty()
            && let Some(id) = shown(packs, signal)
        {
            app.accounts.push(account(&place, id));
        }
        let (whose, _) = self
            .watch
            .look(packs, &place, signal, &app.accounts, signal.at_ms);
        match whose {
            Whose::Proven(Proven { since_ms, .. }) => {
                app.told = !self.prove;
                Pass::Read { since_ms }
            }
            Whose::Ends(Proven { since_ms, .. }) => Pass::Ends { since_ms },
            Whose::Nobody if role(packs, signal) == Some(WindowRole::Login) => Pass::Drop,
            Whose::Nobody if role(packs, signal) == Some(WindowRole::SwitchAccount) => Pass::Drop,
            // Somebody logged in; who it is nobody knows, so nothing else is read.
            Whose::Nobody if !self.prove && role(packs, signal) == Some(WindowRole::Main) => {
                Pass::Window
            }
            Whose::Nobody if std::mem::replace(&mut app.told, true) => Pass::Drop,
            Whose::Nobody => Pass::OffAccount,
        }
    }

    /// The first sight of an app.
    fn open(&mut self, place: &Place) {
        if self.apps.contains_key(&place.0) {
            return;
        }
        let known = self.shown_id.as_deref().map(|id| account(place, id));
        let app = App {
            accounts: known.into_iter().collect(),
            told: !self.prove,
        };
        self.apps.insert(place.0.clone(), app);
        if !self.prove {
            let assumed = Proven {
                account: ACCOUNT.to_owned(),
                own_name: String::new(),
                since_ms: 0,
            };
            self.watch.assume(place, assumed);
        }
    }
}

fn account((package, user): &Place, shown_id: &str) -> pb::WorkAccount {
    pb::WorkAccount {
        id: ACCOUNT.to_owned(),
        package: package.clone(),
        user: *user,
        shown_id: shown_id.to_owned(),
        name: String::new(),
    }
}

fn shown<'a>(packs: &PackSet, signal: &'a pb::Signal) -> Option<&'a str> {
    let Some(Body::Screen(screen)) = &signal.body else {
        return None;
    };
    packs.shown_account_id(&signal.package, screen)
}

fn role(packs: &PackSet, signal: &pb::Signal) -> Option<WindowRole> {
    let Some(Body::Screen(screen)) = &signal.body else {
        return None;
    };
    Some(packs.window(&signal.package, &screen.window))
}

/// `coverage: off_account`.
pub fn off_account(signal: &pb::Signal) -> pb::Activity {
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
        let mut gate = Recording::new(0, false, None);
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
        let mut gate = Recording::new(0, true, Some("wxid_work1".to_owned()));
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
        assert_eq!(
            Recording::new(0, false, None).pass(&packs, &signal),
            Pass::Drop
        );
    }
}
