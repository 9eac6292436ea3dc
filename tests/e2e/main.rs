//! The program as its users run it: a real process, TLS, real clients; killed and started again.
//!
//! - [`server`]: the process. [`chat`]: `nexus chat`. [`durability`]: what survives it. [`talk`]: what was acknowledged.
//! - [`start`], [`configuration`], [`directory`]: what its start says when it can't.
//! - [`stop`]: how it ends. [`disk`], [`torn`], [`files`], [`clock`]: faults of the machine.
//! - [`roles`]: edge and chat node in processes of their own.
//! - [`documents`]: that what is written for operators is true.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chat;
mod clock;
mod configuration;
mod directory;
mod disk;
mod documents;
mod durability;
mod files;
mod roles;
mod server;
mod start;
mod stop;
mod talk;
mod torn;
