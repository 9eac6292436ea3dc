//! The page `docs/benchmarks.md` from what is kept of each measurement.

use crate::{
    drawing,
    figures::{Section, Table},
};
use anyhow::Context as _;
use std::{fmt::Write as _, fs, path::Path};

const INTRODUCTION: &str = "\
# Benchmarks

`make bench` measures all of this and writes this page; `make bench ONLY=append` one part of it. All but the cluster takes ten
minutes; the cluster takes as many again, most of them to attach 10,000 users, or `NEXUS_BENCH_USERS` of them. None of it fails a
test. Ratios are of one run, with what is compared taking turns; CPU time is the kernel's, by thread.
What was learned from it stands in [decisions](decisions/README.md).
";

/// Writes the page and its drawings.
pub fn write(docs: &Path, sections: &[(&str, Section)]) -> anyhow::Result<()> {
    let folder = docs.join("benchmarks");
    let mut page = INTRODUCTION.to_owned();
    for (name, section) in sections {
        put(&mut page, name, section)?;
        for chart in &section.charts {
            let path = folder.join(format!("{}.svg", chart.name));
            fs::write(&path, drawing::draw(chart)).with_context(|| path.display().to_string())?;
        }
    }
    let path = docs.join("benchmarks.md");
    fs::write(&path, page).with_context(|| path.display().to_string())
}

fn put(page: &mut String, name: &str, section: &Section) -> std::fmt::Result {
    writeln!(page, "\n## {}\n\n{}\n", section.title, section.method)?;
    let head = ["figure", "measured", "wanted", ""].map(str::to_owned).to_vec();
    let verdict = |v: &crate::figures::Verdict| {
        vec![v.of.clone(), format!("**{}**", v.measured), v.wanted.clone(), v.word().to_owned()]
    };
    table(page, &Table { head, rows: section.verdicts.iter().map(verdict).collect() })?;
    for chart in &section.charts {
        writeln!(page, "\n![{}](benchmarks/{}.svg)", chart.title, chart.name)?;
    }
    for each in &section.tables {
        writeln!(page)?;
        table(page, each)?;
    }
    let stamp = &section.stamp;
    writeln!(
        page,
        "\n<sub>{}, commit {}, `{}`; {}; load average {} at the start. Raw: [{name}.json](benchmarks/{name}.json)</sub>",
        stamp.date, stamp.commit, stamp.command, stamp.machine, stamp.load
    )
}

fn table(page: &mut String, table: &Table) -> std::fmt::Result {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    writeln!(page, "{}", line(&table.head))?;
    let rule = table.head.iter().enumerate().map(|(n, _)| if n == 0 { "---" } else { "---:" });
    writeln!(page, "|{}|", rule.collect::<Vec<_>>().join("|"))?;
    table.rows.iter().try_for_each(|row| writeln!(page, "{}", line(row)))
}
