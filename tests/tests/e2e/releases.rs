//! An old app with a new collector and the reverse keep working, one release back.

use mingjing_proto::pb::{self, Category, from_device};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::scene::{Engine, Scene};

/// The kind of a later release arrives without a body: protobuf drops what it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_of_a_later_release_goes_on_with_what_the_collector_knows() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let mut phone = scene.phone().await.unwrap();
    let mut session = phone.consented(PASSWORD).await.unwrap();
    session.send_unknown().await.unwrap();
    let frame = phone.messages("wx-wang", scene.now(), &["之后照常"]);
    session.batch(phone.epoch, vec![frame]).await.unwrap();
    let refused = session.ack_through(phone.seq).await.unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

/// A record of a later version is held, not refused: it is stored once the collector is updated.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_later_version_waits_and_loses_nothing() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let mut phone = scene.phone().await.unwrap();
    let mut session = phone.consented(PASSWORD).await.unwrap();
    let before = phone.seq;
    let later = pb::Events {
        version: mingjing_proto::RECORD_VERSION + 1,
        account: "wx-wang".to_owned(),
        day: i32::try_from(scene.now().div_euclid(86_400_000)).unwrap(),
        activities: Vec::new(),
    };
    let body = prost::Message::encode_to_vec(&later);
    let frame = phone.append(Category::Messages, 1, body);
    session.batch(phone.epoch, vec![frame]).await.unwrap();
    let ack = session.ack().await.unwrap();
    assert_eq!(ack.through, before);
    assert_eq!(
        ack.held.map(|it| it.reason()),
        Some(pb::HoldReason::UnknownRecordVersion)
    );
    // The session is as good as before.
    let status = from_device::Body::Status(pb::Status::default());
    session.send(status).await.unwrap();
}
