//! One SQL dialect over two engines: SQLite in the data folder, or PostgreSQL by URL.
//!
//! Invariants: every query is one text for both engines; what differs between them (pragmas, pool
//! sizes, the placeholder of the multi-row builder) is decided here and nowhere else; the schema only
//! moves forward.

use std::path::Path;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Connection as _, Row, SqlSafeStr, Transaction,
};

use crate::error::{Error, Result};

/// The engine behind the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, one writer.
    Sqlite,
    /// A server, shared by several collectors.
    Postgres,
}

impl Engine {
    /// The name shown to operators.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// The database: one pool that writes and one that only reads.
#[derive(Clone, Debug)]
pub struct Db {
    engine: Engine,
    writer: AnyPool,
    reader: AnyPool,
}

/// A transaction on the writing pool.
pub type Tx = Transaction<'static, Any>;

/// Waits for the turn of `job` and keeps it until the transaction ends, across collectors.
///
/// The upsert locks one row on PostgreSQL; on SQLite the transaction itself is already alone.
pub async fn take_turn(connection: &mut AnyConnection, job: &str) -> Result<()> {
    sqlx::query(
        "insert into leases (job, holder, until_ms) values ($1, '', 0)
         on conflict (job) do update set until_ms = 0",
    )
    .bind(job)
    .execute(connection)
    .await?;
    Ok(())
}

async fn prepare(connection: &mut AnyConnection) -> std::result::Result<(), sqlx::Error> {
    for pragma in [
        "pragma busy_timeout = 10000",
        "pragma journal_mode = wal",
        "pragma synchronous = full",
        "pragma secure_delete = on",
        "pragma wal_autocheckpoint = 4000",
        "pragma cache_size = -32768",
    ] {
        sqlx::query(pragma).execute(&mut *connection).await?;
    }
    Ok(())
}

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "letters", include_str!("../migrations/0002_letters.sql")),
    (
        3,
        "attestation",
        include_str!("../migrations/0003_attestation.sql"),
    ),
    (
        5,
        "accounts_by_holder",
        include_str!("../migrations/0005_accounts_by_holder.sql"),
    ),
];

/// Version of the schema this program works on.
pub const SCHEMA_VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;

impl Db {
    /// Connects and brings the schema up to date.
    ///
    /// `url` is empty for SQLite in `data_dir`, or `postgres://…`.
    pub async fn open(url: &str, data_dir: &Path) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let db = if url.is_empty() {
            Self::sqlite(&data_dir.join("mingjing.db")).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Self::postgres(url).await?
        } else {
            return Err(Error::Config(
                "store.url must be empty (SQLite in the data folder) or begin with postgres://"
                    .to_owned(),
            ));
        };
        db.migrate().await?;
        Ok(db)
    }

    async fn sqlite(path: &Path) -> Result<Self> {
        let path = path.to_str().ok_or_else(|| {
            Error::Config("the data folder's path must be valid UTF-8".to_owned())
        })?;
        let url = format!("sqlite://{path}?mode=rwc");
        let pool = |connections: u32| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(30))
                .idle_timeout(None)
                .max_lifetime(None)
                // A file does not go away as a server does, and asking costs as much as the query.
                .test_before_acquire(false)
                .after_connect(|connection, _| Box::pin(prepare(connection)))
                // SQLite rolls a transaction back by itself, as on a full disk; the driver's own rollback
                // then finds nothing and would count that transaction for ever.
                .before_acquire(|connection, _| {
                    let is_free = !connection.is_in_transaction();
                    Box::pin(async move { Ok(is_free) })
                })
        };
        // A pool tries again and again and then says only that it waited: this one says why.
        let mut first = AnyConnection::connect(&url).await?;
        prepare(&mut first).await?;
        first.close().await?;
        let writer = pool(1).connect(&url).await?;
        let reader = pool(4).connect(&url).await?;
        Ok(Self {
            engine: Engine::Sqlite,
            writer,
            reader,
        })
    }

    async fn postgres(url: &str) -> Result<Self> {
        let pool = |connections: u32| {
            AnyPoolOptions::new()
                .max_connections(connections)
                // A server that is away must be told soon: phones wait for the answer.
                .acquire_timeout(Duration::from_secs(4))
        };
        Ok(Self {
            engine: Engine::Postgres,
            writer: pool(4).connect(url).await?,
            reader: pool(8).connect(url).await?,
        })
    }

    async fn migrate(&self) -> Result<()> {
        let migrations = MIGRATIONS
            .iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    *version,
                    (*name).into(),
                    MigrationType::Simple,
                    (*sql).into_sql_str(),
                    false,
                )
            })
            .collect();
        Migrator::with_migrations(migrations)
            .run(&self.writer)
            .await?;
        Ok(())
    }

    /// The engine behind this database.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// For statements that only read.
    pub fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// For single statements that write.
    pub fn writer(&self) -> &AnyPool {
        &self.writer
    }

    /// Begins a transaction that writes.
    pub async fn begin(&self) -> Result<Tx> {
        let statement = match self.engine {
            Engine::Sqlite => "begin immediate",
            Engine::Postgres => "begin",
        };
        Ok(self.writer.begin_with(statement).await?)
    }

    /// Begins a transaction that sees one moment of the database, whatever is written meanwhile.
    pub async fn snapshot(&self) -> Result<Tx> {
        let statement = match self.engine {
            Engine::Sqlite => "begin",
            Engine::Postgres => "begin isolation level repeatable read read only",
        };
        Ok(self.reader.begin_with(statement).await?)
    }

    /// The names of all tables.
    pub async fn tables(&self) -> Result<Vec<String>> {
        let sql = match self.engine {
            Engine::Sqlite => "select name from sqlite_master where type = 'table' order by name",
            Engine::Postgres => {
                "select cast(table_name as text) as name from information_schema.tables
                 where table_schema = current_schema() and table_type = 'BASE TABLE' order by 1"
            }
        };
        let rows = sqlx::query(sql).fetch_all(&self.reader).await?;
        rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
    }

    /// Writes and commits one row of this collector's: whether the database takes writes at all.
    pub async fn write_mark(&self, collector: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        take_turn(&mut tx, &format!("health {collector}")).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Builds `insert into … values (…),(…) <tail>` for `rows` rows of `columns` columns.
    ///
    /// The only dynamic SQL of the collector: its parts are texts of this program, never input.
    pub fn insert_rows(
        &self,
        into: &'static str,
        columns: usize,
        rows: usize,
        tail: &'static str,
    ) -> AssertSqlSafe<String> {
        use std::fmt::Write;
        let mut sql = String::with_capacity(into.len() + rows * columns * 5 + tail.len() + 16);
        sql.push_str(into);
        sql.push_str(" values ");
        for row in 0..rows {
            sql.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..columns {
                if column > 0 {
                    sql.push(',');
                }
                match self.engine {
                    // Positional placeholders parse twice as fast on SQLite (measured).
                    Engine::Sqlite => sql.push('?'),
                    Engine::Postgres => {
                        write!(sql, "${}", row * columns + column + 1).expect("writing to memory");
                    }
                }
            }
            sql.push(')');
        }
        sql.push(' ');
        sql.push_str(tail);
        AssertSqlSafe(sql)
    }

    /// Closes both pools, waiting for what is under way.
    pub async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
    }
}
