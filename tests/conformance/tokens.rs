//! Who makes tokens: a command, asked as `COMMAND --user U --tenant T --device D [--ttl TIME]`, which prints one.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// A maker of tokens.
pub struct Tokens {
    command: Vec<String>,
    folder: Option<PathBuf>,
    settings: Vec<(&'static str, String)>,
}

/// For whom, and for how long (`90s`, `24h`, `-1h`); the maker's default if it isn't said.
pub struct Wanted<'a> {
    pub user: &'a str,
    pub tenant: &'a str,
    pub device: &'a str,
    pub ttl: Option<&'a str>,
}

impl Tokens {
    /// `NEXUS_TOKEN_COMMAND`, a line for the shell; `nexus token` if it isn't there.
    pub fn from_environment() -> Self {
        let line = env::var("NEXUS_TOKEN_COMMAND").unwrap_or_else(|_| "nexus token".into());
        let command = ["sh", "-c", &format!("{line} \"$@\""), "sh"].map(str::to_owned).to_vec();
        Self { command, folder: None, settings: Vec::new() }
    }

    /// The program's own command, in the folder of a deployment of ours.
    pub fn of_program(folder: &Path, settings: Vec<(&'static str, String)>) -> Self {
        let command = [env!("CARGO_BIN_EXE_nexus"), "token"].map(str::to_owned).to_vec();
        Self { command, folder: Some(folder.to_owned()), settings }
    }

    /// A token, or what the maker says why not.
    pub async fn make(&self, wanted: Wanted<'_>) -> Result<String, String> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.args(["--user", wanted.user, "--tenant", wanted.tenant, "--device", wanted.device]);
        if let Some(ttl) = wanted.ttl {
            command.args(["--ttl", ttl]);
        }
        // What is said to this suite is not said to the program.
        for ours in
            ["NEXUS_ADDRESS", "NEXUS_CA", "NEXUS_TOKEN_COMMAND", "NEXUS_TOKEN_SECRET", "NEXUS_ADMINISTRATOR"]
        {
            command.env_remove(ours);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}
