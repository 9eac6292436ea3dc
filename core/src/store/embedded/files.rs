//! The data directory: one process at a time, one format, and how full the disk is.
//!
//! It holds `lock` (with the process id of its user), `format` (a line with the format's number) and `db` (fjall's).

use super::OpenError;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// The number of the format that this version reads and writes. What an older version can't read has a greater one.
pub const FORMAT: u32 = 1;

/// A data directory that nobody else uses while this lives.
pub struct Directory {
    lock: File,
    path: PathBuf,
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
        let directory = Self { lock, path: path.to_owned() };
        directory.check_format()?;
        Ok(directory)
    }

    /// Where fjall keeps its files.
    pub fn db(&self) -> PathBuf {
        self.path.join("db")
    }

    /// Free bytes of the disk for an ordinary user.
    pub fn free_bytes(&self) -> std::io::Result<u64> {
        let disk = rustix::fs::fstatvfs(&self.lock)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn check_format(&self) -> Result<(), OpenError> {
        let io = |error| OpenError::Io { path: self.path.clone(), error };
        let format = self.path.join("format");
        match fs::read_to_string(&format) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(FORMAT) => Ok(()),
                Ok(found) => Err(OpenError::Format { path: self.path.clone(), found }),
                Err(_) => Err(OpenError::Corrupt(format!("{} doesn't hold a number", format.display()))),
            },
            Err(error) if error.kind() == ErrorKind::NotFound && self.db().exists() => {
                Err(OpenError::Corrupt(format!("{} is missing beside a database", format.display())))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.write_format().map_err(io),
            Err(error) => Err(io(error)),
        }
    }

    /// Whole and durable before there is a database, or not at all.
    fn write_format(&self) -> std::io::Result<()> {
        let new = self.path.join("format.new");
        let mut file = File::create(&new)?;
        writeln!(file, "{FORMAT}")?;
        file.sync_all()?;
        fs::rename(&new, self.path.join("format"))?;
        File::open(&self.path)?.sync_all()
    }
}
