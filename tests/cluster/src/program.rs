//! Our own program, in the parts of a cluster: chat nodes and edges.

use crate::{authority::Pair, process::Process};
use anyhow::{Context as _, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    time::timeout,
};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(90);
/// How long an answer of an admin address may take.
const ANSWER: Duration = Duration::from_secs(2);

/// The program under test: `NEXUS_BIN`, or the one that stands beside this.
pub fn path() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os("NEXUS_BIN") {
        return Ok(path.into());
    }
    let own = env::current_exe()?;
    let found =
        own.ancestors().skip(1).take(2).map(|folder| folder.join("nexus")).find(|path| path.is_file());
    found.context("there is no `nexus` beside this program: build it, or name it in NEXUS_BIN")
}

/// How a part is started: a folder of its own, and settings by their environment variables.
#[derive(Debug, Clone)]
pub struct Part {
    /// `core` or `gateway`.
    pub role: &'static str,
    /// What it is called in errors; its log is `NAME.log`.
    pub name: String,
    /// Where it runs, and its log is.
    pub folder: PathBuf,
    /// Its admin address.
    pub admin: u16,
    /// The program; `None`: [`path`].
    pub program: Option<PathBuf>,
    /// Its settings.
    pub settings: Vec<(String, String)>,
    /// The user that it runs as, so that its packets can be told from others'; `None`: whoever runs this.
    pub user: Option<u32>,
}

impl Part {
    /// A chat node that listens for edges on a port of `address`, whose certificate is `pair`.
    pub fn core(folder: &Path, name: &str, listen: &str, admin: u16, pair: &Pair, edges: &Path) -> Self {
        let settings = [
            ("NEXUS_CORE_LISTEN", listen.to_owned()),
            ("NEXUS_CORE_ADMIN", format!("127.0.0.1:{admin}")),
            ("NEXUS_CORE_DATA", format!("{name}-data")),
            ("NEXUS_CORE_TLS_CERTIFICATE", pair.certificate.display().to_string()),
            ("NEXUS_CORE_TLS_KEY", pair.key.display().to_string()),
            ("NEXUS_CORE_TLS_CLIENT_CA", edges.display().to_string()),
        ];
        Self::new("core", folder, name, admin, &settings)
    }

    /// An edge on a port, which shows nodes the certificate `pair` and trusts those that `nodes` signed.
    pub fn gateway(folder: &Path, name: &str, port: u16, admin: u16, pair: &Pair, nodes: &Path) -> Self {
        let settings = [
            ("NEXUS_GATEWAY_LISTEN", format!("127.0.0.1:{port}")),
            ("NEXUS_GATEWAY_REDIRECT", "off".to_owned()),
            ("NEXUS_GATEWAY_ADMIN", format!("127.0.0.1:{admin}")),
            ("NEXUS_GATEWAY_UPSTREAM_CERTIFICATE", pair.certificate.display().to_string()),
            ("NEXUS_GATEWAY_UPSTREAM_KEY", pair.key.display().to_string()),
            ("NEXUS_GATEWAY_UPSTREAM_CA", nodes.display().to_string()),
        ];
        Self::new("gateway", folder, name, admin, &settings)
    }

    fn new(role: &'static str, folder: &Path, name: &str, admin: u16, settings: &[(&str, String)]) -> Self {
        // Development's tokens are signed by nodes and checked by edges.
        let secret = ("NEXUS_GATEWAY_AUTH_SECRET_FILE".to_owned(), "token-secret".to_owned());
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).chain([secret]);
        Self {
            role,
            name: name.to_owned(),
            folder: folder.to_owned(),
            admin,
            settings: settings.collect(),
            user: None,
            program: None,
        }
    }

    /// With one more setting.
    #[must_use]
    pub fn with(mut self, variable: &str, value: impl ToString) -> Self {
        self.settings.push((variable.to_owned(), value.to_string()));
        self
    }

    /// A setting, if it was made.
    pub fn setting(&self, variable: &str) -> Option<String> {
        self.settings.iter().rev().find(|(name, _)| name == variable).map(|(_, value)| value.clone())
    }

    /// Where its log is.
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Starts it, and waits until it says that it is ready.
    pub async fn start(&self) -> anyhow::Result<Process> {
        let mut process = self.spawn()?;
        process.until(START, async || self.is_ready().await).await?;
        Ok(process)
    }

    /// Starts it.
    pub fn spawn(&self) -> anyhow::Result<Process> {
        let mut command = Command::new(self.program.clone().map_or_else(path, Ok)?);
        command.arg(self.role).current_dir(&self.folder).env("NEXUS_LOG_FORMAT", "json");
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        Process::start(&self.name, command, &self.log())
    }

    /// Whether it says so.
    pub async fn is_ready(&self) -> bool {
        self.get("/readyz").await.is_ok()
    }

    /// What its admin address answers; an error if that is not 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<String> {
        self.get_within(path, ANSWER).await
    }

    /// The same of an answer that may take so long.
    pub async fn get_within(&self, path: &str, within: Duration) -> anyhow::Result<String> {
        let ask = async {
            let mut socket = TcpStream::connect(("127.0.0.1", self.admin)).await?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = timeout(within, ask).await.context("no answer in time")??;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => bail!("{} {path}: {answer}", self.name),
        }
    }

    /// The sum of a metric's values over all its labels that contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        let text = self.get("/metrics").await?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (of, labels) = series.split_once('{').unwrap_or((series, ""));
            (of == name && labels.contains(label)).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// The end of its log.
    pub fn last_lines(&self) -> String {
        fs::read_to_string(self.log())
            .unwrap_or_default()
            .lines()
            .rev()
            .take(20)
            .collect::<Vec<_>>()
            .join("\n")
    }
}
