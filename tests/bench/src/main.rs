//! Measures Nexus, prints the figures, and writes `docs/benchmarks.md` with its drawings. `bench.sh` runs it.
//!
//! - here: which measurements there are. [`process`]: CPU time and memory, from the kernel.
//! - `append`, `fanout`: the core, in this process.
//! - `start`, `density`: the real program, over TLS; `server` runs it, `client` is a cheap client, `haproxy` what it is
//!   compared with.
//! - `cluster`: a whole cluster of real parts.
//! - [`figures`]: what was found; `page`, `drawing`: how it is shown.

#![allow(clippy::disallowed_methods)] // The real clock and the real chance are what is measured.

mod append;
mod client;
mod cluster;
mod density;
mod drawing;
mod fanout;
mod figures;
mod haproxy;
mod page;
mod process;
mod server;
mod start;

use anyhow::bail;
use figures::{Section, Stamp};
use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A measurement; told to be quick, it does a tenth of the work, and its figures are worth as much.
type Measure = fn(quick: bool) -> anyhow::Result<Section>;

const ALL: [(&str, Measure); 5] = [
    ("append", append::measure),
    ("fanout", fanout::measure),
    ("density", density::measure),
    ("start", start::measure),
    ("cluster", cluster::measure),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `NEXUS_BENCH_DOCS`: where to write. `NEXUS_BENCH_ONLY`: names, separated by commas or spaces; none: all.
/// `NEXUS_BENCH_QUICK`: only try whether it works; nothing is written.
fn run() -> anyhow::Result<()> {
    let said = |name: &str| std::env::var(name).unwrap_or_default();
    let only = said("NEXUS_BENCH_ONLY").replace(',', " ");
    let only: Vec<&str> = only.split_whitespace().collect();
    if let Some(unknown) = only.iter().find(|name| ALL.iter().all(|(known, _)| known != *name)) {
        bail!("there is no measurement {unknown}: they are {}", ALL.map(|(name, _)| name).join(", "));
    }
    let quick = !said("NEXUS_BENCH_QUICK").is_empty();
    let docs = PathBuf::from(said("NEXUS_BENCH_DOCS"));
    let folder = docs.join("benchmarks");
    let mut failed = Vec::new();
    for (name, measure) in ALL {
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        eprintln!("\n== {name}");
        let (stamp, begun) = (Stamp::now(), Instant::now());
        match measure(quick) {
            Ok(section) => {
                let section = Section { stamp, ..section };
                section.print();
                if !quick {
                    fs::create_dir_all(&folder)?;
                    section.store(&folder, name)?;
                }
            }
            // The others are worth having all the same.
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
        eprintln!("{name} took {} s", begun.elapsed().as_secs());
    }
    if !quick {
        let mut sections = Vec::new();
        for (name, _) in ALL {
            sections.extend(Section::load(&folder, name)?.map(|section| (name, section)));
        }
        page::write(&docs, &sections)?;
        eprintln!("\nwritten: {}", docs.join("benchmarks.md").display());
    }
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
}
