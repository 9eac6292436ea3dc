//! A whole node, asked over its socket as the edge asks it: on the embedded store, by gRPC.
//!
//! - [`world`]: the node, and people who call it.
//! - [`methods`]: the table of methods in docs/api.md is true.
//! - [`preferences`], [`directory`], [`slow_mode`], [`retention`], [`profiles`], [`invitations`]: what they say.
//! - [`administration`]: what administrators change, over restarts and passes of retention. [`bounds`]: the ends of ranges.
//! - [`limits`]: those that an operator sets are in force, and shown.

mod administration;
mod bounds;
mod directory;
mod invitations;
mod limits;
mod methods;
mod preferences;
mod profiles;
mod retention;
mod slow_mode;
mod world;
