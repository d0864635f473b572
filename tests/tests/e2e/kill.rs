//! Kill -9 of either side at random: nothing lost, nothing doubled, the chain verifies (promise 5).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mingjing_tests::child::CollectorChild;
use mingjing_tests::clock::SimClock;
use mingjing_tests::harness::{Collector, PASSWORD, SETTINGS, free_port};
use mingjing_tests::oracle;
use mingjing_tests::phone::{self, Phone, account_page, message};
use mingjing_tests::proxy::Proxy;
use mingjing_tests::scene::Engine;
use tokio::process::{Child, Command};

const NODE: &str = env!("CARGO_BIN_EXE_node");
/// Signals a second, and how many there are for each round, so that there is work until the last.
const MS_BETWEEN: u64 = 10;
const LINES_PER_ROUND: u64 = 200;

/// Kills of each side on each engine.
fn rounds() -> u64 {
    std::env::var("MINGJING_KILL_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(10)
}

fn lines() -> u64 {
    rounds() * LINES_PER_ROUND
}

/// Spreads the rounds' moments over 5 to 400 ms; the seed is printed with a failure.
fn moment(seed: u64, round: u64) -> Duration {
    let mixed = (seed ^ round).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    Duration::from_millis(5 + mixed % 395)
}

fn text(n: u64) -> String {
    format!("第{n}条：样品和报价都发出去了，请查收")
}

fn write_signals(path: &Path, at_ms: i64) {
    let mut written = vec![account_page(at_ms, "wx-kill")];
    for n in 0..lines() {
        let from = format!("客户{}", n % 50);
        written.push(message(
            at_ms + i64::try_from(n * MS_BETWEEN).unwrap(),
            &from,
            &text(n),
        ));
    }
    std::fs::write(path, written.join("\n")).unwrap();
}

fn agent(dir: &Path, file: &Path) -> Child {
    Command::new(NODE)
        .arg("agent")
        .arg("--dir")
        .arg(dir)
        .arg("--file")
        .arg(file)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Which side dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Collector,
    Agent,
}

struct Sides {
    data: PathBuf,
    phone: PathBuf,
    file: PathBuf,
    proxy: Proxy,
}

/// What came of all kills of one side on one engine.
struct Tally {
    lost: usize,
    doubled: usize,
    broken: Option<String>,
    /// Kills while there was work.
    struck: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_either_side_at_random_loses_and_doubles_nothing() {
    let seed = u64::from(std::process::id());
    let mut table = format!(
        "seed {seed}\n{:<10} {:<9} {:>7} {:>7} {:>9} {:>6} {:>8}",
        "killed", "engine", "rounds", "struck", "events", "lost", "doubled"
    );
    let mut good = true;
    let mut cases = Vec::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        // Two at a time: a machine with more to do than it can takes databases for dead.
        let (collector, agent) = tokio::join!(
            kills(Side::Collector, engine, seed),
            kills(Side::Agent, engine, seed)
        );
        cases.push((Side::Collector, engine, collector));
        cases.push((Side::Agent, engine, agent));
    }
    for (side, engine, tally) in cases {
        table.push_str(&format!(
            "\n{:<10} {:<9} {:>7} {:>7} {:>9} {:>6} {:>8} {}",
            format!("{side:?}").to_lowercase(),
            format!("{engine:?}").to_lowercase(),
            rounds(),
            tally.struck,
            lines(),
            tally.lost,
            tally.doubled,
            tally.broken.as_deref().unwrap_or("")
        ));
        // A kill when everything is done proves nothing.
        good &= tally.struck * 2 > rounds();
        good &= (tally.lost, tally.doubled, &tally.broken) == (0, 0, &None);
    }
    eprintln!("{table}");
    assert!(good, "{table}");
}

async fn kills(side: Side, engine: Engine, seed: u64) -> Tally {
    let folder = tempfile::tempdir().unwrap();
    let sides = prepare(folder.path(), engine).await;
    let mut collector = CollectorChild::start(Path::new(NODE), &["collector"], &sides.data)
        .await
        .unwrap();
    let mut phone = agent(&sides.phone, &sides.file);
    let (mut finished, mut struck) = (false, 0);
    for round in 0..rounds() {
        if round % 2 == 0 || finished {
            tokio::time::sleep(moment(seed, round)).await;
        } else {
            // Killed after a batch arrived and before its ack could.
            let seen =
                tokio::time::timeout(Duration::from_secs(5), sides.proxy.batch_without_ack());
            drop(seen.await);
        }
        finished = matches!(phone.try_wait(), Ok(Some(status)) if status.success());
        struck += u64::from(!finished);
        match side {
            Side::Collector => {
                collector.kill().await.unwrap();
                sides.proxy.pass();
                collector = CollectorChild::start(Path::new(NODE), &["collector"], &sides.data)
                    .await
                    .unwrap();
            }
            Side::Agent => {
                phone.kill().await.unwrap();
                sides.proxy.pass();
                phone = agent(&sides.phone, &sides.file);
            }
        }
    }
    sides.proxy.pass();
    let patience = Duration::from_secs(120) + Duration::from_millis(2 * lines() * MS_BETWEEN);
    let ended = tokio::time::timeout(patience, phone.wait()).await;
    assert!(ended.expect("the agent ends").unwrap().success());
    collector.end().await.unwrap();
    check(&sides, struck).await
}

async fn prepare(folder: &Path, engine: Engine) -> Sides {
    let url = engine.url().await.unwrap();
    let data = folder.join("collector");
    let phone = folder.join("phone");
    let file = folder.join("signals.jsonl");
    let clock = std::sync::Arc::new(SimClock::real());
    // The ports stay the same over restarts.
    let session = free_port().unwrap();
    let settings = SETTINGS.replace(
        "session = \"127.0.0.1:0\"",
        &format!("session = \"127.0.0.1:{session}\""),
    );
    let settings = format!("{settings}[store]\nurl = {url:?}\n");
    let mut collector = Collector::start(&data, &settings, clock.clone())
        .await
        .unwrap();
    let holder = collector
        .person(
            "kill",
            "周敏",
            "测试部",
            &[(mingjing_collector::people::Role::Employee, "*")],
        )
        .await
        .unwrap();
    collector.account("wx-kill", &holder, "周敏").await.unwrap();
    let token = collector.token(&holder).await.unwrap();
    phone::enroll(&phone, &token, clock.clone()).await.unwrap();
    let dir = phone.clone();
    let at = clock.clone();
    tokio::task::spawn_blocking(move || {
        let phone = Phone::start(&dir, at).unwrap();
        phone.grant(PASSWORD).unwrap();
        phone.drained().unwrap();
    })
    .await
    .unwrap();
    collector.stop().await.unwrap();
    write_signals(&file, clock.now() - 3_600_000);
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], session)))
        .await
        .unwrap();
    phone::readdress(&phone, &proxy.server()).unwrap();
    Sides {
        data,
        phone,
        file,
        proxy,
    }
}

async fn check(sides: &Sides, struck: u64) -> Tally {
    let config = mingjing_collector::config::Config::load(&sides.data, None).unwrap();
    let clock = std::sync::Arc::new(SimClock::real());
    let shared = mingjing_collector::Shared::open(config, clock)
        .await
        .unwrap();
    let mut stored: BTreeMap<String, u64> = BTreeMap::new();
    for text in oracle::texts(&shared).await.unwrap() {
        *stored.entry(text).or_default() += 1;
    }
    let chains = mingjing_collector::chain::verify(&shared.db).await.unwrap();
    assert_eq!(chains.len(), 1);
    assert!(chains[0].records > 0);
    shared.db.close().await;
    Tally {
        lost: (0..lines())
            .filter(|n| !stored.contains_key(&text(*n)))
            .count(),
        doubled: stored
            .iter()
            .filter(|(text, times)| **times > 1 && !text.is_empty())
            .count(),
        broken: chains[0].broken.clone(),
        struck,
    }
}
