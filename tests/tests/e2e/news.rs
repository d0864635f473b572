//! What an employee is told on the phone: findings about him, who read him, and the audit log's heads.

use mingjing_agent::Letter;
use mingjing_collector::Shared;
use mingjing_collector::access::{self, Viewer};
use mingjing_collector::audit::checkpoints;
use mingjing_collector::audit::file::{self, Problem, Witness};
use mingjing_collector::findings::{self, Step};
use mingjing_collector::people::Role;
use mingjing_proto::pb::{self, to_device};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::phone::{self, PATIENCE, Phone, account_page, message};
use mingjing_tests::scene::{Engine, Scene, on_each_engine};
use prost::Message as _;

const HIT: &str = "昨天已经转到你个人账户了";

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn reviewer(scene: &Scene) -> Viewer {
    let entered = scene
        .collector
        .person("shen", "沈静", "质检部", &[(Role::Reviewer, "*")])
        .await
        .unwrap();
    Viewer::load(&scene.collector.shared.db, &entered.person)
        .await
        .unwrap()
}

/// The head of the audit log, signed by now: the collector's own minute may have been first.
async fn sign(shared: &Shared) -> pb::Signed {
    checkpoints::sign_head(shared).await.unwrap();
    let newest = checkpoints::newest(&shared.db).await.unwrap();
    newest[0].1.clone()
}

/// A phone whose holder has granted everything.
async fn granted(scene: &Scene) -> Phone {
    let token = scene.collector.token(&scene.holder).await.unwrap();
    let dir = scene.dir.path().join("phone");
    let clock = scene.collector.clock();
    phone::enroll(&dir, &token, clock.clone()).await.unwrap();
    blocking(move || {
        let phone = Phone::start(&dir, clock).unwrap();
        phone.grant(PASSWORD).unwrap();
        phone
    })
    .await
}

/// Findings (id, title, state) and readings (role, reason, what) a phone shows.
type Shown = (Vec<(String, String, String)>, Vec<(String, String, String)>);

fn shown(phone: &Phone) -> Shown {
    let (mut found, mut read) = (Vec::new(), Vec::new());
    for letter in phone.agent.letters() {
        match letter {
            Letter::Finding(it) => found.push((it.finding_id, it.rule_title, it.state)),
            Letter::Read(it) => read.push((it.reader_role, it.reason, it.what)),
            Letter::Coaching(_) | Letter::Directive(_) => {}
        }
    }
    (found, read)
}

