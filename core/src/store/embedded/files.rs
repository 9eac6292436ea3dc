//! The data directory: one process at a time, one format, and how full the disk is.
//!
//! It holds `lock` (with the process id of its user), `format` (the format's number, and on a second line the
//! database's identity) and `db` (fjall's).

use super::OpenError;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// The number of the format that this version reads and writes. What an older version can't read has a greater one.
pub const FORMAT: u32 = 1;

/// A database's own random name, which nobody who only sends messages can know.
pub type Identity = [u8; 16];

/// A data directory that nobody else uses while this lives.
pub struct Directory {
    lock: File,
    path: PathBuf,
    identity: Identity,
}

impl Directory {
    /// Makes the directory if need be, locks it, and checks its format.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io { path: path.to_owned(), error };
        fs::create_dir_all(path).map_err(io)?;
        let mut options = OpenOptions::new();
        let mut lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                lock.read_to_string(&mut pid).map_err(io)?;
                let pid = if pid.is_empty() { "unknown" } else { pid.trim() }.to_owned();
                return Err(OpenError::InUse { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        lock.set_len(0).and_then(|()| lock.rewind()).map_err(io)?;
        writeln!(lock, "{}", std::process::id()).map_err(io)?;
        let identity = identity(path)?;
        Ok(Self { lock, path: path.to_owned(), identity })
    }

    /// The database's identity.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where fjall keeps its files, once it has made all of them.
    pub fn db(&self) -> PathBuf {
        self.path.join("db")
    }

    /// An empty place for a new database, as fjall takes what it left half made in a crash for damage.
    pub fn new_db(&self) -> std::io::Result<PathBuf> {
        let new = self.path.join("db.new");
        match fs::remove_dir_all(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(new),
        }
    }

    /// Puts a new database, which is closed, into its place.
    pub fn place_new_db(&self) -> std::io::Result<()> {
        fs::rename(self.path.join("db.new"), self.db())?;
        File::open(&self.path)?.sync_all()
    }

    /// Free bytes of the disk for an ordinary user.
    pub fn free_bytes(&self) -> std::io::Result<u64> {
        let disk = rustix::fs::fstatvfs(&self.lock)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// Reads the format and the identity, or writes them into a new directory.
fn identity(path: &Path) -> Result<Identity, OpenError> {
    let io = |error| OpenError::Io { path: path.to_owned(), error };
    let format = path.join("format");
    let damaged = |why| OpenError::Corrupt(format!("{} {why}", format.display()));
    let text = match fs::read_to_string(&format) {
        Ok(text) => text,
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
        Err(_) if path.join("db").exists() => return Err(damaged("is missing beside a database")),
        Err(_) => return write_format(path).map_err(io),
    };
    let mut lines = text.lines();
    match lines.next().and_then(|line| line.parse().ok()) {
        Some(FORMAT) => {}
        Some(found) => return Err(OpenError::Format { path: path.to_owned(), found }),
        None => return Err(damaged("doesn't begin with a number")),
    }
    let identity = lines.next().and_then(|line| u128::from_str_radix(line, 16).ok());
    identity.map(u128::to_be_bytes).ok_or_else(|| damaged("has no identity on its second line"))
}

/// Whole and durable before there is a database, or not at all.
fn write_format(path: &Path) -> std::io::Result<Identity> {
    #[allow(
        clippy::disallowed_methods,
        reason = "it tells this store's files from another's, and must differ always"
    )]
    let identity: u128 = rand::random();
    let new = path.join("format.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{FORMAT}\n{identity:032x}")?;
    file.sync_all()?;
    fs::rename(&new, path.join("format"))?;
    File::open(path)?.sync_all()?;
    Ok(identity.to_be_bytes())
}
