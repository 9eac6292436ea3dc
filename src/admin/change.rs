//! What changes something.

use super::{connect::Server, see, show::document};
use anyhow::bail;
use nexus_client::v1;
use serde_json::json;

/// Users of one request.
const USERS: usize = 100;

fn receipt(receipt: Option<v1::Receipt>, json: bool, said: impl FnOnce(u64) -> String) {
    let receipt = receipt.unwrap_or_default();
    if json {
        document(&json!({ "seq": receipt.seq, "time_ms": receipt.time_ms }));
    } else {
        println!("{}", said(receipt.seq));
    }
}

fn few(users: &[String]) -> anyhow::Result<()> {
    if users.len() > USERS {
        bail!("{} users: at most {USERS} at once, so that all are done or none", users.len());
    }
    Ok(())
}

/// Adds people.
pub async fn add(
    server: &Server,
    id: &str,
    users: &[String],
    role: v1::Role,
    json: bool,
) -> anyhow::Result<()> {
    few(users)?;
    let members = users.iter().map(|user| v1::MemberRole { user: user.clone(), role: role as i32 });
    let answer = server
        .change(v1::AddConversationMembersRequest {
            conversation_id: id.into(),
            client_id: server.id(),
            members: members.collect(),
        })
        .await?;
    receipt(answer.receipt, json, |seq| format!("Added (event {seq}); who was a member stays as they were."));
    Ok(())
}

/// Removes people.
pub async fn remove(server: &Server, id: &str, users: &[String], json: bool) -> anyhow::Result<()> {
    few(users)?;
    let answer = server
        .change(v1::RemoveConversationMembersRequest {
            conversation_id: id.into(),
            client_id: server.id(),
            users: users.to_vec(),
        })
        .await?;
    receipt(answer.receipt, json, |seq| {
        format!("Removed, as far as they were members (from event {seq} on).")
    });
    if !json && see::get(server, id).await.is_ok_and(|it| it.owners.is_empty()) {
        eprintln!("It has no owner now: `nexus admin add {id} USER --role owner` gives it one.");
    }
    Ok(())
}

/// Changes a role.
pub async fn role(server: &Server, id: &str, user: &str, role: v1::Role, json: bool) -> anyhow::Result<()> {
    let answer = server
        .change(v1::SetConversationRoleRequest {
            conversation_id: id.into(),
            client_id: server.id(),
            user: user.into(),
            role: role as i32,
        })
        .await?;
    receipt(answer.receipt, json, |seq| format!("{user} is {} now (event {seq}).", super::show::role(role)));
    Ok(())
}

/// Says how long events are kept; `None`: as is said elsewhere.
pub async fn retention(server: &Server, of: &str, days: Option<u32>, json: bool) -> anyhow::Result<()> {
    let retention = days.map(|days| v1::Retention { days });
    let answer = server.ask(v1::SetRetentionRequest { conversation_id: of.into(), retention }).await?;
    see::kept(of, answer.retention.unwrap_or_default().days, days.is_some(), json);
    Ok(())
}

/// Drops the beginning of a log.
pub async fn trim(server: &Server, id: &str, through: u64, json: bool) -> anyhow::Result<()> {
    let before = see::get(server, id).await?.conversation.unwrap_or_default().floor;
    let request = v1::TrimConversationRequest { conversation_id: id.into(), client_id: server.id(), through };
    let answer = server.change(request).await?;
    let seq = answer.receipt.unwrap_or_default().seq;
    if json {
        document(&json!({ "seq": seq, "floor": answer.floor }));
    } else if answer.floor > before {
        println!("Events up to {} are gone (event {seq} says so).", answer.floor);
    } else {
        println!(
            "Nothing is gone yet (event {seq}): events go in whole buckets whose events are a day old, and the first one of this log \
             is younger or reaches beyond {through}."
        );
    }
    Ok(())
}
