//! 注册码: an enrolment code for a person's phone, as text and as QR, shown once.
//!
//! Invariant: the code is in the answer of the request that made it and nowhere else.

use askama::Template;
use axum::Form;
use axum::response::Response;
use qrcode::QrCode;
use qrcode::render::svg;
use serde::Deserialize;

use super::errors::Failure;
use super::shell::{Shell, Visit, page};
use crate::access::{self, What};
use crate::error::{Error, Result};
use crate::provisioning::{self, Enrolment, Wifi};
use crate::{enroll, people};

/// The code just made.
struct Made {
    text: String,
    /// SVG made here from the code; holds no text of others.
    qr: String,
    /// The provisioning code, when the settings name an app.
    provisioning: Option<String>,
    holder: String,
    hours: String,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    shell: Shell,
    /// Person, and name with department.
    persons: Vec<(String, String)>,
    made: Option<Made>,
    /// A network for the provisioning code can be named.
    offers_wifi: bool,
}

/// `GET /tokens`
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::ManagePhones, None)?;
    render(&visit, None).await
}

async fn render(visit: &Visit, made: Option<Made>) -> Result<Response, Failure> {
    let shared = &visit.console.shared;
    let everybody = people::list(&shared.db).await?;
    let holders = everybody
        .iter()
        .map(|person| person.person.clone())
        .collect();
    let names = access::holder_names(shared, &visit.viewer, holders).await?;
    let persons = everybody
        .into_iter()
        .filter(|person| person.left_ms.is_none())
        .map(|person| {
            let name = names.get(&person.person).map_or("", String::as_str);
            (
                person.person,
                format!("{} · {name}（{}）", person.department, person.login),
            )
        })
        .collect();
    page(&TokensPage {
        shell: visit.shell("/tokens").await?,
        persons,
        made,
        offers_wifi: !shared.config.phones.apk_url.is_empty(),
    })
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    person: String,
    #[serde(default)]
    ssid: String,
    #[serde(default)]
    wifi_password: String,
}

/// `POST /tokens`
pub(super) async fn create(visit: Visit, Form(wanted): Form<Wanted>) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::ManagePhones, None)?;
    let shared = &visit.console.shared;
    let person = people::load(shared.db.reader(), &wanted.person).await?;
    if person.left_ms.is_some() {
        return Err(Failure(Error::Conflict("this person has left")));
    }
    let wifi = Wifi {
        ssid: wanted.ssid.trim().to_owned(),
        password: wanted.wifi_password,
    };
    wifi.check()?;
    let text = enroll::new_token(shared, &person.person, &visit.signed_in.person).await?;
    let names = access::holder_names(shared, &visit.viewer, vec![person.person.clone()]).await?;
    let hours = shared.config.phones.token_hours.to_string();
    let enrolment = Enrolment {
        token: &text,
        server: &shared.addresses().enrollment,
        root_spki_sha256: &shared.ca.root_spki_sha256()?,
    };
    let provisioning = provisioning::text(&shared.config.phones, &enrolment, &wifi)?;
    let made = Made {
        qr: qr(&text)?,
        provisioning: provisioning.as_deref().map(qr).transpose()?,
        text,
        holder: names.get(&person.person).cloned().unwrap_or_default(),
        hours: visit.language.f("tokens.hours", &[&hours]),
    };
    render(&visit, Some(made)).await
}

fn qr(text: &str) -> Result<String> {
    let code =
        QrCode::new(text).map_err(|_| Error::Unavailable("the code does not fit a QR code"))?;
    let image = code
        .render::<svg::Color<'_>>()
        .min_dimensions(240, 240)
        .quiet_zone(true)
        .build();
    // The XML declaration does not belong inside a page.
    Ok(image
        .find("<svg")
        .map_or_else(String::new, |start| image[start..].to_owned()))
}
