//! The program as its users run it: a real process, TLS, real clients; killed and started again.
//!
//! - [`server`]: the process. [`chat`], [`check`], [`admin`]: the commands of these names. [`durability`]: what survives it. [`talk`],
//!   [`witness`]: what was acknowledged and seen, and whether it holds.
//! - [`start`], [`configuration`], [`directory`]: what its start says, and when it can't.
//! - [`roles`]: edge and chat node in processes of their own.
//! - [`stop`]: how it ends. [`disk`], [`torn`], [`damage`], [`files`], [`clock`], [`vanish`]: faults of the machine.
//! - [`rebuild`]: views made anew.
//! - [`certificate`], [`reload`]: a new certificate, or configuration, while it runs.
//! - [`documents`]: that what is written for operators is true.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod certificate;
mod chat;
mod check;
mod clock;
mod configuration;
mod damage;
mod directory;
mod disk;
mod documents;
mod durability;
mod files;
mod rebuild;
mod reload;
mod roles;
mod server;
mod start;
mod stop;
mod talk;
mod torn;
mod vanish;
mod witness;
