//! Two collectors on one PostgreSQL: a phone may come to either, and neither loses or doubles anything.

use std::time::Duration;

use mingjing_collector::audit::{Audit, Entry};
use mingjing_collector::devices;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, to_device};
use mingjing_tests::harness::{Collector, PASSWORD};
use mingjing_tests::raw::{RawPhone, RawSession};
use mingjing_tests::scene::{Engine, Scene};

async fn pair() -> (Scene, Collector) {
    let scene = Scene::start(Engine::Postgres).await.unwrap();
    let other = scene
        .collector
        .join(&scene.dir.path().join("other"), "c2")
        .await
        .unwrap();
    (scene, other)
}

fn goes_to(phone: &mut RawPhone, collector: &Collector) {
    phone
        .session_server
        .clone_from(&collector.addresses().session);
}

fn device_of(phone: &RawPhone) -> DeviceId {
    DeviceId::from_slice(&phone.enrolled.device_id).unwrap()
}

/// Waits for `Superseded` and the end of the session after it.
async fn superseded(session: &mut RawSession) {
    loop {
        if let to_device::Body::Superseded(_) = session.next().await.unwrap() {
            return;
        }
    }
}

#[tokio::test]
async fn phones_that_change_sides_lose_and_double_nothing() {
    const PHONES: usize = 50;
    const ROUNDS: usize = 6;
    let (scene, other) = pair().await;
    let mut phones = Vec::new();
    for _ in 0..PHONES {
        let mut phone = scene.phone().await.unwrap();
        // One after the other: fifty passwords hashed at once take longer than a phone waits.
        drop(phone.consented(PASSWORD).await.unwrap());
        phones.push(phone);
    }
    let (first, second) = (&scene.collector, &other);
    let run = phones
        .into_iter()
        .enumerate()
        .map(async |(index, mut phone)| {
            for round in 0..ROUNDS {
                let side = if (index + round) % 2 == 0 {
                    first
                } else {
                    second
                };
                goes_to(&mut phone, side);
                let before = phone.link;
                let frame = phone.messages("wx-wang", first.clock().now(), &["在吗", "在的"]);
                loop {
                    // What this phone does after any break: it says what it holds and sends it again.
                    let mut hello = phone.hello();
                    hello.first_seq = phone.seq - 1;
                    hello.link_before = before.to_vec();
                    let (mut session, _) = phone.open_with(hello).await.unwrap();
                    session.batch(1, vec![frame.clone()]).await.unwrap();
                    // The next round begins while this session may still be known on the other side.
                    if session.ack_through(phone.seq).await.is_ok() {
                        break;
                    }
                }
            }
            phone.seq
        });
    let last = futures::future::join_all(run).await;
    assert!(last.iter().all(|seq| *seq == 2 + 2 * ROUNDS as u64));
    let stored = first
        .number("select cast(sum(n) as bigint) from tallies")
        .await
        .unwrap();
    assert_eq!(stored, (PHONES * ROUNDS * 2) as i64);
    let events = first
        .number("select cast(sum(count) as bigint) from records where category = 1")
        .await
        .unwrap();
    assert_eq!(events, stored);
    let alarms = "select count(*) from device_alarms where kind <> 'clone'";
    assert_eq!(first.number(alarms).await.unwrap(), 0);
}

#[tokio::test]
async fn the_newest_session_wins_across_collectors() {
    let (scene, other) = pair().await;
    let mut phone = scene.phone().await.unwrap();
    let mut older = phone.consented(PASSWORD).await.unwrap();
    goes_to(&mut phone, &other);
    let (mut newer, welcome) = phone.open().await.unwrap();
    assert_eq!(welcome.through, phone.seq);
    tokio::time::timeout(Duration::from_secs(1), superseded(&mut older))
        .await
        .expect("within a second");
    let frame = phone.messages("wx-wang", scene.now(), &["到这边了"]);
    newer.batch(1, vec![frame]).await.unwrap();
    newer.ack_through(phone.seq).await.unwrap();
}

#[tokio::test]
async fn two_phones_with_one_key_on_two_collectors_raise_the_clone_alarm() {
    let (scene, other) = pair().await;
    let mut phone = scene.phone().await.unwrap();
    let mut older = phone.consented(PASSWORD).await.unwrap();
    for side in [&other, &scene.collector, &other, &scene.collector, &other] {
        goes_to(&mut phone, side);
        let (newer, _) = phone.open().await.unwrap();
        superseded(&mut older).await;
        older = newer;
    }
    let clones = "select count(*) from device_alarms where kind = 'clone'";
    assert!(scene.collector.number(clones).await.unwrap() >= 1);
}

#[tokio::test]
async fn revocation_on_one_collector_cuts_a_session_on_the_other_within_a_second() {
    let (scene, other) = pair().await;
    let mut phone = scene.phone().await.unwrap();
    drop(phone.consented(PASSWORD).await.unwrap());
    goes_to(&mut phone, &other);
    let (mut session, _) = phone.open().await.unwrap();
    devices::revoke(&scene.collector.shared, device_of(&phone), "it")
        .await
        .unwrap();
    let end = tokio::time::timeout(Duration::from_secs(1), session.end()).await;
    let status = end.expect("within a second").unwrap();
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    assert!(phone.open().await.is_err());
}

#[tokio::test]
async fn a_change_of_the_register_on_one_collector_reaches_phones_on_the_other() {
    let (scene, other) = pair().await;
    let mut phone = scene.phone().await.unwrap();
    drop(phone.consented(PASSWORD).await.unwrap());
    goes_to(&mut phone, &other);
    let (mut session, _) = phone.open().await.unwrap();
    scene
        .collector
        .account("wx-wang-2", &scene.holder, "王芳二号")
        .await
        .unwrap();
    let policy = loop {
        if let to_device::Body::Signed(signed) = session.next().await.unwrap()
            && signed.kind() == pb::SignedKind::Policy
        {
            let policy: pb::Policy = prost::Message::decode(&*signed.payload).unwrap();
            if policy.accounts.len() == 2 {
                break policy;
            }
        }
    };
    assert!(policy.accounts.iter().any(|it| it.id == "wx-wang-2"));
}

#[tokio::test]
async fn entries_written_at_once_take_their_turns_in_the_audit_chain() {
    let (scene, other) = pair().await;
    let writes = (0..40).map(async |number| {
        // Two handles on one chain, as with a command beside a running collector.
        let shared = if number % 2 == 0 {
            &scene.collector.shared
        } else {
            &other.shared
        };
        let entry = Entry::new("it", "test.write", number.to_string(), "");
        scene
            .collector
            .shared
            .audit
            .append(&shared.db, entry)
            .await
            .unwrap();
    });
    futures::future::join_all(writes).await;
    let verdict = Audit::verify(&scene.collector.shared.db).await.unwrap();
    assert_eq!(verdict.broken_at, None);
    assert!(verdict.entries >= 40);
}