/// Waits until the phone shows this many findings and readings.
fn wait_for(phone: &Phone, findings: usize, readings: usize) -> Shown {
    let there = phone.agent.wait(PATIENCE, |_| {
        let (found, read) = shown(phone);
        (found.len(), read.len()) == (findings, readings)
    });
    assert!(there, "{:?}", shown(phone));
    shown(phone)
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_and_readings_reach_the_phone_at_once_or_when_it_comes_back() {
    on_each_engine(async |scene: Scene| {
        let phone = granted(&scene).await;
        let now = scene.now();
        let (phone, found) = blocking(move || {
            let page = account_page(now - 3000, "wx-wang");
            phone
                .signals(&[page, message(now - 1000, "陈先生", HIT)])
                .unwrap();
            let (found, _) = wait_for(&phone, 1, 0);
            (phone, found)
        })
        .await;
        let (finding, title, state) = found[0].clone();
        assert_eq!((&*title, &*state), ("客户称已付款到个人", "new"));
        let shared = &scene.collector.shared;
        let who = reviewer(&scene).await;
        let id = findings::parse_id(&finding).unwrap();
        access::open_finding(shared, &who, &id, "客户投诉核查")
            .await
            .unwrap();
        let expected = (
            "reviewer".to_owned(),
            "客户投诉核查".to_owned(),
            finding.clone(),
        );
        let dir = phone.dir.clone();
        blocking(move || {
            assert_eq!(wait_for(&phone, 1, 1).1[0], expected);
        })
        .await;

        // Away: another reading, and somebody takes the finding.
        access::open_finding(shared, &who, &id, "再次核查")
            .await
            .unwrap();
        access::act(shared, &who, &id, &Step::Take, "")
            .await
            .unwrap();
        let clock = scene.collector.clock();
        blocking(move || {
            let phone = Phone::start(&dir, clock).unwrap();
            let (_, read) = wait_for(&phone, 1, 2);
            let reasons: Vec<_> = read.iter().map(|it| &*it.1).collect();
            assert_eq!(reasons, ["客户投诉核查", "再次核查"], "each told once");
            let taken = phone
                .agent
                .wait(PATIENCE, |_| shown(&phone).0[0].2 == "in_review");
            assert!(taken, "{:?}", shown(&phone));
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_phone_that_names_what_it_has_is_told_the_rest_with_the_newest_checkpoint() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let frame = phone.messages("wx-wang", scene.now(), &[HIT]);
        session.batch(phone.epoch, vec![frame]).await.unwrap();
        let notice = loop {
            if let to_device::Body::FindingNotice(notice) = session.next().await.unwrap() {
                break notice;
            }
        };
        drop(session);
        let shared = &scene.collector.shared;
        let who = reviewer(&scene).await;
        let id = findings::parse_id(&notice.finding_id).unwrap();
        for reason in ["第一次查看", "第二次查看"] {
            access::open_finding(shared, &who, &id, reason)
                .await
                .unwrap();
        }
        scene.collector.clock().jump(checkpoints::EVERY_MS + 1);
        let signed = sign(shared).await;

        let (mut session, welcome) = phone.open().await.unwrap();
        assert!(welcome.audit_checkpoints.contains(&signed));
        let mut receipts = Vec::new();
        while receipts.len() < 2 {
            if let to_device::Body::ReadReceipt(receipt) = session.next().await.unwrap() {
                receipts.push(receipt);
            }
        }
        assert_eq!(receipts[0].reason, "第一次查看");
        assert_eq!(receipts[1].audit_checkpoint.as_ref(), Some(&signed));
        drop(session);
        let hello = pb::Hello {
            reads_through: vec![pb::AuditPosition {
                collector: receipts[0].collector.clone(),
                seq: receipts[0].audit_seq,
            }],
            ..phone.hello()
        };
        let (mut session, _) = phone.open_with(hello).await.unwrap();
        let only = loop {
            if let to_device::Body::ReadReceipt(receipt) = session.next().await.unwrap() {
                break receipt;
            }
        };
        assert_eq!(only.reason, "第二次查看");
    })
    .await;
}

/// The audit log is cut and written on: phones that saw its head say so, to the employee and to the company.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_back_shows_on_the_phone_as_an_alarm_and_in_the_offline_check() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let phone = granted(&scene).await;
    let shared = scene.collector.shared.clone();
    scene.collector.clock().jump(checkpoints::EVERY_MS + 1);
    sign(&shared).await;
    let (dir, clock) = (phone.dir.clone(), scene.collector.clock());
    // The next session's welcome carries it.
    let (phone, seen) = blocking(move || {
        drop(phone);
        let phone = Phone::start(&dir, clock).unwrap();
        let newest = |phone: &Phone| {
            let signed = phone.agent.checkpoints().pop()?;
            pb::AuditCheckpoint::decode(&*signed.payload).ok()
        };
        phone
            .wait("connected", |it| it.session == "connected")
            .unwrap();
        assert!(
            phone
                .agent
                .wait(PATIENCE, |_| newest(&phone).is_some_and(|it| it.seq > 3))
        );
        assert_eq!(phone.agent.status().audit_contradiction, "");
        let seen = newest(&phone).unwrap();
        (phone, seen)
    })
    .await;
    for sql in [
        "delete from audit where seq > 2",
        "delete from audit_checkpoints",
    ] {
        sqlx::query(sql).execute(shared.db.writer()).await.unwrap();
    }
    sign(&shared).await;
    let (dir, clock) = (phone.dir.clone(), scene.collector.clock());
    let witness = blocking(move || {
        drop(phone);
        let phone = Phone::start(&dir, clock).unwrap();
        phone
            .wait("the contradiction", |it| !it.audit_contradiction.is_empty())
            .unwrap();
        let encode = |bytes: &[u8]| {
            use base64::Engine as _;
            base64::prelude::BASE64_STANDARD.encode(bytes)
        };
        let both = phone.agent.contradicting_checkpoints();
        let json = serde_json::json!({
            "roots": phone.agent.roots().iter().map(|it| encode(it)).collect::<Vec<_>>(),
            "audit_checkpoints": both
                .iter()
                .map(|it| serde_json::json!({ "signed": encode(&it.encode_to_vec()) }))
                .collect::<Vec<_>>(),
        });
        let alarmed = phone.agent.wait(PATIENCE, |it| it.session == "connected");
        assert!(alarmed);
        (
            phone,
            Witness::parse("phone.json", &json.to_string()).unwrap(),
        )
    })
    .await;
    let (phone, witness) = witness;
    let mut written = Vec::new();
    file::export(&shared, &mut written).await.unwrap();
    let report = file::verify(&written[..], &[witness]).unwrap();
    let missing = Problem::Missing {
        by: "phone.json".to_owned(),
        collector: "c1".to_owned(),
        seq: seen.seq.cast_signed(),
        last: 2,
    };
    assert_eq!(report.problems, [missing]);
    // The status that carries the report follows the welcome.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let alarms = "select count(*) from device_alarms where kind = 'audit_contradicted'";
    while scene.collector.number(alarms).await.unwrap() == 0 {
        assert!(tokio::time::Instant::now() < deadline, "no alarm");
        tokio::task::yield_now().await;
    }
    blocking(move || drop(phone)).await;
}
