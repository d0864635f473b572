//! Disks that are full, read-only or damaged, on either side (promise 5): acknowledgements stop, somebody
//! is told what to do, what can be read stays readable, and it goes on by itself where it can.

use std::path::Path;

use mingjing_collector::cure::Cure;
use mingjing_collector::error::Error;
use mingjing_collector::people::Role;
use mingjing_collector::{audit::Audit, chain, devices};
use mingjing_tests::browser::Browser;
use mingjing_tests::disk::SmallDisk;
use mingjing_tests::harness::{Collector, PASSWORD};
use mingjing_tests::line::{Line, nothing_lost_or_doubled, stored_once, until};
use mingjing_tests::phone::Phone;
use mingjing_tests::scene::{Engine, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_collector_stops_acks_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&dir.path().join("collector"), 12).unwrap();
    let scene = Scene::start_in(dir, "").await.unwrap();
    let mut line = Line::open(&scene, "phone").await.unwrap();
    line.say(20).unwrap();
    line.drained().unwrap();
    let before = line.said().to_vec();
    let admin = [(Role::Admin, "*")];
    let added = scene.collector.person("it", "陆远", "信息部", &admin);
    added.await.unwrap();
    let console = &scene.collector.addresses().console;
    let browser = Browser::log_in(console, "it", PASSWORD).await.unwrap();
    let told = "请清理或增加磁盘空间";
    let (status, page) = browser.page("/phones").await.unwrap();
    assert_eq!((status, page.contains(told)), (200, false));

    disk.fill().unwrap();
    let shared = &scene.collector.shared;
    // The database's log may have some room of its own left.
    until("the disk to be full for the database, too", async || {
        line.say(200).unwrap();
        scene.collector.watch("/health/ready").await.unwrap().0 == 503
    })
    .await
    .unwrap();
    assert!(line.phone().agent.status().queued_events > 0);
    let (status, text) = scene.collector.watch("/health/ready").await.unwrap();
    assert_eq!(status, 503);
    assert!(text.contains("disk space"), "{text}");
    assert_eq!(scene.collector.watch("/health/live").await.unwrap().0, 200);
    // A session that can't be prolonged still shows what there is, and says what is wrong once a batch
    // could not be stored.
    scene.collector.clock().advance(6 * 60_000);
    until("the console to say so", async || {
        let (status, page) = browser.page("/phones").await.unwrap();
        assert_eq!(status, 200);
        page.contains(told)
    })
    .await
    .unwrap();
    // What is there can be read.
    assert_eq!(devices::list(&shared.db).await.unwrap().len(), 1);
    let stored = mingjing_tests::oracle::texts(shared).await.unwrap();
    assert!(before.iter().all(|text| stored.contains(text)));
    assert_eq!(chain::verify(&shared.db).await.unwrap()[0].broken, None);

    disk.empty().unwrap();
    line.drained().unwrap();
    nothing_lost_or_doubled(shared, &[&line]).await.unwrap();
    assert_eq!(scene.collector.watch("/health/ready").await.unwrap().0, 200);
    let (status, page) = browser.page("/phones").await.unwrap();
    assert_eq!((status, page.contains(told)), (200, false));
    drop(line);
    drop(scene);
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_data_folder_is_named_with_its_cure() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&dir.path().join("collector"), 12).unwrap();
    let mut scene = Scene::start_in(dir, "").await.unwrap();
    let folder = scene.collector.dir().to_owned();
    scene.collector.stop().await.unwrap();
    disk.freeze().unwrap();
    let error = Collector::open(&folder, scene.collector.clock())
        .await
        .unwrap_err();
    let cure = error.downcast_ref::<Error>().unwrap().cure();
    assert_eq!(cure, Some(Cure::Writable), "{error:?}");
    disk.thaw().unwrap();
    Collector::open(&folder, scene.collector.clock())
        .await
        .unwrap();
}

/// Puts garbage over the page that holds `bytes`.
fn damage(file: &Path, bytes: &[u8]) {
    const PAGE: usize = 4096;
    let mut content = std::fs::read(file).unwrap();
    let at = content
        .windows(bytes.len())
        .position(|window| window == bytes)
        .unwrap();
    content[at / PAGE * PAGE..][..PAGE].fill(0xa5);
    std::fs::write(file, content).unwrap();
}

