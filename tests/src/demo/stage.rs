//! Sets the demo up: the company's people and accounts, its collector, twelve enrolled phones.
//!
//! Invariant: every password, code, enrolment and consent is the product's own, over real TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::civil::{Date, time};
use mingjing_agent::identity::{Identity, SoftwareSigner};
use mingjing_collector::accounts::{self, Account};
use mingjing_collector::people::{self, NewPerson, Role};
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, Category, Decision};

use super::cut::Cut;
use super::day::{self, Expect, Fate, Person};
use crate::clock::SimClock;
use crate::harness::{Collector, Entered};
use crate::phone::{self, Phone};

/// Password of everybody in the demo.
pub const PASSWORD: &str = "mingjing-demo-2026";
/// The console's port, when it is free.
pub const PORT: u16 = 8443;
/// Who acts where the product would name an administrator.
const ACTOR: &str = "demo";

/// Somebody of the office: login, name, department, role and its scope.
pub const OFFICE: [(&str, &str, &str, Role, &str); 6] = [
    ("admin", "沈立群", "信息部", Role::Admin, "*"),
    ("reviewer", "顾明", "合规部", Role::Reviewer, "*"),
    ("lead", "王经理", "销售一部", Role::Lead, "销售一部"),
    ("auditor", "陆审", "审计部", Role::Auditor, "*"),
    ("policy", "方敏", "人力资源部", Role::Policy, "*"),
    ("privacy", "苏颖", "法务部", Role::Privacy, "*"),
];

/// Everything that runs.
#[derive(Debug)]
pub struct Stage {
    /// The collector.
    pub collector: Collector,
    /// The one clock.
    pub clock: Arc<SimClock>,
    /// The date the recording is moved to.
    pub date: Date,
    /// The phones.
    pub phones: Vec<Player>,
}

/// A phone with the day it is going to have.
#[derive(Debug)]
pub struct Player {
    /// What the recording holds.
    pub person: Person,
    /// Person id.
    pub id: String,
    /// Device id.
    pub device: DeviceId,
    /// The phone.
    pub phone: Arc<Phone>,
    /// Its recording, moved to the demo's date.
    pub signals: Vec<pb::Signal>,
    /// Its stretch of network, where that is going to be cut.
    pub cut: Option<Cut>,
}

/// The newest date whose recording has begun by `now_ms`: a certificate made on it is valid in a
/// browser, whatever the hour.
pub fn date(now_ms: i64) -> Date {
    let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or(jiff::Timestamp::MAX);
    let local = now.to_zoned_datetime(day::zone()).datetime();
    if local.time() < time(8, 5, 0, 0) {
        local.date().yesterday().unwrap_or(local.date())
    } else {
        local.date()
    }
}

fn settings() -> String {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let port = if free(PORT) { PORT } else { 0 };
    format!(
        r#"
version = 1
[company]
name = "恒泰建材（演示）"
contact = "信息部 内线 8000"
privacy_contact = "法务部 苏颖"
[listen]
enrollment = "127.0.0.1:0"
session = "127.0.0.1:0"
console = "127.0.0.1:{port}"
[phones]
confirm = false
[hours]
zone = "Asia/Shanghai"
weekdays = [1, 2, 3, 4, 5, 6, 7]
spans = ["08:30-12:00", "13:00-18:00"]
[console]
# Simulated time runs fast: a login must outlive the day.
session_minutes = 10080
"#
    )
}

impl Stage {
    /// Sets everything up below `dir`; `step` is called with what was done.
    pub async fn set_up(dir: &Path, now_ms: i64, step: &dyn Fn(&str)) -> anyhow::Result<Self> {
        let expect = Expect::load()?;
        let date = date(now_ms);
        let clock = Arc::new(SimClock::new(day::at(date, time(8, 5, 0, 0)), 1.0));
        let collector =
            Collector::start(&dir.join("collector"), &settings(), clock.clone()).await?;
        step("collector");
        for (login, name, department, role, scope) in OFFICE {
            enter(&collector, login, name, department, role, scope).await?;
            step(login);
        }
        let mut phones = Vec::new();
        for person in &expect.people {
            let player = equip(&collector, dir, &expect, person, date, &clock).await?;
            step(&person.login);
            phones.push(player);
        }
        Ok(Self {
            collector,
            clock,
            date,
            phones,
        })
    }

    /// Stops phones and collector; what they wrote stays.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let phones = std::mem::take(&mut self.phones);
        tokio::task::spawn_blocking(move || drop(phones)).await?;
        self.collector.stop().await
    }
}

