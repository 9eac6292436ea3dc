//! How many files may be open at once, and how many connections that allows.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many open files as the system allows, since what a shell allows is often 1,024, and lets in no more connections
/// than that, less a part that is kept for the store, for connections between edge and core, and for the admin addresses: a
/// store that can't open its files stops writing.
pub fn fit(config: &mut Config) {
    let Some(files) = most() else { return };
    let room = files - (files / 4).clamp(64, 4096).min(files);
    let wanted = config.gateway.limits.connections;
    if wanted > room {
        tracing::warn!(
            files,
            connections = room,
            wanted,
            "too few open files are allowed for gateway.limits.connections, fewer connections are let in; raise it \
             with `ulimit -n`, or LimitNOFILE= of systemd"
        );
        config.gateway.limits.connections = room.max(1);
    }
}

/// Raises the limit to the greatest that is allowed, and gives the one in force then; `None`: there is none.
fn most() -> Option<usize> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
    getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok())
}
