//! Whether a conversation's log is whole, and what is served of it is what the log says.

mod checks;

use super::{
    connect::Server,
    see::{self, PAGE},
    show::{document, table},
};
use anyhow::{anyhow, bail};
use checks::Checks;
use nexus_client::v1::{self, list_events_request::Anchor};
use serde_json::json;
use tonic::Code;

/// How often what is served is compared with a log that goes on meanwhile.
const ATTEMPTS: usize = 5;

/// By what right a log is read.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Administrator,
    Member,
}

struct Reader<'a> {
    server: &'a Server,
    id: &'a str,
    reason: &'a str,
    by: By,
}

impl Reader<'_> {
    /// The next events, lowest first; none at the end.
    async fn page(&mut self, after_seq: u64) -> anyhow::Result<Vec<v1::Event>> {
        if self.by == By::Administrator {
            let asked = v1::ListConversationEventsRequest {
                conversation_id: self.id.into(),
                after_seq,
                limit: PAGE,
                reason: self.reason.into(),
            };
            match self.server.try_ask(asked).await {
                Ok(page) => return Ok(page.events),
                Err(error) if error.status.code() == Code::Unimplemented => self.by = By::Member,
                Err(error) => return Err(self.server.explained(error)),
            }
        }
        let asked = v1::ListEventsRequest {
            conversation_id: self.id.into(),
            anchor: Some(Anchor::AfterSeq(after_seq)),
            limit: PAGE,
            at_least: 0,
        };
        match self.server.try_ask(asked).await {
            Ok(page) => Ok(page.events),
            Err(error) if matches!(error.status.code(), Code::NotFound | Code::PermissionDenied) => {
                Err(anyhow!(
                    "the log of {} can't be read: you are no member of it, and this deployment doesn't let administrators read \
                 (core.administrators_read = true allows it)",
                    self.id
                ))
            }
            Err(error) => Err(self.server.explained(error)),
        }
    }

    async fn read_on(&mut self, checks: &mut Checks) -> anyhow::Result<()> {
        loop {
            let page = self.page(checks.last()).await?;
            if page.is_empty() {
                return Ok(());
            }
            checks.page(&page);
        }
    }
}

/// Reads, checks, prints the verdicts; fails if something is violated.
pub async fn verify(server: &Server, id: &str, reason: &str, json: bool) -> anyhow::Result<()> {
    let mut reader = Reader { server, id, reason, by: By::Administrator };
    let before = see::get(server, id).await?.conversation.unwrap_or_default();
    // Refuses early who may not read it.
    let first = reader.page(0).await?;
    let mut checks = match reader.by {
        By::Administrator => Checks::whole(before.floor),
        By::Member => Checks::part(first.first().map_or(1, |event| event.seq)),
    };
    reader.read_on(&mut checks).await?;
    for attempt in 1.. {
        let served = see::get(server, id).await?.conversation.unwrap_or_default();
        let (members, reflects) = see::all_members(server, id).await?;
        let known = checks.last();
        reader.read_on(&mut checks).await?;
        // What was served may be older than this log, or newer than what was compared: only in a pause it must be equal.
        if checks.last() == known && served.last_seq == known && reflects == known {
            checks.compare(&served, &members);
            break;
        }
        if attempt == ATTEMPTS {
            eprintln!(
                "The conversation goes on too quickly to compare what is served of it: VIEW-1 was not looked at."
            );
            break;
        }
    }
    say(&checks, reader.by, json)
}

fn say(checks: &Checks, by: By, json: bool) -> anyhow::Result<()> {
    let verdicts = checks.verdicts();
    let violated: u64 = verdicts.iter().map(|(_, verdict)| verdict.violated).sum();
    let by = if by == By::Administrator { "an administrator" } else { "a member" };
    if json {
        let verdict = |(invariant, verdict): &(nexus_invariants::Invariant, nexus_invariants::Verdict)| {
            json!({
                "invariant": invariant.id(),
                "checked": verdict.checked,
                "violated": verdict.violated,
                "examples": verdict.examples,
            })
        };
        let verdicts: Vec<_> = verdicts.iter().map(verdict).collect();
        document(&json!({
            "first": checks.first(), "last": checks.last(), "read_as": by.rsplit(' ').next(), "violated": violated, "verdicts": verdicts,
        }));
    } else {
        println!("Events {}-{} were read, as {by}.\n", checks.first(), checks.last());
        let count = |number: u64, checked: u64| if checked == 0 { "-".into() } else { number.to_string() };
        let rows: Vec<Vec<String>> = verdicts
            .iter()
            .map(|(invariant, verdict)| {
                let numbers = [verdict.checked, verdict.violated].map(|n| count(n, verdict.checked));
                let [checked, broken] = numbers;
                vec![invariant.id().into(), checked, broken, invariant.says().into()]
            })
            .collect();
        print!("{}", table(&["INVARIANT", ">CHECKED", ">VIOLATED", "WHAT IT SAYS"], &rows));
        verdicts
            .iter()
            .flat_map(|(_, verdict)| &verdict.examples)
            .for_each(|example| println!("  {example}"));
    }
    if violated > 0 {
        bail!("{violated} violations: keep a copy of the data, and report them");
    }
    if !json {
        println!("\nThe log is whole.");
    }
    Ok(())
}
