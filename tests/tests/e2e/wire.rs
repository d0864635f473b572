//! The rules of wire.md against the real collector, asked by a phone written on raw tonic.

use mingjing_proto::pb::{self, Category, RefusalReason, from_device, to_device};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::scene::{Scene, on_each_engine};

#[tokio::test]
async fn what_is_sent_with_consent_is_stored_once_and_acknowledged_after_commit() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let frame = phone.messages("wx-wang", scene.now(), &["报价发你了", "好的收到"]);
        session.batch(1, vec![frame.clone()]).await.unwrap();
        session.ack_through(4).await.unwrap();
        assert_eq!(
            scene
                .collector
                .number("select cast(sum(n) as bigint) from tallies")
                .await
                .unwrap(),
            2
        );
        // The same bytes again give the same answer and store nothing.
        session.batch(1, vec![frame]).await.unwrap();
        assert_eq!(session.ack().await.unwrap().through, 4);
        assert_eq!(
            scene
                .collector
                .number("select count(*) from records")
                .await
                .unwrap(),
            3
        );
    })
    .await;
}

#[tokio::test]
async fn without_consent_everything_is_refused_and_counted() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let (mut session, _) = phone.open().await.unwrap();
        let frame = phone.messages("wx-wang", scene.now(), &["没有同意就不该存"]);
        session.batch(1, vec![frame]).await.unwrap();
        let refused = session.ack_through(1).await.unwrap();
        assert_eq!(refused[0].events[0].reason(), RefusalReason::NoConsent);
        assert_eq!(
            scene
                .collector
                .number("select count(*) from refusals where reason = 'no_consent'")
                .await
                .unwrap(),
            1
        );
        assert_eq!(
            scene
                .collector
                .number("select count(*) from tallies")
                .await
                .unwrap(),
            0
        );
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_opens_nothing() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let error = phone
            .consented("a guess, not the password")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("password"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_hole_is_asked_for_once_and_a_fork_begins_a_new_epoch() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let (seq, link) = (phone.seq, phone.link);
        let now = scene.now();
        let first = phone.messages("wx-wang", now, &["一"]);
        let second = phone.messages("wx-wang", now, &["二"]);
        let third = phone.messages("wx-wang", now, &["三"]);
        session.batch(1, vec![second.clone()]).await.unwrap();
        session.batch(1, vec![third.clone()]).await.unwrap();
        let ack = session.ack().await.unwrap();
        assert_eq!((ack.through, ack.resend_from), (seq, seq + 1));
        session.batch(1, vec![first, second, third]).await.unwrap();
        session.ack_through(seq + 3).await.unwrap();

        // Another history from the same place.
        (phone.seq, phone.link) = (seq, link);
        let other = phone.messages("wx-wang", now, &["改过的"]);
        session.batch(1, vec![other]).await.unwrap();
        let new_epoch = loop {
            if let to_device::Body::NewEpoch(new_epoch) = session.next().await.unwrap() {
                break new_epoch;
            }
        };
        assert_eq!((new_epoch.epoch, new_epoch.after_seq), (2, seq));
        assert_eq!(
            scene
                .collector
                .number("select count(*) from forks")
                .await
                .unwrap(),
            1
        );
        phone.epoch = 2;
        phone.seq = 0;
        phone.link = new_epoch.previous_link.try_into().unwrap();
        let frame = phone.messages("wx-wang", now, &["重新开始"]);
        session.batch(2, vec![frame]).await.unwrap();
        session.ack_through(1).await.unwrap();
        assert_eq!(
            scene
                .collector
                .number("select count(*) from device_alarms where kind = 'fork'")
                .await
                .unwrap(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn an_account_gone_from_the_register_is_held_and_arrives_when_put_back() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let shared = &scene.collector.shared;
        let (db, audit, changes) = (&shared.db, &shared.audit, &shared.changes);
        let account = mingjing_collector::accounts::list(db)
            .await
            .unwrap()
            .remove(0);
        mingjing_collector::accounts::remove(db, audit, changes, "wx-wang", scene.now(), "it")
            .await
            .unwrap();
        // The session reads the register again when the change reaches it: a new policy is the sign.
        loop {
            if let to_device::Body::Signed(signed) = session.next().await.unwrap()
                && signed.kind() == pb::SignedKind::Policy
            {
                break;
            }
        }
        let frame = phone.messages("wx-wang", scene.now(), &["先放着"]);
        session.batch(1, vec![frame.clone()]).await.unwrap();
        let held = session.ack().await.unwrap().held.unwrap();
        assert_eq!(held.reason(), pb::HoldReason::AccountNotRegistered);
        mingjing_collector::accounts::add(db, audit, changes, &account, "it")
            .await
            .unwrap();
        loop {
            if let to_device::Body::Resume(_) = session.next().await.unwrap() {
                break;
            }
        }
        session.batch(1, vec![frame]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn revocation_ends_a_live_session_within_a_second() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let device = mingjing_collector::devices::list(&scene.collector.shared.db)
            .await
            .unwrap()[0]
            .device;
        mingjing_collector::devices::revoke(&scene.collector.shared, device, "it")
            .await
            .unwrap();
        let end = tokio::time::timeout(std::time::Duration::from_secs(1), session.end()).await;
        let status = end.expect("within a second").unwrap();
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        assert!(phone.open().await.is_err());
    })
    .await;
}

#[tokio::test]
async fn garbage_ends_only_its_own_session() {
    on_each_engine(async |scene: Scene| {
        let mut good = scene.phone().await.unwrap();
        let mut good_session = good.consented(PASSWORD).await.unwrap();
        let bad = scene.phone().await.unwrap();
        let bomb = pb::Batch {
            epoch: 1,
            inflated_bytes: 100,
            deflated: mingjing_proto::validate::deflate(
                1,
                vec![pb::RecordFrame {
                    body: vec![0; 900_000].into(),
                    ..Default::default()
                }],
            )
            .deflated,
        };
        let garbage = pb::Batch {
            epoch: 1,
            inflated_bytes: 4,
            deflated: vec![0xff; 4].into(),
        };
        let huge = pb::Batch {
            epoch: 1,
            inflated_bytes: u32::MAX,
            deflated: vec![0; 3 << 20].into(),
        };
        for batch in [bomb, garbage, huge] {
            let (mut session, _) = bad.open().await.unwrap();
            session.send(from_device::Body::Batch(batch)).await.unwrap();
            let status = session.end().await.unwrap();
            assert!(
                matches!(
                    status.code(),
                    tonic::Code::InvalidArgument | tonic::Code::OutOfRange
                ),
                "{status:?}"
            );
        }
        let frame = good.messages("wx-wang", scene.now(), &["不受影响"]);
        good_session.batch(1, vec![frame]).await.unwrap();
        good_session.ack_through(good.seq).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn events_off_hours_in_the_future_or_of_a_suspended_account_are_refused() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let now = scene.now();
        let year = 365 * 86_400_000;
        let ahead = phone.messages("wx-wang", now + year, &["明年"]);
        let foreign = phone.messages("wx-other", now, &["别的号"]);
        session.batch(1, vec![ahead, foreign]).await.unwrap();
        let refused = session.ack_through(phone.seq).await.unwrap();
        let reasons: Vec<_> = refused.iter().map(|it| it.events[0].reason()).collect();
        assert_eq!(
            reasons,
            [
                RefusalReason::TimeNotCredible,
                RefusalReason::AccountNotInPolicy
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn withdrawal_refuses_what_comes_after_it_and_keeps_what_came_before() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let before = phone.messages("wx-wang", scene.now(), &["撤回前"]);
        let withdrawn = {
            let notice = pb::Signed::default();
            phone.consent(&notice, pb::Decision::Withdrawn, &[Category::Messages])
        };
        let after = phone.messages("wx-wang", scene.now(), &["撤回后"]);
        session
            .batch(1, vec![before, withdrawn, after])
            .await
            .unwrap();
        let refused = session.ack_through(phone.seq).await.unwrap();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].first_seq, phone.seq);
        assert_eq!(refused[0].events[0].reason(), RefusalReason::Withdrawn);
    })
    .await;
}
