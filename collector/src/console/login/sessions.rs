//! Sessions in the database, for `tower-sessions`.
//!
//! Invariants: the table holds a hash of a session's id, so that reading it lets nobody in; a session
//! ends a configured time after its last use, by the collector's own clock; an id that is not in the
//! table is never taken over from a browser.

use std::pin::Pin;
use std::sync::Arc;

use mingjing_proto::chain::sha256;
use sqlx::Row;
use time::OffsetDateTime;
use tower_sessions::cookie::SameSite;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error as StoreError, Result as StoreResult};
use tower_sessions::{Session, SessionManagerLayer, SessionStore};

use crate::Shared;
use crate::error::Result;

/// Name of the cookie.
pub(super) const COOKIE: &str = "__Host-mj-session";

/// The layer that gives each request its session.
pub(in crate::console) fn sessions(shared: &Arc<Shared>) -> SessionManagerLayer<Sessions> {
    SessionManagerLayer::new(Sessions(shared.clone()))
        .with_name(COOKIE)
        .with_secure(true)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
}

/// Whether the session is still in the table and in its time.
pub(in crate::console) async fn is_alive(shared: &Shared, session: &Session) -> Result<bool> {
    let Some(id) = session.id() else {
        return Ok(false);
    };
    Ok(row(shared, &id).await?.is_some())
}

/// The table as a session store.
#[derive(Clone, Debug)]
pub(in crate::console) struct Sessions(Arc<Shared>);

fn hashed(id: &Id) -> String {
    hex::encode(sha256(format!("mingjing web session {id}").as_bytes()))
}

async fn row(shared: &Shared, id: &Id) -> Result<Option<(Vec<u8>, i64)>> {
    let row =
        sqlx::query("select data, expires_ms from web_sessions where id = $1 and expires_ms > $2")
            .bind(hashed(id))
            .bind(shared.clock.now_ms())
            .fetch_optional(shared.db.reader())
            .await?;
    row.map(|row| Ok((row.try_get("data")?, row.try_get("expires_ms")?)))
        .transpose()
}

fn backend(error: impl std::fmt::Display) -> StoreError {
    StoreError::Backend(error.to_string())
}

impl Sessions {
    fn expires_ms(&self) -> i64 {
        let minutes = i64::from(self.0.config.console.session_minutes);
        self.0.clock.now_ms() + minutes * 60_000
    }

    async fn insert(&self, record: &mut Record) -> StoreResult<()> {
        let data = serde_json::to_vec(&record.data)
            .map_err(|error| StoreError::Encode(error.to_string()))?;
        let now_ms = self.0.clock.now_ms();
        sqlx::query("delete from web_sessions where expires_ms <= $1")
            .bind(now_ms)
            .execute(self.0.db.writer())
            .await
            .map_err(backend)?;
        loop {
            let inserted = sqlx::query(
                "insert into web_sessions (id, data, expires_ms) values ($1, $2, $3) on conflict do nothing",
            )
            .bind(hashed(&record.id))
            .bind(&data)
            .bind(self.expires_ms())
            .execute(self.0.db.writer())
            .await
            .map_err(backend)?
            .rows_affected();
            if inserted == 1 {
                return Ok(());
            }
            record.id = Id::default();
        }
    }

    async fn update(&self, record: &Record) -> StoreResult<()> {
        let data = serde_json::to_vec(&record.data)
            .map_err(|error| StoreError::Encode(error.to_string()))?;
        // Only what is there: a session that was ended meanwhile stays ended.
        let updated =
            sqlx::query("update web_sessions set data = $1, expires_ms = $2 where id = $3")
                .bind(data)
                .bind(self.expires_ms())
                .bind(hashed(&record.id))
                .execute(self.0.db.writer())
                .await;
        if let Err(error) = updated {
            // The page is shown all the same: the session keeps what it knew and ends no later.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a browser's session was not prolonged");
        }
        Ok(())
    }

    async fn find(&self, id: &Id) -> StoreResult<Option<Record>> {
        let Some((data, expires_ms)) = row(&self.0, id).await.map_err(backend)? else {
            return Ok(None);
        };
        Ok(Some(Record {
            id: *id,
            data: serde_json::from_slice(&data)
                .map_err(|error| StoreError::Decode(error.to_string()))?,
            expiry_date: OffsetDateTime::from_unix_timestamp(expires_ms / 1000).map_err(backend)?,
        }))
    }

    async fn remove(&self, id: &Id) -> StoreResult<()> {
        sqlx::query("delete from web_sessions where id = $1")
            .bind(hashed(id))
            .execute(self.0.db.writer())
            .await
            .map_err(backend)?;
        Ok(())
    }
}

type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = StoreResult<T>> + Send + 'a>>;

// Written without `async_trait`, whose expansion this is.
impl SessionStore for Sessions {
    fn create<'a, 'b, 'c>(&'a self, record: &'b mut Record) -> Future<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.insert(record))
    }

    fn save<'a, 'b, 'c>(&'a self, record: &'b Record) -> Future<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.update(record))
    }

    fn load<'a, 'b, 'c>(&'a self, id: &'b Id) -> Future<'c, Option<Record>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.find(id))
    }

    fn delete<'a, 'b, 'c>(&'a self, id: &'b Id) -> Future<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.remove(id))
    }
}
