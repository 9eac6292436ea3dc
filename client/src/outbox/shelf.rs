//! Where an outbox keeps its entries: a folder, or memory, or whatever a caller has.
use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Keeps entries by key. Calls block, for as long as it takes to make them durable.
pub trait Shelf: Send + 'static {
    /// Every entry that was kept. Called once, first.
    ///
    /// # Errors
    /// When they can't be read.
    fn load(&mut self) -> io::Result<Vec<(u64, Vec<u8>)>>;

    /// Keeps an entry, instead of the one that the key had: the one or the other survives whatever happens
    /// meanwhile, and the new one whatever happens afterwards.
    ///
    /// # Errors
    /// When it can't be kept; the one before is then still there.
    fn put(&mut self, key: u64, entry: &[u8]) -> io::Result<()>;

    /// Forgets an entry.
    ///
    /// # Errors
    /// When it may come back.
    fn remove(&mut self, key: u64) -> io::Result<()>;
}

/// For those who want retries, but nothing kept.
impl Shelf for BTreeMap<u64, Vec<u8>> {
    fn load(&mut self) -> io::Result<Vec<(u64, Vec<u8>)>> {
        Ok(self.iter().map(|(key, entry)| (*key, entry.clone())).collect())
    }

    fn put(&mut self, key: u64, entry: &[u8]) -> io::Result<()> {
        self.insert(key, entry.to_owned());
        Ok(())
    }

    fn remove(&mut self, key: u64) -> io::Result<()> {
        BTreeMap::remove(self, &key);
        Ok(())
    }
}

/// A folder with a file for each entry, which one process at a time may use.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

const ENTRY: &str = "entry";

impl Folder {
    /// Opens the folder, for its owner only, and makes it if there is none.
    ///
    /// # Errors
    /// WouldBlock when another process (or another `Folder`) has it; else what keeps it from being used.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        private_folder(&path)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(path.join("lock")).map_err(|error| named(&path, &error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, format!("{} is in use", path.display()))
            }
            TryLockError::Error(error) => named(&path, &error),
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// Moves everything that another folder of the same file system holds to the end of this one, before an
    /// outbox is opened with it. So nothing stays behind where nobody comes back.
    ///
    /// # Errors
    /// When something can't be moved. It is then where it was.
    pub fn absorb(&mut self, other: &Self) -> io::Result<()> {
        let free = self.keys()?.last().map_or(0, |last| last + 1);
        let theirs = other.keys()?;
        for (key, old) in (free..).zip(&theirs) {
            fs::rename(other.file(*old), self.file(key))?;
        }
        if theirs.is_empty() {
            return Ok(());
        }
        self.sync()?;
        other.sync()
    }

    fn file(&self, key: u64) -> PathBuf {
        self.path.join(format!("{key:016x}.{ENTRY}"))
    }

    fn keys(&self) -> io::Result<Vec<u64>> {
        let mut keys = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let path = file?.path();
            let name = path.file_stem().and_then(|name| name.to_str());
            if path.extension().is_some_and(|kind| kind == ENTRY) {
                keys.extend(name.and_then(|name| u64::from_str_radix(name, 16).ok()));
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Makes what was renamed or removed durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Shelf for Folder {
    fn load(&mut self) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let read = |key| fs::read(self.file(key)).map(|entry| (key, entry));
        self.keys()?.into_iter().map(read).collect()
    }

    fn put(&mut self, key: u64, entry: &[u8]) -> io::Result<()> {
        let unfinished = self.path.join("unfinished");
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&unfinished).map_err(|error| named(&unfinished, &error))?;
        file.write_all(entry)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.file(key))?;
        self.sync()
    }

    fn remove(&mut self, key: u64) -> io::Result<()> {
        match fs::remove_file(self.file(key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync(),
        }
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_has_one_owner_and_keeps_what_it_was_given() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        let mut folder = Folder::open(&path).unwrap();
        assert_eq!(Folder::open(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        folder.put(7, b"seven").unwrap();
        folder.put(2, b"two").unwrap();
        folder.put(7, b"SEVEN").unwrap();
        folder.put(3, b"three").unwrap();
        folder.remove(3).unwrap();
        folder.remove(3).unwrap();
        drop(folder);
        // Half a write, from a process that was killed.
        fs::write(path.join("unfinished"), b"ha").unwrap();
        let mut folder = Folder::open(&path).unwrap();
        assert_eq!(folder.load().unwrap(), [(2, b"two".to_vec()), (7, b"SEVEN".to_vec())]);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_look_into_a_folder() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(place.path().join("a/b")).unwrap();
        folder.put(1, b"private").unwrap();
        for (file, mode) in
            [(place.path().join("a"), 0o700), (folder.path.clone(), 0o700), (folder.file(1), 0o600)]
        {
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, mode, "{file:?}");
        }
    }

    #[test]
    fn what_another_folder_holds_is_added_at_the_end() {
        let place = tempfile::tempdir().unwrap();
        let mut left = Folder::open(place.path().join("left")).unwrap();
        left.put(1, b"older").unwrap();
        left.put(9, b"newer").unwrap();
        let mut mine = Folder::open(place.path().join("mine")).unwrap();
        mine.put(4, b"mine").unwrap();
        mine.absorb(&left).unwrap();
        let held: Vec<_> = mine.load().unwrap().into_iter().map(|(_, entry)| entry).collect();
        assert_eq!(held, [b"mine".to_vec(), b"older".to_vec(), b"newer".to_vec()]);
        assert_eq!(left.load().unwrap(), []);
    }
}
