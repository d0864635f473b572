//! What the pages do for a browser: helpers here, the tests by subject beside them.

mod login;
mod pages;
mod reading;

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
