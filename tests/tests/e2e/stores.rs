//! What holds of the store whatever its engine, and what PostgreSQL adds: TLS.

use mingjing_collector::db::{Db, Engine};
use mingjing_tests::postgres;
use mingjing_tests::scene::{Scene, on_each_engine};

#[tokio::test]
async fn each_scene_runs_on_the_engine_it_names() {
    let engines = std::cell::RefCell::new(Vec::new());
    on_each_engine(async |scene: Scene| {
        engines
            .borrow_mut()
            .push(scene.collector.shared.db.engine());
    })
    .await;
    assert_eq!(*engines.borrow(), [Engine::Sqlite, Engine::Postgres]);
}

#[tokio::test]
async fn postgresql_is_reached_over_verified_tls_and_a_foreign_certificate_is_refused() {
    let cluster = postgres::shared().unwrap();
    let database = cluster.bare_database().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root.pem");
    let url = format!(
        "{database}?sslmode=verify-full&sslrootcert={}",
        root.display()
    );

    std::fs::write(&root, cluster.certificate().unwrap()).unwrap();
    let scene = Scene::start_on(&url).await.unwrap();
    let encrypted = "select count(*) from pg_stat_ssl where pid = pg_backend_pid() and ssl";
    assert_eq!(scene.collector.number(encrypted).await.unwrap(), 1);

    let foreign = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&root, foreign.cert.pem()).unwrap();
    assert!(Db::open(&url, dir.path()).await.is_err());
}

#[tokio::test]
async fn an_upgrade_by_two_collectors_at_once_happens_once() {
    let database = postgres::shared().unwrap().database().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let opened =
        futures::future::join_all((0..4).map(async |_| Db::open(&database, dir.path()).await))
            .await;
    for db in opened {
        db.unwrap().close().await;
    }
}