async fn enter(
    collector: &Collector,
    login: &str,
    name: &str,
    department: &str,
    role: Role,
    scope: &str,
) -> anyhow::Result<Entered> {
    let shared = &collector.shared;
    let new = NewPerson {
        login: login.to_owned(),
        name: name.to_owned(),
        department: department.to_owned(),
        class: "staff".to_owned(),
        language: "zh-CN".to_owned(),
    };
    let roles = [(role, scope.to_owned())];
    let person = people::create(shared, new, &roles, ACTOR).await?;
    people::set_schedule(shared, &person, &shared.config.hours, ACTOR).await?;
    let invitation = people::invite(shared, &person, 24, ACTOR).await?;
    people::accept_invitation(shared, &invitation.secret, PASSWORD).await?;
    Ok(Entered {
        person,
        login: login.to_owned(),
    })
}

/// Invites, registers, enrols, starts and asks for consent.
async fn equip(
    collector: &Collector,
    dir: &Path,
    expect: &Expect,
    person: &Person,
    date: Date,
    clock: &Arc<SimClock>,
) -> anyhow::Result<Player> {
    let (login, department) = (&person.login, &person.department);
    let entered = enter(
        collector,
        login,
        &person.name,
        department,
        Role::Employee,
        "*",
    )
    .await?;
    for account in &person.accounts {
        register(collector, &entered, department, account).await?;
    }
    let token = collector.token(&entered).await?;
    let phone_dir = dir.join("phones").join(login);
    phone::enroll(&phone_dir, &token, clock.clone())
        .await
        .with_context(|| format!("{login}: enrolment"))?;
    let cut = if matches!(person.fate, Fate::Offline { .. }) {
        Some(reroute(collector, phone_dir.clone()).await?)
    } else {
        None
    };
    let refuses = person.fate == Fate::Refuses;
    let started = clock.clone();
    let phone = tokio::task::spawn_blocking(move || -> anyhow::Result<Phone> {
        let phone = Phone::start(&phone_dir, started)?;
        if refuses {
            phone.wait("a notice and a policy", |status| {
                status.notice_version > 0
                    && (status.policy_version > 0 || status.policy_offered > 0)
            })?;
            phone.choose(Decision::Refused, &Category::CONSENTED)?;
        } else {
            phone.grant(PASSWORD)?;
        }
        Ok(phone)
    })
    .await?
    .with_context(|| format!("{login}: consent"))?;
    let device = phone.agent.status().device.parse()?;
    Ok(Player {
        id: entered.person,
        device,
        phone: Arc::new(phone),
        signals: expect.signals(person, date)?,
        person: person.clone(),
        cut,
    })
}

async fn register(
    collector: &Collector,
    holder: &Entered,
    department: &str,
    account: &day::WorkAccount,
) -> anyhow::Result<()> {
    let shared = &collector.shared;
    let account = Account {
        account: account.shown_id.clone(),
        app: account.app.clone(),
        android_user: 0,
        shown_id: account.shown_id.clone(),
        nickname: account.nickname.clone(),
        holder: holder.person.clone(),
        department: department.to_owned(),
        custodian: holder.person.clone(),
        registered_ms: shared.clock.now_ms(),
        suspended_ms: None,
    };
    accounts::add(&shared.db, &shared.audit, &shared.changes, &account, ACTOR)
        .await
        .with_context(|| format!("registering {}", account.account))
}

/// Leads the phone's sessions through a stretch of network that can be cut.
async fn reroute(collector: &Collector, dir: PathBuf) -> anyhow::Result<Cut> {
    let server = &collector.addresses().session;
    let port: u16 = server
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .with_context(|| format!("no port in {server}"))?;
    let cut = Cut::start(([127, 0, 0, 1], port).into()).await?;
    let through = format!("https://localhost:{}", cut.port());
    tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        let signer = SoftwareSigner::open(&dir.join("device.key"))?;
        let mut identity = Identity::load(&dir, &signer)?;
        identity.session_server = through;
        Ok(identity.store(&dir)?)
    })
    .await??;
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_day_has_always_begun() {
        for text in [
            "2026-11-23T00:04:59Z",
            "2026-11-23T00:05:00Z",
            "2026-11-23T15:59:59Z",
            "2026-12-31T16:00:00Z",
        ] {
            let now: jiff::Timestamp = text.parse().unwrap();
            let start = day::at(date(now.as_millisecond()), time(8, 5, 0, 0));
            let age_ms = now.as_millisecond() - start;
            assert!((0..86_400_000).contains(&age_ms), "{text}");
        }
    }
}
