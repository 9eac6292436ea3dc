//! `nexus admin`: administering conversations, over the API, as one whom the deployment names in `core.administrators`.
//!
//! - here: what it is told. `connect`: as whom, and with which server. `show`: tables, and JSON.
//! - `see`: what is only read. `change`: what changes something. `verify`: whether a log is whole.

mod change;
mod connect;
mod see;
mod show;
mod verify;

use clap::{Args, Subcommand, ValueEnum};
use connect::Connect;
use nexus_client::v1;

/// What to administer.
#[derive(Debug, Args)]
#[command(after_help = TEACH)]
pub struct Options {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON, for programs: one document, with the names of the API's fields.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

const TEACH: &str = "\
Who may: users whom core.administrators names, such as \"default/root\". They need not be members of a conversation; what
they change is an event of it, with them as its sender. In development:
  NEXUS_CORE_ADMINISTRATORS=default/root nexus
  nexus admin --user root conversations
In production, with a token of such a user, which `nexus token` makes where the deployment's secret is:
  export NEXUS_TOKEN=$(nexus token --user root)
  nexus admin --server https://chat.example conversations --orphaned
  nexus admin --server https://chat.example add ID ann --role owner

Exit codes: 0 done; 1 it was refused or failed, or verify found a violation; 2 wrong arguments.";

#[derive(Debug, Subcommand)]
enum Action {
    /// List the tenant's conversations, the most recently active first.
    Conversations {
        /// Only of this kind.
        #[arg(long, value_enum)]
        kind: Option<Kind>,
        /// Only those of which this user is a member.
        #[arg(long, value_name = "USER")]
        member: Option<String>,
        /// Only groups and channels without an owner, which nobody looks after.
        #[arg(long)]
        orphaned: bool,
        /// At most this many. They are read by id, and those that were read are put into the order of their activity.
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: u32,
    },
    /// Show one conversation: what it is, its owners, how large its log is, how long that is kept.
    Conversation {
        /// Its id.
        id: String,
    },
    /// List the members of a conversation, with their roles.
    Members {
        /// Its id.
        id: String,
    },
    /// Add people to a conversation. Those who are members already stay as they are.
    Add {
        /// Its id.
        id: String,
        /// Whom to add.
        #[arg(required = true, value_name = "USER")]
        users: Vec<String>,
        /// Their role; `owner` gives an orphaned conversation somebody who looks after it.
        #[arg(long, value_enum, default_value = "member")]
        role: Role,
    },
    /// Remove people from a conversation, the last owner too: all of them, or nobody if it is refused.
    Remove {
        /// Its id.
        id: String,
        /// Whom to remove. Who is no member is no error.
        #[arg(required = true, value_name = "USER")]
        users: Vec<String>,
    },
    /// Change a member's role.
    Role {
        /// The conversation's id.
        id: String,
        /// Whose.
        #[arg(value_name = "USER")]
        whose: String,
        /// The new role.
        #[arg(value_enum)]
        role: Role,
    },
    /// Show or say how long events are kept: of one conversation, or of all of the tenant that have no setting of their own.
    Retention {
        /// Of this conversation. Default: the tenant's.
        #[arg(long, value_name = "ID")]
        conversation: Option<String>,
        /// Keep events for so many days; 0: for ever. What is older is dropped for good.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=36_500))]
        days: Option<u32>,
        /// Take its own setting away: then the tenant's holds, or the deployment's.
        #[arg(long, conflicts_with = "days")]
        inherit: bool,
    },
    /// Drop the beginning of a conversation's log for good.
    ///
    /// Events go in whole buckets (core.log.bucket_hours, .bucket_events) when they are a day old, so a little more may stay.
    /// To blank single messages at once is another thing, which comes in a later version.
    Trim {
        /// Its id.
        id: String,
        /// Events up to this one may go.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        seq: u64,
    },
    /// Read a conversation's log from its beginning and check that it is whole.
    ///
    /// It must be dense (LOG-1), no id may stand for two events (LOG-2), and what is served of the conversation must be what
    /// the log says (VIEW-1). It is read as an administrator if core.administrators_read allows that, else as a member, if you
    /// are one.
    Verify {
        /// Its id.
        id: String,
        /// Why, for the record that the deployment keeps of it.
        #[arg(long, default_value = "nexus admin verify")]
        reason: String,
    },
}

/// A kind of conversation.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Direct,
    Group,
    Channel,
}

impl From<Kind> for v1::ConversationKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Direct => v1::ConversationKind::Direct,
            Kind::Group => v1::ConversationKind::Group,
            Kind::Channel => v1::ConversationKind::Channel,
        }
    }
}

/// A role in a conversation.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Reader,
    Member,
    Admin,
    Owner,
}

impl From<Role> for v1::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Reader => v1::Role::Reader,
            Role::Member => v1::Role::Member,
            Role::Admin => v1::Role::Admin,
            Role::Owner => v1::Role::Owner,
        }
    }
}

/// Does it, and prints what came of it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(act(options))
}

async fn act(options: &Options) -> anyhow::Result<()> {
    let server = options.connect.server()?;
    let json = options.json;
    match &options.action {
        Action::Conversations { kind, member, orphaned, limit } => {
            let wanted = v1::ListTenantConversationsRequest {
                kind: kind.map_or(0, |kind| v1::ConversationKind::from(kind) as i32),
                user: member.clone().unwrap_or_default(),
                orphaned: *orphaned,
                ..Default::default()
            };
            see::conversations(&server, wanted, *limit as usize, json).await
        }
        Action::Conversation { id } => see::conversation(&server, id, json).await,
        Action::Members { id } => see::members(&server, id, json).await,
        Action::Add { id, users, role } => change::add(&server, id, users, (*role).into(), json).await,
        Action::Remove { id, users } => change::remove(&server, id, users, json).await,
        Action::Role { id, whose, role } => change::role(&server, id, whose, (*role).into(), json).await,
        Action::Retention { conversation, days, inherit } => {
            let of = conversation.as_deref().unwrap_or_default();
            match (days, inherit) {
                (None, false) => see::retention(&server, of, json).await,
                (days, _) => change::retention(&server, of, *days, json).await,
            }
        }
        Action::Trim { id, seq } => change::trim(&server, id, *seq, json).await,
        Action::Verify { id, reason } => verify::verify(&server, id, reason, json).await,
    }
}
