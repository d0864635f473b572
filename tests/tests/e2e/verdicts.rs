//! What is refused and what is held, and what counts at once, asked by a phone on raw tonic (wire.md §4–6).

use mingjing_collector::people;
use mingjing_proto::pb::{
    self, Category, Decision, HoldReason, RefusalReason, TimeSource, from_device, to_device,
};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::line::stored_once;
use mingjing_tests::raw::{RawPhone, RawSession};
use mingjing_tests::scene::{Engine, Scene, on_each_engine};
use prost::Message as _;

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// Sends one frame; the reasons it was refused for, in order.
async fn reasons(
    phone: &RawPhone,
    session: &mut RawSession,
    frame: pb::RecordFrame,
) -> Vec<RefusalReason> {
    session.batch(phone.epoch, vec![frame]).await.unwrap();
    let refused = session.ack_through(phone.seq).await.unwrap();
    let events = refused.iter().flat_map(|it| &it.events);
    events.map(pb::RefusedEvent::reason).collect()
}

#[tokio::test]
async fn an_older_notices_consent_counts_for_72_hours_after_the_newer_was_received() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let now = scene.now();
        let received = pb::NoticeReceived {
            version: 2,
            at_ms: now - 74 * HOUR_MS,
            ..Default::default()
        };
        let received = phone.control(pb::control::Body::NoticeReceived(received));
        session.batch(1, vec![received]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
        for (at_ms, expected) in [
            (now - 2 * HOUR_MS, vec![]),
            (now - 2 * HOUR_MS + 1, vec![RefusalReason::NoticeSuperseded]),
            (now, vec![RefusalReason::NoticeSuperseded]),
        ] {
            let frame = phone.messages("wx-wang", at_ms, &["旧告知下的"]);
            assert_eq!(reasons(&phone, &mut session, frame).await, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_schedule_records_are_held_and_arrive_when_there_is_one() {
    on_each_engine(async |scene: Scene| {
        let shared = &scene.collector.shared;
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        sqlx::query("delete from schedules")
            .execute(shared.db.writer())
            .await
            .unwrap();
        drop(session);
        (session, _) = phone.open().await.unwrap();
        let frame = phone.messages("wx-wang", scene.now(), &["先放着"]);
        let after = phone.messages("wx-wang", scene.now(), &["后面的"]);
        for _ in 0..2 {
            // Told once, then everything is dropped; sent again from there, told again.
            session.batch(1, vec![frame.clone()]).await.unwrap();
            session.batch(1, vec![after.clone()]).await.unwrap();
            let ack = session.ack().await.unwrap();
            let held = ack.held.unwrap();
            assert_eq!(held.reason(), HoldReason::ScheduleMissing);
            assert_eq!((held.seq, ack.through), (phone.seq - 1, phone.seq - 2));
        }
        let hours = &shared.config.hours;
        people::set_schedule(shared, &scene.holder.person, hours, "it")
            .await
            .unwrap();
        while !matches!(session.next().await.unwrap(), to_device::Body::Resume(_)) {}
        session.batch(1, vec![frame, after]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_record_of_an_unknown_version_is_held_and_what_came_before_it_is_kept() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let known = phone.messages("wx-wang", scene.now(), &["看得懂的"]);
        let newer = pb::Events {
            version: 2,
            account: "wx-wang".to_owned(),
            ..Default::default()
        };
        let newer = phone.append(Category::Messages, 1, newer.encode_to_vec());
        session.batch(1, vec![known, newer]).await.unwrap();
        let ack = session.ack().await.unwrap();
        assert_eq!(ack.through, phone.seq - 1);
        assert_eq!(ack.held.unwrap().reason(), HoldReason::UnknownRecordVersion);
        stored_once(&scene.collector.shared, &["看得懂的".to_owned()])
            .await
            .unwrap();
    })
    .await;
}

fn carried(phone: &RawPhone, seq: u64, frame: &pb::RecordFrame) -> pb::NewestConsent {
    let control = pb::Control::decode(&frame.body[..]).unwrap();
    let Some(pb::control::Body::Consent(consent)) = control.body else {
        panic!("a consent record")
    };
    pb::NewestConsent {
        epoch: phone.epoch,
        seq,
        consent: Some(consent),
        receipt: None,
    }
}

/// The withdrawal lies behind a record that never comes, and counts with the hello all the same.
#[tokio::test]
async fn a_withdrawal_in_the_hello_counts_at_once_and_at_its_seq() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        drop(phone.consented(PASSWORD).await.unwrap());
        let mut hello = phone.hello();
        let before = phone.messages("wx-wang", scene.now(), &["撤回之前"]);
        let notice = pb::Signed::default();
        let withdrawn = phone.consent(&notice, Decision::Withdrawn, &[Category::Messages]);
        hello.consents = vec![carried(&phone, phone.seq, &withdrawn)];
        (hello.head_seq, hello.head_link) = (phone.seq, phone.link.to_vec());
        let after = phone.messages("wx-wang", scene.now(), &["撤回之后"]);
        let (mut session, _) = phone.open_with(hello).await.unwrap();
        let decided = "select count(*) from consents where decision = 3";
        assert_eq!(scene.collector.number(decided).await.unwrap(), 1);
        session
            .batch(1, vec![before, withdrawn, after])
            .await
            .unwrap();
        let refused = session.ack_through(phone.seq).await.unwrap();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].events[0].reason(), RefusalReason::Withdrawn);
        assert_eq!(scene.collector.number(decided).await.unwrap(), 1);
        stored_once(&scene.collector.shared, &["撤回之前".to_owned()])
            .await
            .unwrap();
    })
    .await;
}

