//! A person at the console, over real TLS: logs in, hears alerts.
//!
//! Invariant: it knows of the console what a browser does: addresses, forms, cookies, events.

use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream::BoxStream;

/// A signed-in browser.
#[derive(Debug)]
pub struct Browser {
    client: reqwest::Client,
    console: String,
}

/// An event of the alert stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// `ready`, `finding`, `state`, `reload`.
    pub event: String,
    /// Its data, JSON.
    pub data: String,
}

/// An open stream of alerts.
pub struct Alerts {
    bytes: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    text: Vec<u8>,
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alerts")
    }
}

impl Browser {
    /// Logs in.
    pub async fn log_in(console: &str, login: &str, password: &str) -> anyhow::Result<Self> {
        // The client wants a provider; the first one set stays.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .no_proxy()
            .use_rustls_tls()
            .danger_accept_invalid_certs(true)
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let form = client.get(format!("{console}/login")).send().await?;
        let form = form.text().await?;
        let csrf = form
            .split("name=\"csrf\" value=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .context("the login form has no token")?;
        let answer = client
            .post(format!("{console}/login"))
            .form(&[("csrf", csrf), ("login", login), ("password", password)])
            .send()
            .await?;
        anyhow::ensure!(
            answer.status().is_redirection(),
            "logging in as {login}: {}",
            answer.status()
        );
        Ok(Self {
            client,
            console: console.to_owned(),
        })
    }

    /// A page: its status and text.
    pub async fn page(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = self.client.get(format!("{}{path}", self.console)).send();
        let answer = answer.await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Opens the stream of alerts with these filters and waits until it has begun.
    pub async fn alerts(&self, query: &str) -> anyhow::Result<Alerts> {
        let address = format!("{}/alerts/stream?{query}", self.console);
        let answer = self.client.get(address).send().await?;
        anyhow::ensure!(answer.status().is_success(), "{}", answer.status());
        let bytes = answer.bytes_stream().map(|part| Ok(part?.to_vec())).boxed();
        let mut alerts = Alerts {
            bytes,
            text: Vec::new(),
        };
        let first = alerts.next(Duration::from_secs(10)).await?;
        anyhow::ensure!(first.event == "ready", "the stream began with {first:?}");
        Ok(alerts)
    }
}

impl Alerts {
    /// The next event; an error when none comes in time or the stream ends.
    pub async fn next(&mut self, patience: Duration) -> anyhow::Result<Alert> {
        tokio::time::timeout(patience, self.event())
            .await
            .with_context(|| format!("no alert within {patience:?}"))?
    }

    async fn event(&mut self) -> anyhow::Result<Alert> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                let block = String::from_utf8(block)?;
                let field = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().trim_start().to_owned()
                };
                let alert = Alert {
                    event: field("event:"),
                    data: field("data:"),
                };
                // A comment keeps the connection alive.
                if !alert.event.is_empty() {
                    return Ok(alert);
                }
                continue;
            }
            let part = self.bytes.next().await.context("the stream ended")??;
            self.text.extend(part);
        }
    }
}
