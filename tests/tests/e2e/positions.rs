//! Phone and collector that do not stand where the other thinks they do (wire.md §4, §7): each ends in
//! the state the wire defines, never in a deadlock, never in silent loss.

use std::path::{Path, PathBuf};

use mingjing_collector::backup::{self, Backup, Header, Secret};
use mingjing_collector::config;
use mingjing_collector::db::Db;
use mingjing_collector::{gaps, master};
use mingjing_proto::pb::{Category, Decision};
use mingjing_tests::harness::Collector;
use mingjing_tests::line::{Line, nothing_lost_or_doubled, stored_once};
use mingjing_tests::phone;
use mingjing_tests::postgres;
use mingjing_tests::scene::{Engine, Scene, on_each_engine};

const DAY_MS: i64 = 86_400_000;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn replace(dir: &Path, with: &Path) {
    std::fs::remove_dir_all(dir).unwrap();
    copy(with, dir);
}

async fn alarms(collector: &Collector) -> Vec<String> {
    let alarms = mingjing_collector::devices::alarms(&collector.shared.db, 0);
    let mut kinds: Vec<String> = alarms
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.kind)
        .collect();
    kinds.retain(|kind| kind != "clone");
    kinds.reverse();
    kinds
}

/// A line with a copy of its buffer from yesterday, when `unsent` of what it said was still to be sent.
struct Yesterday {
    line: Line,
    copy: PathBuf,
}

impl Yesterday {
    async fn of(scene: &Scene, sent: u64, unsent: u64) -> Self {
        let mut line = Line::open(scene, "phone").await.unwrap();
        line.say(sent).unwrap();
        line.drained().unwrap();
        line.proxy.stall();
        line.say(unsent).unwrap();
        line.stop();
        let yesterday = scene.dir.path().join("yesterday");
        copy(&line.dir.join("buffer"), &yesterday);
        line.proxy.pass();
        line.start().unwrap();
        Self {
            line,
            copy: yesterday,
        }
    }

    fn return_to(&mut self) {
        self.line.stop();
        replace(&self.line.dir.join("buffer"), &self.copy);
    }

    /// Returns to the copy and captures before it can find out.
    fn return_and_say(&mut self, messages: u64) {
        self.return_to();
        let line = &mut self.line;
        line.proxy.stall();
        line.start().unwrap();
        line.say(messages).unwrap();
        line.proxy.cut();
        line.proxy.pass();
        line.drained().unwrap();
    }
}

/// sled back to yesterday's copy: what it had unsent then was sent since, what it captures now is new.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_rolled_back_to_yesterday_begins_a_new_epoch_and_loses_nothing() {
    on_each_engine(async |scene: Scene| {
        let mut yesterday = Yesterday::of(&scene, 20, 10).await;
        let line = &mut yesterday.line;
        line.drained().unwrap();
        line.say(15).unwrap();
        line.drained().unwrap();

        yesterday.return_to();
        let line = &mut yesterday.line;
        line.start().unwrap();
        line.drained().unwrap();
        assert_eq!(alarms(&scene.collector).await, ["rolled_back"]);
        line.say(15).unwrap();
        line.drained().unwrap();
        assert_eq!(line.phone().agent.status().epoch, 2);

        yesterday.return_and_say(25);
        nothing_lost_or_doubled(&scene.collector.shared, &[&yesterday.line])
            .await
            .unwrap();
        assert_eq!(
            alarms(&scene.collector).await,
            ["rolled_back", "rolled_back"]
        );
    })
    .await;
}

/// Within one epoch, with other records at the seqs the collector has: a fork.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_rolled_back_that_went_on_differently_forks_and_loses_nothing() {
    on_each_engine(async |scene: Scene| {
        let mut yesterday = Yesterday::of(&scene, 5, 5).await;
        yesterday.line.say(5).unwrap();
        yesterday.line.drained().unwrap();
        yesterday.return_and_say(30);
        nothing_lost_or_doubled(&scene.collector.shared, &[&yesterday.line])
            .await
            .unwrap();
        assert_eq!(alarms(&scene.collector).await, ["fork"]);
        let quarantined = "select count(*) from forks";
        assert_eq!(scene.collector.number(quarantined).await.unwrap(), 1);
    })
    .await;
}

