//! docs/faults.md: a table of what each fault cost, and a picture of how long deliveries stalled.

use super::{
    BUCKET_EVENTS, Judged, Load, STEP,
    ramp::{LATEST, Step},
};
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

/// Said where all figures are larger than they would be elsewhere.
const PROXIED: &str = " **TCP proxies stood before Redis, Cassandra and the chat nodes all the time, to cut them off without the \
                       packet filter; all times contain what they cost.**";

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

/// A fault that could not be tried.
pub struct LeftOut {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub says: &'static str,
    /// What was lacking.
    pub why: String,
}

/// What a page says.
pub struct Page<'a> {
    /// What came of the faults.
    pub all: &'a [Judged],
    /// Those that could not be tried.
    pub left_out: &'a [LeftOut],
    /// The rates that were tried before them.
    pub ramp: &'a [Step],
    /// Whether proxies stood between the parts.
    pub proxied: bool,
    /// The load, but for its rate.
    pub load: &'a Load,
    /// What it was measured with.
    pub measured: &'a Measured,
}

/// Writes `faults.md` and `faults.svg` into a folder.
pub fn write(folder: &Path, page: &Page<'_>) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("faults.svg"), draw(page.all))?;
    fs::write(folder.join("faults.md"), text(page))
}

fn text(page: &Page<'_>) -> String {
    let Page { all, left_out, ramp, proxied, load, measured } = *page;
    let Measured { commit, machine, command } = measured;
    let mut text = format!(
        "# What dies, and what is lost\n\n\
         Real processes: three chat nodes, two edges behind HAProxy, a Redis Cluster of three masters and three replicas, \
         Cassandra ({}). Buckets of {BUCKET_EVENTS} events, so that logs go on in others. \
         {} users in rooms of five, messages at a fixed rate whatever the answers do, {} s for each fault, \
         which comes 8 s after the first message. A pair is an acknowledged message and a member who must get it.{} \
         `{command}` writes this page; commit {commit}, {machine}.\n\n\
         | what happens | messages/s | pairs | lost | duplicated | out of order | p50 | p99 | longest | unknown | refused | \
         failed attempts | streams ended |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        stores(all),
        load.users,
        load.duration.as_secs(),
        if proxied { PROXIED } else { "" },
    );
    for judged in all {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            judged.says,
            judged.rate,
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
    text += "\n*unknown*: the client gave up without an answer, and tells its user so; a retry with the same id finds out. \
             *refused*: certainly not done. *failed attempts*: errors that clients saw before they knew the outcome, and \
             repeated by themselves with the same id; *streams ended*: attach streams that broke and were opened again where \
             they had ended. Times are from the first attempt to send until a member's device had it, retries included.\n";
    if !left_out.is_empty() {
        text += "\nNot tried, since this machine could not:\n\n";
    }
    for LeftOut { name, says, why } in left_out {
        let _ = writeln!(text, "- `{name}`, {says}: {why}.");
    }
    text + "\n![The longest delivery by the time at which it was sent](faults.svg)\n" + &ramp_text(ramp)
}

/// On how many Cassandra nodes the faults happened.
fn stores(all: &[Judged]) -> String {
    let most = |nodes: usize| all.iter().filter(|judged| judged.cassandra == nodes).count();
    let usual =
        all.iter().map(|judged| judged.cassandra).max_by_key(|nodes| most(*nodes)).unwrap_or_default();
    let node = |nodes| if nodes == 1 { "one node".to_owned() } else { format!("{nodes} nodes") };
    let others = all.iter().filter(|judged| judged.cassandra != usual);
    let others = others.map(|judged| format!("; `{}`: {}", judged.name, node(judged.cassandra)));
    node(usual) + &others.collect::<String>()
}

fn ramp_text(ramp: &[Step]) -> String {
    if ramp.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n## The rate\n\n\
         The faults happen under the highest of these rates that their deployment held while nothing died, and under the first if \
         it held none. Held: clients saw no error, no promise was broken, the messages were sent as fast as they should be, \
         and p99 was below {} ms.\n\n\
         | Cassandra nodes | messages/s | sent/s | p50 | p99 | longest | held |\n|--:|--:|--:|--:|--:|--:|---|\n",
        LATEST.as_millis(),
    );
    for Step { judged, not_held } in ramp {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {} | {} | {} | {} |",
            judged.cassandra,
            judged.rate,
            judged.sent_rate,
            seconds(judged.took.p50),
            seconds(judged.took.p99),
            seconds(judged.took.max),
            not_held.as_ref().map_or("yes".into(), |why| format!("no: {why}")),
        );
    }
    text
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
    use super::*;

    #[test]
    fn what_was_skipped_is_in_the_last_line_and_only_then() {
        assert_eq!(total(16, 0, 0), "16 passed, 0 failed");
        assert_eq!(total(11, 1, 4), "11 passed, 1 failed, 4 skipped");
    }

    fn judged(name: &'static str, cassandra: usize) -> Judged {
        Judged {
            name,
            says: name,
            cassandra,
            rate: 100.0,
            sent_rate: 100.0,
            sent: 0,
            pairs: 0,
            lost: 0,
            duplicated: 0,
            out_of_order: 0,
            other: 0,
            unknown: 0,
            refused: 0,
            failed_attempts: 0,
            streams_ended: 0,
            took: Default::default(),
            over_time: Vec::new(),
            examples: Vec::new(),
        }
    }

    #[test]
    fn a_page_says_what_it_does_not_show_and_what_was_different() {
        let all = [judged("nothing", 1), judged("core-kill", 1), judged("store-node", 3)];
        let left_out = [LeftOut {
            name: "clocks",
            says: "clocks are wrong",
            why: "libfaketime is not installed".into(),
        }];
        let ramp = [Step { judged: judged("ramp", 1), not_held: Some("p99 is not below 250 ms".into()) }];
        let seconds = Duration::from_secs(12);
        let load = Load { users: 5, rate: 1.0, duration: seconds, per_connection: 1 };
        let measured = Measured { commit: "c".into(), machine: "m".into(), command: "cluster faults".into() };
        let page = |proxied| {
            let (all, left_out, ramp) = (&all, &left_out, &ramp);
            text(&Page { all, left_out, ramp, proxied, load: &load, measured: &measured })
        };
        assert!(page(true).contains("proxies stood") && !page(false).contains("proxies stood"));
        let page = page(false);
        assert!(page.contains("Cassandra (one node; `store-node`: 3 nodes)"), "{page}");
        assert!(page.contains("- `clocks`, clocks are wrong: libfaketime is not installed.\n"), "{page}");
        assert!(
            page.contains("| 1 | 100 | 100 | 0 ms | 0 ms | 0 ms | no: p99 is not below 250 ms |\n"),
            "{page}"
        );
    }
}
