use super::*;
use crate::audit::checkpoints::sign_head;
use crate::fixture::Fixture;

async fn append(fixture: &Fixture, reason: &str) {
    let entry = Entry::new("p-reader", "finding.open", "p-read", reason);
    fixture
        .shared
        .audit
        .append(&fixture.shared.db, entry)
        .await
        .unwrap();
}

async fn exported(fixture: &Fixture) -> Vec<u8> {
    let mut file = Vec::new();
    export(&fixture.shared, &mut file).await.unwrap();
    file
}

/// A phone's copy that holds these checkpoints.
fn phone(fixture: &Fixture, checkpoints: &[pb::Signed]) -> Witness {
    let shown = |it: &pb::Signed| serde_json::json!({ "seq": 0, "signed": BASE64_STANDARD.encode(it.encode_to_vec()) });
    let roots = fixture.shared.ca.roots();
    let json = serde_json::json!({
        "roots": roots.iter().map(|it| BASE64_STANDARD.encode(it)).collect::<Vec<_>>(),
        "audit_checkpoints": checkpoints.iter().map(shown).collect::<Vec<_>>(),
        "status": {},
    });
    Witness::parse("phone.json", &json.to_string()).unwrap()
}

/// Three entries, the first two under a checkpoint; what a phone then has seen.
async fn log() -> (Fixture, pb::Signed) {
    let fixture = Fixture::new().await;
    append(&fixture, "投诉核查").await;
    append(&fixture, "抽查").await;
    let seen = sign_head(&fixture.shared).await.unwrap().unwrap();
    append(&fixture, "客户异议").await;
    fixture.clock.advance(checkpoints::EVERY_MS);
    sign_head(&fixture.shared).await.unwrap().unwrap();
    (fixture, seen)
}

#[tokio::test]
async fn an_honest_log_holds_by_itself_and_against_a_phone() {
    let (fixture, seen) = log().await;
    let witness = phone(&fixture, &[seen]);
    let report = verify(&exported(&fixture).await[..], &[witness]).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(
        (report.entries, report.checkpoints, report.witnessed),
        (3, 2, 1)
    );
}

#[tokio::test]
async fn a_checkpoint_is_signed_once_a_minute_and_only_after_a_change() {
    let fixture = Fixture::new().await;
    let sign = async || sign_head(&fixture.shared).await.unwrap().is_some();
    assert!(!sign().await, "an empty chain");
    append(&fixture, "抽查").await;
    assert!(sign().await);
    append(&fixture, "抽查").await;
    assert!(!sign().await, "within the minute");
    fixture.clock.advance(checkpoints::EVERY_MS);
    assert!(sign().await);
    fixture.clock.advance(10 * checkpoints::EVERY_MS);
    assert!(!sign().await, "nothing changed");
    let newest = checkpoints::newest(&fixture.shared.db).await.unwrap();
    assert_eq!(newest.len(), 1);
    let newest = pb::AuditCheckpoint::decode(&*newest[0].1.payload).unwrap();
    assert_eq!(newest.seq, 2);
}

/// Whoever holds the database and every key rewrites entry 2, links and signs everything anew.
#[tokio::test]
async fn a_log_forged_and_signed_anew_holds_by_itself_and_fails_against_a_phone() {
    let (fixture, seen) = log().await;
    let db = &fixture.shared.db;
    for table in ["delete from audit", "delete from audit_checkpoints"] {
        sqlx::query(table).execute(db.writer()).await.unwrap();
    }
    for reason in ["投诉核查", "另一个理由", "客户异议"] {
        append(&fixture, reason).await;
    }
    fixture.clock.advance(checkpoints::EVERY_MS);
    sign_head(&fixture.shared).await.unwrap().unwrap();
    let forged = exported(&fixture).await;
    let alone = verify(&forged[..], &[]).unwrap();
    assert_eq!(alone.problems, [], "by itself nothing shows");
    let report = verify(&forged[..], &[phone(&fixture, &[seen])]).unwrap();
    let changed = Problem::Changed {
        by: "phone.json".to_owned(),
        collector: "c1".to_owned(),
        seq: 2,
    };
    assert_eq!(report.problems, [changed]);
}

#[tokio::test]
async fn every_other_change_of_the_file_is_named() {
    let (fixture, seen) = log().await;
    let file = String::from_utf8(exported(&fixture).await).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    let check = |lines: &[&str], witnesses: &[Witness]| {
        let text = lines.join("\n");
        verify(text.as_bytes(), witnesses).map(|it| it.problems)
    };
    let edited = file.replace("抽查", "改过");
    let problems = verify(edited.as_bytes(), &[]).unwrap().problems;
    assert!(
        matches!(problems[0], Problem::Broken { seq: 2, .. }),
        "{problems:?}"
    );
    // The end cut off: the file's own checkpoint misses it, and so does the phone when that is cut too.
    let cut = [lines[0], lines[1], lines[4], lines[5]];
    let problems = check(&cut, &[]).unwrap();
    assert!(
        matches!(
            problems[0],
            Problem::Missing {
                seq: 2,
                last: 1,
                ..
            }
        ),
        "{problems:?}"
    );
    let problems = check(&cut[..2], &[phone(&fixture, std::slice::from_ref(&seen))]).unwrap();
    assert!(
        matches!(
            problems[0],
            Problem::Missing {
                seq: 2,
                last: 1,
                ..
            }
        ),
        "{problems:?}"
    );
    // A checkpoint nobody of the company signed, and a phone of another company.
    let mut unsigned = seen.clone();
    unsigned.payload.push(0);
    let problems = check(&lines, &[phone(&fixture, &[unsigned])]).unwrap();
    assert!(
        matches!(problems[0], Problem::Unsigned { .. }),
        "{problems:?}"
    );
    let stranger = Fixture::new().await;
    let problems = check(&lines, &[phone(&stranger, &[seen])]).unwrap();
    assert!(
        matches!(problems[0], Problem::Foreign { .. }),
        "{problems:?}"
    );
    // What is no log at all.
    for lines in [
        &[][..],
        &lines[1..],
        &["{}"],
        &[lines[0], "{\"seq\":1}"],
        &[lines[0], lines[0]],
    ] {
        assert!(check(lines, &[]).is_err(), "{lines:?}");
    }
    assert!(Witness::parse("x.json", "{}").is_err());
}
