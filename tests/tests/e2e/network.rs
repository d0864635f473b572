//! A network that breaks in every way between the real agent and the real collector: 0 lost, 0 doubled.

use std::time::Duration;

use mingjing_collector::gaps;
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::line::{Line, nothing_lost_or_doubled, quick, stored_once, until};
use mingjing_tests::scene::{Engine, Scene, on_each_engine};

/// Cuts a test makes; the long run makes more.
fn cuts() -> u64 {
    std::env::var("MINGJING_CUTS")
        .ok()
        .and_then(|cuts| cuts.parse().ok())
        .unwrap_or(10)
}

/// Spreads the cuts over handshake, hello and batches.
fn bytes_before(cut: u64) -> u64 {
    100 + cut.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 6_000
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_in_the_middle_lose_and_double_nothing() {
    on_each_engine(async |scene: Scene| {
        let mut line = Line::open(&scene, "phone").await.unwrap();
        for cut in 1..=cuts() {
            line.proxy.cut_after(bytes_before(cut));
            until("the cut", async || {
                line.say(10).unwrap();
                line.proxy.cuts() >= cut
            })
            .await
            .unwrap();
        }
        line.drained().unwrap();
        nothing_lost_or_doubled(&scene.collector.shared, &[&line])
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_lost_after_the_commit_is_answered_again_and_doubles_nothing() {
    on_each_engine(async |scene: Scene| {
        let mut line = Line::open(&scene, "phone").await.unwrap();
        for round in 1..=4_i64 {
            line.proxy.withhold();
            line.say(30).unwrap();
            until("the commit", async || {
                let stored =
                    "select cast(coalesce(sum(n), 0) as bigint) from tallies where kind = 1";
                scene.collector.number(stored).await.unwrap() == 30 * round
            })
            .await
            .unwrap();
            assert!(line.phone().agent.status().queued_events > 0, "no ack yet");
            line.proxy.cut();
            line.proxy.pass();
            line.drained().unwrap();
        }
        nothing_lost_or_doubled(&scene.collector.shared, &[&line])
            .await
            .unwrap();
    })
    .await;
}

/// Nothing moves and nothing is closed, as behind a dead mobile cell: the phone's pings go unanswered.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_connection_is_given_up_and_the_next_one_goes_on() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let mut line = Line::open(&scene, "phone").await.unwrap();
    line.stop();
    let mut config = quick(&line.dir);
    config.keep_alive = Duration::from_millis(100);
    line.start_with(config).unwrap();
    line.wait("a session", |status| status.session == "connected")
        .unwrap();
    let before = line.proxy.connections();
    line.proxy.stall();
    line.say(20).unwrap();
    line.proxy.connected(before + 1).await;
    assert!(line.phone().agent.status().queued_events > 0);
    line.proxy.pass();
    line.drained().unwrap();
    nothing_lost_or_doubled(&scene.collector.shared, &[&line])
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_only_delays() {
    on_each_engine(async |scene: Scene| {
        let mut line = Line::open(&scene, "phone").await.unwrap();
        line.proxy.delay(Duration::from_millis(20));
        line.say(300).unwrap();
        line.drained().unwrap();
        nothing_lost_or_doubled(&scene.collector.shared, &[&line])
            .await
            .unwrap();
    })
    .await;
}

/// One phone, three connections, the same batches on each and nobody waiting for anybody: whichever
/// comes first is stored, the others find it there.
#[tokio::test]
async fn the_same_batches_on_several_sessions_in_any_order_are_stored_once() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        drop(phone.consented(PASSWORD).await.unwrap());
        let mut hello = phone.hello();
        let mut frames = Vec::new();
        let texts: Vec<String> = (0..40).map(|number| format!("第{number}条")).collect();
        for text in &texts {
            frames.push(phone.messages("wx-wang", scene.now(), &[text]));
        }
        (hello.head_seq, hello.head_link) = (phone.seq, phone.link.to_vec());
        let replay = async |order: usize| {
            let Ok((mut session, _)) = phone.open_with(hello.clone()).await else {
                return;
            };
            for batch in frames.chunks(4 + order) {
                if session.batch(1, batch.to_vec()).await.is_err() {
                    return;
                }
            }
            // Superseded, answered, or sent back to where the others are: all the same to it.
            drop(session.ack_through(phone.seq).await);
        };
        let newest = async {
            let Ok((mut session, _)) = phone.open_with(hello.clone()).await else {
                return false;
            };
            drop(session.batch(1, frames.clone()).await);
            session.ack_through(phone.seq).await.is_ok()
        };
        let (_, _, done) = tokio::join!(replay(0), replay(3), newest);
        if !done {
            // One of the replays took over: the phone comes back, as it always does.
            let (mut session, welcome) = phone.open_with(hello.clone()).await.unwrap();
            if welcome.through < phone.seq {
                session.batch(1, frames.clone()).await.unwrap();
                session.ack_through(phone.seq).await.unwrap();
            }
        }
        stored_once(&scene.collector.shared, &texts).await.unwrap();
        let forks = "select count(*) from device_alarms where kind <> 'clone'";
        assert_eq!(scene.collector.number(forks).await.unwrap(), 0);
    })
    .await;
}

/// Events of the day the collector is away.
fn absence_events() -> u64 {
    std::env::var("MINGJING_ABSENCE_EVENTS")
        .ok()
        .and_then(|events| events.parse().ok())
        .unwrap_or(3_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gathered_while_the_collector_was_away_for_a_day_all_arrives() {
    on_each_engine(async |scene: Scene| {
        let mut line = Line::open(&scene, "phone").await.unwrap();
        let clock = scene.collector.clock();
        let Scene {
            dir: _dir,
            mut collector,
            ..
        } = scene;
        collector.stop().await.unwrap();
        let pieces = 24;
        for _ in 0..pieces {
            clock.advance(3_600_000);
            line.prove().unwrap();
            line.say(absence_events() / pieces).unwrap();
        }
        assert_eq!(
            line.phone().agent.status().queued_events,
            absence_events() / pieces * pieces
        );
        let collector = collector.restart().await.unwrap();
        line.goes_to(&collector).unwrap();
        line.drained_of(absence_events()).unwrap();
        nothing_lost_or_doubled(&collector.shared, &[&line])
            .await
            .unwrap();
        let gaps = gaps::list(&collector.shared.db, 0).await.unwrap();
        assert_eq!(gaps, []);
    })
    .await;
}

/// The oldest go first, what is left arrives, and the console says how many are missing and why.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_leaves_one_gap_that_says_how_much_is_missing() {
    on_each_engine(async |scene: Scene| {
        let mut line = Line::open(&scene, "phone").await.unwrap();
        line.stop();
        let mut config = quick(&line.dir);
        config.buffer_bytes = 40_000;
        line.proxy.stall();
        line.start_with(config).unwrap();
        for _ in 0..20 {
            line.say(30).unwrap();
        }
        line.proxy.cut();
        line.proxy.pass();
        line.drained().unwrap();
        let shared = &scene.collector.shared;
        let gaps = gaps::list(&shared.db, 0).await.unwrap();
        let [gap] = &gaps[..] else {
            panic!("one gap, not {gaps:?}")
        };
        assert_eq!(gap.reason, "overflow");
        let missing: u64 = gap.counts.iter().map(|(_, count)| count).sum();
        assert_eq!(missing, gap.events());
        let (lost, kept) = line.said().split_at(usize::try_from(missing).unwrap());
        assert!(!lost.is_empty() && !kept.is_empty());
        stored_once(shared, kept).await.unwrap();
    })
    .await;
}
