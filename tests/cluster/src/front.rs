//! What stands in front of several edges: HAProxy, which passes TCP on and leaves TLS to them.

use crate::{ports, process::Process};
use std::{fs, path::Path, time::Duration};
use tokio::{net::TcpStream, process::Command};

const START: Duration = Duration::from_secs(30);

/// A running HAProxy.
pub struct Front {
    /// Where clients connect, at 127.0.0.1.
    pub port: u16,
    _process: Process,
}

/// Whether this machine has none.
pub fn missing() -> Option<String> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&paths).any(|path| path.join("haproxy").is_file())
        || Path::new("/usr/sbin/haproxy").is_file();
    (!there).then(|| "haproxy is not installed".into())
}

impl Front {
    /// In front of these edges: their HTTPS and admin ports. One that is draining takes no new connection itself, and keeps
    /// those that it has until it has sent their streams elsewhere; those of one that is gone are cut, so that clients
    /// come back at once.
    pub async fn start(folder: &Path, port: Option<u16>, edges: &[(u16, u16)]) -> anyhow::Result<Self> {
        let port = match port {
            Some(port) => port,
            None => ports::one()?,
        };
        let servers: String = edges
            .iter()
            .map(|(https, admin)| {
                format!(
                    "  server edge-{https} 127.0.0.1:{https} check port {admin} inter 500 downinter 100 fall 2 rise 1 \
                     on-marked-down shutdown-sessions\n"
                )
            })
            .collect();
        let text = format!(
            "global\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 2s\n  timeout client 1h\n  \
             timeout server 1h\n  retries 3\n  option redispatch 1\nfrontend clients\n  bind 127.0.0.1:{port}\n  \
             default_backend edges\nbackend edges\n  balance leastconn\n  option httpchk GET /readyz\n  \
             http-check expect rstring ^(ready|draining)\n{servers}"
        );
        let file = folder.join("haproxy.cfg");
        fs::write(&file, text)?;
        let program = if Path::new("/usr/sbin/haproxy").is_file() { "/usr/sbin/haproxy" } else { "haproxy" };
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&file);
        let mut process = Process::start("haproxy", command, &folder.join("haproxy.log"))?;
        process.until(START, async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await?;
        Ok(Self { port, _process: process })
    }
}
