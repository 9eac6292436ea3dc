//! HAProxy in front of the same core, doing what an edge must: TLS, the token, and who calls.

use crate::{client::Edge, server::Server};
use anyhow::{Context as _, bail};
use nexus_cluster::ports;
use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A start takes longer only if something is wrong.
const START: Duration = Duration::from_secs(10);

/// A running HAProxy. It is killed when this is dropped.
pub struct Haproxy {
    child: Child,
    /// How to reach the core through it.
    pub edge: Edge,
}

/// What it says of itself, if it is installed.
pub fn version() -> Option<String> {
    let said = Command::new("haproxy").arg("-v").output().ok()?.stdout;
    let line = String::from_utf8(said).ok()?.lines().next()?.to_owned();
    Some(line.split(' ').nth(2)?.split('-').next()?.to_owned())
}

impl Haproxy {
    /// Starts it in the folder of a running program, whose core it speaks to.
    pub async fn start(folder: &Path, server: &Server) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let pair = folder.join("haproxy.pem");
        fs::write(&pair, made.cert.pem() + &made.signing_key.serialize_pem())?;
        let secret = fs::read_to_string(folder.join("data/token-secret"))?;
        let port = ports::one()?;
        let configuration = folder.join("haproxy.cfg");
        let socket = folder.join("data/core.sock");
        fs::write(&configuration, text(port, &pair, &socket, secret.trim_ascii_end()))?;
        let log = folder.join("haproxy.log");
        let mut child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("haproxy")?;
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let edge = Edge::new(made.cert.pem().as_bytes(), port)?;
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < START {
            if let Some(status) = child.try_wait()? {
                bail!("haproxy ended ({status}): {}", said());
            }
            match server.first_answer_through(&edge).await {
                Ok(()) => return Ok(Self { child, edge }),
                Err(error) => last = format!("{error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.kill()?;
        child.wait()?;
        bail!("haproxy gave no answer in {START:?}: {last}; {}", said())
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn text(port: u16, pair: &Path, socket: &Path, secret: &str) -> String {
    format!(
        r#"global
    maxconn 9000
defaults
    mode http
    timeout connect 2s
    timeout client 1h
    timeout server 1h
frontend edge
    bind 127.0.0.1:{port} ssl crt {pair} alpn h2
    http-request set-var(txn.token) http_auth_bearer
    http-request deny unless {{ var(txn.token),jwt_verify("HS256","{secret}") -m int 1 }}
    http-request set-header nexus-tenant default
    http-request set-header nexus-user %[var(txn.token),jwt_payload_query('$.sub')]
    http-request set-header nexus-device %[var(txn.token),jwt_payload_query('$.sid')]
    http-request set-header nexus-token-expires %[var(txn.token),jwt_payload_query('$.exp','int')]000
    http-request del-header authorization
    default_backend core
backend core
    http-reuse always
    server core unix@{socket} proto h2
"#,
        pair = pair.display(),
        socket = socket.display(),
    )
}
