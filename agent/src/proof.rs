//! Is this the work account? (design §5, requirements P1–P4)
//!
//! Invariants:
//! - only the app's own account page proves, by an id equal to the one the policy names;
//! - login and switch windows are seen by class name alone, at all hours, and end the proof;
//! - a break in the watch while the phone was unlocked ends it; a locked phone switches no account;
//! - a proof lives in memory only: a phone can't know whether it was unlocked while this process was
//!   gone, so every start begins unproven. (A replay shows the recorded page first for that reason.)

pub mod recording;

use std::collections::HashMap;

use mingjing_proto::pb::signal::Body;
use mingjing_proto::pb::{DeviceState, Signal, WorkAccount};

use crate::pack::{PackSet, WindowRole};

/// An app of one Android user.
pub type Place = (String, u32);

/// An account that was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The register's id.
    pub account: String,
    /// The account's own nickname, as the policy names it.
    pub own_name: String,
    /// Time of the signal that proved it.
    pub since_ms: i64,
}

/// What the watch knows.
#[derive(Debug, Default)]
pub struct Watch {
    proven: HashMap<Place, Proven>,
    locked: bool,
    /// Listener or accessibility service is off.
    blind: bool,
}

/// What a change of device state means for the proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Some or all proofs ended.
    Ended,
}

/// Whose signal one is, once its window has been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The work account's.
    Proven(Proven),
    /// A login or switch window: it was this account's until now.
    Ends(Proven),
    /// Nobody's who is known.
    Nobody,
}

fn is_off(value: &str) -> bool {
    matches!(
        value,
        "off" | "false" | "0" | "no" | "disabled" | "disconnected" | "lost"
    )
}

impl Watch {
    /// The proven account of an app.
    pub fn proven(&self, place: &Place) -> Option<&Proven> {
        self.proven.get(place)
    }

    /// Takes a signal's window in and says whose the signal is. Only the account's own page is looked
    /// into; the caller has made sure that it may be.
    pub fn look(
        &mut self,
        packs: &PackSet,
        place: &Place,
        signal: &Signal,
        accounts: &[WorkAccount],
        at_ms: i64,
    ) -> (Whose, Effect) {
        let mut effect = Effect::None;
        if let Some(Body::Screen(screen)) = &signal.body {
            let role = packs.window(&signal.package, &screen.window);
            if matches!(role, WindowRole::Login | WindowRole::SwitchAccount) {
                let proven = self.proven(place).cloned();
                return (proven.map_or(Whose::Nobody, Whose::Ends), self.end(place));
            }
            if role == WindowRole::AccountPage {
                let shown = packs.shown_account_id(&signal.package, screen);
                effect = self.account_page(place, shown, accounts, at_ms);
            }
        }
        let proven = self.proven(place).cloned();
        (proven.map_or(Whose::Nobody, Whose::Proven), effect)
    }

    /// An app's account is known without its page: a recording that begins proven.
    pub fn assume(&mut self, place: &Place, account: Proven) {
        self.proven.insert(place.clone(), account);
    }

    /// The account page was shown with `shown_id`; `accounts` are the policy's.
    pub fn account_page(
        &mut self,
        place: &Place,
        shown_id: Option<&str>,
        accounts: &[WorkAccount],
        at_ms: i64,
    ) -> Effect {
        let Some(shown_id) = shown_id else {
            return Effect::None;
        };
        let account = accounts.iter().find(|account| {
            (account.package.as_str(), account.user) == (place.0.as_str(), place.1)
                && !account.shown_id.is_empty()
                && account.shown_id == shown_id
        });
        let Some(account) = account else {
            return self.end(place);
        };
        let same = self
            .proven
            .get(place)
            .is_some_and(|proven| proven.account == account.id);
        if same {
            return Effect::None;
        }
        let proven = Proven {
            account: account.id.clone(),
            own_name: account.name.clone(),
            since_ms: at_ms,
        };
        match self.proven.insert(place.clone(), proven) {
            Some(_) => Effect::Ended,
            None => Effect::None,
        }
    }

    /// A login or switch window was shown.
    pub fn end(&mut self, place: &Place) -> Effect {
        match self.proven.remove(place) {
            Some(_) => Effect::Ended,
            None => Effect::None,
        }
    }

