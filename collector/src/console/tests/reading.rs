use super::*;

#[tokio::test]
async fn pages_open_for_their_roles_only() {
    let house = House::new().await;
    let li = house.person("li", "销售部", Role::Employee, "*").await;
    let id = hex::encode(house.fixture.finding(&li, "销售部", 1).await);
    let finding = format!("/findings/{id}");
    let own = format!("/me/findings/{id}");
    let pages = [
        "/alerts",
        "/rules",
        "/phones",
        "/tokens",
        "/accounts",
        "/audit",
        "/me",
        &finding,
        &own,
    ];
    for (login, role, scope, statuses) in [
        (
            "it",
            Role::Admin,
            "*",
            [403, 403, 200, 200, 200, 403, 403, 403, 403],
        ),
        (
            "rev",
            Role::Reviewer,
            "*",
            [200, 200, 403, 403, 403, 403, 403, 200, 403],
        ),
        (
            "far",
            Role::Reviewer,
            "售后部",
            [200, 200, 403, 403, 403, 403, 403, 404, 403],
        ),
        (
            "lead",
            Role::Lead,
            "*",
            [200, 200, 403, 403, 403, 403, 403, 404, 403],
        ),
        (
            "aud",
            Role::Auditor,
            "*",
            [403, 403, 403, 403, 403, 200, 403, 403, 403],
        ),
        (
            "pol",
            Role::Policy,
            "*",
            [403, 200, 403, 403, 403, 403, 403, 403, 403],
        ),
        (
            "pri",
            Role::Privacy,
            "*",
            [403, 403, 403, 403, 403, 403, 403, 403, 403],
        ),
        (
            "emp",
            Role::Employee,
            "*",
            [403, 403, 403, 403, 403, 403, 200, 403, 404],
        ),
    ] {
        house.person(login, "质检部", role, scope).await;
        let mut browser = house.browser(login).await;
        for (path, status) in pages.iter().zip(statuses) {
            let answer = browser.get(path).await;
            assert_eq!(answer.status.as_u16(), status, "{login} {path}");
            assert!(!answer.body.contains(SECRET_TEXT), "{login} {path}");
        }
        let stream = browser.request("GET", "/alerts/stream", String::new());
        let stream = browser.router.call(stream).await.unwrap();
        assert_eq!(stream.status().as_u16(), statuses[0], "{login} stream");
        if role == Role::Admin {
            let open = browser
                .post(&format!("{finding}/open"), &[("reason", "想看一看")])
                .await;
            assert_eq!(open.status, StatusCode::FORBIDDEN);
        }
    }
    let mut browser = house.browser("li").await;
    let answer = browser.get(&own).await;
    assert!(answer.body.contains(SECRET_TEXT));
}

