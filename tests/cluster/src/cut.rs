//! Cutting off who may talk to whom on one machine: as when a cable is pulled, nothing passes in either direction, and
//! connections that stand are not told. The kernel's packet filter can, where it may be told; else proxies that stand between.

use crate::proxy::{Held, Proxy};
use anyhow::{Context as _, ensure};
use std::process::Command;

/// Who is cut off until this is dropped.
pub enum Cut {
    /// By the packet filter.
    Filtered(Filter),
    /// By proxies.
    Held(Vec<Held>),
}

/// Whose packets vanish until this is dropped.
pub struct Filter {
    table: String,
}

/// Why the packet filter can't be told what to drop; `None`: it can.
pub fn impossible() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the packet filter takes root".into());
    }
    let there =
        Command::new("nft").args(["list", "tables"]).output().is_ok_and(|output| output.status.success());
    (!there).then(|| "nft (nftables) is not installed, or the kernel has none".into())
}

impl Cut {
    /// A process, or everybody, from what stands behind these.
    pub fn held(process: Option<u32>, proxies: &[Proxy]) -> anyhow::Result<Self> {
        let held: anyhow::Result<_> = proxies.iter().map(|proxy| proxy.hold(process)).collect();
        Ok(Self::Held(held?))
    }

    /// Between the processes of a user, or all, and these ports of 127.0.0.0/8. `name` must be the only one of its kind.
    pub fn filtered(name: &str, user: Option<u32>, ports: &[u16]) -> anyhow::Result<Self> {
        let table = format!("nexus_{}_{name}", std::process::id());
        let mark = user.unwrap_or(1);
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let who = user.map_or_else(String::new, |user| format!("meta skuid {user} "));
        let cut = Filter { table: table.clone() };
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
        Ok(Self::Filtered(cut))
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // There is nobody to tell who could do anything about it.
        let _ = Command::new("nft").args(["delete", "table", "inet", &self.table]).output();
    }
}
