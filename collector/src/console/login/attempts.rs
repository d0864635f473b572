//! Slows down guessing: the more failures, the longer the wait.
//!
//! Invariants: a wait is decided before any password is looked at and is the same for logins that do
//! not exist; the memory is bounded; nobody can lock a person out for longer than a minute from
//! another address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use crate::error::{Error, Result};

const REMEMBERED: usize = 20_000;
// A failure is forgotten after this long without another.
const FORGET_MS: i64 = 3_600_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Both(String, IpAddr),
    Login(String),
    Address(IpAddr),
}

impl Key {
    /// Failures that cost nothing, and the longest wait in seconds.
    fn allowance(&self) -> (u32, u64) {
        match self {
            Self::Both(..) => (4, 900),
            Self::Login(_) => (20, 60),
            Self::Address(_) => (40, 900),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last_ms: i64,
}

/// Failures of late.
#[derive(Debug, Default)]
pub(in crate::console) struct Attempts(Mutex<HashMap<Key, Failures>>);

fn keys(login: &str, address: IpAddr) -> [Key; 3] {
    // Longer logins do not exist; they share a place.
    let login = login.get(..64).unwrap_or(login).to_owned();
    [
        Key::Both(login.clone(), address),
        Key::Login(login),
        Key::Address(address),
    ]
}

fn wait_ms(key: &Key, failures: Failures) -> i64 {
    let (free, longest_s) = key.allowance();
    let over = failures.count.saturating_sub(free);
    if over == 0 {
        return 0;
    }
    let seconds = 1_u64
        .checked_shl(over.min(20))
        .unwrap_or(longest_s)
        .min(longest_s);
    i64::try_from(seconds).unwrap_or(0) * 1000
}

impl Attempts {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Failures>> {
        self.0.lock().expect("no panic while holding the attempts")
    }

    /// Refuses while a wait lasts.
    pub(in crate::console) fn check(
        &self,
        login: &str,
        address: IpAddr,
        now_ms: i64,
    ) -> Result<()> {
        let known = self.lock();
        let left_ms = keys(login, address)
            .iter()
            .filter_map(|key| {
                known
                    .get(key)
                    .map(|it| it.last_ms + wait_ms(key, *it) - now_ms)
            })
            .max()
            .unwrap_or(0);
        if left_ms > 0 {
            let retry_after_s = u64::try_from(left_ms).unwrap_or(0).div_ceil(1000);
            return Err(Error::RateLimited { retry_after_s });
        }
        Ok(())
    }

    /// Notes a failure.
    pub(in crate::console) fn failed(&self, login: &str, address: IpAddr, now_ms: i64) {
        let mut known = self.lock();
        if known.len() + 3 > REMEMBERED {
            known.retain(|_, it| now_ms - it.last_ms < FORGET_MS);
        }
        if known.len() + 3 > REMEMBERED {
            known.clear();
        }
        for key in keys(login, address) {
            let it = known.entry(key).or_insert(Failures {
                count: 0,
                last_ms: now_ms,
            });
            if now_ms - it.last_ms >= FORGET_MS {
                it.count = 0;
            }
            it.count = it.count.saturating_add(1);
            it.last_ms = now_ms;
        }
    }

    /// Forgets the failures of a login from an address after it succeeded.
    pub(in crate::console) fn forget(&self, login: &str, address: IpAddr) {
        let mut known = self.lock();
        let [both, login, _] = keys(login, address);
        known.remove(&both);
        known.remove(&login);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let attempts = Attempts::default();
        let here = IpAddr::from([10, 0, 0, 1]);
        let there = IpAddr::from([10, 0, 0, 2]);
        for _ in 0..5 {
            attempts.check("li", here, 0).unwrap();
            attempts.failed("li", here, 0);
        }
        assert!(matches!(
            attempts.check("li", here, 0),
            Err(Error::RateLimited { retry_after_s: 2 })
        ));
        attempts.check("li", there, 0).unwrap();
        attempts.check("wang", here, 0).unwrap();
        attempts.check("li", here, 2_000).unwrap();
        attempts.failed("li", here, 2_000);
        assert!(matches!(
            attempts.check("li", here, 2_000),
            Err(Error::RateLimited { retry_after_s: 4 })
        ));
        attempts.forget("li", here);
        attempts.check("li", here, 2_000).unwrap();
    }
}
