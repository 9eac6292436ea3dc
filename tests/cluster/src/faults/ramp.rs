//! The highest rate that a deployment holds while nothing dies: what faults happen under.

use super::{
    Judged, Load, Theatre,
    cases::{Case, Needs},
};
use std::time::Duration;

/// Messages per second that are tried, one after the other. The first is the least that faults are judged under.
const RATES: [u32; 7] = [100, 150, 200, 300, 400, 600, 800];
/// How long each is tried.
const STEP: Duration = Duration::from_secs(15);
/// Of a rate that is held, all deliveries but one in a hundred take less. Beyond it the machine is full, and what a fault has
/// held up can't be caught up with: at 800/s, which two processors just so carry, a core that stood still for 8 s
/// held messages up for 30 s.
pub const LATEST: Duration = Duration::from_millis(250);
/// Of a rate that is held, at least this share of the messages is sent when it should be.
const SHARE: f64 = 0.95;

const ALONE: Case = Case {
    name: "ramp",
    says: "the load alone",
    quick: false,
    needs: Needs::Nothing,
    happens: |_| Box::pin(async { Ok(()) }),
};

/// A rate that was tried.
pub struct Step {
    /// What came of it.
    pub judged: Judged,
    /// Why it was not held; `None`: it was.
    pub not_held: Option<String>,
}

/// Tries rising rates until one is not held. Gives the highest that was, or the first if none was, and all that were tried.
pub async fn climb(
    theatre: &mut Theatre,
    load: &Load,
    progress: &impl Fn(String),
) -> anyhow::Result<(f64, Vec<Step>)> {
    let (mut highest, mut steps) = (RATES[0], Vec::new());
    for rate in RATES {
        progress(format!("trying {rate} messages/s"));
        let load = Load { rate: rate.into(), duration: STEP, ..load.clone() };
        let judged = theatre.judge(&ALONE, &load, progress).await?;
        let not_held = why_not(&judged);
        let held = not_held.is_none();
        progress(format!("  {}", not_held.as_deref().unwrap_or("held")));
        steps.push(Step { judged, not_held });
        if !held {
            break;
        }
        highest = rate;
    }
    Ok((highest.into(), steps))
}

fn why_not(judged: &Judged) -> Option<String> {
    let errors = judged.unknown + judged.refused + judged.failed_attempts + judged.streams_ended;
    if !judged.is_kept() {
        Some("the promise was broken".into())
    } else if errors > 0 {
        Some(format!("{errors} errors that clients saw"))
    } else if judged.sent_rate < judged.rate * SHARE {
        Some(format!("only {:.0} messages/s were sent", judged.sent_rate))
    } else if judged.took.p99 >= LATEST {
        Some(format!("p99 is not below {} ms", LATEST.as_millis()))
    } else {
        None
    }
}
