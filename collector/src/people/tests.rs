use super::*;
use crate::fixture::Fixture;

#[tokio::test]
async fn nobody_holds_admin_and_a_reading_role_together() {
    let fixture = Fixture::new().await;
    let shared = &*fixture.shared;
    let it = fixture
        .person("it", "信息部", Role::Admin, EVERYWHERE)
        .await;
    for role in [Role::Lead, Role::Reviewer, Role::Privacy] {
        let refused = grant(shared, &it, role, EVERYWHERE, "test").await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{role:?}");
    }
    grant(shared, &it, Role::Employee, EVERYWHERE, "test")
        .await
        .unwrap();
    let held: Vec<_> = roles(&shared.db, &it).await.unwrap();
    assert_eq!(held.len(), 2);
    let reviewer = fixture
        .person("rev", "质检部", Role::Reviewer, EVERYWHERE)
        .await;
    assert!(
        grant(shared, &reviewer, Role::Admin, EVERYWHERE, "test")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_invitation_works_once_and_only_in_time() {
    let fixture = Fixture::new().await;
    let shared = &*fixture.shared;
    let person = fixture
        .person("li", "销售部", Role::Employee, EVERYWHERE)
        .await;
    let first = invite(shared, &person, 24, "test").await.unwrap();
    let second = invite(shared, &person, 24, "test").await.unwrap();
    // The newer one ended the older one.
    assert!(
        accept_invitation(shared, &first.secret, "a-long-password")
            .await
            .is_err()
    );
    assert!(
        accept_invitation(shared, &second.secret, "short")
            .await
            .is_err()
    );
    let typed = second.secret.to_lowercase().replace('-', " ");
    assert_eq!(
        accept_invitation(shared, &typed, "a-long-password")
            .await
            .unwrap(),
        person
    );
    assert!(
        accept_invitation(shared, &second.secret, "another-password")
            .await
            .is_err()
    );
    assert!(
        verify_password(&shared.db, &person, "a-long-password")
            .await
            .unwrap()
    );
    assert!(
        !verify_password(&shared.db, &person, "another-password")
            .await
            .unwrap()
    );
    assert!(
        !verify_password(&shared.db, "p-none", "a-long-password")
            .await
            .unwrap()
    );
    assert!(matches!(
        invite(shared, &person, 24, "test").await,
        Err(Error::Conflict(_))
    ));

    let late = fixture
        .person("wang", "销售部", Role::Employee, EVERYWHERE)
        .await;
    let invitation = invite(shared, &late, 1, "test").await.unwrap();
    fixture.clock.advance(3_600_000);
    let refused = accept_invitation(shared, &invitation.secret, "a-long-password").await;
    assert!(matches!(refused, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_name_is_sealed_and_opens_for_its_person_only() {
    let fixture = Fixture::new().await;
    let shared = &*fixture.shared;
    let one = fixture
        .person("zhang", "销售部", Role::Employee, EVERYWHERE)
        .await;
    let two = fixture
        .person("zhao", "销售部", Role::Employee, EVERYWHERE)
        .await;
    assert_eq!(name(shared, &one).await.unwrap(), "zhang之名");
    sqlx::query("update people set sealed = (select sealed from people where person = $1) where person = $2")
        .bind(&one)
        .bind(&two)
        .execute(shared.db.writer())
        .await
        .unwrap();
    assert!(matches!(name(shared, &two).await, Err(Error::Sealed)));
}

#[tokio::test]
async fn a_schedule_is_kept_as_given() {
    let fixture = Fixture::new().await;
    let shared = &*fixture.shared;
    let person = fixture
        .person("li", "销售部", Role::Employee, EVERYWHERE)
        .await;
    assert_eq!(schedule(shared.db.reader(), &person).await.unwrap(), None);
    let hours = mingjing_proto::pb::Schedule {
        zone: "Asia/Shanghai".to_owned(),
        ..Default::default()
    };
    set_schedule(shared, &person, &hours, "test").await.unwrap();
    assert_eq!(
        schedule(shared.db.reader(), &person).await.unwrap(),
        Some(hours)
    );
}
