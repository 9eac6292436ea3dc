//! What a deployment loses while something dies: nothing, or it is a bug. And how long it stalls.
//!
//! - here: one fault after the other on a running deployment, each under the checker's load.
//! - [`cases`]: the faults. [`answers`]: answers that get lost on their way to the client.
//! - [`ramp`]: the highest rate that a deployment holds while nothing dies.
//! - [`report`]: docs/faults.md, and its picture.

mod answers;
pub mod cases;
pub mod ramp;
pub mod report;

use crate::deployment::Deployment;
use answers::{Losses, Lossy};
use anyhow::Context as _;
use cases::{Case, Stage};
use nexus_client::{Client, DevelopmentTokens, Endpoint, Transport};
use nexus_invariants::Invariant;
use nexus_loadtest::{Connect, Plan, Report, check};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::sleep;

/// When the fault comes, after the first message.
const FAULT_AT: Duration = Duration::from_secs(8);
/// Events of a bucket: so few that rooms go on in another within a fault.
pub const BUCKET_EVENTS: u32 = 8;
/// Of this length are the steps of a fault's picture.
pub const STEP: Duration = Duration::from_millis(500);

/// The load under which faults are judged.
#[derive(Debug, Clone)]
pub struct Load {
    /// Users, in rooms of five.
    pub users: usize,
    /// Messages per second in all.
    pub rate: f64,
    /// How long is sent.
    pub duration: Duration,
    /// Users that share a connection.
    pub per_connection: usize,
}

/// What came of a fault.
pub struct Judged {
    /// The fault's name.
    pub name: &'static str,
    /// What it is.
    pub says: &'static str,
    /// How many Cassandra nodes there were.
    pub cassandra: usize,
    /// Messages per second that were to be sent.
    pub rate: f64,
    /// Messages per second that were.
    pub sent_rate: f64,
    /// Messages sent.
    pub sent: u64,
    /// Acknowledged (message, member) pairs.
    pub pairs: u64,
    /// Of these, not delivered, or not in the log any more.
    pub lost: u64,
    /// Delivered or appended more than once.
    pub duplicated: u64,
    /// Delivered out of order.
    pub out_of_order: u64,
    /// Every other violation.
    pub other: u64,
    /// Messages whose outcome was never known.
    pub unknown: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Attempts that failed before the outcome was known.
    pub failed_attempts: u64,
    /// Streams that ended and were opened again.
    pub streams_ended: u64,
    /// How long deliveries took.
    pub took: nexus_loadtest::deliveries::Summary,
    /// The longest of each step, from the first message on.
    pub over_time: Vec<Duration>,
    /// What a violation looked like.
    pub examples: Vec<String>,
}

impl Judged {
    fn new(case: &Case, cassandra: usize, load: &Load, report: &Report) -> Self {
        let mut judged = Self {
            name: case.name,
            says: case.says,
            cassandra,
            rate: load.rate,
            sent_rate: report.sent as f64 / report.sending.as_secs_f64(),
            sent: report.sent,
            pairs: report.judge.pairs(),
            lost: 0,
            duplicated: 0,
            out_of_order: 0,
            other: 0,
            unknown: report.unknown,
            refused: report.refused,
            failed_attempts: report.failed_attempts,
            streams_ended: report.streams_ended,
            took: report.deliveries.summary(),
            over_time: report.deliveries.over_time(STEP),
            examples: Vec::new(),
        };
        for (invariant, verdict) in report.judge.verdicts() {
            let kind = match invariant {
                Invariant::Log3 | Invariant::Stream2 => &mut judged.lost,
                Invariant::Log2 => &mut judged.duplicated,
                Invariant::Stream1 => &mut judged.out_of_order,
                _ => &mut judged.other,
            };
            *kind += verdict.violated;
            judged.examples.extend(verdict.examples);
        }
        judged
    }

    /// Whether nothing was violated.
    pub fn is_kept(&self) -> bool {
        self.lost + self.duplicated + self.out_of_order + self.other == 0
    }
}

/// A deployment on which one fault happens after the other.
pub struct Theatre {
    stage: Stage,
    played: usize,
}

impl Theatre {
    /// On this deployment, which is whole.
    pub fn new(deployment: Deployment) -> Self {
        Self { stage: Stage { deployment, losses: Losses::default() }, played: 0 }
    }

    /// Judges a fault. `progress` is told what happens, for people.
    pub async fn judge(
        &mut self,
        case: &Case,
        load: &Load,
        progress: &impl Fn(String),
    ) -> anyhow::Result<Judged> {
        let cassandra = self.stage.deployment.cassandra.addresses().len();
        let endpoint = Endpoint::new(self.stage.deployment.url()).ca_pem(self.stage.deployment.ca_pem()?);
        let connect = connect(endpoint, load.per_connection, self.stage.losses.clone());
        let run = format!("{:08x}-{}", std::process::id(), self.played);
        self.played += 1;
        let began = Arc::new(tokio::sync::Notify::new());
        let told = began.clone();
        let plan = plan(load);
        let checking = check(&plan, &run, connect, |step| {
            if step.starts_with("sending") {
                told.notify_one();
            }
            progress(format!("  {step}"));
        });
        let fault = async {
            began.notified().await;
            sleep(FAULT_AT).await;
            progress(format!("  now: {}", case.says));
            (case.happens)(&mut self.stage).await.with_context(|| case.name)
        };
        let (report, happened) = tokio::join!(checking, fault);
        happened?;
        let judged = Judged::new(case, cassandra, load, &report.with_context(|| case.name)?);
        progress(format!("  {}", report::line(&judged)));
        judged.examples.iter().for_each(|example| progress(format!("  ! {example}")));
        Ok(judged)
    }

    /// Ends the deployment in order.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stage.deployment.stop().await
    }
}

fn plan(load: &Load) -> Plan {
    Plan {
        users: load.users,
        room: 5,
        rate: load.rate,
        duration: load.duration,
        break_every: Duration::ZERO,
        strangers: false,
        patience: Duration::from_secs(45),
    }
}

/// Clients that share connections, since a machine has only so many ports and so much memory.
fn connect(endpoint: Endpoint, per_connection: usize, losses: Losses) -> Connect {
    let shared: Mutex<(usize, BTreeMap<usize, Transport>)> = Mutex::default();
    Arc::new(move |user: &str| {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = shared.0 / per_connection;
        shared.0 += 1;
        let transport = match shared.1.get(&connection) {
            Some(transport) => transport.clone(),
            None => {
                let made = Transport::new(Lossy::new(endpoint.connect()?, losses.clone()));
                shared.1.insert(connection, made.clone());
                made
            }
        };
        Ok(Client::new(transport.clone(), DevelopmentTokens::new(transport, user, "faults")))
    })
}
