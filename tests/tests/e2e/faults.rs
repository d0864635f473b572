//! Faults on the collector's side: what was not stored is not acknowledged, and it recovers by itself.

use mingjing_proto::pb::{Category, Decision};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::line::{Line, nothing_lost_or_doubled, stored_once, until};
use mingjing_tests::postgres::Cluster;
use mingjing_tests::scene::{Engine, Scene};
use sqlx::Connection as _;

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

/// The server dies between the first statement of a batch's transaction and its commit.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_that_dies_in_the_middle_of_a_commit_keeps_nothing_of_it() {
    let cluster = Cluster::start().unwrap();
    let url = cluster.database().await.unwrap();
    let scene = Scene::start_on(&url).await.unwrap();
    let mut line = Line::open(&scene, "phone").await.unwrap();
    line.say(10).unwrap();
    line.drained().unwrap();
    let said = line.said().to_vec();

    // Records go in before tallies: the transaction waits half done.
    let mut holder = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::query("begin").execute(&mut holder).await.unwrap();
    sqlx::query("lock table tallies in exclusive mode")
        .execute(&mut holder)
        .await
        .unwrap();
    line.say(10).unwrap();
    // Not the holder's: within a transaction the server shows the same moment again and again.
    let mut watcher = sqlx::PgConnection::connect(&url).await.unwrap();
    until("a commit that waits", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where wait_event_type = 'Lock' and query like 'insert into tallies%'",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        waiting > 0
    })
    .await
    .unwrap();
    cluster.stop_server().unwrap();
    assert!(line.phone().agent.status().queued_events > 0);
    cluster.start_server().unwrap();
    let stored = mingjing_tests::oracle::texts(&scene.collector.shared);
    let stored = stored.await.unwrap();
    assert!(said.iter().all(|text| stored.contains(text)));
    line.drained().unwrap();
    nothing_lost_or_doubled(&scene.collector.shared, &[&line])
        .await
        .unwrap();
}

/// wire.md §4: a withdrawal never waits behind anything, a held record least of all.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_overtakes_a_record_that_is_held() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let mut line = Line::open(&scene, "phone").await.unwrap();
    line.stop();
    let mut config = mingjing_tests::line::quick(&line.dir);
    // Longer than the test: only a new session can carry it.
    config.held_wait = std::time::Duration::from_secs(3600);
    line.start_with(config).unwrap();
    line.wait("a session", |status| status.session == "connected")
        .unwrap();
    sqlx::query("delete from accounts")
        .execute(scene.collector.shared.db.writer())
        .await
        .unwrap();
    line.proxy.cut();
    line.say(5).unwrap();
    line.wait("the hold", |status| status.held.is_some())
        .unwrap();
    line.phone()
        .choose(Decision::Withdrawn, &Category::CONSENTED)
        .unwrap();
    until("the withdrawal at the collector", async || {
        let withdrawn = "select count(*) from consents where decision = 3";
        scene.collector.number(withdrawn).await.unwrap() == 7
    })
    .await
    .unwrap();
    // What was held is gone from the phone, with a gap in its place, and nothing waits any more.
    line.drained().unwrap();
    stored_once(&scene.collector.shared, &[]).await.unwrap();
}
