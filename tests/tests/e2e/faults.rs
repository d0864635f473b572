//! Faults on the collector's side: what was not stored is not acknowledged, and it recovers by itself.

use mingjing_tests::harness::PASSWORD;
use mingjing_tests::postgres::Cluster;
use mingjing_tests::scene::Scene;

#[tokio::test]
async fn a_restarted_postgresql_stops_acknowledgements_and_loses_nothing() {
    let cluster = Cluster::start().unwrap();
    let url = cluster.database().await.unwrap();
    let scene = Scene::start_on(&url).await.unwrap();
    let mut phone = scene.phone().await.unwrap();
    let mut session = phone.consented(PASSWORD).await.unwrap();
    let before = (phone.seq, phone.link);

    cluster.stop_server().unwrap();
    let frame = phone.messages("wx-wang", scene.now(), &["先等等"]);
    session.batch(1, vec![frame.clone()]).await.unwrap();
    let status = session.end().await.unwrap();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(scene.collector.watch("/health/ready").await.unwrap().0, 503);
    assert_eq!(scene.collector.watch("/health/live").await.unwrap().0, 200);

    cluster.start_server().unwrap();
    let mut hello = phone.hello();
    (hello.first_seq, hello.link_before) = (phone.seq, before.1.to_vec());
    let (mut session, welcome) = phone.open_with(hello).await.unwrap();
    assert_eq!(welcome.through, before.0);
    session.batch(1, vec![frame]).await.unwrap();
    session.ack_through(phone.seq).await.unwrap();
    assert_eq!(scene.collector.watch("/health/ready").await.unwrap().0, 200);
}
