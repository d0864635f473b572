//! The collector's settings: one TOML file, parsed, then validated into a type that can't be wrong.
//!
//! Invariants: unknown settings are errors; the shipped `mingjing.toml` holds every setting with its
//! default and a test loads it; secrets come from the environment or their own files, never from here.

mod hours;
mod phones;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mingjing_proto::pb::{self, Category};
use mingjing_proto::vocabulary::Named;
use serde::Deserialize;

use self::hours::Hours;
pub use self::hours::days_since_epoch;
pub use self::phones::Phones;
use self::phones::PhonesFile;
use crate::error::{Error, Result};
use crate::master::MasterKey;

/// The shipped example, every setting with its default.
pub const EXAMPLE: &str = include_str!("../mingjing.toml");
/// Name of the settings file in the data folder.
pub const FILE: &str = "mingjing.toml";

/// Validated settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything lives.
    pub data_dir: PathBuf,
    /// Where the master key is.
    pub master_key: MasterKey,
    /// Name of this collector.
    pub collector: String,
    /// Who supervises.
    pub company: Company,
    /// The three listeners.
    pub listen: Listen,
    /// How phones and browsers reach them.
    pub public: Public,
    /// `postgres://…` or empty for SQLite.
    pub store_url: String,
    /// Enrolment.
    pub phones: Phones,
    /// Working hours an invited person begins with.
    pub hours: pb::Schedule,
    /// The zone reports and pages use.
    pub zone: String,
    /// Company-wide terms.
    pub terms: pb::PolicyTerms,
    /// Company texts of the notice by language.
    pub notice: BTreeMap<String, NoticeWords>,
    /// The company's own rules.
    pub rules_dir: Option<PathBuf>,
    /// The company's own lexicons.
    pub lexicons_dir: Option<PathBuf>,
    /// The console.
    pub console: Console,
    /// Bounds.
    pub limits: Limits,
    /// All settings as they stand in file and defaults, to tell what changed.
    settings: toml::Table,
}

/// Who supervises.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Company {
    /// Its name.
    pub name: String,
    /// Whom to ask.
    pub contact: String,
    /// Whom to ask about personal data.
    pub privacy_contact: String,
}

/// Addresses to listen on; port 0 takes a free one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// `Enroll` and `Renew`.
    pub enrollment: SocketAddr,
    /// `Session`.
    pub session: SocketAddr,
    /// The console.
    pub console: SocketAddr,
    /// Metrics and health over plain HTTP; `None` when switched off.
    #[serde(deserialize_with = "address_or_empty")]
    pub metrics: Option<SocketAddr>,
}

fn address_or_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        serde::de::Error::custom(format!(
            "listen.metrics holds {text:?}; write \"127.0.0.1:9464\", or \"\" for none"
        ))
    })
}

/// Addresses as phones and browsers see them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// Names in the server certificate; the first is used in addresses.
    pub names: Vec<String>,
    /// Full address or empty.
    pub enrollment: String,
    /// Full address or empty.
    pub session: String,
    /// Full address or empty.
    pub console: String,
}

/// The company's words of the notice in one language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeWords {
    /// What for.
    pub purposes: String,
    /// Who may read.
    pub readers: String,
    /// Where data are kept.
    pub stored_where: String,
    /// What follows from refusing.
    pub refusal_consequences: String,
    /// Anything the company adds.
    pub addition: String,
}

/// Console settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// PEM file or empty.
    pub certificate: String,
    /// PEM file or empty.
    pub key: String,
    /// Minutes a login lasts without activity.
    pub session_minutes: u16,
}

/// Bounds on what phones may ask of the collector.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// Batches a second and phone.
    pub batches_per_s: u32,
    /// Inflated bytes a second and phone.
    pub bytes_per_s: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    collector: String,
    company: Company,
    listen: Listen,
    public: Public,
    store: Store,
    phones: PhonesFile,
    hours: Hours,
    terms: Terms,
    notice: BTreeMap<String, NoticeWords>,
    rules: Rules,
    console: Console,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    categories: Vec<String>,
    days_unmatched: u32,
    days_matched: u32,
    pause_minutes_per_day: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rules_dir: String,
    lexicons_dir: String,
}

impl Config {
    /// Reads `mingjing.toml` of a data folder over the defaults. `store_url` overrides the file's.
    pub fn load(data_dir: &Path, store_url: Option<String>) -> Result<Self> {
        let path = data_dir.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        let mut config = Self::parse(&text, data_dir)
            .map_err(|problem| Error::Config(format!("{}: {problem}", path.display())))?;
        if let Some(url) = store_url {
            config.store_url = url;
        }
        Ok(config)
    }

    /// Parses settings over the defaults; the error names line and cure.
    pub fn parse(text: &str, data_dir: &Path) -> std::result::Result<Self, String> {
        let mut merged: toml::Table =
            toml::from_str(EXAMPLE).map_err(|error| format!("the shipped defaults: {error}"))?;
        let given: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
        // Deserialising what was given alone would miss defaults; merging first would lose its lines.
        // So unknown names are looked for by path, and everything else is checked on the merged table.
        unknown(&given, &merged, "")?;
        merge(&mut merged, given);
        let settings = merged.clone();
        let file: File = merged.try_into().map_err(|error: toml::de::Error| {
            format!(
                "{}; the shipped mingjing.toml shows every setting",
                error.message()
            )
        })?;
        file.validate(data_dir, settings)
    }

