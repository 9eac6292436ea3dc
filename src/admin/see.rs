//! What is only read.

use super::{
    connect::Server,
    show::{self, described, document, sheet, table},
};
use crate::chat::text;
use anyhow::Context as _;
use nexus_client::v1;
use serde_json::{Value, json};
use std::cmp::Reverse;

/// Entries that one request asks for.
pub const PAGE: u32 = 200;

/// The conversations, those that were active last first.
pub async fn conversations(
    server: &Server,
    wanted: v1::ListTenantConversationsRequest,
    limit: usize,
    json: bool,
) -> anyhow::Result<()> {
    let mut found: Vec<v1::TenantConversation> = Vec::new();
    let mut page_token = String::new();
    loop {
        let page_size = PAGE.min((limit - found.len()).try_into().unwrap_or(PAGE));
        let page = server
            .ask(v1::ListTenantConversationsRequest { page_size, page_token, ..wanted.clone() })
            .await?;
        found.extend(page.conversations);
        page_token = page.next_page_token;
        if page_token.is_empty() || found.len() >= limit {
            break;
        }
    }
    let line = |described: &v1::TenantConversation| described.conversation.clone().unwrap_or_default();
    found.sort_by_cached_key(|described| {
        let conversation = line(described);
        (Reverse(conversation.last_at_ms), conversation.id)
    });
    let more = !page_token.is_empty();
    if json {
        let found: Vec<Value> = found.iter().map(described).collect();
        document(&json!({ "conversations": found, "complete": !more }));
        return Ok(());
    }
    let row = |described: &v1::TenantConversation| {
        let conversation = line(described);
        vec![
            conversation.id.clone(),
            show::kind(&conversation).into(),
            conversation.member_count.to_string(),
            owners(&described.owners, 2),
            conversation.message_count.to_string(),
            show::bytes(described.log_bytes),
            show::time(conversation.last_at_ms),
            show::title(&conversation.title),
        ]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let heads = ["ID", "KIND", ">MEMBERS", "OWNERS", ">MESSAGES", ">LOG", "LAST ACTIVE", "TITLE"];
    print!("{}", table(&heads, &rows));
    if more {
        eprintln!(
            "There are more, of which some may have been active later: --limit N reads more than {limit}."
        );
    }
    Ok(())
}

/// As many names as there is room for.
fn owners(owners: &[String], most: usize) -> String {
    match owners {
        [] => "-".into(),
        owners if owners.len() <= most => owners.join(", "),
        owners => format!("{}, …", owners[..most].join(", ")),
    }
}

/// One conversation.
pub async fn get(server: &Server, id: &str) -> anyhow::Result<v1::TenantConversation> {
    let answer = server.ask(v1::GetTenantConversationRequest { conversation_id: id.into() }).await?;
    answer.conversation.context("the server's answer has no conversation")
}

/// One conversation, on a sheet.
pub async fn conversation(server: &Server, id: &str, json: bool) -> anyhow::Result<()> {
    let it = get(server, id).await?;
    if json {
        document(&described(&it));
        return Ok(());
    }
    let conversation = it.conversation.clone().unwrap_or_default();
    let retention = match it.retention {
        Some(own) => format!("{} (its own)", show::days(own.days)),
        None => {
            let asked = v1::GetRetentionRequest { conversation_id: id.into() };
            let inherited = server.ask(asked).await?.retention.unwrap_or_default();
            format!("{} (inherited)", show::days(inherited.days))
        }
    };
    let public = conversation.visibility() == v1::Visibility::Public;
    let trimmed = if conversation.floor > 0 {
        format!(", of which {} were dropped", conversation.floor)
    } else {
        String::new()
    };
    print!(
        "{}",
        sheet(&[
            ("id", conversation.id.clone()),
            ("kind", format!("{}, {}", show::kind(&conversation), if public { "public" } else { "private" })),
            ("title", text::line(&conversation.title)),
            ("topic", text::line(&conversation.topic)),
            ("created", format!("{} by {}", show::time(conversation.created_at_ms), conversation.creator)),
            ("members", conversation.member_count.to_string()),
            ("owners", owners(&it.owners, 10)),
            ("messages", conversation.message_count.to_string()),
            ("events", format!("{}{trimmed}", conversation.last_seq)),
            ("last active", show::time(conversation.last_at_ms)),
            ("log", show::bytes(it.log_bytes)),
            ("kept", retention),
        ])
    );
    Ok(())
}

/// All members, and the highest seq that any page of them reflects.
pub async fn all_members(server: &Server, id: &str) -> anyhow::Result<(Vec<v1::Member>, u64)> {
    let (mut members, mut reflects) = (Vec::new(), 0);
    let mut page_token = String::new();
    loop {
        let conversation_id = id.to_owned();
        let asked = v1::ListConversationMembersRequest { conversation_id, page_size: PAGE, page_token };
        let page = server.ask(asked).await?;
        members.extend(page.members);
        reflects = page.reflects.max(reflects);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok((members, reflects));
        }
    }
}

/// The members of a conversation.
pub async fn members(server: &Server, id: &str, json: bool) -> anyhow::Result<()> {
    let (members, reflects) = all_members(server, id).await?;
    if json {
        let of = |member: &v1::Member| json!({ "user": member.user, "role": show::role(member.role()), "since": member.since });
        let members: Vec<Value> = members.iter().map(of).collect();
        document(&json!({ "members": members, "reflects": reflects }));
        return Ok(());
    }
    let row = |member: &v1::Member| {
        vec![member.user.clone(), show::role(member.role()).into(), member.since.to_string()]
    };
    print!("{}", table(&["USER", "ROLE", ">SINCE EVENT"], &members.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

/// How long events are kept.
pub async fn retention(server: &Server, of: &str, json: bool) -> anyhow::Result<()> {
    let answer = server.ask(v1::GetRetentionRequest { conversation_id: of.into() }).await?;
    let days = answer.retention.unwrap_or_default().days;
    kept(of, days, answer.own, json);
    Ok(())
}

/// Prints how long events are kept.
pub fn kept(of: &str, days: u32, own: bool, json: bool) {
    if json {
        document(&json!({ "conversation_id": of, "days": days, "own": own }));
        return;
    }
    let what =
        if of.is_empty() { "the tenant's conversations".to_owned() } else { format!("conversation {of}") };
    let by = match (own, of.is_empty()) {
        (true, _) => "its own setting",
        (false, true) => "the deployment's setting",
        (false, false) => "the tenant's or the deployment's setting",
    };
    println!("Events of {what} are kept {} ({by}).", show::days(days));
}