    /// The policy changed: proofs of accounts it no longer names end.
    pub fn keep_only(&mut self, accounts: &[WorkAccount]) {
        self.proven
            .retain(|_, proven| accounts.iter().any(|it| it.id == proven.account));
    }

    /// A device state was reported for `package` (empty: the phone).
    pub fn state(&mut self, package: &str, state: &DeviceState) -> Effect {
        match state.kind.as_str() {
            "unlocked" => {
                self.locked = is_off(&state.value) || state.value == "locked";
                if self.blind && !self.locked {
                    return self.end_all();
                }
                Effect::None
            }
            "listener" | "accessibility" => {
                self.blind = is_off(&state.value);
                if self.blind && !self.locked {
                    return self.end_all();
                }
                Effect::None
            }
            "boot" | "shutdown" => {
                self.locked = false;
                self.end_all()
            }
            "app_update" => {
                let named = [package, state.value.as_str()];
                let before = self.proven.len();
                // An update that names no app ends all: the safe side.
                let all = named.iter().all(|name| name.is_empty());
                self.proven
                    .retain(|(it, _), _| !all && !named.contains(&it.as_str()));
                if self.proven.len() == before {
                    Effect::None
                } else {
                    Effect::Ended
                }
            }
            _ => Effect::None,
        }
    }

    fn end_all(&mut self) -> Effect {
        if self.proven.is_empty() {
            return Effect::None;
        }
        self.proven.clear();
        Effect::Ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "com.tencent.mm";

    fn place() -> Place {
        (APP.into(), 0)
    }

    fn accounts() -> Vec<WorkAccount> {
        [
            ("a1", 0, "wxid_one"),
            ("a2", 0, "wxid_two"),
            ("a3", 10, "wxid_three"),
        ]
        .into_iter()
        .map(|(id, user, shown)| WorkAccount {
            id: id.into(),
            package: APP.into(),
            user,
            shown_id: shown.into(),
            name: String::new(),
        })
        .collect()
    }

    fn proven() -> Watch {
        let mut watch = Watch::default();
        watch.account_page(&place(), Some("wxid_one"), &accounts(), 5);
        assert!(watch.proven(&place()).is_some());
        watch
    }

    #[test]
    fn only_the_policys_own_id_of_the_same_user_proves() {
        for (shown, expected) in [
            (Some("wxid_one"), Some("a1")),
            (Some("wxid_two"), Some("a2")),
            (Some("wxid_three"), None),
            (Some("wxid_private"), None),
            (Some(""), None),
            (None, None),
        ] {
            let mut watch = Watch::default();
            watch.account_page(&place(), shown, &accounts(), 5);
            let found = watch.proven(&place()).map(|it| it.account.as_str());
            assert_eq!(found, expected, "{shown:?}");
        }
        let mut watch = proven();
        watch.account_page(&place(), Some("wxid_private"), &accounts(), 6);
        assert!(watch.proven(&place()).is_none(), "another account is shown");
    }

    #[test]
    fn a_break_in_the_watch_counts_only_while_unlocked() {
        type Case<'a> = (&'a [(&'a str, &'a str)], bool);
        let cases: [Case<'_>; 9] = [
            (&[("listener", "off")], false),
            (&[("accessibility", "off"), ("accessibility", "on")], false),
            (
                &[
                    ("unlocked", "false"),
                    ("listener", "off"),
                    ("listener", "on"),
                ],
                true,
            ),
            (
                &[
                    ("unlocked", "false"),
                    ("listener", "off"),
                    ("unlocked", "true"),
                ],
                false,
            ),
            (&[("boot", "")], false),
            (&[("app_update", APP)], false),
            (&[("app_update", "com.tencent.wework")], true),
            (
                &[("clock", "3600000"), ("airplane", "on"), ("network", "off")],
                true,
            ),
            (&[("unlocked", "true")], true),
        ];
        for (states, stays) in cases {
            let mut watch = proven();
            for (kind, value) in states {
                let state = DeviceState {
                    kind: (*kind).into(),
                    value: (*value).into(),
                };
                let package = if *kind == "app_update" { *value } else { "" };
                watch.state(package, &state);
            }
            assert_eq!(watch.proven(&place()).is_some(), stays, "{states:?}");
        }
    }
}
