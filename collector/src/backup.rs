//! A backup: every table of one consistent moment in one encrypted file, the same for both engines.
//!
//! Invariants: rows are read in one read transaction while the collector runs; the file is unreadable
//! and unchangeable without its passphrase or key, and a cut one is noticed; the master key is in it
//! only when asked for; a restore goes into an empty database or not at all.

mod crypt;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use futures::StreamExt;
use sqlx::any::{AnyArguments, AnyRow, AnyTypeInfoKind};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Column, Row, TypeInfo, ValueRef};

pub use crypt::Secret;
use crypt::{Opening, Sealing};

use crate::db::{Db, SCHEMA_VERSION};
use crate::error::{Error, Result};

/// Rows per table.
pub type Counts = BTreeMap<String, u64>;

/// What a backup holds beside its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Unix milliseconds of the snapshot.
    pub created_ms: i64,
    /// `mingjing.toml` as it stood.
    pub settings: String,
    /// The master key file, if it was asked for.
    pub master_key: Option<String>,
}

/// Tables that say nothing about the past: their rows stay behind.
const LEFT_OUT: [&str; 4] = ["_sqlx_migrations", "leases", "changes", "web_sessions"];
/// A value or row longer than this is no backup of ours.
const MAX_BYTES: u32 = 256 << 20;

const NULL: u8 = 0;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;
const REAL: u8 = 4;

/// Writes a backup of the database as it stands now; how many rows of which table it holds.
pub async fn write(db: &Db, header: &Header, secret: &Secret, out: impl Write) -> Result<Counts> {
    let mut out = Sealing::new(secret, out)?;
    out.number(SCHEMA_VERSION)?;
    out.number(header.created_ms)?;
    out.bytes(header.settings.as_bytes())?;
    out.bytes(header.master_key.as_deref().unwrap_or("").as_bytes())?;
    let mut counts = Counts::new();
    let mut tables = db.tables().await?;
    tables.retain(|table| !LEFT_OUT.contains(&table.as_str()));
    let mut snapshot = db.snapshot().await?;
    for table in tables {
        let mut count = 0;
        // Names come from the database's own catalogue.
        let sql = AssertSqlSafe(format!("select * from {table}"));
        let mut rows = sqlx::query(sql).fetch(&mut *snapshot);
        while let Some(row) = rows.next().await {
            out.bytes(table.as_bytes())?;
            out.row(&row?)?;
            count += 1;
        }
        counts.insert(table, count);
    }
    out.bytes(b"")?;
    for (table, count) in &counts {
        out.bytes(table.as_bytes())?;
        out.number(count.cast_signed())?;
    }
    out.bytes(b"")?;
    out.finish()?;
    Ok(counts)
}

/// A backup whose header has been read.
#[derive(Debug)]
pub struct Backup<R> {
    from: Opening<R>,
    /// What it holds beside its tables.
    pub header: Header,
}

fn damaged(what: &str) -> Error {
    Error::Config(format!("the backup is damaged: {what}; use another copy"))
}

impl<R: Read> Backup<R> {
    /// Opens a backup with its secret.
    pub fn open(secret: &Secret, from: R) -> Result<Self> {
        let mut from = Opening::new(secret, from)?;
        let version = from.number()?;
        if version != SCHEMA_VERSION {
            return Err(Error::Config(format!(
                "the backup has schema {version}, this program {SCHEMA_VERSION}: restore it with the \
                 version of the program that made it, then upgrade"
            )));
        }
        let header = Header {
            created_ms: from.number()?,
            settings: from.text()?,
            master_key: Some(from.text()?).filter(|key| !key.is_empty()),
        };
        Ok(Self { from, header })
    }

    /// Puts every row into an empty database, all or nothing; the counts equal those of the backup.
    pub async fn restore(mut self, db: &Db) -> Result<Counts> {
        let known = db.tables().await?;
        let mut tx = db.begin().await?;
        for table in &known {
            let sql = AssertSqlSafe(format!("select count(*) from {table}"));
            let count: i64 = sqlx::query(sql).fetch_one(&mut *tx).await?.try_get(0)?;
            if count > 0 && !LEFT_OUT.contains(&table.as_str()) {
                return Err(Error::Conflict(
                    "the database is not empty; restore into a new one",
                ));
            }
        }
        let mut counts: Counts = known
            .iter()
            .filter(|table| !LEFT_OUT.contains(&table.as_str()))
            .map(|table| (table.clone(), 0))
            .collect();
        loop {
            let table = self.from.text()?;
            if table.is_empty() {
                break;
            }
            let count = counts
                .get_mut(&table)
                .ok_or_else(|| damaged("it holds a table this program does not know"))?;
            *count += 1;
            self.from.row()?.insert(&table)?.execute(&mut tx).await?;
        }
        let mut promised = Counts::new();
        loop {
            let table = self.from.text()?;
            if table.is_empty() {
                break;
            }
            promised.insert(table, self.from.number()?.cast_unsigned());
        }
        self.from.finish()?;
        if promised != counts {
            return Err(damaged("the rows are not those it was made with"));
        }
        tx.commit().await?;
        Ok(counts)
    }
}

