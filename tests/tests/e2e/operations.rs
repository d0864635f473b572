//! The program as operators run it: backed up while it runs, restored, stopped, reloaded, keyed by systemd.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mingjing_collector::people::Role;
use mingjing_proto::pb::{self, to_device};
use mingjing_tests::clock::SimClock;
use mingjing_tests::harness::{Collector, PASSWORD, SETTINGS, free_port};
use mingjing_tests::program::{self, Done, Serving};
use mingjing_tests::raw::RawPhone;
use mingjing_tests::scene::Engine;
use prost::Message as _;
use rustix::process::Signal;
use tempfile::TempDir;

const SECRET_TEXT: &str = "备份里不能读到的一句话";

/// A data folder with a consented phone, and no collector running.
struct Site {
    dir: TempDir,
    phone: Option<RawPhone>,
    metrics: String,
}

impl Site {
    async fn new(engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = engine.url().await.unwrap();
        let ports: Vec<u16> = (0..4).map(|_| free_port().unwrap()).collect();
        let mut settings = SETTINGS.to_owned();
        for port in &ports {
            settings = settings.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
        }
        settings.push_str(&format!(
            "[store]\nurl = {url:?}\n[rules]\nrules_dir = \"rules\"\nlexicons_dir = \"lexicons\"\n"
        ));
        let data = dir.path().join("data");
        std::fs::create_dir_all(data.join("rules")).unwrap();
        std::fs::create_dir_all(data.join("lexicons")).unwrap();
        let clock = Arc::new(SimClock::real());
        let mut collector = Collector::start(&data, &settings, clock).await.unwrap();
        let holder = collector
            .person("wang", "王芳", "销售部", &[(Role::Employee, "*")])
            .await
            .unwrap();
        collector.account("wx-wang", &holder, "王芳").await.unwrap();
        let token = collector.token(&holder).await.unwrap();
        let mut phone = RawPhone::enroll(&token).await.unwrap();
        drop(phone.consented(PASSWORD).await.unwrap());
        collector.stop().await.unwrap();
        Self {
            dir,
            phone: Some(phone),
            metrics: format!("http://127.0.0.1:{}", ports[3]),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

async fn run(words: &[&str], paths: &[(&str, &Path)], file: &Path) -> Done {
    let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    for (name, path) in paths {
        arguments.extend([OsStr::new(*name), path.as_os_str()]);
    }
    arguments.push(file.as_os_str());
    program::run(&arguments, &[]).await.unwrap()
}

/// The rows a backup or a restore says it wrote, by table.
fn counts(output: &str) -> BTreeMap<String, u64> {
    output
        .lines()
        .filter_map(|line| {
            let (table, count) = line.split_once(' ')?;
            Some((table.to_owned(), count.trim().parse().ok()?))
        })
        .collect()
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_while_phones_send_restores_with_its_counts_and_chains() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let mut site = Site::new(engine).await;
        let data = site.data();
        let serving = Serving::start(&data, &[]).await.unwrap();
        let (stop, acked) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (ending, counted) = (stop.clone(), acked.clone());
        let mut phone = site.phone.take().unwrap();
        let sending = tokio::spawn(async move {
            let (mut session, _) = phone.open().await.unwrap();
            while !ending.load(Ordering::Relaxed) {
                let frame = phone.messages("wx-wang", now_ms(), &[SECRET_TEXT]);
                session.batch(1, vec![frame]).await.unwrap();
                session.ack_through(phone.seq).await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let reach = async |more: u64| {
            let goal = acked.load(Ordering::Relaxed) + more;
            while acked.load(Ordering::Relaxed) < goal {
                assert!(!sending.is_finished(), "the phone failed");
                tokio::task::yield_now().await;
            }
        };
        reach(20).await;
        let lock = site.path("backup.key");
        std::fs::write(&lock, "5e".repeat(32)).unwrap();
        let file = site.path("today.mjb");
        let before = acked.load(Ordering::Relaxed);
        let paths = [("--data", &*data), ("--key-file", &*lock)];
        let backup = run(&["backup"], &paths, &file).await;
        let after = acked.load(Ordering::Relaxed);
        assert!(backup.success, "{backup:?}");
        reach(5).await;
        stop.store(true, Ordering::Relaxed);
        sending.await.unwrap();
        assert!(serving.terminate().await.unwrap());

        let written = counts(&backup.out);
        // Two control records of the consent, then one record a message.
        let records = written["records"] - 2;
        assert!(
            (before..=after + 1).contains(&records),
            "{before} {records} {after}"
        );
        let master = std::fs::read_to_string(data.join("master.key")).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        for secret in [SECRET_TEXT, "王芳", master.trim()] {
            let found = bytes
                .windows(secret.len())
                .any(|it| it == secret.as_bytes());
            assert!(!found, "{secret} stands in the backup");
        }

        let new = site.path("restored");
        let wrong = site.path("wrong.key");
        std::fs::write(&wrong, "5f".repeat(32)).unwrap();
        let url = engine.url().await.unwrap();
        let words = ["restore", "--store-url", &url];
        let paths = [("--data", &*new), ("--key-file", &*wrong)];
        let refused = run(&words, &paths, &file).await;
        assert!(!refused.success && !new.exists(), "{refused:?}");
        let paths = [("--data", &*new), ("--key-file", &*lock)];
        let restored = run(&words, &paths, &file).await;
        assert!(restored.success, "{restored:?}");
        assert_eq!(counts(&restored.out), written);
        assert!(restored.out.contains("holds") && restored.out.contains("entries hold"));
        let again = run(&words, &paths, &file).await;
        assert!(!again.success, "never over anything: {again:?}");

        let verify = ["verify", "--store-url", &url, "--data"];
        let verified = run(&verify, &[], &new).await;
        assert!(verified.success, "{verified:?}");
        // Without the master key nothing starts, and the message says what is missing.
        let serve = ["serve", "--store-url", &url, "--data"];
        let keyless = run(&serve, &[], &new).await;
        assert!(keyless.error.contains("no master key"), "{keyless:?}");
        std::fs::copy(data.join("master.key"), new.join("master.key")).unwrap();
        // The company's own rules are files beside the database.
        std::fs::create_dir(new.join("rules")).unwrap();
        std::fs::create_dir(new.join("lexicons")).unwrap();
        let environment = [("MINGJING_STORE_URL", OsStr::new(&url))];
        let serving = Serving::start(&new, &environment).await.unwrap();
        assert!(serving.terminate().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_tells_the_phones_keeps_what_was_acknowledged_and_waits_for_nobody_who_hangs() {
    let mut site = Site::new(Engine::Sqlite).await;
    let data = site.data();
    let serving = Serving::start(&data, &[]).await.unwrap();
    let mut phone = site.phone.take().unwrap();
    let (mut session, _) = phone.open().await.unwrap();
    let frame = phone.messages("wx-wang", now_ms(), &["停机前的最后一条"]);
    session.batch(1, vec![frame]).await.unwrap();
    session.ack_through(phone.seq).await.unwrap();
    // Somebody who begins a handshake and never goes on, and a scraper that never ends its request.
    let port = phone.session_server.rsplit(':').next().unwrap();
    let hanging = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}"))
        .await
        .unwrap();
    let scraper = site.metrics.strip_prefix("http://").unwrap();
    let mut scraper = tokio::net::TcpStream::connect(scraper).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut scraper, b"GET /metrics HTTP/1.1\r\n")
        .await
        .unwrap();

    let began = now();
    serving.signal(Signal::TERM).unwrap();
    let status = session.end().await.unwrap();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(serving.terminate().await.unwrap(), "it ends well");
    // 10 s for what is under way, and some for closing the database on a busy machine.
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    drop((hanging, scraper));

    let verified = run(&["verify", "--data"], &[], &data).await;
    assert!(verified.success, "{verified:?}");
    assert!(verified.out.contains(&format!("seqs {}", phone.seq)));
}

#[allow(
    clippy::disallowed_methods,
    reason = "a deadline of real time is tested"
)]
fn now() -> Instant {
    Instant::now()
}

const RULE: &str = "- id: site-secret
  title: {zh: 本公司黑话, en: House jargon}
  article: 测试
  level: high
  owner: test
  kinds: [message]
  words: {any: [青龙出海]}
  false_positives: 测试
  examples:
    hit: [今晚青龙出海]
    miss: [你好]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_rules_anew_for_open_sessions_and_keeps_the_last_good_ones() {
    let mut site = Site::new(Engine::Sqlite).await;
    let data = site.data();
    let mut serving = Serving::start(&data, &[]).await.unwrap();
    let mut phone = site.phone.take().unwrap();
    let (mut session, _) = phone.open().await.unwrap();
    let findings = async |phone: &mut RawPhone, session: &mut mingjing_tests::raw::RawSession| {
        let texts = ["今晚青龙出海，老地方", "你好"];
        let frame = phone.messages("wx-wang", now_ms(), &texts);
        session.batch(1, vec![frame]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
        // A second round trip: notices of the first stand before its acknowledgement.
        let frame = phone.messages("wx-wang", now_ms(), &["好"]);
        session.batch(1, vec![frame]).await.unwrap();
        let mut found = Vec::new();
        loop {
            let body = session.next().await.unwrap();
            if let to_device::Body::FindingNotice(notice) = body {
                found.push(notice.rule_id);
            } else if let to_device::Body::Ack(ack) = body
                && ack.through == phone.seq
            {
                return found;
            }
        }
    };
    assert!(findings(&mut phone, &mut session).await.is_empty());

    let rule = data.join("rules/site.yaml");
    std::fs::write(&rule, RULE).unwrap();
    serving.signal(Signal::HUP).unwrap();
    serving.says("rules reloaded").await.unwrap();
    assert_eq!(findings(&mut phone, &mut session).await, ["site-secret"]);

    std::fs::write(&rule, RULE.replace("hit: [今晚青龙出海]", "hit: [无关]")).unwrap();
    serving.signal(Signal::HUP).unwrap();
    let refused = serving.says("rules not reloaded").await.unwrap();
    assert!(refused.contains("site.yaml"), "{refused}");
    assert_eq!(findings(&mut phone, &mut session).await, ["site-secret"]);

    // Settings that need a restart are named; those that do not parse are too, with their cure.
    let settings = data.join("mingjing.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, format!("{text}[limits]\nsessions = 5\n")).unwrap();
    serving.signal(Signal::HUP).unwrap();
    let told = serving.says("take effect at the next start").await.unwrap();
    assert!(told.contains("limits"), "{told}");
    std::fs::write(&settings, format!("{text}[limits]\nseasons = 5\n")).unwrap();
    serving.signal(Signal::HUP).unwrap();
    let told = serving
        .says("unknown setting limits.seasons")
        .await
        .unwrap();
    assert!(told.contains("mingjing.toml"), "{told}");
    drop(session);
    assert!(serving.terminate().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_comes_from_a_systemd_credential_and_the_notice_says_so() {
    let mut site = Site::new(Engine::Sqlite).await;
    let (data, credentials) = (site.data(), site.path("credentials"));
    std::fs::create_dir(&credentials).unwrap();
    let key = credentials.join("master.key");
    std::fs::rename(data.join("master.key"), &key).unwrap();
    // As systemd leaves it: root's, opened to the service by an access list that shows as group bits.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o440)).unwrap();
    std::fs::write(credentials.join("backup.key"), "5e".repeat(32)).unwrap();
    let refused = run(&["serve", "--data"], &[], &data).await;
    assert!(!refused.success && refused.error.contains("LoadCredential=master.key"));

    let environment = [("CREDENTIALS_DIRECTORY", credentials.as_os_str())];
    let serving = Serving::start(&data, &environment).await.unwrap();
    let phone = site.phone.take().unwrap();
    let (mut session, _) = phone.open().await.unwrap();
    let notice = loop {
        if let to_device::Body::Signed(signed) = session.next().await.unwrap()
            && signed.kind() == pb::SignedKind::Notice
        {
            break pb::Notice::decode(&*signed.payload).unwrap();
        }
    };
    assert_eq!((notice.version, notice.seal_mode.as_str()), (2, "systemd"));

    // The backup's lock is a credential as well.
    let file = site.path("today.mjb");
    let arguments = ["backup", "--data"].map(OsStr::new);
    let arguments = [&arguments[..], &[data.as_os_str(), file.as_os_str()]].concat();
    let backup = program::run(&arguments, &environment).await.unwrap();
    assert!(backup.success && file.exists(), "{backup:?}");
    for log in serving.lines() {
        assert!(!log.contains(&"5e".repeat(8)), "a key in the log");
    }
    drop(session);
    assert!(serving.terminate().await.unwrap());
}
