use super::*;
use crate::audit::Audit;
use crate::findings::{Filter, State, Step};
use crate::fixture::{Fixture, SECRET_TEXT};

async fn viewer(fixture: &Fixture, person: &str) -> Viewer {
    Viewer::load(&fixture.shared.db, person).await.unwrap()
}

#[tokio::test]
async fn each_role_opens_exactly_what_it_may() {
    let fixture = Fixture::new().await;
    let shared = &*fixture.shared;
    let li = fixture.person("li", "销售部", Role::Employee, "*").await;
    let id = fixture.finding(&li, "销售部", 1).await;
    for (login, role, department, scope, expected) in [
        ("r1", Role::Reviewer, "质检部", "*", "opened"),
        ("r2", Role::Reviewer, "质检部", "销售部", "opened"),
        ("r3", Role::Reviewer, "质检部", "售后部", "not found"),
        ("l1", Role::Lead, "销售部", "*", "opened"),
        ("l2", Role::Lead, "售后部", "*", "not found"),
        ("it", Role::Admin, "信息部", "*", "forbidden"),
        ("au", Role::Auditor, "审计部", "*", "forbidden"),
        ("po", Role::Policy, "人事部", "*", "forbidden"),
        ("pr", Role::Privacy, "法务部", "*", "forbidden"),
        ("em", Role::Employee, "销售部", "*", "forbidden"),
    ] {
        let person = fixture.person(login, department, role, scope).await;
        let who = viewer(&fixture, &person).await;
        let got = match open_finding(shared, &who, &id, "客户投诉核查").await {
            Ok(opened) => {
                assert!(opened.content.activity.text.contains(SECRET_TEXT));
                "opened"
            }
            Err(Error::NotFound(_)) => "not found",
            Err(Error::Forbidden(_)) => "forbidden",
            Err(other) => panic!("{login}: {other}"),
        };
        assert_eq!(got, expected, "{login}");
    }
}

#[tokio::test]
async fn an_opening_needs_a_reason_and_is_in_the_chain_before_the_text_is_read() {
    let fixture = Fixture::new().await;
    let shared = &*fixture.shared;
    let li = fixture.person("li", "销售部", Role::Employee, "*").await;
    let id = fixture.finding(&li, "销售部", 1).await;
    let reviewer = fixture.person("rev", "质检部", Role::Reviewer, "*").await;
    let who = viewer(&fixture, &reviewer).await;
    for reason in ["", "  查 ", "查一下"] {
        assert!(matches!(
            open_finding(shared, &who, &id, reason).await,
            Err(Error::Invalid(_))
        ));
    }
    open_finding(shared, &who, &id, "客户投诉核查")
        .await
        .unwrap();
    let readings = readers_of(shared, &viewer(&fixture, &li).await, 10)
        .await
        .unwrap();
    assert_eq!(readings.len(), 1);
    assert_eq!(readings[0].reason, "客户投诉核查");
    assert_eq!(readings[0].role, "reviewer");
    assert_eq!(Audit::verify(&shared.db).await.unwrap().broken_at, None);

    // A finding whose bytes were changed can't be read, and the attempt is in the chain all the same.
    sqlx::query("update findings set sealed = $1")
        .bind(&[0_u8; 40][..])
        .execute(shared.db.writer())
        .await
        .unwrap();
    assert!(matches!(
        open_finding(shared, &who, &id, "客户投诉核查").await,
        Err(Error::Sealed)
    ));
    let readings = readers_of(shared, &viewer(&fixture, &li).await, 10)
        .await
        .unwrap();
    assert_eq!(readings.len(), 2);
}

#[tokio::test]
async fn nobody_reviews_himself() {
    let fixture = Fixture::new().await;
    let shared = &*fixture.shared;
    let reviewer = fixture.person("rev", "质检部", Role::Reviewer, "*").await;
    people::grant(shared, &reviewer, Role::Employee, "*", "test")
        .await
        .unwrap();
    let id = fixture.finding(&reviewer, "质检部", 1).await;
    let who = viewer(&fixture, &reviewer).await;
    assert!(matches!(
        open_finding(shared, &who, &id, "看看自己的").await,
        Err(Error::NotFound(_))
    ));
    let listed = list_findings(shared, &who, &Filter::default(), 10, 0)
        .await
        .unwrap();
    assert_eq!(listed.total, 0);
    let step = Step::Mark(State::FalsePositive);
    assert!(act(shared, &who, &id, &step, "是误报").await.is_err());
    // As the person concerned he sees it, and that is written down as well.
    let opened = open_own_finding(shared, &who, &id).await.unwrap();
    assert!(opened.content.activity.text.contains(SECRET_TEXT));
}

#[tokio::test]
async fn a_step_moves_the_state_once_and_keeps_its_comment() {
    let fixture = Fixture::new().await;
    let shared = &*fixture.shared;
    let li = fixture.person("li", "销售部", Role::Employee, "*").await;
    let id = fixture.finding(&li, "销售部", 1).await;
    let reviewer = fixture.person("rev", "质检部", Role::Reviewer, "*").await;
    let it = fixture.person("it", "信息部", Role::Admin, "*").await;
    let who = viewer(&fixture, &reviewer).await;
    act(shared, &who, &id, &Step::Take, "").await.unwrap();
    let refused = act(shared, &who, &id, &Step::Assign(it), "").await;
    assert!(matches!(refused, Err(Error::Forbidden(_))));
    let step = Step::Mark(State::NonCompliant);
    assert!(act(shared, &who, &id, &step, "").await.is_err());
    act(shared, &who, &id, &step, "收款账户不是公司的")
        .await
        .unwrap();
    let opened = open_finding(shared, &who, &id, "客户投诉核查")
        .await
        .unwrap();
    assert_eq!(opened.finding.state, State::NonCompliant);
    assert_eq!(opened.finding.assignee, reviewer);
    let steps: Vec<_> = opened
        .steps
        .iter()
        .map(|it| (&*it.action, &*it.comment))
        .collect();
    assert_eq!(
        steps,
        [("take", ""), ("non_compliant", "收款账户不是公司的")]
    );
    assert_eq!(Audit::verify(&shared.db).await.unwrap().broken_at, None);
}