/// In a hello as anywhere else: without its proof, or with a receipt the company never signed.
#[tokio::test]
async fn a_grant_in_the_hello_counts_only_with_the_companys_own_receipt() {
    let other = Scene::start(Engine::Sqlite).await.unwrap();
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let (mut session, _) = phone.open().await.unwrap();
        let notice = loop {
            if let to_device::Body::Signed(signed) = session.next().await.unwrap()
                && signed.kind() == pb::SignedKind::Notice
            {
                break signed;
            }
        };
        drop(session);
        let granted = phone.consent(&notice, Decision::Granted, &Category::CONSENTED);
        let mut carried = carried(&phone, 1, &granted);
        let consent = carried.consent.clone().unwrap();
        let record = pb::Consent::decode(&consent.payload[..]).unwrap();
        let receipt = |accepted, sha256: Vec<u8>| pb::ConsentReceipt {
            consent_id: record.consent_id.clone(),
            consent_sha256: sha256,
            accepted,
            ..Default::default()
        };
        let own = mingjing_proto::chain::sha256(&consent.payload).to_vec();
        let sign = |scene: &Scene, kind, receipt: pb::ConsentReceipt| {
            let now_ms = scene.collector.clock().now();
            let ca = &scene.collector.shared.ca;
            Some(ca.sign(kind, receipt.encode_to_vec(), now_ms).unwrap())
        };
        let kind = pb::SignedKind::ConsentReceipt;
        let mut changed = sign(&scene, kind, receipt(false, own.clone()));
        changed.as_mut().unwrap().payload = receipt(true, own.clone()).encode_to_vec();
        let wrong = [
            None,
            sign(&other, kind, receipt(true, own.clone())),
            sign(&scene, pb::SignedKind::Notice, receipt(true, own.clone())),
            sign(&scene, kind, receipt(false, own.clone())),
            sign(&scene, kind, receipt(true, vec![1; 32])),
            changed,
        ];
        let accepted = "select count(*) from consents where accepted = 1";
        for given in wrong {
            carried.receipt = given;
            let mut hello = phone.hello();
            (hello.first_seq, hello.head_seq) = (1, 1);
            hello.link_before = phone.genesis().to_vec();
            hello.consents = vec![carried.clone()];
            drop(phone.open_with(hello).await.unwrap());
            assert_eq!(scene.collector.number(accepted).await.unwrap(), 0);
        }
        carried.receipt = sign(&scene, kind, receipt(true, own.clone()));
        let mut hello = phone.hello();
        (hello.first_seq, hello.head_seq) = (1, 1);
        hello.link_before = phone.genesis().to_vec();
        hello.consents = vec![carried];
        drop(phone.open_with(hello).await.unwrap());
        assert_eq!(scene.collector.number(accepted).await.unwrap(), 7);
    })
    .await;
}