enum Value {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    Real(f64),
}

/// A row on its way in: its columns by name.
struct Incoming(Vec<(String, Value)>);

struct Insert {
    sql: String,
    values: Vec<Value>,
}

impl Incoming {
    /// Nulls are left out: a null has no type that both engines would take for any column.
    fn insert(self, table: &str) -> Result<Insert> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
        };
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (name, value) in self.0 {
            if !is_name(&name) {
                return Err(damaged("a column has no proper name"));
            }
            if !matches!(value, Value::Null) {
                names.push(name);
                values.push(value);
            }
        }
        let places: Vec<_> = (1..=values.len()).map(|it| format!("${it}")).collect();
        let sql = format!(
            "insert into {table} ({}) values ({})",
            names.join(", "),
            places.join(", ")
        );
        Ok(Insert { sql, values })
    }
}

impl Insert {
    async fn execute(self, tx: &mut crate::db::Tx) -> Result<()> {
        // Table and column names were checked above; values are bound.
        let mut query: Query<'_, Any, AnyArguments> = sqlx::query(AssertSqlSafe(self.sql));
        for value in self.values {
            query = match value {
                Value::Null => query,
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
                Value::Real(real) => query.bind(real),
            };
        }
        query.execute(&mut **tx).await?;
        Ok(())
    }
}

impl<W: Write> Sealing<W> {
    fn number(&mut self, number: i64) -> Result<()> {
        self.write(&number.to_be_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let length = u32::try_from(bytes.len())
            .ok()
            .filter(|length| *length <= MAX_BYTES)
            .ok_or_else(|| Error::Config("a value is too long for a backup".to_owned()))?;
        self.write(&length.to_be_bytes())?;
        self.write(bytes)
    }

    fn row(&mut self, row: &AnyRow) -> Result<()> {
        self.number(row.columns().len() as i64)?;
        for (index, column) in row.columns().iter().enumerate() {
            self.bytes(column.name().as_bytes())?;
            let value = row.try_get_raw(index)?;
            if value.is_null() {
                self.write(&[NULL])?;
                continue;
            }
            match value.type_info().kind() {
                AnyTypeInfoKind::SmallInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::BigInt => {
                    self.write(&[NUMBER])?;
                    self.number(row.try_get(index)?)?;
                }
                AnyTypeInfoKind::Text => {
                    self.write(&[TEXT])?;
                    self.bytes(row.try_get::<&str, _>(index)?.as_bytes())?;
                }
                AnyTypeInfoKind::Blob => {
                    self.write(&[BYTES])?;
                    self.bytes(row.try_get(index)?)?;
                }
                AnyTypeInfoKind::Real | AnyTypeInfoKind::Double => {
                    self.write(&[REAL])?;
                    let real: f64 = row.try_get(index)?;
                    self.write(&real.to_be_bytes())?;
                }
                AnyTypeInfoKind::Null | AnyTypeInfoKind::Bool => {
                    return Err(Error::Config(format!(
                        "a column of type {} can't be backed up",
                        value.type_info().name()
                    )));
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Opening<R> {
    fn number(&mut self) -> Result<i64> {
        let mut bytes = [0; 8];
        self.read(&mut bytes)?;
        Ok(i64::from_be_bytes(bytes))
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        let mut length = [0; 4];
        self.read(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MAX_BYTES {
            return Err(damaged("a value is too long"));
        }
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| damaged("a text is not UTF-8"))
    }

    fn row(&mut self) -> Result<Incoming> {
        let columns = self.number()?;
        if !(1..=200).contains(&columns) {
            return Err(damaged("a row has no columns"));
        }
        let mut row = Vec::new();
        for _ in 0..columns {
            let name = self.text()?;
            let mut kind = [0; 1];
            self.read(&mut kind)?;
            let value = match kind[0] {
                NULL => Value::Null,
                NUMBER => Value::Number(self.number()?),
                TEXT => Value::Text(self.text()?),
                BYTES => Value::Bytes(self.bytes()?),
                REAL => {
                    let mut bytes = [0; 8];
                    self.read(&mut bytes)?;
                    Value::Real(f64::from_be_bytes(bytes))
                }
                _ => return Err(damaged("a value of no known type")),
            };
            row.push((name, value));
        }
        Ok(Incoming(row))
    }
}
