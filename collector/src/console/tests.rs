use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode, header};
use futures::StreamExt;
use tower::Service;

use super::*;
use crate::audit::Audit;
use crate::changes::{Changes, Kind};
use crate::devices::{self, NewDevice};
use crate::fixture::{Fixture, SECRET_TEXT};
use crate::people::{self, Role};

const PASSWORD: &str = "a-long-password";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().unwrap()
    }
}

/// A browser: cookies and the token of the last form.
struct Browser {
    router: Router,
    cookies: BTreeMap<String, String>,
    csrf: String,
}

impl Browser {
    fn new(router: &Router) -> Self {
        Self {
            router: router.clone(),
            cookies: BTreeMap::new(),
            csrf: String::new(),
        }
    }

    fn request(&self, method: &str, path: &str, body: String) -> Request<Body> {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let address: SocketAddr = "10.1.2.3:4000".parse().unwrap();
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, cookies.join("; "))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .extension(ConnectInfo(address))
            .body(body.into())
            .unwrap()
    }

    async fn send(&mut self, method: &str, path: &str, body: String) -> Answer {
        let request = self.request(method, path, body);
        let response = self.router.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            // The session layer's own removal has no attributes; ours beside it has them.
            let removal = cookie.contains("Max-Age=0");
            let kept = cookie.contains("Secure") && cookie.contains("HttpOnly");
            assert!(removal || kept, "{cookie}");
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let policy = parts.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{method} {path}");
        assert_eq!(parts.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            !body.contains(" style=") && !body.contains("<style"),
            "{path}"
        );
        assert!(
            !body.contains("<script>") && !body.contains(" onclick"),
            "{path}"
        );
        if let Some(token) = body.split("name=\"csrf\" value=\"").nth(1) {
            self.csrf = token.split('"').next().unwrap().to_owned();
        }
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, String::new()).await
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", &self.csrf);
        form.extend_pairs(fields);
        self.send("POST", path, form.finish()).await
    }

    async fn log_in(&mut self, login: &str, password: &str) -> Answer {
        self.get("/login").await;
        self.post("/login", &[("login", login), ("password", password)])
            .await
    }
}

struct House {
    fixture: Fixture,
    router: Router,
}

impl House {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let router = router(fixture.shared.clone(), CancellationToken::new());
        Self { fixture, router }
    }

    async fn person(&self, login: &str, department: &str, role: Role, scope: &str) -> String {
        let shared = &self.fixture.shared;
        let person = self.fixture.person(login, department, role, scope).await;
        let invitation = people::invite(shared, &person, 24, "test").await.unwrap();
        people::accept_invitation(shared, &invitation.secret, PASSWORD)
            .await
            .unwrap();
        person
    }

    async fn browser(&self, login: &str) -> Browser {
        let mut browser = Browser::new(&self.router);
        let answer = browser.log_in(login, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{login}");
        // An employee's first page is his own.
        browser.get("/").await;
        browser.get("/me").await;
        browser
    }
}

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
        Audit::about(db, &li, "finding.open", 100)
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
        trust: "software".to_owned(),
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
        devices::load(&shared.db, device).await.unwrap().state,
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
        devices::load(&shared.db, device).await.unwrap().state,
        devices::State::Revoked
    );

    let token = browser.post("/tokens", &[("person", &li)]).await;
    assert!(token.body.contains("mj1.") && token.body.contains("<svg"));
    assert!(!browser.get("/tokens").await.body.contains("mj1."));
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
