//! The chain's own rules: gaps, checkpoints, positions, asked by a phone on raw tonic (wire.md §1, §3, §4).

use mingjing_collector::{chain, gaps};
use mingjing_proto::pb::{self, GapReason, from_device};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::line::stored_once;
use mingjing_tests::scene::{Scene, on_each_engine};

async fn number(scene: &Scene, sql: &'static str) -> i64 {
    scene.collector.number(sql).await.unwrap()
}

async fn chain_holds(scene: &Scene) {
    for chain in chain::verify(&scene.collector.shared.db).await.unwrap() {
        assert_eq!(chain.broken, None);
    }
}

#[tokio::test]
async fn a_gap_takes_exactly_the_seqs_it_replaces_and_what_follows_fits() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let first = phone.seq + 1;
        phone.messages("wx-wang", scene.now(), &["去一", "去二"]);
        phone.messages("wx-wang", scene.now(), &["去三"]);
        let (last, link) = (phone.seq, phone.link);
        let kept = phone.messages("wx-wang", scene.now(), &["留下"]);
        let gap = phone.gap(first..=last, GapReason::Overflow, link);
        session.batch(1, vec![gap, kept]).await.unwrap();
        let refused = session.ack_through(phone.seq).await.unwrap();
        assert_eq!(refused, []);
        let shared = &scene.collector.shared;
        let gaps = gaps::list(&shared.db, 0).await.unwrap();
        let seqs: Vec<_> = gaps.iter().map(|it| (it.first_seq, it.last_seq)).collect();
        assert_eq!(seqs, [(first, last)]);
        stored_once(shared, &["留下".to_owned()]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_gap_over_what_is_stored_is_a_plain_ack_and_never_a_fork() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let first = phone.seq + 1;
        let one = phone.messages("wx-wang", scene.now(), &["存了一"]);
        let two = phone.messages("wx-wang", scene.now(), &["存了二"]);
        session.batch(1, vec![one, two]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
        // The ack was lost, the category was withdrawn meanwhile: the equal link, then another one.
        for end_link in [phone.link, [9; 32]] {
            let gap = phone.gap(first..=phone.seq, GapReason::Withdrawn, end_link);
            session.batch(1, vec![gap]).await.unwrap();
            let ack = session.ack().await.unwrap();
            assert_eq!((ack.through, ack.resend_from), (phone.seq, 0));
        }
        assert_eq!(number(&scene, "select count(*) from gaps").await, 0);
        assert_eq!(
            number(&scene, "select count(*) from device_alarms").await,
            0
        );
        let texts = ["存了一", "存了二"].map(str::to_owned);
        stored_once(&scene.collector.shared, &texts).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_gap_half_stored_is_split_at_the_head() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let first = phone.seq + 1;
        let stored = phone.messages("wx-wang", scene.now(), &["存了"]);
        session.batch(1, vec![stored]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
        phone.messages("wx-wang", scene.now(), &["没存一", "没存二"]);
        let gap = phone.gap(first..=phone.seq, GapReason::Withdrawn, phone.link);
        let next = phone.messages("wx-wang", scene.now(), &["后来的"]);
        session.batch(1, vec![gap, next]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
        let shared = &scene.collector.shared;
        let gaps = gaps::list(&shared.db, 0).await.unwrap();
        let seqs: Vec<_> = gaps.iter().map(|it| (it.first_seq, it.last_seq)).collect();
        assert_eq!(seqs, [(first + 1, first + 2)]);
        let texts = ["存了", "后来的"].map(str::to_owned);
        stored_once(shared, &texts).await.unwrap();
    })
    .await;
}

/// Not without a consent, not without a schedule, not with a bad signature.
#[tokio::test]
async fn a_gap_is_never_held_or_refused_and_what_it_covers_never_asked_for() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let (mut session, _) = phone.open().await.unwrap();
        phone.messages("wx-none", scene.now(), &["没人要的"]);
        let mut gap = phone.gap(1..=1, GapReason::OffHours, phone.link);
        let mut control: pb::Control = prost::Message::decode(&gap.body[..]).unwrap();
        let Some(pb::control::Body::Gap(signed)) = &mut control.body else {
            panic!("a gap")
        };
        signed.signature[8] ^= 1;
        gap.body = prost::Message::encode_to_vec(&control).into();
        session.batch(1, vec![gap]).await.unwrap();
        let ack = session.ack().await.unwrap();
        assert_eq!(
            (ack.through, ack.resend_from, ack.held, ack.refused),
            (1, 0, None, Vec::new())
        );
        drop(session);
        let (_session, welcome) = phone.open().await.unwrap();
        assert_eq!((welcome.through, welcome.new_epoch), (1, None));
        chain_holds(&scene).await;
    })
    .await;
}