    /// The top-level names whose settings differ from `other`'s.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let names = self.settings.keys().chain(other.settings.keys());
        let differing: std::collections::BTreeSet<&String> = names
            .filter(|name| self.settings.get(*name) != other.settings.get(*name))
            .collect();
        differing.into_iter().cloned().collect()
    }
}

fn unknown(given: &toml::Table, known: &toml::Table, at: &str) -> std::result::Result<(), String> {
    for (name, value) in given {
        let path = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}.{name}")
        };
        match (known.get(name), value) {
            (None, toml::Value::Table(_)) if at == "notice" => {}
            (None, _) => {
                return Err(format!(
                    "unknown setting {path}; the shipped mingjing.toml shows every setting"
                ));
            }
            (Some(toml::Value::Table(known)), toml::Value::Table(given)) => {
                unknown(given, known, &path)?;
            }
            (Some(_), _) => {}
        }
    }
    Ok(())
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

impl File {
    fn validate(
        self,
        data_dir: &Path,
        settings: toml::Table,
    ) -> std::result::Result<Config, String> {
        if self.version != 1 {
            return Err(format!(
                "version {} is not known; this program reads 1",
                self.version
            ));
        }
        if self.collector.is_empty() || self.collector.len() > 40 {
            return Err("collector must be a name of 1 to 40 bytes".to_owned());
        }
        if self.public.names.is_empty() {
            return Err("public.names needs at least one host name or address".to_owned());
        }
        if self.limits.handshakes == 0
            || self.limits.sessions == 0
            || self.limits.batches_per_s == 0
            || self.limits.bytes_per_s == 0
        {
            return Err("limits must be above 0".to_owned());
        }
        if !self.notice.contains_key("zh-CN") || !self.notice.contains_key("en") {
            return Err("notice needs the tables zh-CN and en".to_owned());
        }
        if self.console.certificate.is_empty() != self.console.key.is_empty() {
            return Err("console.certificate and console.key go together".to_owned());
        }
        let hours = self.hours.schedule()?;
        let terms = self.terms.terms()?;
        let folder = |name: String| (!name.is_empty()).then(|| data_dir.join(name));
        Ok(Config {
            data_dir: data_dir.to_owned(),
            master_key: MasterKey::in_folder(data_dir),
            collector: self.collector,
            company: self.company,
            listen: self.listen,
            public: self.public,
            store_url: self.store.url,
            phones: self.phones.phones(data_dir)?,
            zone: hours.zone.clone(),
            hours,
            terms,
            notice: self.notice,
            rules_dir: folder(self.rules.rules_dir),
            lexicons_dir: folder(self.rules.lexicons_dir),
            console: self.console,
            limits: self.limits,
            settings,
        })
    }
}

impl Terms {
    fn terms(&self) -> std::result::Result<pb::PolicyTerms, String> {
        if self.days_unmatched == 0 || self.days_matched == 0 {
            return Err("terms: unlimited retention is not a value (requirements T)".to_owned());
        }
        let mut categories = Vec::new();
        for name in &self.categories {
            let category = Category::from_name(name)
                .filter(|category| *category != Category::Control)
                .ok_or_else(|| format!("terms.categories holds {name:?}, which is no category"))?;
            categories.push(category as i32);
        }
        let retention = categories
            .iter()
            .map(|&category| pb::Retention {
                category,
                days_unmatched: self.days_unmatched,
                days_matched: self.days_matched,
            })
            .collect();
        Ok(pb::PolicyTerms {
            categories,
            retention,
            given_hours: String::new(),
            pause_minutes_per_day: self.pause_minutes_per_day,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_example_loads_and_is_complete() {
        let config = Config::parse(EXAMPLE, Path::new("data")).unwrap();
        assert_eq!(config.hours.weekly.len(), 10);
        assert_eq!(
            Config::parse("", Path::new("data")).unwrap().collector,
            "c1"
        );
    }

    #[test]
    fn mistakes_are_named_with_their_cure() {
        for (text, expected) in [
            ("verson = 1", "unknown setting verson"),
            ("[phones]\ntoken_hours = 25", "1 to 24"),
            ("[phones]\nminimum_trust = \"some\"", "hardware"),
            ("[phones]\napk_url = \"http://x\"", "https://"),
            ("[phones]\napk_url = \"https://x/a.apk\"", "apk check"),
            ("[phones]\napk_sha256 = \"12\"", "64 hexadecimal"),
            (
                "[phones]\nminimum_trust = \"software\"",
                "attestation_roots",
            ),
            ("[hours]\nspans = [\"9-10\"]", "08:30-12:00"),
            ("[hours]\nzone = \"Mars/Base\"", "IANA"),
            ("[terms]\ndays_matched = 0", "unlimited"),
            ("[listen]\nconsole = \"nowhere\"", "shipped mingjing.toml"),
            ("collector = ", "line 1"),
        ] {
            let error = Config::parse(text, Path::new("data")).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
