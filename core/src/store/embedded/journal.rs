//! fjall's journal, checked before fjall opens it.
//!
//! Read in fjall 3.1: it replays its journal up to the first record that makes no sense and cuts off the rest without
//! a word, be it a torn write or years of acknowledged data behind one flipped bit; and a torn write that left whole
//! records with wrong bytes is an error for ever. So every group begins with a [`Mark`]: the group's number, and the
//! last number that was certainly on disk when it was written. What the marks behind the damage say tells a torn
//! write, which is cut off, from damage, which is an error and changes nothing.
//!
//! The one thing that can't be told apart: damage in the very last group, when it was the last thing that a process
//! wrote before it was killed. A store that was closed ends with a mark of its own, and so has no such group.
//!
//! A journal is a sequence of batches: `1, items u32, seqno u64`; items `2, type u8, compression u8, keyspace u64, key
//! length u16, value length u32, the same again u32, key, value`; `3, xxh3-64 of the items, "FJL" 3`. All numbers are
//! little-endian. After the last batch come zeros, because files are made 64 MiB long.

use super::{OpenError, files::Identity};
use std::{
    fs::{self, File, OpenOptions},
    hash::Hasher,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const START: usize = 13;
const ITEM: usize = 21;
const END: usize = 13;
const TRAILER: &[u8] = b"FJL\x03";

/// Where a batch's mark begins: it is its first item.
const MARK_AT: u64 = (START + ITEM) as u64;

/// What the first row of every group says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The group's number, from 1, one more than its predecessor's.
    pub number: u64,
    /// The last number that was on disk when this one was written.
    pub synced: u64,
}

impl Mark {
    const LEN: usize = 24;

    /// As it is stored: both numbers and a checksum, because it is also looked for in damaged files.
    pub fn encode(self, of: &Identity) -> Vec<u8> {
        let mut bytes = [self.number.to_be_bytes(), self.synced.to_be_bytes()].concat();
        bytes.extend_from_slice(&checksum(of, &bytes).to_be_bytes());
        bytes
    }

    /// Reads it back, if that is what it is.
    pub fn decode(of: &Identity, bytes: &[u8]) -> Option<Self> {
        let (numbers, sum) = bytes.split_at_checked(16)?;
        let (number, synced) = numbers.split_at(8);
        (sum == checksum(of, numbers).to_be_bytes()).then_some(())?;
        Some(Self {
            number: u64::from_be_bytes(number.try_into().ok()?),
            synced: u64::from_be_bytes(synced.try_into().ok()?),
        })
    }
}

fn checksum(of: &Identity, numbers: &[u8]) -> u64 {
    xxh3_64(&[&of[..], numbers].concat())
}

/// Checks all journals of a database, and cuts off a torn write. The number of the last group, if they hold any.
pub fn check(db: &Path, of: &Identity) -> Result<Option<u64>, OpenError> {
    let mut journals: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(db).map_err(|error| failed(db, error))? {
        let path = entry.map_err(|error| failed(db, error))?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            journals.push((number.ok_or_else(|| damage(&path, 0, "its name is no number"))?, path));
        }
    }
    journals.sort();
    let mut last = None;
    for (at, (_, path)) in journals.iter().enumerate() {
        let scan = Scan::run(path, of, last)?;
        last = scan.last.map(|mark| mark.number).or(last);
        let Some(rest) = scan.rest else { continue };
        if at + 1 < journals.len() {
            return Err(damage(path, scan.end, "it was sealed, and ends with what can't be read"));
        }
        // Nothing before the damage tells its number: then what comes first behind it does.
        let whole = last
            .or_else(|| rest.first.map(|(number, gap)| number.saturating_sub(1 + u64::from(gap))))
            .unwrap_or(0);
        if rest.synced > whole {
            return Err(damage(path, scan.end, "what was acknowledged follows what can't be read"));
        }
        tracing::warn!(path = %path.display(), at = scan.end, "cutting off a write that was never finished");
        let file = OpenOptions::new().write(true).open(path).map_err(|error| failed(path, error))?;
        file.set_len(scan.end).and_then(|()| file.sync_all()).map_err(|error| failed(path, error))?;
    }
    Ok(last)
}

/// What one journal holds.
struct Scan {
    /// The mark of its last whole batch.
    last: Option<Mark>,
    /// Where its whole batches end.
    end: u64,
    /// What follows, if it isn't nothing.
    rest: Option<Rest>,
}

/// What can be made out behind the whole batches.
#[derive(Default)]
struct Rest {
    /// The number of the first mark, and whether there is something before its batch.
    first: Option<(u64, bool)>,
    /// The last number that was on disk, as any mark says.
    synced: u64,
}