#[tokio::test]
async fn a_damaged_page_stops_what_needs_it_and_leaves_the_rest_readable() {
    let mut scene = Scene::start(Engine::Sqlite).await.unwrap();
    let mut phone = scene.phone().await.unwrap();
    let mut session = phone.consented(PASSWORD).await.unwrap();
    let frame = phone.messages("wx-wang", scene.now(), &["坏页上的"]);
    // Not the newest: that one's link stands in the device's row, too.
    let link = phone.link;
    let newest = phone.messages("wx-wang", scene.now(), &["它后面的"]);
    session.batch(1, vec![frame, newest]).await.unwrap();
    session.ack_through(phone.seq).await.unwrap();
    drop(session);
    scene.collector.stop().await.unwrap();
    damage(&scene.collector.dir().join("mingjing.db"), &link);

    let collector = Collector::open(scene.collector.dir(), scene.collector.clock())
        .await
        .unwrap();
    phone
        .session_server
        .clone_from(&collector.addresses().session);
    let db = &collector.shared.db;
    let error = chain::verify(db).await.unwrap_err();
    assert_eq!(error.cure(), Some(Cure::Restore), "{error:?}");
    // Where the page is not needed everything goes on.
    assert_eq!(Audit::verify(db).await.unwrap().broken_at, None);
    assert_eq!(devices::list(db).await.unwrap().len(), 1);
    assert_eq!(collector.watch("/health/live").await.unwrap().0, 200);
    // What can't be stored is not acknowledged.
    let hello = phone.hello();
    let frame = phone.messages("wx-wang", scene.now(), &["存不下的"]);
    let stored = async {
        let (mut session, _) = phone.open_with(hello).await?;
        session.batch(1, vec![frame]).await?;
        session.ack_through(phone.seq).await
    };
    let error = stored.await.unwrap_err();
    let status = error.downcast_ref::<tonic::Status>().unwrap();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_phone_claims_nothing_and_keeps_what_it_saw() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let disk = SmallDisk::mount(&scene.dir.path().join("phone"), 24).unwrap();
    let mut line = Line::open(&scene, "phone").await.unwrap();
    line.say(10).unwrap();
    line.drained().unwrap();
    line.proxy.stall();
    disk.fill().unwrap();
    let mut full = None;
    for _ in 0..200 {
        // The database may have some room of its own left.
        if let Err(error) = line.try_say(100) {
            full = Some(error);
            break;
        }
    }
    let error = full.expect("a full disk is noticed");
    assert!(error.to_string().contains("disk full"), "{error:#}");
    line.try_say(5).unwrap_err();

    disk.empty().unwrap();
    line.try_say(5).unwrap();
    line.proxy.cut();
    line.proxy.pass();
    line.drained().unwrap();
    nothing_lost_or_doubled(&scene.collector.shared, &[&line])
        .await
        .unwrap();

    // A start with a full disk is no damage: nothing is set aside, and later everything is there.
    line.proxy.stall();
    line.say(7).unwrap();
    line.stop();
    disk.fill().unwrap();
    let error = line.start().unwrap_err();
    assert!(error.to_string().contains("disk full"), "{error:#}");
    assert!(!line.dir.join("buffer.damaged").exists());
    disk.empty().unwrap();
    line.proxy.cut();
    line.proxy.pass();
    line.start().unwrap();
    line.drained().unwrap();
    nothing_lost_or_doubled(&scene.collector.shared, &[&line])
        .await
        .unwrap();
    line.stop();

    disk.freeze().unwrap();
    let error = line.start().unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("can't be read or written") && text.contains("phone"),
        "{text}"
    );
    disk.thaw().unwrap();
    line.start().unwrap();
    line.stop();
    drop(disk);
}

/// A phone can't be repaired by hand: it sets the damaged database aside, says so, and asks for consent
/// again; the collector notes that its history went back.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_buffer_is_set_aside_and_the_phone_goes_on() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let mut line = Line::open(&scene, "phone").await.unwrap();
    line.say(10).unwrap();
    line.drained().unwrap();
    line.proxy.stall();
    line.say(3).unwrap();
    line.stop();
    std::fs::write(line.dir.join("buffer/db"), [0x5a; 50_000]).unwrap();
    line.proxy.cut();
    line.proxy.pass();
    line.start().unwrap();
    assert!(line.dir.join("buffer.damaged/db").exists());
    let status = line.phone().agent.status();
    assert!(
        status
            .problems
            .iter()
            .any(|it| it.contains("consent has to be given again")),
        "{:?}",
        status.problems
    );
    // Nothing is captured until the employee has decided again.
    assert_eq!(line.try_say(2).unwrap(), 0);
    line.grant().unwrap();
    line.say(4).unwrap();
    line.drained().unwrap();
    let said = line.said();
    stored_once(
        &scene.collector.shared,
        said[..10].iter().chain(&said[15..]),
    )
    .await
    .unwrap();
    let alarms = devices::alarms(&scene.collector.shared.db, 0)
        .await
        .unwrap();
    assert!(
        alarms.iter().any(|it| it.kind == "rolled_back"),
        "{alarms:?}"
    );
    let told = devices::list(&scene.collector.shared.db).await.unwrap();
    let problems = &told[0].status.as_ref().unwrap().pack_problems;
    assert!(
        problems.iter().any(|it| it.contains("damaged")),
        "{problems:?}"
    );
}

#[tokio::test]
async fn a_folder_that_is_not_a_phones_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(mingjing_tests::clock::SimClock::real());
    let error = Phone::start(dir.path(), clock).unwrap_err();
    assert!(error.to_string().contains("enrol"), "{error:#}");
}
