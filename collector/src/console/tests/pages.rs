use super::*;

#[tokio::test]
async fn every_answer_has_the_policy_whatever_it_is() {
    let house = House::new().await;
    house.person("rev", "质检部", Role::Reviewer, "*").await;
    let mut browser = Browser::new(&house.router);
    // `send` checks the headers of each.
    for (method, path, status) in [
        ("GET", "/login", 200),
        ("GET", "/invitation", 200),
        ("GET", "/", 303),
        ("GET", "/nothing", 404),
        ("GET", "/static/app.css", 200),
        ("GET", "/static/nothing", 404),
        ("POST", "/login", 403),
        ("PUT", "/login", 404),
        ("POST", "/nothing", 403),
    ] {
        assert_eq!(
            browser.send(method, path, String::new()).await.status,
            status,
            "{method} {path}"
        );
    }
    let mut browser = house.browser("rev").await;
    for (path, status) in [
        ("/", 200),
        ("/alerts", 200),
        (
            "/alerts?state=all&level=critical&person=XXXXX&from=2026-13-99&page=-3&size=7",
            200,
        ),
        ("/rules", 200),
        ("/phones", 403),
        ("/findings/00", 404),
        ("/nothing", 404),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{path}");
    }
}

#[tokio::test]
async fn phones_are_confirmed_and_revoked_after_a_question() {
    let house = House::new().await;
    let shared = &house.fixture.shared;
    let li = house.person("li", "销售部", Role::Employee, "*").await;
    house.person("it", "信息部", Role::Admin, "*").await;
    let device = mingjing_proto::ids::DeviceId([5; 16]);
    let mut tx = shared.db.begin().await.unwrap();
    let new = NewDevice {
        device,
        person: li.clone(),
        spki: vec![1; 40],
        point: vec![4; 65],
        state: devices::State::Pending,
        evidence: crate::attestation::Evidence::Software,
        model: "Xiaomi 14".to_owned(),
        agent_version: "0.1.0".to_owned(),
        enrolled_ms: shared.clock.now_ms(),
        certificate_until_ms: shared.clock.now_ms() + 1,
    };
    devices::insert(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    let mut browser = house.browser("it").await;
    let phones = browser.get("/phones").await;
    assert!(phones.body.contains(&devices::confirmation_code(&[1; 40])));
    assert!(phones.body.contains("li之名"));
    let confirm = format!("/phones/{device}/confirm");
    assert_eq!(browser.get(&confirm).await.status, StatusCode::OK);
    assert_eq!(
        devices::load(shared.db.reader(), device)
            .await
            .unwrap()
            .state,
        devices::State::Pending
    );
    assert_eq!(browser.post(&confirm, &[]).await.location(), "/phones");
    assert_eq!(
        browser.post(&confirm, &[]).await.status,
        StatusCode::CONFLICT
    );
    assert_eq!(
        browser
            .post(&format!("/phones/{device}/revoke"), &[])
            .await
            .location(),
        "/phones"
    );
    assert_eq!(
        devices::load(shared.db.reader(), device)
            .await
            .unwrap()
            .state,
        devices::State::Revoked
    );

    let token = browser.post("/tokens", &[("person", &li)]).await;
    assert!(token.body.contains("mj1.") && token.body.contains("<svg"));
    assert!(!browser.get("/tokens").await.body.contains("mj1."));
    // Without an app's address the page says what to set, and offers no network.
    assert!(token.body.contains("apk_signer_sha256") && !token.body.contains("wifi_password"));
}

#[tokio::test]
async fn the_language_is_chosen_and_remembered() {
    let house = House::new().await;
    house.person("li", "销售部", Role::Employee, "*").await;
    let mut browser = house.browser("li").await;
    assert!(browser.get("/me").await.body.contains("lang=\"zh-CN\""));
    let back = browser
        .post("/language", &[("language", "en"), ("back", "/me?x=1")])
        .await;
    assert_eq!(back.location(), "/me?x=1");
    assert!(browser.get("/me").await.body.contains("Who read my data"));
    assert!(browser.get("/nothing").await.body.contains("no such page"));
    for elsewhere in [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "",
    ] {
        let back = browser
            .post("/language", &[("language", "en"), ("back", elsewhere)])
            .await;
        assert_eq!(back.location(), "/", "{elsewhere}");
    }
}
