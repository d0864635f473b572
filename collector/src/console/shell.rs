//! The frame of every page behind the login, and who is looking.
//!
//! Invariants: person and roles are read anew for each request; the menu shows only pages that exist
//! and that the person's roles open.

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use tower_sessions::Session;

use super::errors::Failure;
use super::login::{self, SignedIn};
use super::words::Language;
use super::{Console, assets, language};
use crate::access::{self, Viewer};
use crate::error::{Error, Result};
use crate::findings;
use crate::people::Role;

/// A request of somebody who is logged in.
#[derive(Debug)]
pub(super) struct Visit {
    /// What the pages share.
    pub(super) console: Arc<Console>,
    /// Who, with the roles of this moment.
    pub(super) viewer: Viewer,
    /// The browser's session.
    pub(super) session: Session,
    /// What the session remembers.
    pub(super) signed_in: SignedIn,
    /// Language of the page.
    pub(super) language: Language,
    path: String,
}

impl FromRequestParts<Arc<Console>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, console)
            .await
            .map_err(IntoResponse::into_response)?;
        let path = login::path_of(&parts.uri);
        let failed = |error| Failure(error).into_response();
        let Some(mut signed_in) = SignedIn::of(&session).await.map_err(failed)? else {
            return Err(login::redirect(&path));
        };
        let viewer = match Viewer::load(&console.shared.db, &signed_in.person).await {
            Ok(viewer) => viewer,
            Err(Error::NotFound(_) | Error::Unauthenticated(_)) => {
                // Who was erased or left is logged out.
                drop(session.flush().await);
                return Err(login::redirect("/"));
            }
            Err(error) => return Err(failed(error)),
        };
        signed_in
            .touch(&session, console.shared.clock.now_ms())
            .await
            .map_err(failed)?;
        Ok(Self {
            language: language::of(&parts.headers, Some(&viewer.person().language)),
            console: console.clone(),
            viewer,
            session,
            signed_in,
            path,
        })
    }
}

/// One entry of the menu.
#[derive(Debug)]
pub(super) struct MenuItem {
    pub(super) text: &'static str,
    pub(super) href: &'static str,
    pub(super) current: bool,
}

/// A group of the menu.
#[derive(Debug)]
pub(super) struct MenuGroup {
    pub(super) text: &'static str,
    pub(super) items: Vec<MenuItem>,
}

/// What the frame shows.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) language: Language,
    pub(super) company: String,
    pub(super) user: String,
    pub(super) roles: String,
    pub(super) csrf: String,
    /// Where the language switch comes back to.
    pub(super) back: String,
    pub(super) menu: Vec<MenuGroup>,
    /// Unhandled findings; `None` for who reads none.
    pub(super) unhandled: Option<i64>,
    /// What is to be done because batches can't be stored.
    pub(super) failing: Option<&'static str>,
    pub(super) assets: &'static str,
}

struct Entry {
    group: &'static str,
    key: &'static str,
    href: &'static str,
    roles: &'static [Role],
}

// An employee's first page is his own.
const STAFF: &[Role] = &[
    Role::Admin,
    Role::Policy,
    Role::Lead,
    Role::Reviewer,
    Role::Auditor,
    Role::Privacy,
];

const MENU: &[Entry] = &[
    Entry {
        group: "overview_group",
        key: "overview",
        href: "/",
        roles: STAFF,
    },
    Entry {
        group: "risk",
        key: "alerts",
        href: "/alerts",
        roles: &[Role::Reviewer, Role::Lead],
    },
    Entry {
        group: "risk",
        key: "rules",
        href: "/rules",
        roles: &[Role::Policy, Role::Reviewer, Role::Lead],
    },
    Entry {
        group: "accounts_group",
        key: "accounts",
        href: "/accounts",
        roles: &[Role::Admin],
    },
    Entry {
        group: "accounts_group",
        key: "phones",
        href: "/phones",
        roles: &[Role::Admin],
    },
    Entry {
        group: "accounts_group",
        key: "tokens",
        href: "/tokens",
        roles: &[Role::Admin],
    },
    Entry {
        group: "accounts_group",
        key: "coverage",
        href: "/coverage",
        roles: &[Role::Admin, Role::Auditor],
    },
    Entry {
        group: "rights",
        key: "letters",
        href: "/letters",
        roles: &[Role::Privacy],
    },
    Entry {
        group: "system",
        key: "audit",
        href: "/audit",
        roles: &[Role::Auditor],
    },
    Entry {
        group: "self",
        key: "me",
        href: "/me",
        roles: &[Role::Employee],
    },
];

/// Keys of the menu's words, for the locale test.
#[cfg(test)]
pub(super) const MENU_KEYS: &[&str] = &[
    "overview_group",
    "risk",
    "accounts_group",
    "rights",
    "system",
    "self",
    "overview",
    "alerts",
    "rules",
    "accounts",
    "phones",
    "tokens",
    "coverage",
    "letters",
    "audit",
    "me",
];

impl Visit {
    /// The frame of a page whose menu entry is `href`.
    pub(super) async fn shell(&self, href: &str) -> Result<Shell> {
        let language = self.language;
        let mut menu: Vec<MenuGroup> = Vec::new();
        let mut group = "";
        for entry in MENU {
            if !entry.roles.iter().any(|role| self.viewer.holds(*role)) {
                continue;
            }
            if entry.group != group || menu.is_empty() {
                group = entry.group;
                menu.push(MenuGroup {
                    text: language.word("menu", group),
                    items: Vec::new(),
                });
            }
            if let Some(last) = menu.last_mut() {
                last.items.push(MenuItem {
                    text: language.word("menu", entry.key),
                    href: entry.href,
                    current: entry.href == href,
                });
            }
        }
        let unhandled = match access::reach_of(&self.viewer) {
            Ok(reach) => {
                let counts = findings::unhandled(&self.console.shared.db, &reach).await?;
                Some(counts.iter().sum())
            }
            Err(Error::Forbidden(_)) => None,
            Err(error) => return Err(error),
        };
        let mut roles: Vec<_> = self
            .viewer
            .roles()
            .map(|role| language.word("role", role.name()))
            .collect();
        roles.dedup();
        Ok(Shell {
            language,
            company: self.console.shared.config.company.name.clone(),
            user: self.viewer.person().login.clone(),
            roles: roles.join(language.t("list.comma")),
            csrf: self.signed_in.csrf.clone(),
            back: self.path.clone(),
            menu,
            unhandled,
            failing: self
                .console
                .shared
                .failing
                .now()
                .map(|cure| language.word("cure", cure.name())),
            assets: assets::version(),
        })
    }
}

/// Renders a page.
pub(super) fn page(template: &impl Template) -> Result<Response, Failure> {
    match template.render() {
        Ok(html) => Ok(Html(html).into_response()),
        Err(_) => Err(Failure(Error::Unavailable("a page can't be rendered"))),
    }
}
