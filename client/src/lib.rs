//! The Rust client: attach, resume, and retry with the same id.
//!
//! - `endpoint`, `transport`: the connection (or a server in the same process). `token`: where tokens come from.
//! - `client`, `call`, `retry`: one call with its repetitions; [`Client::call`] takes the request of any method.
//! - `mutation`, `send`: changes, whose id is made once and kept by the caller until their outcome is known.
//! - [`outbox`]: changes that wait for their outcome, kept over restarts.
//! - `attach`: the stream of everything that happens. [`state`]: a copy of the conversations, kept by it.
//! - `clock`: time and chance.
//!
//! ```no_run
//! use nexus_client::{AttachOptions, Client, DevelopmentTokens, Endpoint, Item, v1};
//!
//! # async fn example(mut stored: impl FnMut(&[u8]), cursors: Vec<v1::Cursor>) -> Result<(), Box<dyn std::error::Error>> {
//! let transport = Endpoint::new("https://localhost:8443").ca_pem(std::fs::read("data/tls/ca.pem")?).connect()?;
//! let client = Client::new(transport.clone(), DevelopmentTokens::new(transport, "bob", "laptop"));
//!
//! // Everything since the cursors, each event once and in order, whatever happens to the connection.
//! let mut attachment = client.attach(AttachOptions { cursors, ..AttachOptions::default() });
//! while let Some(item) = attachment.next().await {
//!     match item {
//!         Item::Events { conversation_id, events, cursor } => {
//!             println!("{conversation_id}: {events:?}; persist them with the cursor {cursor}");
//!         }
//!         Item::CaughtUp => break,
//!         _ => {}
//!     }
//! }
//!
//! // A message that is sent once, however often it has to be transmitted: store it before, forget it after.
//! let answer = client.call(v1::GetOrCreateDirectRequest { user: "alice".into() }).await?;
//! let content = v1::Content { text: "hello".into(), ..Default::default() };
//! let mut pending = client.prepare(v1::SendMessageRequest {
//!     conversation_id: answer.conversation.unwrap_or_default().id,
//!     content: Some(content),
//!     ..Default::default()
//! });
//! stored(&pending.to_bytes());
//! println!("it stands at {}", client.send(&mut pending).await?.receipt.seq);
//! # Ok(())
//! # }
//! ```
mod attach;
mod call;
mod client;
mod clock;
mod endpoint;
mod mutation;
pub mod outbox;
mod retry;
mod send;
pub mod state;
mod token;
mod transport;

pub use attach::{AttachOptions, AttachStats, Attachment, Holes, Item};
pub use call::Call;
pub use client::{CallError, Client, ClientOptions};
pub use clock::{Clock, SystemClock};
pub use endpoint::{Endpoint, EndpointError};
pub use mutation::{Mutation, PendingSend, SendError, Sent};
pub use nexus_proto::v1;
pub use retry::{Backoff, RetryPolicy};
pub use token::{DevelopmentTokens, StaticToken, TokenError, TokenSource};
pub use transport::Transport;
