use super::*;
use crate::fixture::Fixture;
use crate::people::{EVERYWHERE, Role};

#[tokio::test]
async fn the_same_finding_is_stored_once() {
    let fixture = Fixture::new().await;
    let shared = &*fixture.shared;
    let person = fixture
        .person("li", "销售部", Role::Employee, EVERYWHERE)
        .await;
    fixture.finding(&person, "销售部", 1).await;
    fixture.finding(&person, "销售部", 1).await;
    fixture.finding(&person, "销售部", 2).await;
    let reach = Reach::new(None, "p-reviewer");
    let listed = list(&shared.db, &reach, &Filter::default(), 10, 0)
        .await
        .unwrap();
    assert_eq!((listed.total, listed.findings.len()), (2, 2));
}

#[tokio::test]
async fn a_list_holds_only_what_is_within_reach() {
    let fixture = Fixture::new().await;
    let db = &fixture.shared.db;
    let li = fixture
        .person("li", "销售部", Role::Employee, EVERYWHERE)
        .await;
    let wang = fixture
        .person("wang", "售后部", Role::Employee, EVERYWHERE)
        .await;
    fixture.finding(&li, "销售部", 1).await;
    fixture.finding(&wang, "售后部", 2).await;
    let total = async |departments: Option<&[String]>, me: &str, filter: Filter| {
        let reach = Reach::new(departments, me);
        list(db, &reach, &filter, 10, 0).await.unwrap().total
    };
    let sales = ["销售部".to_owned()];
    let part = ["销售".to_owned()];
    assert_eq!(total(None, "p-x", Filter::default()).await, 2);
    assert_eq!(total(Some(&sales), "p-x", Filter::default()).await, 1);
    assert_eq!(total(Some(&part), "p-x", Filter::default()).await, 0);
    assert_eq!(total(Some(&[]), "p-x", Filter::default()).await, 0);
    assert_eq!(total(Some(&sales), &li, Filter::default()).await, 0);
    let resolved = Filter {
        states: vec![State::Resolved],
        ..Filter::default()
    };
    assert_eq!(total(None, "p-x", resolved).await, 0);
    let grave = Filter {
        states: State::OPEN.to_vec(),
        level: Some(Level::Critical),
        person: wang,
        ..Filter::default()
    };
    assert_eq!(total(None, "p-x", grave).await, 1);
}
