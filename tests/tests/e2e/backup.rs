//! A backup taken beside a running collector comes back whole, on either engine, and to its owner only.

use mingjing_collector::audit::Audit;
use mingjing_collector::backup::{self, Backup, Header, Secret};
use mingjing_collector::chain;
use mingjing_collector::db::Db;
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::postgres;
use mingjing_tests::scene::{Scene, on_each_engine};

fn header() -> Header {
    Header {
        created_ms: 1,
        settings: "version = 1".to_owned(),
        master_key: None,
    }
}

fn secret(byte: u8) -> Secret {
    Secret::Key([byte; 32].into())
}

#[tokio::test]
async fn a_backup_restores_on_both_engines_with_equal_counts_and_whole_chains() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let frame = phone.messages("wx-wang", scene.now(), &["报价发你了", "好的"]);
        session.batch(1, vec![frame]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
        let db = &scene.collector.shared.db;
        let mut file = Vec::new();
        let counts = backup::write(db, &header(), &secret(1), &mut file)
            .await
            .unwrap();
        assert_eq!(counts["records"], 3);
        let chains = chain::verify(db).await.unwrap();
        assert_eq!((chains[0].seqs, chains[0].broken.as_ref()), (4, None));
        let entries = Audit::verify(db).await.unwrap();

        let empty = scene.dir.path().join("restored");
        std::fs::create_dir(&empty).unwrap();
        let server = postgres::shared().unwrap().database().await.unwrap();
        for url in ["", &server] {
            let restored = Db::open(url, &empty).await.unwrap();
            let opened = Backup::open(&secret(1), &file[..]).unwrap();
            assert_eq!(opened.header, header());
            assert_eq!(opened.restore(&restored).await.unwrap(), counts);
            assert_eq!(chain::verify(&restored).await.unwrap(), chains);
            assert_eq!(Audit::verify(&restored).await.unwrap(), entries);
            // Never over anything.
            let again = Backup::open(&secret(1), &file[..]).unwrap();
            assert!(again.restore(&restored).await.is_err());
            restored.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_backup_that_is_cut_changed_or_anothers_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open("", dir.path()).await.unwrap();
    let mut file = Vec::new();
    backup::write(&db, &header(), &secret(1), &mut file)
        .await
        .unwrap();
    assert!(Backup::open(&secret(2), &file[..]).is_err());
    for length in [0, 10, 34, file.len() - 1] {
        assert!(Backup::open(&secret(1), &file[..length]).is_err());
    }
    for at in [0, 20, 40, file.len() - 1] {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(Backup::open(&secret(1), &changed[..]).is_err());
    }
    let mut longer = file.clone();
    longer.push(0);
    let opened = Backup::open(&secret(1), &longer[..]).unwrap();
    assert!(opened.restore(&db).await.is_err());
}

#[tokio::test]
async fn a_changed_record_breaks_its_devices_chain_at_its_place() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        drop(phone.consented(PASSWORD).await.unwrap());
        let db = &scene.collector.shared.db;
        sqlx::query("update records set category = 1 where first_seq = 2")
            .execute(db.writer())
            .await
            .unwrap();
        let chains = chain::verify(db).await.unwrap();
        let broken = chains[0].broken.as_deref().unwrap();
        assert!(broken.contains("epoch 1 seq 2"), "{broken}");
    })
    .await;
}
