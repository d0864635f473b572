//! Packs are signed by the collector, delivered over the session, and swapped whole or not at all.

use mingjing_collector::packs;
use mingjing_proto::pb;
use mingjing_tests::phone::{self, Phone};
use mingjing_tests::scene::{Engine, Scene};

fn shipped() -> Vec<pb::PackFile> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/packs");
    packs::read(std::path::Path::new(dir)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_set_reaches_a_phone_and_a_broken_one_changes_nothing() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let token = scene.collector.token(&scene.holder).await.unwrap();
    let dir = scene.dir.path().join("phone");
    phone::enroll(&dir, &token, scene.collector.clock())
        .await
        .unwrap();
    let phone = Phone::start(&dir, scene.collector.clock()).unwrap();
    let shared = &scene.collector.shared;

    // The app has no reader of YAML.
    for file in shipped() {
        serde_json::from_str::<serde_json::Value>(&file.json).expect("JSON");
    }
    let version = packs::publish(shared, shipped(), "it").await.unwrap();
    let phone = tokio::task::spawn_blocking(move || {
        phone
            .wait("the new set", |status| status.pack_version == version)
            .unwrap();
        phone
    })
    .await
    .unwrap();

    let mut broken = shipped();
    broken[0].json = r#"{"windows": {"chat": ["#.to_owned();
    let refused = packs::publish(shared, broken, "it").await.unwrap();
    assert_eq!(refused, version + 1);
    tokio::task::spawn_blocking(move || {
        phone
            .wait("the problem told", |status| !status.problems.is_empty())
            .unwrap();
        assert_eq!(phone.agent.status().pack_version, version);
    })
    .await
    .unwrap();
}
