//! The real agent against the real collector: consent, capture, withdrawal, loss of neither side.

use std::path::Path;

use mingjing_proto::pb::{Category, Decision};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::phone::{self, Phone, account_page, message};
use mingjing_tests::scene::{Engine, Scene, on_each_engine};
use mingjing_tests::search::found_in;

async fn enrolled(scene: &Scene, name: &str) -> Phone {
    let token = scene.collector.token(&scene.holder).await.unwrap();
    let dir = scene.dir.path().join(name);
    phone::enroll(&dir, &token, scene.collector.clock())
        .await
        .unwrap();
    Phone::start(&dir, scene.collector.clock()).unwrap()
}

/// The agent's waits block; the collector runs on the runtime's other threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_on_a_consented_phone_becomes_a_stored_record_and_a_finding() {
    on_each_engine(async |scene: Scene| {
        let phone = enrolled(&scene, "phone").await;
        let now = scene.now();
        let phone = blocking(move || {
            phone.grant(PASSWORD).unwrap();
            phone
                .signals(&[account_page(now - 3000, "wx-wang")])
                .unwrap();
            let lines = [
                message(now - 2000, "陈先生", "合同看过了，没问题"),
                message(now - 1000, "陈先生", "你把钱直接转我个人微信，别走公司账"),
            ];
            assert_eq!(phone.signals(&lines).unwrap().events, 2);
            phone.drained().unwrap();
            phone
        })
        .await;
        let number = async |sql| scene.collector.number(sql).await.unwrap();
        assert_eq!(
            number("select cast(coalesce(sum(n), 0) as bigint) from tallies where kind = 1").await,
            2
        );
        blocking(move || drop(phone)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_what_must_not_be_kept_is_on_either_disk() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let phone = enrolled(&scene, "phone").await;
    let now = scene.now();
    let phone = blocking(move || {
        // No consent yet.
        phone
            .signals(&[account_page(now - 9000, "wx-wang")])
            .unwrap();
        phone
            .signals(&[message(now - 8000, "客户", "未经同意的内容甲")])
            .unwrap();
        phone.grant(PASSWORD).unwrap();
        // Consent, but the account is not proven since.
        let other_user = message(now, "客户", "另一个用户的内容乙")
            .replace("\"app_version\"", "\"user\":999,\"app_version\"");
        let other_app =
            message(now, "客户", "别的应用的内容丙").replace("com.tencent.mm", "com.example.chat");
        let contact = account_page(now, "wx-stranger");
        phone.signals(&[other_user, other_app, contact]).unwrap();
        phone
            .signals(&[message(now, "客户", "账号未证明的内容丁")])
            .unwrap();
        phone
            .signals(&[
                account_page(now, "wx-wang"),
                message(now, "客户", "应当收到的内容戊"),
            ])
            .unwrap();
        phone.drained().unwrap();
        phone
    })
    .await;
    assert_eq!(
        scene
            .collector
            .number("select cast(sum(n) as bigint) from tallies where kind = 1")
            .await
            .unwrap(),
        1
    );
    for secret in [
        "未经同意的内容甲",
        "另一个用户的内容乙",
        "别的应用的内容丙",
        "账号未证明的内容丁",
        "应当收到的内容戊",
        "wx-stranger",
    ] {
        assert_eq!(
            found_in(scene.dir.path(), secret),
            Vec::<std::path::PathBuf>::new(),
            "{secret}"
        );
    }
    blocking(move || drop(phone)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawal_offline_destroys_what_was_not_sent_and_is_enforced_when_the_phone_returns() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let phone = enrolled(&scene, "phone").await;
    let now = scene.now();
    let dir = phone.dir.clone();
    let clock = scene.collector.clock();
    blocking(move || {
        phone.grant(PASSWORD).unwrap();
        phone
            .signals(&[
                account_page(now, "wx-wang"),
                message(now, "客户", "撤回之前已送达"),
            ])
            .unwrap();
        phone.drained().unwrap();
    })
    .await;
    let Scene {
        dir: folder,
        mut collector,
        ..
    } = scene;
    collector.stop().await.unwrap();
    let offline = dir.clone();
    let offline_clock = clock.clone();
    blocking(move || {
        let phone = Phone::start(&offline, offline_clock).unwrap();
        phone
            .signals(&[
                account_page(now, "wx-wang"),
                message(now, "客户", "离线时的内容"),
            ])
            .unwrap();
        assert!(phone.agent.status().queued_events > 0);
        phone
            .choose(Decision::Withdrawn, &Category::CONSENTED)
            .unwrap();
        let status = phone.agent.status();
        assert!(status.granted.is_empty(), "{status:?}");
        phone
            .signals(&[message(now, "客户", "撤回之后的内容")])
            .unwrap();
    })
    .await;
    let collector = collector.restart().await.unwrap();
    let session = collector.addresses().session.clone();
    phone::readdress(&dir, &session).unwrap();
    blocking(move || {
        let phone = Phone::start(&dir, clock).unwrap();
        phone.drained().unwrap();
    })
    .await;
    let number = async |sql| collector.number(sql).await.unwrap();
    assert_eq!(
        number("select cast(sum(n) as bigint) from tallies where kind = 1").await,
        1
    );
    assert_eq!(
        number("select count(*) from gaps where reason = 'withdrawn'").await,
        1
    );
    assert_eq!(
        number("select count(*) from consents where decision = 3").await,
        7
    );
    no_trace(folder.path(), &["离线时的内容", "撤回之后的内容"]);
}

fn no_trace(dir: &Path, secrets: &[&str]) {
    for secret in secrets {
        assert_eq!(
            found_in(dir, secret),
            Vec::<std::path::PathBuf>::new(),
            "{secret}"
        );
    }
}

/// The first word of a refusal tells the agent its state: it must not go on knocking.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_phone_knows_that_it_is_revoked() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let phone = enrolled(&scene, "phone").await;
    let phone = blocking(move || {
        phone.grant(PASSWORD).unwrap();
        phone
    })
    .await;
    let shared = &scene.collector.shared;
    let device = mingjing_collector::devices::list(&shared.db).await.unwrap()[0].device;
    mingjing_collector::devices::revoke(shared, device, "it")
        .await
        .unwrap();
    blocking(move || {
        phone
            .wait("revoked", |status| status.session == "revoked")
            .unwrap()
    })
    .await;
}
