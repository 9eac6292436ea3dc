//! What the kernel says of a process: CPU time by thread, memory, open files.

use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// CPU time of each thread of a process so far, to the nanosecond.
pub struct Usage(BTreeMap<PathBuf, (String, Duration)>);

impl Usage {
    /// Of this process.
    pub fn own() -> anyhow::Result<Self> {
        Self::of(std::process::id())
    }

    /// Of a process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))?;
        let mut threads = BTreeMap::new();
        for task in tasks {
            let task = task?.path();
            // A thread may end while it is looked at.
            if let (Ok(name), Ok(cpu)) = (fs::read_to_string(task.join("comm")), cpu(&task)) {
                threads.insert(task, (name.trim_end().to_owned(), cpu));
            }
        }
        Ok(Self(threads))
    }

    /// CPU time since then of the threads whose name begins so.
    pub fn since(&self, then: &Self, name: &str) -> Duration {
        let of_name = self.0.iter().filter(|(_, (of, _))| of.starts_with(name));
        let each = of_name.map(|(task, (_, now))| {
            let before = then.0.get(task).map_or(Duration::ZERO, |(_, cpu)| *cpu);
            now.saturating_sub(before)
        });
        each.sum()
    }
}

/// CPU time of this thread.
pub fn of_this_thread() -> anyhow::Result<Duration> {
    cpu(Path::new("/proc/thread-self"))
}

fn cpu(task: &Path) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(task.join("schedstat"))?;
    let nanos = stat.split(' ').next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// Resident memory, KiB.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Open files.
pub fn open_files(pid: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// The middle one; of an even number the higher of the two.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