#[tokio::test]
async fn the_text_appears_after_a_reason_and_each_opening_is_in_the_chain() {
    let house = House::new().await;
    let db = &house.fixture.shared.db;
    let li = house.person("li", "销售部", Role::Employee, "*").await;
    let id = hex::encode(house.fixture.finding(&li, "销售部", 1).await);
    house.person("rev", "质检部", Role::Reviewer, "*").await;
    let mut browser = house.browser("rev").await;
    let path = format!("/findings/{id}");
    let openings = async || {
        Audit::about(db.reader(), &li, ["finding.open", "letter.open"], 100)
            .await
            .unwrap()
            .len()
    };

    let closed = browser.get(&path).await;
    assert!(closed.body.contains("侵占货款") && !closed.body.contains(SECRET_TEXT));
    assert!(!closed.body.contains("li之名"));
    let early = browser
        .post(&format!("{path}/steps"), &[("step", "compliant")])
        .await;
    assert_eq!(early.status, StatusCode::FORBIDDEN);
    let short = browser
        .post(&format!("{path}/open"), &[("reason", " 看看 ")])
        .await;
    assert_eq!(short.status, StatusCode::BAD_REQUEST);
    assert!(!short.body.contains(SECRET_TEXT));
    assert_eq!(openings().await, 0);

    let given = browser
        .post(&format!("{path}/open"), &[("reason", "客户投诉核查")])
        .await;
    assert_eq!(given.location(), path);
    let open = browser.get(&path).await;
    assert!(open.body.contains(&format!("<mark>{SECRET_TEXT}</mark>")));
    assert!(open.body.contains("你的查看会被记录，并对当事人可见"));
    assert_eq!(openings().await, 1);
    browser.get(&path).await;
    assert_eq!(openings().await, 2);
    // A link on another site opens nothing.
    let mut request = browser.request("GET", &path, String::new());
    request
        .headers_mut()
        .insert("sec-fetch-site", "cross-site".parse().unwrap());
    browser.router.call(request).await.unwrap();
    assert_eq!(openings().await, 2);
    assert_eq!(Audit::verify(db).await.unwrap().broken_at, None);

    let steps = format!("{path}/steps");
    let refused = browser.post(&steps, &[("step", "non_compliant")]).await;
    assert!(refused.location().ends_with("?problem=comment"));
    let marked = browser
        .post(
            &steps,
            &[("step", "non_compliant"), ("comment", "收款账户不是公司的")],
        )
        .await;
    assert_eq!(marked.location(), path);
    let twice = browser.post(&steps, &[("step", "take")]).await;
    assert!(twice.location().ends_with("?problem=state"));

    // The person concerned sees who, as a pseudonym, and why; the auditor sees the same.
    let mut own = house.browser("li").await;
    let mine = own.get("/me").await;
    assert!(mine.body.contains("客户投诉核查") && !mine.body.contains("rev之名"));
    house.person("aud", "审计部", Role::Auditor, "*").await;
    let mut auditor = house.browser("aud").await;
    let log = auditor.get("/audit?action=finding.open").await;
    assert!(log.body.contains("客户投诉核查") && log.body.contains("链完整"));
    assert!(!log.body.contains(SECRET_TEXT));
}

async fn next_event(
    stream: &mut (impl futures::Stream<Item = Result<Bytes, axum::Error>> + Unpin),
) -> String {
    let bytes = stream.next().await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn alerts_arrive_live_without_text_and_within_scope() {
    let house = House::new().await;
    let shared = &house.fixture.shared;
    let li = house.person("li", "销售部", Role::Employee, "*").await;
    let wang = house.person("wang", "售后部", Role::Employee, "*").await;
    house
        .person("rev", "质检部", Role::Reviewer, "销售部")
        .await;
    let mut browser = house.browser("rev").await;
    let request = browser.request("GET", "/alerts/stream?level=critical", String::new());
    let response = browser.router.call(request).await.unwrap();
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    let mut stream = response.into_body().into_data_stream();
    assert!(next_event(&mut stream).await.contains("event: ready"));

    let announce = async |id: [u8; 32]| {
        let mut tx = shared.db.begin().await.unwrap();
        let change = Changes::record(&mut tx, 0, Kind::Finding, &hex::encode(id))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        // As the poll does, once more.
        shared.changes.announce(change.clone());
        shared.changes.announce(change);
    };
    announce(house.fixture.finding(&wang, "售后部", 1).await).await;
    let first = house.fixture.finding(&li, "销售部", 2).await;
    announce(first).await;
    let second = house.fixture.finding(&li, "销售部", 3).await;
    announce(second).await;
    let one = next_event(&mut stream).await;
    assert!(
        one.contains("event: finding") && one.contains(&hex::encode(first)),
        "{one}"
    );
    assert!(one.contains("侵占货款") && one.contains("\"level\":\"critical\""));
    assert!(!one.contains(SECRET_TEXT) && !one.contains("li之名"));
    assert!(next_event(&mut stream).await.contains(&hex::encode(second)));
}