/// Two phones from one image take turns, each with its own records at the same seqs.
#[tokio::test(flavor = "multi_thread")]
async fn a_cloned_phone_is_told_apart_by_its_links_and_neither_loses_anything() {
    on_each_engine(async |scene: Scene| {
        let mut line = Line::open(&scene, "phone").await.unwrap();
        line.say(5).unwrap();
        line.drained().unwrap();
        line.stop();
        let images = ["one", "two"].map(|name| scene.dir.path().join(name));
        for image in &images {
            copy(&line.dir, image);
        }
        for turn in 0..6 {
            let image = &images[turn % 2];
            replace(&line.dir, image);
            line.proxy.stall();
            line.start().unwrap();
            line.say(3 + turn as u64).unwrap();
            line.proxy.cut();
            line.proxy.pass();
            line.drained().unwrap();
            line.say(2).unwrap();
            line.drained().unwrap();
            line.stop();
            replace(image, &line.dir);
        }
        nothing_lost_or_doubled(&scene.collector.shared, &[&line])
            .await
            .unwrap();
        assert!(!alarms(&scene.collector).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_off_longer_than_its_certificate_renews_and_after_90_days_enrols_again() {
    on_each_engine(async |scene: Scene| {
        let mut line = Line::open(&scene, "phone").await.unwrap();
        line.stop();
        let clock = scene.collector.clock();
        clock.advance(60 * DAY_MS);
        line.start().unwrap();
        line.say(10).unwrap();
        line.drained().unwrap();
        assert!(line.phone().agent.status().certificate_until_ms > clock.now());

        line.stop();
        clock.advance(100 * DAY_MS);
        let collector = scene.collector.restart().await.unwrap();
        line.goes_to(&collector).unwrap();
        line.start().unwrap();
        line.wait("no way in", |status| {
            status.session == "waiting" && status.session_problem.contains("renewed")
        })
        .unwrap();
        line.say(5).unwrap();
        let unsent = line.said().len() - 5;
        line.stop();

        let token = collector.token(&scene.holder).await.unwrap();
        phone::enroll(&line.dir, &token, clock).await.unwrap();
        phone::readdress(&line.dir, &line.proxy.server()).unwrap();
        line.start().unwrap();
        // Another device: nothing of the earlier enrolment's consent counts for it.
        assert_eq!(line.try_say(3).unwrap(), 0);
        line.drained().unwrap();
        let status = line.phone().agent.status();
        assert_eq!((status.granted.len(), status.refused_events), (0, 0));
        line.grant().unwrap();
        line.say(4).unwrap();
        line.drained().unwrap();
        let said = line.said();
        let kept = said[..unsent].iter().chain(&said[said.len() - 4..]);
        stored_once(&collector.shared, kept).await.unwrap();
        assert_eq!(alarms(&collector).await, ["enrolled_again"]);
        let gaps = gaps::list(&collector.shared.db, 0).await.unwrap();
        let missing: u64 = gaps.iter().flat_map(|gap| &gap.counts).map(|it| it.1).sum();
        assert_eq!(
            missing, 5,
            "what was captured under the old enrolment: {gaps:?}"
        );
    })
    .await;
}

fn secret() -> Secret {
    Secret::Key([7; 32].into())
}

async fn back_up(collector: &Collector) -> Vec<u8> {
    let header = Header {
        created_ms: 1,
        settings: "version = 1".to_owned(),
        master_key: None,
    };
    let mut file = Vec::new();
    backup::write(&collector.shared.db, &header, &secret(), &mut file)
        .await
        .unwrap();
    file
}

/// A collector in a new folder, on a new database of the same engine, with what the backup holds.
async fn restored(engine: Engine, of: &Collector, dir: &Path, file: &[u8]) -> Collector {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(dir).unwrap();
    let url = match engine {
        Engine::Sqlite => String::new(),
        Engine::Postgres => postgres::shared().unwrap().database().await.unwrap(),
    };
    let settings = std::fs::read_to_string(of.dir().join(config::FILE)).unwrap();
    let (before, _) = settings.split_once("[store]").unwrap();
    let settings = format!("{before}[store]\nurl = \"{url}\"\n");
    std::fs::write(dir.join(config::FILE), settings).unwrap();
    let key = dir.join(master::FILE);
    std::fs::copy(of.dir().join(master::FILE), &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let db = Db::open(&url, dir).await.unwrap();
    let opened = Backup::open(&secret(), file).unwrap();
    opened.restore(&db).await.unwrap();
    db.close().await;
    Collector::open(dir, of.clock()).await.unwrap()
}

fn engine_of(collector: &Collector) -> Engine {
    if collector.shared.db.engine().name() == "sqlite" {
        Engine::Sqlite
    } else {
        Engine::Postgres
    }
}

/// What phones were told is stored and is not is written down as `server_lost`; what they still hold
/// arrives; a grant given since the backup counts by the receipt its phone kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_restored_from_yesterdays_backup_says_what_it_lost_and_takes_the_rest() {
    on_each_engine(async |scene: Scene| {
        let mut line = Line::open(&scene, "phone").await.unwrap();
        line.say(10).unwrap();
        line.drained().unwrap();
        line.phone()
            .choose(Decision::Withdrawn, &[Category::Messages])
            .unwrap();
        line.drained().unwrap();
        let yesterday = back_up(&scene.collector).await;

        // Since then: a grant, a policy, and records.
        line.grant().unwrap();
        let shared = &scene.collector.shared;
        scene
            .collector
            .account("wx-wang-2", &scene.holder, "王芳二号")
            .await
            .unwrap();
        line.wait("the policy", |status| status.policy_version == 2)
            .unwrap();
        line.say(10).unwrap();
        line.drained().unwrap();
        stored_once(shared, line.said()).await.unwrap();
        line.proxy.stall();
        line.say(7).unwrap();

        let engine = engine_of(&scene.collector);
        let folder = scene.dir.path().join("restored");
        let collector = restored(engine, &scene.collector, &folder, &yesterday).await;
        line.goes_to(&collector).unwrap();
        line.proxy.cut();
        line.proxy.pass();
        line.drained().unwrap();
        let status = line.phone().agent.status();
        assert_eq!((status.epoch, status.refused_events), (2, 0));
        let said = line.said();
        stored_once(&collector.shared, said[..10].iter().chain(&said[20..]))
            .await
            .unwrap();
        assert_eq!(alarms(&collector).await, ["server_lost"]);
        let gaps = gaps::list(&collector.shared.db, 0).await.unwrap();
        let lost: Vec<_> = gaps
            .iter()
            .filter(|it| it.reason == "server_lost")
            .collect();
        assert_eq!(lost.len(), 1);
        // Ten messages, a consent and an accepted policy.
        assert_eq!(lost[0].events(), 12);

        // IT enters the second account again: its policy takes a number the phone has not seen.
        collector
            .account("wx-wang-2", &scene.holder, "王芳二号")
            .await
            .unwrap();
        line.wait("the new policy", |status| status.policy_version > 2)
            .unwrap();
        line.say(3).unwrap();
        line.drained().unwrap();
        assert_eq!(line.phone().agent.status().refused_events, 0);
    })
    .await;
}

/// A device enrolled since the backup is not known any more: it is told, and enrols again.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_enrolled_since_the_backup_is_told_so() {
    on_each_engine(async |scene: Scene| {
        let yesterday = back_up(&scene.collector).await;
        let mut line = Line::open(&scene, "phone").await.unwrap();
        line.say(2).unwrap();
        line.drained().unwrap();
        let engine = engine_of(&scene.collector);
        let folder = scene.dir.path().join("restored");
        let collector = restored(engine, &scene.collector, &folder, &yesterday).await;
        line.goes_to(&collector).unwrap();
        line.proxy.cut();
        line.wait("a reason", |status| {
            status.session_problem.contains("enrol it again")
        })
        .unwrap();
    })
    .await;
}
