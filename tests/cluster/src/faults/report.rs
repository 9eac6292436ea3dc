//! docs/faults.md: a table of what each fault cost, and a picture of how long deliveries stalled.

use super::{Judged, Load, STEP};
use std::{fmt::Write as _, fs, path::Path, time::Duration};

/// Where the picture's curves begin, how wide they are and how high, and how far apart.
const LEFT: f64 = 330.0;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 26.0;
const ROW: f64 = 36.0;
const TOP: f64 = 64.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600;font-size:15px}.s{fill:#656d76}\
.c{fill:#2f6feb}.a{stroke:#9aa4af;stroke-width:1}.f{stroke:#bc4c00;stroke-dasharray:4 4}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#8b949e}.c{fill:#58a6ff}.a{stroke:#6e7681}.f{stroke:#f0883e}}";

/// A line for people.
pub fn line(judged: &Judged) -> String {
    format!(
        "{} pairs: {} lost, {} duplicated, {} out of order; p50 {}, p99 {}, longest {}; {} unknown, {} refused; \
         {} failed attempts, {} streams ended",
        judged.pairs,
        judged.lost,
        judged.duplicated,
        judged.out_of_order,
        seconds(judged.took.p50),
        seconds(judged.took.p99),
        seconds(judged.took.max),
        judged.unknown,
        judged.refused,
        judged.failed_attempts,
        judged.streams_ended,
    )
}

/// How many faults were survived, were not, and could not be tried here.
pub fn total(passed: usize, failed: usize, skipped: usize) -> String {
    match skipped {
        0 => format!("{passed} passed, {failed} failed"),
        _ => format!("{passed} passed, {failed} failed, {skipped} skipped"),
    }
}

/// What a page was measured with.
pub struct Measured {
    /// The commit of the sources.
    pub commit: String,
    /// The machine, and when.
    pub machine: String,
    /// The command that measures it again.
    pub command: String,
}

/// Writes `faults.md` and `faults.svg` into a folder.
pub fn write(folder: &Path, all: &[Judged], load: &Load, measured: &Measured) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("faults.svg"), draw(all))?;
    fs::write(folder.join("faults.md"), page(all, load, measured))
}

fn page(all: &[Judged], load: &Load, measured: &Measured) -> String {
    let Measured { commit, machine, command } = measured;
    let mut text = format!(
        "# What dies, and what is lost\n\n\
         Real processes: three chat nodes, two edges behind HAProxy, a Redis Cluster of three masters and three replicas, \
         Cassandra. {} users in rooms of five, {:.0} messages/s whatever the answers do, {} s for each fault, which comes \
         8 s after the first message. A pair is an acknowledged message and a member who must get it. `{command}` writes \
         this page; commit {commit}, {machine}.\n\n\
         | what happens | pairs | lost | duplicated | out of order | p50 | p99 | longest | unknown | refused | \
         failed attempts | streams ended |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        load.users,
        load.rate,
        load.duration.as_secs(),
    );
    for judged in all {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            judged.says,
            judged.pairs,
            judged.lost,
            judged.duplicated,
            judged.out_of_order,
            seconds(judged.took.p50),
            seconds(judged.took.p99),
            seconds(judged.took.max),
            judged.unknown,
            judged.refused,
            judged.failed_attempts,
            judged.streams_ended,
        );
    }
    text + "\n*unknown*: the client gave up without an answer, and tells its user so; a retry with the same id finds out. \
            *refused*: certainly not done. *failed attempts*: errors that clients saw before they knew the outcome, and repeated by \
            themselves with the same id; *streams ended*: attach streams that broke and were opened again where they had \
            ended. Times are from the first attempt to send until a member's device had it, retries \
            included.\n\n![The longest delivery by the time at which it was sent](faults.svg)\n"
}

fn draw(all: &[Judged]) -> String {
    let longest = all.iter().map(|judged| judged.took.max.as_secs_f64()).fold(1.0, f64::max);
    let steps = all.iter().map(|judged| judged.over_time.len()).max().unwrap_or(1).max(1);
    let (step, bottom) = (WIDTH / steps as f64, TOP + ROW * all.len() as f64);
    let title = "The longest delivery, by when it was sent";
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 860 {:.0}\" role=\"img\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<text class=\"t\" x=\"8\" y=\"24\">{title}</text>\n\
         <text class=\"s\" x=\"8\" y=\"44\">each row {:.1} s high, {:.0} s wide; the line is when the fault comes</text>\n",
        bottom + 12.0,
        longest,
        steps as f64 * STEP.as_secs_f64(),
    );
    let fault = LEFT + super::FAULT_AT.as_secs_f64() / STEP.as_secs_f64() * step;
    let _ = writeln!(
        svg,
        "<line class=\"f\" x1=\"{fault:.1}\" x2=\"{fault:.1}\" y1=\"{}\" y2=\"{bottom}\"/>",
        TOP - 8.0
    );
    for (n, judged) in all.iter().enumerate() {
        let base = TOP + ROW * n as f64 + HEIGHT;
        let mut path = format!("M{LEFT} {base}");
        for (n, took) in judged.over_time.iter().enumerate() {
            let (x, y) = (LEFT + n as f64 * step, base - took.as_secs_f64() / longest * HEIGHT);
            let _ = write!(path, "L{x:.1} {y:.1}H{:.1}", x + step);
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><path class=\"c\" d=\"{path}V{base}Z\"/>\
             <line class=\"a\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{base}\" y2=\"{base}\"/>\
             <text x=\"{}\" y=\"{:.0}\">{}</text>",
            LEFT - 10.0,
            base - 4.0,
            judged.name,
            LEFT + WIDTH,
            LEFT + WIDTH + 10.0,
            base - 4.0,
            seconds(judged.took.max),
        );
    }
    svg + "</svg>\n"
}

fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn what_was_skipped_is_in_the_last_line_and_only_then() {
        assert_eq!(total(16, 0, 0), "16 passed, 0 failed");
        assert_eq!(total(11, 1, 4), "11 passed, 1 failed, 4 skipped");
    }
}
