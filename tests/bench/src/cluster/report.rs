//! What is said of a cluster.

use super::{
    Size,
    busy::{self, Busy},
    crowd::EACH,
    failover::{Failover, Found},
    latency::{Latency, TEXT},
    nodes::{self, Done},
};
use crate::{
    figures::{Bar, Chart, Section, Stamp, Table, Verdict},
    process::median,
    row,
};

/// Of one conditional write plus one publish.
const LATENCY: f64 = 1.5;
/// Of one sender's rate.
const GROUP: f64 = 20.0;
/// Per cent of all appends.
const REFUSED: f64 = 1.0;
/// What a rate may lie below another one and still not fall: what rounds of the same differ by on a busy machine.
const NOISE: f64 = 0.95;
/// Seconds after a failover.
const CHECKED: f64 = 5.0;

/// The section.
pub fn report(
    size: &Size,
    latency: &Latency,
    busy: &Busy,
    nodes: &[Vec<Done>; nodes::MOST],
    found: &Found,
) -> Section {
    let parts = [of_latency(latency), of_busy(busy), of_nodes(nodes), of_failover(found)];
    let (mut verdicts, mut tables, mut charts) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        verdicts.extend(part.verdicts);
        tables.push(part.table);
        charts.push(part.chart);
    }
    Section {
        title: "A cluster".into(),
        method: method(size, found),
        verdicts,
        tables,
        charts,
        stamp: Stamp::default(),
    }
}

struct Part {
    verdicts: Vec<Verdict>,
    table: Table,
    chart: Chart,
}

fn method(size: &Size, found: &Found) -> String {
    format!(
        "The release program on one machine with everything that it stands on: three chat nodes, two edges, HAProxy, one \
         Cassandra with a durable commit log, Redis Cluster with three masters and three replicas. Clients speak TLS and \
         HTTP/2 through the load balancer. *Delivery*: one message of {TEXT} bytes at a time, from the call until the \
         device of a user whose stream is on another node has it; in turns with one conditional batch of the same shape \
         and one SPUBLISH, until it is heard, by plain drivers; {} of each. *Busy*: one conversation, one sender who \
         waits for each answer in turns with {} of them, {} rounds of {} s each. *Nodes*: {} senders, each with a \
         conversation of its own, on one, two and three nodes in turns, {} rounds: as many messages a second whatever the \
         answers do, and then each with one message under way at any time. *Failover*: {} users of \
         {EACH} conversations with {EACH} members each, put into the store past the nodes, attach to one node; then each \
         Redis master is killed in turn, and as soon as a replica is master a message is appended on each of its lanes \
         without being published, which only a comparison of that lane with the log can find; the one that comes round \
         every 30 s anyway is off. All of it shares the machine's processors: more nodes add work there, and no processor.",
        size.latencies,
        busy::SENDERS,
        size.rounds,
        size.round.as_secs(),
        nodes::SENDERS,
        size.rounds_of_nodes,
        found.users,
    )
}

fn of_latency(latency: &Latency) -> Part {
    let of = |values: &[f64]| median(values.iter().copied());
    let pairs: Vec<f64> = latency.pairs().collect();
    let (pair, delivered) = (of(&pairs), of(&latency.delivered));
    let line = |name: &str, values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let p99 = sorted.get((sorted.len() * 99 / 100).min(sorted.len() - 1)).copied().unwrap_or(f64::NAN);
        row![name, format!("{:.2}", of(values)), format!("{p99:.2}")]
    };
    let ours = |label: &str, value| Bar { label: label.into(), value, ours: true };
    let other = |label: &str, value| Bar { label: label.into(), value, ours: false };
    Part {
        verdicts: vec![
            Verdict {
                of: "from sending to delivery on another node, p50, against one conditional write plus one publish"
                    .into(),
                measured: format!("{:.2} times", delivered / pair),
                wanted: format!("at most {LATENCY} times"),
                met: Some(delivered <= LATENCY * pair),
            },
            Verdict {
                of: "of it from acceptance to the stream's queue, mean, by the node's own metric".into(),
                measured: format!("{:.2} times", latency.own / pair),
                wanted: "for comparison".into(),
                met: None,
            },
        ],
        table: Table {
            head: row!["idle cluster", "p50, ms", "p99, ms"],
            rows: vec![
                line("sent until delivered on another node", &latency.delivered),
                line("sent until answered", &latency.answered),
                line("plain: write and publish", &pairs),
                line("plain: conditional write", &latency.write),
                line("plain: publish until heard", &latency.publish),
                row!["nexus_delivery_latency_seconds, mean", format!("{:.2}", latency.own), ""],
            ],
        },
        chart: Chart {
            name: "cluster-latency".into(),
            title: "Delivery on an idle cluster, ms (p50)".into(),
            bars: vec![
                ours("sent until delivered", delivered),
                ours("accepted until in the queue", latency.own),
                other("plain: write and publish", pair),
            ],
            bound: Some((LATENCY * pair, format!("wanted: at most {LATENCY} times"))),
        },
    }
}

