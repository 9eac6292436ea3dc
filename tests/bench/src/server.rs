//! The real program, as a process of its own.

use crate::client::Edge;
use anyhow::{Context as _, bail};
use jsonwebtoken::{EncodingKey, Header};
use nexus_cluster::ports;
use serde::Serialize;
use std::{
    fs::{self, File},
    future::Future,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A start takes longer only if something is wrong.
const START: Duration = Duration::from_secs(30);

/// A running program. It is killed when this is dropped.
pub struct Server {
    child: Child,
    /// How to reach it.
    pub edge: Edge,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    sid: &'a str,
    exp: u64,
}

impl Server {
    /// Starts the program in this folder, with its default configuration but for the ports and the rate limits of a
    /// user, and waits for its first answer over TLS. Also gives the time from its start to that answer.
    pub async fn start(folder: &Path) -> anyhow::Result<(Self, Duration)> {
        let program = std::env::var("NEXUS_BIN").context("NEXUS_BIN is not set: run bench.sh")?;
        let port = ports::one()?;
        let log = folder.join("nexus.log");
        let begun = Instant::now();
        let mut command = Command::new(&program);
        for limit in ["USER_RATE", "USER_BURST", "MUTATION_RATE", "MUTATION_BURST"] {
            command.env(format!("NEXUS_GATEWAY_LIMITS_{limit}"), "100000");
        }
        let mut child = command
            .current_dir(folder)
            .env("NEXUS_GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
            .env("NEXUS_GATEWAY_REDIRECT", "off")
            .env("NEXUS_GATEWAY_ADMIN", "off")
            .env("NEXUS_CORE_ADMIN", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| program.clone())?;
        while begun.elapsed() < START {
            if let Some(status) = child.try_wait()? {
                bail!("nexus ended ({status}): {}", fs::read_to_string(&log).unwrap_or_default());
            }
            if let Ok((edge, key)) = first_answer(folder, port).await {
                return Ok((Self { child, edge, key }, begun.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill()?;
        child.wait()?;
        bail!("nexus did not answer in {START:?}: {}", fs::read_to_string(&log).unwrap_or_default())
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it answers by another way in.
    pub async fn first_answer_through(&self, edge: &Edge) -> anyhow::Result<()> {
        ask(edge, &self.key).await
    }

    /// A token for a user.
    pub fn token(&self, user: &str) -> anyhow::Result<String> {
        token(&self.key, user)
    }
}

/// Tries all that a client needs: the certificate to trust, a token, TLS, HTTP/2, and a call that asks the store.
async fn first_answer(folder: &Path, port: u16) -> anyhow::Result<(Edge, EncodingKey)> {
    let ca = fs::read(folder.join("data/tls/ca.pem"))?;
    let secret = fs::read(folder.join("data/token-secret"))?;
    let key = EncodingKey::from_secret(secret.trim_ascii_end());
    let edge = Edge::new(&ca, port)?;
    ask(&edge, &key).await?;
    Ok((edge, key))
}

async fn ask(edge: &Edge, key: &EncodingKey) -> anyhow::Result<()> {
    let connection = edge.connect(0).await?;
    let question = nexus_proto::v1::ListConversationsRequest::default();
    let path = "/nexus.v1.ConversationService/ListConversations";
    let _: nexus_proto::v1::ListConversationsResponse =
        connection.call(path, &token(key, "probe")?, &question).await?;
    Ok(())
}

/// A token of a user, signed with the secret of a deployment.
pub fn token(key: &EncodingKey, user: &str) -> anyhow::Result<String> {
    let exp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
    Ok(jsonwebtoken::encode(&Header::default(), &Claims { sub: user, sid: "bench", exp }, key)?)
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a measurement.
pub fn run<T>(measure: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure)
}