#[tokio::test]
async fn device_activities_are_kept_only_while_some_category_is_granted() {
    on_each_engine(async |scene: Scene| {
        let coverage = |phone: &mut RawPhone, now: i64| {
            let gap = pb::Activity {
                at_ms: now,
                kind: pb::Kind::Coverage.into(),
                content: "gap".to_owned(),
                source: pb::Source::State.into(),
                confidence: pb::Confidence::Certain.into(),
                ..Default::default()
            };
            phone.events(Category::Device, "", now, vec![gap])
        };
        let now = scene.now();
        let mut phone = scene.phone().await.unwrap();
        let (mut session, _) = phone.open().await.unwrap();
        let frame = coverage(&mut phone, now);
        let before = reasons(&phone, &mut session, frame).await;
        assert_eq!(before, [RefusalReason::NoConsent]);
        drop(session);
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let frame = coverage(&mut phone, now);
        assert_eq!(reasons(&phone, &mut session, frame).await, []);

        let notice = pb::Signed::default();
        let (last, others) = Category::CONSENTED.split_last().unwrap();
        for (ended, expected) in [(others, vec![]), (&[*last], vec![RefusalReason::Withdrawn])] {
            let withdrawn = phone.consent(&notice, Decision::Withdrawn, ended);
            session.batch(1, vec![withdrawn]).await.unwrap();
            session.ack_through(phone.seq).await.unwrap();
            let frame = coverage(&mut phone, now);
            assert_eq!(reasons(&phone, &mut session, frame).await, expected);
        }
    })
    .await;
}

/// An anchored clock may be a little ahead of ours; a wall clock that no anchor followed may not: its
/// boot was over before its events came.
#[tokio::test]
async fn a_wall_clock_without_an_anchor_is_believed_only_before_now() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let now = scene.now();
        for (source, at_ms, expected) in [
            (TimeSource::Anchored, now + 5 * MINUTE_MS, vec![]),
            (TimeSource::Wall, now - MINUTE_MS, vec![]),
            (
                TimeSource::Wall,
                now + 5 * MINUTE_MS,
                vec![RefusalReason::TimeNotCredible],
            ),
            (
                TimeSource::Wall,
                now - 9 * 24 * HOUR_MS,
                vec![RefusalReason::TimeNotCredible],
            ),
        ] {
            let activity = pb::Activity {
                at_ms,
                kind: pb::Kind::Message.into(),
                content: "text".to_owned(),
                time_source: source.into(),
                ..Default::default()
            };
            let frame = phone.events(Category::Messages, "wx-wang", at_ms, vec![activity]);
            let given = reasons(&phone, &mut session, frame).await;
            assert_eq!(given, expected, "{source:?} {}", at_ms - now);
        }
    })
    .await;
}

/// A grant proof that names nothing ends its own session, and opens nothing.
#[tokio::test]
async fn a_proof_without_its_consent_record_opens_nothing() {
    on_each_engine(async |scene: Scene| {
        let phone = scene.phone().await.unwrap();
        let (mut session, _) = phone.open().await.unwrap();
        let proof = pb::GrantProof {
            consent_seq: 1,
            password: PASSWORD.to_owned(),
        };
        session
            .send(from_device::Body::GrantProof(proof))
            .await
            .unwrap();
        let status = session.end().await.unwrap();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    })
    .await;
}
