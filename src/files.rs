//! How many files may be open at once, and how many connections that allows.

use crate::config::Config;
use std::fs;

/// Lets in no more connections than there may be open files, less a part that is kept for the store, for connections
/// between edge and core, and for the admin addresses: a store that can't open its files stops writing.
pub fn fit(config: &mut Config) {
    let Some(files) = fs::read_to_string("/proc/self/limits").ok().and_then(|limits| soft(&limits)) else {
        return;
    };
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

/// The limit in force; `None`: there is none.
fn soft(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_in_force_is_read() {
        let line =
            |soft| format!("Max processes 7 7 processes\nMax open files            {soft} 4096 files\n");
        assert_eq!(soft(&line("1024")), Some(1024));
        assert_eq!(soft(&line("unlimited")), None);
        assert!(fs::read_to_string("/proc/self/limits").is_ok_and(|limits| soft(&limits).is_some()));
    }
}