fn of_busy(busy: &Busy) -> Part {
    let of = |values: &[f64]| median(values.iter().copied());
    let (alone, together) = (of(&busy.alone), of(&busy.together));
    let ratio = median(busy.together.iter().zip(&busy.alone).map(|(together, alone)| together / alone));
    let many = format!("{} senders", busy::SENDERS);
    Part {
        verdicts: vec![Verdict {
            of: format!("one conversation, {many} against one by one"),
            measured: format!("{ratio:.1} times"),
            wanted: format!("at least {GROUP:.0} times"),
            met: Some(ratio >= GROUP),
        }],
        table: Table {
            head: row!["one conversation", "messages/s", "messages per append"],
            rows: vec![
                row!["one sender, one by one", format!("{alone:.0}"), "1"],
                row![many, format!("{together:.0}"), format!("{:.0}", busy.group)],
            ],
        },
        chart: Chart {
            name: "cluster-busy".into(),
            title: "One busy conversation, messages/s".into(),
            bars: vec![
                Bar { label: many.clone(), value: together, ours: true },
                Bar { label: "one by one".into(), value: alone, ours: false },
            ],
            bound: Some((alone * GROUP, format!("wanted: {GROUP:.0} times"))),
        },
    }
}

fn of_nodes(nodes: &[Vec<Done>; nodes::MOST]) -> Part {
    let held = |done: &[Done]| median(done.iter().map(|done| done.held));
    let rate = |done: &[Done]| median(done.iter().map(|done| done.rate));
    let share = |done: &[Done]| {
        let refused: f64 = done.iter().map(|done| done.refused).sum();
        100.0 * refused / done.iter().map(|done| done.appends + done.refused).sum::<f64>()
    };
    // Of each round by itself: what disturbs one disturbs all.
    let against = |more: &[Done], of: fn(&Done) -> f64| {
        median(more.iter().zip(&nodes[0]).map(|(more, one)| of(more) / of(one)))
    };
    let worst = nodes.iter().map(|done| share(done)).fold(0.0, f64::max);
    let name = |n: usize| format!("{} node{}", n + 1, if n == 0 { "" } else { "s" });
    let mut verdicts = Vec::new();
    for (n, done) in nodes.iter().enumerate().skip(1) {
        let ratio = against(done, |done| done.held);
        verdicts.push(Verdict {
            of: format!("commits/s with {} against 1, with the same load", name(n)),
            measured: format!("{:.0} %", 100.0 * ratio),
            wanted: format!("not less ({:.0} % is noise)", 100.0 * NOISE),
            met: Some(ratio >= NOISE),
        });
        verdicts.push(Verdict {
            of: "the same when both processors are saturated".into(),
            measured: format!("{:.0} %", 100.0 * against(done, |done| done.rate)),
            wanted: "for comparison".into(),
            met: None,
        });
    }
    verdicts.push(Verdict {
        of: "appends whose condition failed, at most".into(),
        measured: format!("{worst:.2} %"),
        wanted: format!("below {REFUSED:.0} %"),
        met: Some(worst < REFUSED),
    });
    let line = |(n, done): (usize, &Vec<Done>)| {
        let refused: f64 = done.iter().map(|done| done.refused).sum();
        let (held, rate) = (format!("{:.0}", held(done)), format!("{:.0}", rate(done)));
        row![name(n), held, rate, refused, format!("{:.2} %", share(done))]
    };
    let bar = |(n, done): (usize, &Vec<Done>)| Bar { label: name(n), value: rate(done), ours: true };
    Part {
        verdicts,
        table: Table {
            head: row![
                "the same load on",
                format!("commits/s of {:.0}", nodes::OFFERED),
                "at most",
                "conditions that failed",
                "of all"
            ],
            rows: nodes.iter().enumerate().map(line).collect(),
        },
        chart: Chart {
            name: "cluster-nodes".into(),
            title: format!("Commits/s at most, {} senders with a conversation each", nodes::SENDERS),
            bars: nodes.iter().enumerate().map(bar).collect(),
            bound: None,
        },
    }
}

fn of_failover(found: &Found) -> Part {
    let worst = found.failovers.iter().map(Failover::after).fold(0.0, f64::max);
    let line = |(n, of): (usize, &Failover)| {
        row![
            format!("master {}", n + 1),
            of.lanes,
            format!("{:.2}", of.promoted),
            format!("{:.2}", of.subscribed),
            format!("{:.2}", of.checked),
            format!("{:.2}", of.after()),
        ]
    };
    let bar = |(n, of): (usize, &Failover)| Bar {
        label: format!("master {}: {} lanes", n + 1, of.lanes),
        value: of.after(),
        ours: true,
    };
    let users = found.users;
    Part {
        verdicts: vec![
            Verdict {
                of: format!(
                    "{users} users of {EACH} conversations: every lane subscribed and checked after a failover, at most"
                ),
                measured: format!("{worst:.2} s"),
                wanted: format!("within {CHECKED:.0} s"),
                met: Some(worst <= CHECKED),
            },
            Verdict {
                of: format!("memory of a node with {users} users of {EACH} conversations"),
                measured: format!("{:.0} MiB", found.resident.1),
                wanted: "to be recorded".into(),
                met: None,
            },
            Verdict {
                of: format!("attaching {users} users, {} comparisons with the log", users * EACH),
                measured: format!("{:.0} s", found.attached),
                wanted: "to be recorded".into(),
                met: None,
            },
        ],
        table: Table {
            head: row![
                "seconds after kill -9 of",
                "lanes",
                "a replica is master",
                "all lanes subscribed",
                "all compared with the log",
                "after the failover"
            ],
            rows: found.failovers.iter().enumerate().map(line).collect(),
        },
        chart: Chart {
            name: "cluster-failover".into(),
            title: format!("Failover to all lanes checked, s ({users} users of {EACH} conversations)"),
            bars: found.failovers.iter().enumerate().map(bar).collect(),
            bound: Some((CHECKED, format!("wanted: within {CHECKED:.0} s"))),
        },
    }
}