#[tokio::test]
async fn what_the_collector_lost_it_writes_down_itself() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        drop(phone.consented(PASSWORD).await.unwrap());
        let head = phone.seq;
        // It was told that twelve more are stored; this collector has never seen them.
        for _ in 0..4 {
            phone.messages("wx-wang", scene.now(), &["一", "二", "三"]);
        }
        let (_session, welcome) = phone.open().await.unwrap();
        let new_epoch = welcome.new_epoch.unwrap();
        assert_eq!((new_epoch.epoch, new_epoch.after_seq), (2, head));
        let gaps = gaps::list(&scene.collector.shared.db, 0).await.unwrap();
        let [gap] = &gaps[..] else { panic!("{gaps:?}") };
        assert_eq!(
            (gap.reason.as_str(), gap.first_seq, gap.last_seq),
            ("server_lost", head + 1, head + 12)
        );
        let unsigned = "select count(*) from gaps where length(signature) = 0";
        assert_eq!(number(&scene, unsigned).await, 1);
        let alarm = "select count(*) from device_alarms where kind = 'server_lost'";
        assert_eq!(number(&scene, alarm).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_rolled_back_phone_begins_a_new_epoch_and_a_lost_answer_is_given_again() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let yesterday = (phone.seq, phone.link);
        let frame = phone.messages("wx-wang", scene.now(), &["今天的"]);
        session.batch(1, vec![frame]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
        drop(session);
        (phone.seq, phone.link) = yesterday;
        for _ in 0..2 {
            let (_session, welcome) = phone.open().await.unwrap();
            let new_epoch = welcome.new_epoch.unwrap();
            assert_eq!((new_epoch.epoch, new_epoch.after_seq), (2, yesterday.0));
            assert_eq!(new_epoch.previous_link, yesterday.1);
        }
        let alarms = "select count(*) from device_alarms where kind = 'rolled_back'";
        assert_eq!(number(&scene, alarms).await, 1);
        chain_holds(&scene).await;
    })
    .await;
}

/// The phone missed the end of its epoch and has gone on in it: what is stored is acknowledged by its
/// links, the first record that differs begins another epoch, and nothing is taken for stored by its
/// number alone.
#[tokio::test]
async fn an_ended_epoch_is_gone_through_by_links_and_not_by_numbers() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let yesterday = (phone.seq, phone.link);
        let same = phone.messages("wx-wang", scene.now(), &["两边都有"]);
        let today = phone.messages("wx-wang", scene.now(), &["今天的", "今天二"]);
        session.batch(1, vec![same.clone(), today]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
        // Another phone with the same key has begun epoch 2 and stored something in it.
        (phone.seq, phone.link) = yesterday;
        let (mut session, welcome) = phone.open().await.unwrap();
        let begun = welcome.new_epoch.unwrap();
        (phone.epoch, phone.seq) = (2, 0);
        phone.link = begun.previous_link.clone().try_into().unwrap();
        let second = phone.messages("wx-wang", scene.now(), &["第二纪元的"]);
        session.batch(2, vec![second]).await.unwrap();
        session.ack_through(1).await.unwrap();
        drop(session);
        // This one still is in epoch 1, with one record that is stored and one that is not.
        phone.epoch = 1;
        phone.seq = yesterday.0 + 1;
        phone.link = mingjing_proto::chain::frame_link(&yesterday.1, 1, &same);
        let agreed = phone.link;
        let other = phone.messages("wx-wang", scene.now(), &["不一样的"]);
        let mut hello = phone.hello();
        hello.first_seq = yesterday.0 + 1;
        hello.link_before = yesterday.1.to_vec();
        let (mut session, welcome) = phone.open_with(hello).await.unwrap();
        assert_eq!(
            (welcome.epoch, welcome.through, welcome.new_epoch),
            (1, yesterday.0, None)
        );
        session.batch(1, vec![same, other]).await.unwrap();
        assert_eq!(session.ack().await.unwrap().through, yesterday.0 + 1);
        let begun = session.new_epoch().await.unwrap();
        assert_eq!((begun.epoch, begun.after_seq), (3, yesterday.0 + 1));
        assert_eq!(begun.previous_link, agreed);
        (phone.epoch, phone.seq, phone.link) = (3, 0, agreed);
        let again = phone.messages("wx-wang", scene.now(), &["不一样的"]);
        session.batch(3, vec![again]).await.unwrap();
        session.ack_through(1).await.unwrap();
        let texts = ["两边都有", "今天的", "今天二", "第二纪元的", "不一样的"].map(str::to_owned);
        stored_once(&scene.collector.shared, &texts).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_counts_only_with_the_phones_signature_and_over_the_stored_link() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let alarms = "select count(*) from device_alarms where kind = 'fork'";
        let good = phone.checkpoint(phone.seq, &phone.link);
        let other = phone.checkpoint(phone.seq, &[3; 32]);
        for (checkpoint, expected) in [(good.clone(), 0), (other, 1)] {
            let body = from_device::Body::Checkpoint(checkpoint);
            session.send(body).await.unwrap();
            // Answered in order, so the checkpoint was looked at before this.
            let frame = phone.messages("wx-wang", scene.now(), &["在它之后"]);
            session.batch(1, vec![frame]).await.unwrap();
            session.ack_through(phone.seq).await.unwrap();
            assert_eq!(number(&scene, alarms).await, expected);
        }
        let mut forged = good;
        forged.seq += 1;
        let body = from_device::Body::Checkpoint(forged);
        session.send(body).await.unwrap();
        let status = session.end().await.unwrap();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    })
    .await;
}
