use super::*;
use crate::fixture::{Fixture, NOW_MS};

async fn write(db: &Db, at_ms: i64, subject: &str) -> Change {
    let mut tx = db.begin().await.unwrap();
    let change = Changes::record(&mut tx, at_ms, Kind::Device, subject)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    change
}

/// A hearer's changes of one round of polling at `now_ms`.
async fn round(
    changes: &Changes,
    hearer: &mut broadcast::Receiver<Change>,
    db: &Db,
    now_ms: i64,
) -> Vec<String> {
    changes.look(db, slot(now_ms - LATE_MS)).await.unwrap();
    let mut heard = Vec::new();
    while let Ok(change) = hearer.try_recv() {
        heard.push(change.subject);
    }
    heard
}

#[tokio::test]
async fn another_collectors_changes_are_heard_once_in_whatever_order_they_commit() {
    let fixture = Fixture::new().await;
    let db = &fixture.shared.db;
    let other = Changes::default();
    let mut hearer = other.subscribe();
    write(db, NOW_MS, "first").await;
    assert_eq!(round(&other, &mut hearer, db, NOW_MS).await, ["first"]);
    // Stamped before what was heard already, in its own slot and in an older one; one by a clock ahead.
    write(db, NOW_MS, "same moment").await;
    write(db, NOW_MS - 20_000, "late").await;
    write(db, NOW_MS + 5000, "ahead").await;
    assert_eq!(
        round(&other, &mut hearer, db, NOW_MS + 250).await,
        ["late", "same moment", "ahead"]
    );
    assert_eq!(
        round(&other, &mut hearer, db, NOW_MS + 500).await,
        [""; 0],
        "nothing twice"
    );
}

#[tokio::test]
async fn what_was_written_before_the_start_or_told_here_is_no_news() {
    let fixture = Fixture::new().await;
    let db = &fixture.shared.db;
    write(db, NOW_MS - 1000, "before the start").await;
    let changes = Changes::default();
    changes.begin(db, NOW_MS).await.unwrap();
    let mut hearer = changes.subscribe();
    let own = write(db, NOW_MS, "own").await;
    changes.announce(own.clone());
    let session = write(db, NOW_MS, "for others").await;
    changes.tell_others(&session);
    assert_eq!(hearer.try_recv().unwrap(), own);
    assert_eq!(round(&changes, &mut hearer, db, NOW_MS).await, [""; 0]);
    // Heard from the table first: its announcement is late, not lost.
    let raced = write(db, NOW_MS, "raced").await;
    assert_eq!(round(&changes, &mut hearer, db, NOW_MS).await, ["raced"]);
    changes.announce(raced);
    assert!(hearer.try_recv().is_err());
}
