//! One bad phone slows itself: it gets its allowance and no more, and good ones are answered beside it.
//!
//! How long the good ones wait, a thousand of them, is measured by `bench connections`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mingjing_proto::pb::{self, from_device};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::raw::{self, RawPhone};
use mingjing_tests::scene::{Engine, Scene};

const GOOD: usize = 10;
const BATCHES_PER_S: u64 = 20;
const BYTES_PER_S: u64 = 50_000;

#[allow(clippy::disallowed_methods, reason = "a rate of real time is tested")]
fn now() -> Instant {
    Instant::now()
}

/// Sends batches of so many long texts as fast as the collector takes them; counts what is acknowledged.
async fn flood(mut phone: RawPhone, texts: usize, at_ms: i64, acked: Arc<AtomicU64>) {
    let (mut session, _) = phone.open().await.unwrap();
    let text = "满仓的货都要今天发出".repeat(20);
    let texts = vec![text.as_str(); texts];
    for _ in 0..16 {
        let frame = phone.messages("wx-wang", at_ms, &texts);
        session.batch(1, vec![frame]).await.unwrap();
    }
    loop {
        session.ack().await.unwrap();
        acked.fetch_add(1, Ordering::Relaxed);
        let frame = phone.messages("wx-wang", at_ms, &texts);
        session.batch(1, vec![frame]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flooding_phone_gets_its_allowance_and_good_ones_are_answered_beside_it() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let url = engine.url().await.unwrap();
        let settings =
            format!("[limits]\nbatches_per_s = {BATCHES_PER_S}\nbytes_per_s = {BYTES_PER_S}\n");
        let scene = Scene::start_with(&url, &settings).await.unwrap();
        let mut phones = Vec::new();
        for _ in 0..GOOD + 4 {
            let mut phone = scene.phone().await.unwrap();
            drop(phone.consented(PASSWORD).await.unwrap());
            phones.push(phone);
        }
        let at_ms = scene.now();
        let began = now();
        let (small, large) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let bad = [
            tokio::spawn(flood(phones.pop().unwrap(), 1, at_ms, small.clone())),
            tokio::spawn(flood(phones.pop().unwrap(), 10, at_ms, large.clone())),
            tokio::spawn(chatter(phones.pop().unwrap())),
            tokio::spawn(garbage(phones.pop().unwrap())),
        ];
        let good: Vec<_> = phones
            .into_iter()
            .map(|mut phone| {
                tokio::spawn(async move {
                    let (mut session, _) = phone.open().await.unwrap();
                    for n in 0..20 {
                        let text = format!("照常处理{n}");
                        let frame = phone.messages("wx-wang", at_ms, &[&text]);
                        session.batch(1, vec![frame]).await.unwrap();
                        // Fails after ten seconds without an answer.
                        session.ack_through(phone.seq).await.unwrap();
                    }
                })
            })
            .collect();
        for phone in good {
            phone.await.unwrap();
        }
        // The floods go on until their bursts are used up, so that the allowance is what holds them.
        while small.load(Ordering::Relaxed) < 3 * BATCHES_PER_S {
            assert!(began.elapsed() < Duration::from_secs(60), "{engine:?}");
            tokio::task::yield_now().await;
        }
        let (small, large) = (small.load(Ordering::Relaxed), large.load(Ordering::Relaxed));
        let took = began.elapsed().as_secs_f64();
        for one in &bad {
            assert!(!one.is_finished(), "a bad phone is slowed, not thrown out");
            one.abort();
        }
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let allowed = |per_s: u64, cost: u64| (per_s as f64 * (2.0 + took) / cost as f64) + 1.0;
        assert!(
            (small as f64) <= allowed(BATCHES_PER_S, 1),
            "{small} in {took} s"
        );
        // Ten texts of 600 bytes in a batch: its size holds it back, not its number.
        assert!(
            (large as f64) <= allowed(BYTES_PER_S, 6000),
            "{large} in {took} s"
        );
    }
}

/// Says how it is, as fast as it is heard.
async fn chatter(phone: RawPhone) {
    let (session, _) = phone.open().await.unwrap();
    loop {
        let status = from_device::Body::Status(pb::Status::default());
        session.send(status).await.unwrap();
    }
}

/// Sends garbage, is thrown out, comes back at once.
async fn garbage(phone: RawPhone) {
    loop {
        if let Ok(mut session) = phone.connect().await {
            let garbage = from_device::Body::Batch(pb::Batch::default());
            drop(session.send(garbage).await);
            drop(session.end().await);
        }
    }
}

/// Who has connected and says nothing keeps others out for a moment only; who has begun keeps nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_give_their_places_back() {
    let settings = "[limits]\nhandshakes = 2\n";
    let scene = Scene::start_with("", settings).await.unwrap();
    let phones: Vec<_> = futures::future::join_all((0..8).map(async |_| scene.phone().await))
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let mut open = Vec::new();
    for phone in &phones[..6] {
        open.push(phone.open().await.unwrap());
    }
    // One has sent no hello, the other has not even asked for a session.
    let mute = phones[6].connect().await.unwrap();
    let connector = phones[7].connector().unwrap();
    let idle = raw::channel(&phones[7].session_server, connector);
    let idle = idle.await.unwrap();
    // A newer session of the same phone, which waits no longer than a phone does.
    let (_session, _) = phones[0].open().await.unwrap();
    drop((mute, idle));
}

/// Who has connected and not even begun TLS keeps nobody out, however many there are.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_take_no_place() {
    let settings = "[limits]\nhandshakes = 2\n";
    let scene = Scene::start_with("", settings).await.unwrap();
    let phone = scene.phone().await.unwrap();
    let (_, port) = phone.session_server.rsplit_once(':').unwrap();
    let port = port.trim_end_matches('/').parse().unwrap();
    let mut silent = Vec::new();
    for _ in 0..50 {
        let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        silent.push(connected.unwrap());
    }
    let began = now();
    let (_session, _) = phone.open().await.unwrap();
    // They are thrown out after ten seconds.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    drop(silent);
}
