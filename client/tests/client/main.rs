//! The client against a server that misbehaves on demand.
//!
//! - `fake`: that server. It runs in the same process, under tokio's paused time.
//! - `calls`: repetitions, deadlines, ids.
//! - `attach`: streams that break, repeat, skip, and fall silent.
//! - `death`: what the next process makes of what is left.
//! - `outbox`: what is kept, and what is sent of it.
//! - `tls`: the connection itself, over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod attach;
mod calls;
mod death;
mod fake;
mod outbox;
mod tls;
