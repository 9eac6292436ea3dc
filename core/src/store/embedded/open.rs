//! Opening: what is wrong with a data directory is said before anything in it is changed.

use super::{
    files::{self, Directory},
    journal,
    tables::Tables,
};
use std::{io::ErrorKind, path::PathBuf};

/// Why the store couldn't be opened. What is stored was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Options that can't be honoured.
    #[error("the store's options are wrong: {}", .0.join("; "))]
    Options(Vec<String>),
    /// Somebody else has it open.
    #[error(
        "another nexus process (pid {pid}) uses this data directory: {}; stop it, or set core.data to another one",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, as it noted it.
        pid: String,
    },
    /// Another version wrote it.
    #[error(
        "{} has format {found}, but this version of nexus knows format {} only; use the version that wrote it",
        path.display(),
        files::FORMAT
    )]
    Format {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Damage.
    #[error("stored data can't be read: {0}; restore it from a backup")]
    Corrupt(String),
    /// The directory can't be used.
    #[error(
        "can't use the data directory {}: {error}; let this user read and write there, or set core.data",
        path.display()
    )]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The metrics are already registered, or their names taken.
    #[error("can't register the store's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Opens the tables, and tells the number of the last group.
pub fn tables(directory: &Directory, cache_bytes: u64) -> Result<(Tables, u64), OpenError> {
    let io = |error| OpenError::Io { path: directory.path().to_owned(), error };
    let failed = |error| match error {
        // A directory that is listed and locked by now has no file too few, unless one names another wrongly.
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) =>
        {
            OpenError::Corrupt(format!("a file of the database is missing or cut short ({error})"))
        }
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => io(error),
        fjall::Error::Locked => {
            OpenError::InUse { path: directory.path().to_owned(), pid: "unknown".to_owned() }
        }
        error => OpenError::Corrupt(error.to_string()),
    };
    if !directory.db().exists() {
        let new = directory.new_db().map_err(io)?;
        drop(Tables::open(&new, cache_bytes).map_err(failed)?);
        directory.place_new_db().map_err(io)?;
    }
    let identity = directory.identity();
    let in_journals = journal::check(&directory.db(), &identity)?;
    // Some damage makes fjall panic; its message has been printed by then.
    let open = || Tables::open(&directory.db(), cache_bytes);
    let tables = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open))
        .map_err(|_| OpenError::Corrupt("the database makes no sense to fjall".to_owned()))?
        .map_err(failed)?;
    let last = tables.mark(&identity).map_err(|error| OpenError::Corrupt(error.to_string()))?;
    let last = last.map_or(0, |mark| mark.number);
    match in_journals {
        // Every group writes the mark, so the journals' last one is also the newest in the tables.
        Some(number) if number != last => Err(OpenError::Corrupt(format!(
            "the journals end with group {number}, but the tables with {last}"
        ))),
        _ => Ok((tables, last)),
    }
}
