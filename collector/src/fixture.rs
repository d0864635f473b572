//! What tests of several modules share: a running collector's parts on an empty database.
//!
//! Invariant: time stands still unless a test moves it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb;

use crate::Shared;
use crate::audit::Audit;
use crate::ca::Ca;
use crate::changes::Changes;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::findings::{self, FindingContent, FindingId, NewFinding};
use crate::people::{self, NewPerson, Role};
use crate::seal::Sealer;

/// 2026-03-02 10:00 in Shanghai, a Monday.
pub(crate) const NOW_MS: i64 = 1_772_416_800_000;
/// What [`Fixture::finding`] puts into its text; must never leave a sealed value unasked.
pub(crate) const SECRET_TEXT: &str = "货款转到我个人账户";

/// A clock that tests move.
#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    /// Moves on.
    pub(crate) fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The parts of a collector.
#[derive(Debug)]
pub(crate) struct Fixture {
    /// The parts.
    pub(crate) shared: Arc<Shared>,
    /// Their clock.
    pub(crate) clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

impl Fixture {
    /// On an empty database.
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock(AtomicI64::new(NOW_MS)));
        let db = Db::open("", dir.path()).await.unwrap();
        let sealer = Sealer::new(&[7; 32]);
        Ca::create(&db, &sealer, "测试公司", NOW_MS).await.unwrap();
        let shared = Arc::new(Shared {
            config: Config::parse("", dir.path()).unwrap(),
            ca: Ca::open(&db, &sealer).await.unwrap(),
            audit: Audit::new("c1", clock.clone()),
            changes: Changes::default(),
            attestation: crate::attestation::Roots::default(),
            attestation_status: RwLock::default(),
            clock: clock.clone(),
            rules: RwLock::new(Arc::new(crate::rules::RuleSet::builtin().unwrap())),
            failing: crate::cure::Failing::default(),
            metrics: crate::metrics::Metrics::default(),
            addresses: OnceLock::new(),
            documents: crate::session::Documents::default(),
            db,
            sealer,
        });
        Self {
            shared,
            clock,
            _dir: dir,
        }
    }

    /// Enters a person with a role in a department; the name is `<login>之名`.
    pub(crate) async fn person(
        &self,
        login: &str,
        department: &str,
        role: Role,
        scope: &str,
    ) -> String {
        let new = NewPerson {
            login: login.to_owned(),
            name: format!("{login}之名"),
            department: department.to_owned(),
            class: "staff".to_owned(),
            language: "zh-CN".to_owned(),
        };
        people::create(&self.shared, new, &[(role, scope.to_owned())], "test")
            .await
            .unwrap()
    }

    /// Stores a critical finding about `person` and returns its id.
    pub(crate) async fn finding(&self, person: &str, department: &str, seq: u64) -> FindingId {
        let shared = &self.shared;
        let id = findings::finding_id(DeviceId([1; 16]), 1, seq, "s25-embezzle");
        let kind = pb::Kind::Message;
        let name = findings::key_name("work", NOW_MS, kind);
        let key = shared.sealer.key(&shared.db, &name, NOW_MS).await.unwrap();
        let text = format!("请把{SECRET_TEXT}，谢谢");
        let from = "请把".len();
        let content = FindingContent {
            activity: pb::Activity {
                at_ms: NOW_MS,
                kind: kind.into(),
                direction: pb::Direction::Out.into(),
                peer: "陈先生".to_owned(),
                text,
                ..pb::Activity::default()
            },
            spans: vec![(from, from + SECRET_TEXT.len(), "s25".to_owned())],
        };
        let new = NewFinding {
            id,
            device: DeviceId([1; 16]),
            epoch: 1,
            seq,
            account: "work".to_owned(),
            person: person.to_owned(),
            department: department.to_owned(),
            rule: "s25-embezzle".to_owned(),
            rule_set: [9; 32],
            level: 3,
            kind: i64::from(i32::from(kind)),
            direction: 2,
            at_ms: NOW_MS,
            created_ms: NOW_MS + 400,
            sealed: findings::seal_content(&key, &id, &content),
        };
        let yaml = "- id: s25-embezzle\n  title: {zh: 侵占货款, en: Customer payment diverted}\n  article: 第五条\n  level: critical\n";
        let mut tx = shared.db.begin().await.unwrap();
        findings::remember_rules(
            &mut tx,
            &shared.db,
            &[9; 32],
            &[("s25-embezzle", yaml)],
            NOW_MS,
        )
        .await
        .unwrap();
        findings::insert(&mut tx, &shared.db, &[new]).await.unwrap();
        tx.commit().await.unwrap();
        id
    }
}
