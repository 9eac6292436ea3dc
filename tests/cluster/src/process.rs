//! A program that runs: its log, its signals, its end. Dropping the handle kills it, and waits until it has gone.

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Lines of its log that an error shows.
const LAST_LINES: usize = 20;

/// A running program, called by a name in errors.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program whose output goes to a file. It dies with its handle.
    pub fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child })
    }

    /// Its name in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process's id, as long as it was not waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal. An error if it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().and_then(|id| Pid::from_raw(id as i32));
        let id = id.with_context(|| format!("{} has ended", self.name))?;
        kill_process(id, signal).with_context(|| format!("signal {}", self.name))
    }

    /// SIGKILL, and its end: nothing is flushed, nothing is said.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("kill {}", self.name))
    }

    /// SIGTERM, and its end within a time; SIGKILL and an error after it.
    pub async fn stop(mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match timeout(within, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                self.child.kill().await?;
                bail!("{} did not end within {within:?}: {}", self.name, self.last_lines())
            }
        }
    }

    /// Waits until something holds; an error if the program ends before it does, or it takes too long.
    pub async fn until(
        &mut self,
        within: Duration,
        mut holds: impl AsyncFnMut() -> bool,
    ) -> anyhow::Result<()> {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    bail!("{} ended ({status}): {}", self.name, self.last_lines());
                }
                if holds().await {
                    return Ok(());
                }
                sleep(LOOK).await;
            }
        };
        match timeout(within, waiting).await {
            Ok(result) => result,
            Err(_) => bail!("{} is not ready after {within:?}: {}", self.name, self.last_lines()),
        }
    }

    /// The end of its log.
    pub fn last_lines(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(id) = self.child.id().and_then(|id| Pid::from_raw(id as i32)) else { return };
        // Its folder is removed next, and one that still writes into it would leave something behind. Nobody can be told.
        let _ = self.child.start_kill();
        let _ = waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let _ = self.child.try_wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustix::process::test_kill_process;

    #[tokio::test]
    async fn nothing_is_left_of_one_whose_handle_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("1000");
        let process = Process::start("sleep", command, &folder.path().join("log")).unwrap();
        let id = Pid::from_raw(process.id().unwrap() as i32).unwrap();
        assert!(test_kill_process(id).is_ok());
        drop(process);
        assert!(test_kill_process(id).is_err());
    }
}