impl Scan {
    fn run(path: &Path, of: &Identity, previous: Option<u64>) -> Result<Self, OpenError> {
        let failed = |error| failed(path, error);
        let file = File::open(path).map_err(failed)?;
        let left = file.metadata().map_err(failed)?.len();
        let mut reader = Reader { file: BufReader::with_capacity(64 << 10, file), left, bytes: Vec::new() };
        let mut scan = Self { last: None, end: 0, rest: None };
        let mut seqno = None;
        while let Some(batch) = reader.batch(of).map_err(failed)? {
            let Some(mark) = batch.mark else { return Err(damage(path, scan.end, "a group has no mark")) };
            let expected = scan.last.map(|mark| mark.number).or(previous);
            if expected.is_some_and(|expected| mark.number != expected + 1) {
                return Err(damage(path, scan.end, "a group is missing before"));
            }
            if seqno.is_some_and(|seqno| batch.seqno <= seqno) {
                return Err(damage(path, scan.end, "a group is out of order"));
            }
            seqno = Some(batch.seqno);
            scan.last = Some(mark);
            scan.end += batch.len;
        }
        reader.file.seek(SeekFrom::Start(scan.end)).map_err(failed)?;
        let written = extent(&mut reader.file).map_err(failed)?;
        if written > 0 {
            reader.file.seek(SeekFrom::Start(scan.end)).map_err(failed)?;
            let mut bytes = Vec::new();
            reader.file.take(written).read_to_end(&mut bytes).map_err(failed)?;
            scan.rest = Some(Rest::find(&bytes, of));
        }
        Ok(scan)
    }
}

impl Rest {
    fn find(bytes: &[u8], of: &Identity) -> Self {
        let mut rest = Self::default();
        for (at, key) in bytes.windows(of.len()).enumerate() {
            let value = bytes.get(at + of.len()..at + of.len() + Mark::LEN);
            if key != of {
                continue;
            }
            if let Some(mark) = value.and_then(|value| Mark::decode(of, value)) {
                rest.first.get_or_insert((mark.number, at as u64 > MARK_AT));
                rest.synced = rest.synced.max(mark.synced);
            }
        }
        rest
    }
}

struct Batch {
    seqno: u64,
    mark: Option<Mark>,
    len: u64,
}

struct Reader {
    file: BufReader<File>,
    left: u64,
    bytes: Vec<u8>,
}

impl Reader {
    /// The next bytes; `None` if there aren't so many.
    fn take(&mut self, len: usize) -> io::Result<Option<&[u8]>> {
        if len as u64 > self.left {
            return Ok(None);
        }
        self.left -= len as u64;
        self.bytes.resize(len, 0);
        self.file.read_exact(&mut self.bytes)?;
        Ok(Some(&self.bytes))
    }

    /// The next batch; `None` if what follows is none, or not whole.
    fn batch(&mut self, of: &Identity) -> io::Result<Option<Batch>> {
        let before = self.left;
        let Some(start) = self.take(START)? else { return Ok(None) };
        let (1, items, seqno) = (start[0], number(&start[1..5]), number(&start[5..])) else {
            return Ok(None);
        };
        let mut hasher = Xxh3::new();
        let mut mark = None;
        for item in 0..items {
            let Some(head) = self.take(ITEM)? else { return Ok(None) };
            let key_len = number(&head[11..13]) as usize;
            let value_len = number(&head[13..17]);
            // Compression is off; 0 to 2 are a value and two kinds of deletion.
            if head[0] != 2 || head[1] > 2 || head[2] != 0 || value_len != number(&head[17..]) {
                return Ok(None);
            }
            hasher.write(head);
            let Some(pair) = self.take(key_len + value_len as usize)? else { return Ok(None) };
            hasher.write(pair);
            let (key, value) = pair.split_at(key_len);
            if item == 0 && key == of {
                mark = Mark::decode(of, value);
            }
        }
        let Some(end) = self.take(END)? else { return Ok(None) };
        if end[0] != 3 || number(&end[1..9]) != hasher.finish() || end[9..] != *TRAILER {
            return Ok(None);
        }
        Ok(Some(Batch { seqno, mark, len: before - self.left }))
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// How many bytes follow until there are only zeros, rounded up.
fn extent(file: &mut impl Read) -> io::Result<u64> {
    const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
    let mut bytes = ZEROS;
    let (mut at, mut extent) = (0, 0);
    loop {
        let len = file.read(&mut bytes)?;
        at += len as u64;
        match len {
            0 => return Ok(extent),
            len if bytes[..len] != ZEROS[..len] => extent = at,
            _ => {}
        }
    }
}

fn damage(path: &Path, at: u64, why: &str) -> OpenError {
    OpenError::Corrupt(format!("the journal {} is damaged at byte {at}: {why}", path.display()))
}

fn failed(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), error }
}
