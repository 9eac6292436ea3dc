//! A `nexus` process in a folder of its own, on free ports.

use nexus_client::{Client, DevelopmentTokens, Endpoint};
use nexus_cluster::ports;
use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

pub struct Server {
    pub folder: TempDir,
    pub port: u16,
    pub settings: Vec<(&'static str, String)>,
    pub child: Option<Child>,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// With settings of its own, by their environment variables.
    pub async fn start_with(settings: Vec<(&'static str, String)>) -> Self {
        let mut server = Self::prepared(settings);
        server.begin().await;
        server
    }

    /// A folder and a port, for a server that isn't started yet.
    pub fn prepared(settings: Vec<(&'static str, String)>) -> Self {
        Self { folder: TempDir::new().unwrap(), port: ports::one().unwrap(), settings, child: None }
    }

    /// A file or folder of its data.
    pub fn data(&self, path: &str) -> PathBuf {
        self.folder.path().join("data").join(path)
    }

    /// The program as it is started.
    pub fn command(&self) -> Command {
        let mut command = command(self.folder.path(), self.port);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Sends a signal, such as "TERM".
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), pid]).status().unwrap().success());
    }

    /// Waits until the process has ended. Its exit code, or minus the signal.
    pub async fn ended(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let ended = async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status.code().unwrap_or_else(|| -status.signal().unwrap());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(START, ended).await {
            Ok(code) => code,
            Err(_) => panic!("it does not end: {}", self.log()),
        }
    }

    /// Starts the process and waits until it answers.
    pub async fn begin(&mut self) {
        self.begin_as(self.command()).await;
    }

    /// The same with a command of the test's own.
    pub async fn begin_as(&mut self, mut command: Command) {
        let log = File::create(self.folder.path().join("nexus.log")).unwrap();
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let ready = async {
            let ca = self.folder.path().join("data/tls/ca.pem");
            loop {
                let died = self.child.as_mut().unwrap().try_wait().unwrap();
                assert!(died.is_none(), "the server ended: {}", self.log());
                if ca.exists() {
                    let probe = self.client("probe");
                    let asked = probe.call(nexus_client::v1::ListConversationsRequest::default());
                    match tokio::time::timeout(Duration::from_secs(2), asked).await {
                        Ok(Ok(_)) => return,
                        other => eprintln!("not yet: {other:?}"),
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(START, ready).await.is_err() {
            panic!("the server is not ready: {}", self.log());
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("nexus.log")).unwrap_or_default()
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn client(&self, user: &str) -> Client {
        let ca = fs::read(self.folder.path().join("data/tls/ca.pem")).unwrap();
        let endpoint = Endpoint::new(format!("https://localhost:{}", self.port)).ca_pem(ca);
        let transport = endpoint.connect().unwrap();
        Client::new(transport.clone(), DevelopmentTokens::new(transport, user, "test"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// What an address in plain HTTP answers, header and all.
pub async fn get(port: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(port).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The program, told to use this folder and port and nothing else.
pub fn command(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus"));
    command
        .current_dir(folder)
        .env("NEXUS_GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
        .env("NEXUS_GATEWAY_REDIRECT", "off")
        .env("NEXUS_GATEWAY_ADMIN", "off")
        .env("NEXUS_CORE_ADMIN", "off");
    command
}
