//! What a measurement found, in the form in which it is printed, stored and drawn.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// One measurement: a section of the page.
#[derive(Debug, Serialize, Deserialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What was done.
    pub method: String,
    /// The figures that something was wanted of.
    pub verdicts: Vec<Verdict>,
    /// Everything else.
    pub tables: Vec<Table>,
    /// The drawings.
    pub charts: Vec<Chart>,
    /// When and where.
    #[serde(default)]
    pub stamp: Stamp,
}

/// A figure, and what was wanted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Of what.
    pub of: String,
    /// What came out, with its unit.
    pub measured: String,
    /// What was wanted, or what it is compared with.
    pub wanted: String,
    /// Whether it is so; `None` if nothing was demanded.
    pub met: Option<bool>,
}

/// Figures with a heading each.
#[derive(Debug, Serialize, Deserialize)]
pub struct Table {
    /// The headings.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// Bars of one unit.
#[derive(Debug, Serialize, Deserialize)]
pub struct Chart {
    /// The file's name without its ending.
    pub name: String,
    /// What is drawn, with the unit.
    pub title: String,
    /// The bars, from above.
    pub bars: Vec<Bar>,
    /// A line that bars should not cross, or should, with its name.
    pub bound: Option<(f64, String)>,
}

/// A bar.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bar {
    /// What it shows.
    pub label: String,
    /// Its length.
    pub value: f64,
    /// Whether it is ours or something to compare with.
    pub ours: bool,
}

/// When and where something was measured.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Stamp {
    /// The date and time, UTC.
    pub date: String,
    /// The commit; `+` if there were changes that are not in it.
    pub commit: String,
    /// How to do it again.
    pub command: String,
    /// Processor, cores, memory, kernel, file system.
    pub machine: String,
    /// The load average of the last minute when it began: how busy others kept the machine.
    pub load: String,
}

/// A table row from anything that can be shown.
#[macro_export]
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$($cell.to_string()),*] };
}

impl Stamp {
    /// Now and here. The date, the commit and the command come from bench.sh.
    pub fn now() -> Self {
        let said = |name: &str| std::env::var(name).unwrap_or_else(|_| "?".into());
        Self {
            date: said("NEXUS_BENCH_DATE"),
            commit: said("NEXUS_BENCH_COMMIT"),
            command: said("NEXUS_BENCH_COMMAND"),
            machine: machine(),
            load: fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|load| load.split(' ').next().map(str::to_owned))
                .unwrap_or_default(),
        }
    }
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("?", |(_, value)| value.trim()).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let gib = memory.trim_end_matches(" kB").parse::<f64>().map_or(0.0, |kib| kib / 1024.0 / 1024.0);
    format!(
        "{}, {cores} cores, {gib:.0} GiB, Linux {}",
        field(&read("/proc/cpuinfo"), "model name"),
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

impl Section {
    /// Keeps it in this folder.
    pub fn store(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        let path = folder.join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// The one that is kept under this name, if there is one.
    pub fn load(folder: &Path, name: &str) -> anyhow::Result<Option<Self>> {
        let path = folder.join(format!("{name}.json"));
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// For a person at a terminal.
    pub fn print(&self) {
        println!("\n{}", self.title);
        let rows = self.verdicts.iter().map(|v| row![v.of, v.measured, v.wanted, v.word()]).collect();
        print_table(&Table { head: row!["figure", "measured", "wanted", ""], rows });
        for table in &self.tables {
            println!();
            print_table(table);
        }
    }
}

impl Verdict {
    /// Whether it was met, in a word.
    pub fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        }
    }
}

fn print_table(table: &Table) {
    let all = || std::iter::once(&table.head).chain(&table.rows);
    let width =
        |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    for row in all() {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or(0);
            // Names to the left, figures to the right.
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        println!("  {}", cells.collect::<Vec<_>>().join("   "));
    }
}
