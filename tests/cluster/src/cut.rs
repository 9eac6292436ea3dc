//! Cutting off who may talk to whom on one machine, by the kernel's packet filter: packets vanish in both directions, as when
//! a cable is pulled, and connections that stand are not told.

use anyhow::{Context as _, ensure};
use std::process::Command;

/// Whose packets vanish until this is dropped.
pub struct Cut {
    table: String,
}

/// Why nobody can be cut off on this machine; `None`: it can be done.
pub fn impossible() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("cutting the network takes root".into());
    }
    let there =
        Command::new("nft").args(["list", "tables"]).output().is_ok_and(|output| output.status.success());
    (!there).then(|| "nft (nftables) is not installed, or the kernel has none".into())
}

impl Cut {
    /// Between the processes of a user, or all, and these ports of 127.0.0.0/8. `name` must be the only one of its kind.
    pub fn between(name: &str, user: Option<u32>, ports: &[u16]) -> anyhow::Result<Self> {
        let table = format!("nexus_{}_{name}", std::process::id());
        let mark = user.unwrap_or(1);
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let who = user.map_or_else(String::new, |user| format!("meta skuid {user} "));
        let cut = Self { table: table.clone() };
        for rule in [
            format!("add table inet {table}"),
            format!("add chain inet {table} out {{ type filter hook output priority 0; }}"),
            // The mark stands on the whole connection, so that answers vanish as well.
            format!("add rule inet {table} out {who}tcp dport {{ {} }} ct mark set {mark}", ports.join(", ")),
            format!("add rule inet {table} out ct mark {mark} drop"),
        ] {
            let output = Command::new("nft").arg(&rule).output().context("nft")?;
            ensure!(output.status.success(), "nft {rule}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(cut)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // There is nobody to tell who could do anything about it.
        let _ = Command::new("nft").args(["delete", "table", "inet", &self.table]).output();
    }
}
