//! The collector's error and its one classification.
//!
//! Invariant: no variant carries content, a name or a secret; what the outside sees is decided by
//! [`Error::code`] alone, once for gRPC and once for HTTP.

use std::path::PathBuf;

use crate::cure::Cure;

/// What went wrong, for an operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error("the database's schema could not be brought up to date")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration is wrong.
    #[error("{0}")]
    Config(String),
    /// Rules or lexicons are wrong.
    #[error(transparent)]
    Rules(#[from] crate::rules::RulesError),
    /// Sealing or opening failed: the key is gone or the bytes were changed.
    #[error("a sealed value could not be opened: its key is destroyed or its bytes were changed")]
    Sealed,
    /// A certificate or key could not be made or read.
    #[error("certificate authority: {0}")]
    Authority(String),
    /// The caller is not who it must be.
    #[error("not authenticated: {0}")]
    Unauthenticated(&'static str),
    /// The caller may not do this.
    #[error("not allowed: {0}")]
    Forbidden(&'static str),
    /// What was asked for does not exist, or is not the caller's to know.
    #[error("not found: {0}")]
    NotFound(&'static str),
    /// The request is malformed.
    #[error("bad request: {0}")]
    Invalid(String),
    /// The request conflicts with what is stored.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// Too many attempts.
    #[error("too many attempts: try again in {retry_after_s} s")]
    RateLimited {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// The phone waits for confirmation in the console.
    #[error("pending: confirm this phone's code in the console")]
    Pending,
    /// The phone was revoked: the agent knows this state by the first word.
    #[error("revoked: this phone was revoked; enrol it again with a new code")]
    Revoked,
    /// The collector is stopping or can't write.
    #[error("unavailable: {0}")]
    Unavailable(&'static str),
}

/// The collector's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the outside learns of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Malformed or against a limit.
    Invalid,
    /// Who are you?
    Unauthenticated,
    /// You may not.
    Forbidden,
    /// There is no such thing for you.
    NotFound,
    /// Against what is stored.
    Conflict,
    /// Not yet.
    Precondition,
    /// Slow down.
    RateLimited,
    /// Try again later.
    Unavailable,
    /// A bug or a broken store.
    Internal,
}

impl Error {
    /// Reading or writing `path` failed.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// What an operator does about it; `None` when the text says it already.
    pub fn cure(&self) -> Option<Cure> {
        if let Self::Database(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) = self {
            Some(Cure::Reach)
        } else if let Self::Database(error) = self {
            Some(Cure::of(error))
        } else if let Self::Migration(error) = self {
            Some(Cure::of(error))
        } else {
            None
        }
    }

    /// The class the outside sees.
    pub fn code(&self) -> Code {
        match self {
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::Forbidden(_) | Self::Revoked => Code::Forbidden,
            Self::NotFound(_) => Code::NotFound,
            Self::Invalid(_) => Code::Invalid,
            Self::Conflict(_) => Code::Conflict,
            Self::Pending => Code::Precondition,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Database(_) | Self::Unavailable(_) => Code::Unavailable,
            Self::Migration(_)
            | Self::File { .. }
            | Self::Config(_)
            | Self::Rules(_)
            | Self::Sealed
            | Self::Authority(_) => Code::Internal,
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let code = match error.code() {
            Code::Invalid => tonic::Code::InvalidArgument,
            Code::Unauthenticated => tonic::Code::Unauthenticated,
            Code::Forbidden => tonic::Code::PermissionDenied,
            Code::NotFound => tonic::Code::NotFound,
            Code::Conflict => tonic::Code::AlreadyExists,
            Code::Precondition => tonic::Code::FailedPrecondition,
            Code::RateLimited => tonic::Code::ResourceExhausted,
            Code::Unavailable => tonic::Code::Unavailable,
            Code::Internal => {
                tracing::error!(error = &error as &dyn std::error::Error, "internal error");
                return Self::internal("internal error");
            }
        };
        if matches!(error, Error::Database(_)) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                cure = error.cure().map(tracing::field::display),
                "the database failed"
            );
        }
        Self::new(code, error.to_string())
    }
}
