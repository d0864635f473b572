use super::*;

#[tokio::test]
async fn a_form_without_its_token_does_nothing() {
    let house = House::new().await;
    house.person("it", "信息部", Role::Admin, "*").await;
    let mut browser = Browser::new(&house.router);
    let body = format!("login=it&password={PASSWORD}");
    let answer = browser.send("POST", "/login", body).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let mut browser = house.browser("it").await;
    for wrong in ["", "00000000000000000000000000000000"] {
        browser.csrf = wrong.to_owned();
        for path in ["/tokens", "/logout", "/language", "/phones/00/revoke"] {
            let answer = browser.post(path, &[("person", "x")]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    // A token of one session is none for another.
    let other = house.browser("it").await;
    browser.csrf = other.csrf.clone();
    assert_eq!(
        browser.post("/logout", &[]).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn guessing_is_slowed_and_told_nothing() {
    let house = House::new().await;
    house.person("li", "销售部", Role::Employee, "*").await;
    let mut browser = Browser::new(&house.router);
    let wrong = browser.log_in("li", "not-the-password").await;
    let unknown = browser.log_in("nobody", "not-the-password").await;
    assert_eq!(
        (wrong.status, unknown.status),
        (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED)
    );
    assert_eq!(
        wrong.body.replace("\"li\"", ""),
        unknown.body.replace("\"nobody\"", "")
    );
    for _ in 0..4 {
        browser.log_in("li", "not-the-password").await;
    }
    let refused = browser.log_in("li", PASSWORD).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    house.fixture.clock.advance(60_000);
    assert_eq!(
        browser.log_in("li", PASSWORD).await.status,
        StatusCode::SEE_OTHER
    );
}

const SESSION: &str = "__Host-mj-session";

#[tokio::test]
async fn a_login_takes_over_no_session_id_and_ends_when_it_should() {
    let house = House::new().await;
    house.person("li", "销售部", Role::Employee, "*").await;
    let first = house.browser("li").await;
    let planted = first.cookies[SESSION].clone();

    let mut victim = Browser::new(&house.router);
    victim.cookies.insert(SESSION.to_owned(), planted.clone());
    victim.get("/me").await;
    victim
        .post("/login", &[("login", "li"), ("password", PASSWORD)])
        .await;
    assert_ne!(victim.cookies[SESSION], planted);
    assert_eq!(victim.get("/me").await.status, StatusCode::OK);
    let mut attacker = Browser::new(&house.router);
    attacker.cookies.insert(SESSION.to_owned(), planted);
    assert_eq!(attacker.get("/me").await.location(), "/login?next=%2Fme");

    // The table does not hold what the browser sends.
    let ids: Vec<String> = sqlx::query_scalar("select id from web_sessions")
        .fetch_all(house.fixture.shared.db.reader())
        .await
        .unwrap();
    assert!(!ids.contains(&victim.cookies[SESSION]));

    house.fixture.clock.advance(50 * 60_000);
    assert_eq!(victim.get("/me").await.status, StatusCode::OK);
    house.fixture.clock.advance(50 * 60_000);
    assert_eq!(victim.get("/me").await.status, StatusCode::OK);
    house.fixture.clock.advance(61 * 60_000);
    assert_eq!(victim.get("/me").await.status, StatusCode::SEE_OTHER);

    let mut leaver = house.browser("li").await;
    let kept = leaver.cookies[SESSION].clone();
    assert_eq!(leaver.post("/logout", &[]).await.location(), "/login");
    leaver.cookies.insert(SESSION.to_owned(), kept);
    assert_eq!(leaver.get("/me").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_invitation_sets_the_password_once() {
    let house = House::new().await;
    let shared = &house.fixture.shared;
    let person = house
        .fixture
        .person("li", "销售部", Role::Employee, "*")
        .await;
    let invitation = people::invite(shared, &person, 24, "test").await.unwrap();
    let mut browser = Browser::new(&house.router);
    browser.get("/invitation").await;
    let fields = |password: &'static str, again: &'static str| {
        [
            ("code", invitation.secret.clone()),
            ("password", password.to_owned()),
            ("again", again.to_owned()),
        ]
    };
    for (password, again, status) in [
        (
            "a-long-password",
            "another-password",
            StatusCode::BAD_REQUEST,
        ),
        ("short", "short", StatusCode::BAD_REQUEST),
        ("a-long-password", "a-long-password", StatusCode::SEE_OTHER),
    ] {
        let fields = fields(password, again);
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(browser.post("/invitation", &fields).await.status, status);
    }
    assert_eq!(browser.get("/me").await.status, StatusCode::OK);
    let mut second = Browser::new(&house.router);
    second.get("/invitation").await;
    let fields = fields("a-long-password", "a-long-password");
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let refused = second.post("/invitation", &fields).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert!(refused.body.contains("邀请码无效"));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_hold_no_secret_no_name_and_no_content() {
    // For the whole process: what other tests log is held to the same.
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let house = House::new().await;
    let shared = &house.fixture.shared;
    let li = house
        .fixture
        .person("li", "销售部", Role::Employee, "*")
        .await;
    let invitation = people::invite(shared, &li, 24, "test").await.unwrap();
    let mut browser = Browser::new(&house.router);
    browser.get("/invitation").await;
    let fields = [
        ("code", invitation.secret.as_str()),
        ("password", PASSWORD),
        ("again", PASSWORD),
    ];
    browser.post("/invitation", &fields).await;
    let again = browser.post("/invitation", &fields).await;
    assert!(again.status.is_client_error());
    house.person("rev", "质检部", Role::Reviewer, "*").await;
    let id = hex::encode(house.fixture.finding(&li, "销售部", 1).await);
    browser.log_in("rev", "my-wrong-password").await;
    let mut browser = house.browser("rev").await;
    browser
        .post(
            &format!("/findings/{id}/open"),
            &[("reason", "客户投诉核查")],
        )
        .await;
    assert!(
        browser
            .get(&format!("/findings/{id}"))
            .await
            .body
            .contains(SECRET_TEXT)
    );
    house.person("it", "信息部", Role::Admin, "*").await;
    let mut it = house.browser("it").await;
    let page = it.post("/tokens", &[("person", &li)]).await.body;
    let token = &page[page.find("mj1.").unwrap()..][..60];

    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("a login was refused"), "the log was captured");
    for secret in [
        SECRET_TEXT,
        "陈先生",
        "li之名",
        PASSWORD,
        "my-wrong-password",
        &invitation.secret,
        token,
        &browser.cookies[SESSION],
        &browser.csrf,
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
}
