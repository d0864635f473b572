//! 工作账号: the company's register, for IT.
//!
//! Invariant: what is listed here and nothing else can be captured (S1).

use askama::Template;
use axum::response::Response;

use super::errors::Failure;
use super::format;
use super::shell::{Shell, Visit, page};
use crate::access::{self, What};
use crate::accounts;

#[derive(Debug)]
struct Row {
    account: String,
    app: String,
    user: u32,
    shown_id: String,
    nickname: String,
    holder: String,
    department: String,
    custodian: String,
    registered: String,
    suspended: Option<String>,
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct AccountsPage {
    shell: Shell,
    rows: Vec<Row>,
    total: String,
}

/// `GET /accounts`
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::Accounts, None)?;
    let shared = &visit.console.shared;
    let zone = &visit.console.zone;
    let all = accounts::list(&shared.db).await?;
    let persons = all
        .iter()
        .flat_map(|account| [account.holder.clone(), account.custodian.clone()])
        .collect();
    let names = access::holder_names(shared, &visit.viewer, persons).await?;
    let name = |person: &str| match names.get(person) {
        Some(name) if !name.is_empty() => name.clone(),
        _ => person.to_owned(),
    };
    let total = visit.language.f("list.total", &[&all.len().to_string()]);
    let rows = all
        .into_iter()
        .map(|account| Row {
            app: visit.language.word_or_name("app", &account.app),
            user: account.android_user,
            shown_id: account.shown_id,
            nickname: account.nickname,
            holder: name(&account.holder),
            department: account.department,
            custodian: name(&account.custodian),
            registered: format::time(account.registered_ms, zone),
            suspended: account.suspended_ms.map(|at_ms| format::time(at_ms, zone)),
            account: account.account,
        })
        .collect();
    page(&AccountsPage {
        shell: visit.shell("/accounts").await?,
        rows,
        total,
    })
}
