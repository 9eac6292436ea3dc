//! Tokens that a program prints, for deployments that don't give them to whoever asks.

use nexus_client::{TokenError, TokenSource};
use std::{
    collections::BTreeMap,
    process::{Output, Stdio},
    sync::{Arc, Mutex as Table, PoisonError},
    time::Duration,
};
use tokio::{
    process::Command,
    sync::{Mutex, Semaphore},
    time::timeout,
};

/// How long the program may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Programs that run at the same time: every user asks for a token at once.
const AT_ONCE: usize = 4;
/// Characters of what the program says that an error repeats.
const SAID: usize = 500;

/// The tokens of all users, by a line for the shell to which the user's name is added.
pub struct CommandTokens {
    line: Arc<str>,
    running: Arc<Semaphore>,
    users: Table<BTreeMap<String, UserTokens>>,
}

impl CommandTokens {
    /// Tokens by this line.
    pub fn new(line: &str) -> Self {
        Self { line: line.into(), running: Arc::new(Semaphore::new(AT_ONCE)), users: Table::default() }
    }

    /// A user's tokens: the same for all of their connections, so that the program runs once.
    pub fn of(&self, user: &str) -> UserTokens {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || UserTokens {
            line: self.line.clone(),
            user: user.into(),
            running: self.running.clone(),
            current: Arc::default(),
        };
        users.entry(user.to_owned()).or_insert_with(new).clone()
    }
}

/// The tokens of one user.
#[derive(Clone)]
pub struct UserTokens {
    line: Arc<str>,
    user: Arc<str>,
    running: Arc<Semaphore>,
    current: Arc<Mutex<Option<String>>>,
}

#[async_trait::async_trait]
impl TokenSource for UserTokens {
    async fn token(&self, refused: Option<&str>) -> Result<String, TokenError> {
        let mut current = self.current.lock().await;
        if let Some(token) = current.as_ref().filter(|token| Some(token.as_str()) != refused) {
            return Ok(token.clone());
        }
        let token = self.ask().await?;
        if Some(token.as_str()) == refused {
            return Err(self.refused("prints a token that the server refuses"));
        }
        Ok(current.insert(token).clone())
    }
}

impl UserTokens {
    async fn ask(&self) -> Result<String, TokenError> {
        let _turn = self.running.acquire().await.map_err(|error| self.refused(&error.to_string()))?;
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{} \"$@\"", self.line), "sh", &self.user]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = match timeout(DEADLINE, command.output()).await {
            Ok(output) => output.map_err(|error| self.refused(&format!("can't be run: {error}")))?,
            Err(_) => {
                let why = format!("--token-command for {}: no token within {DEADLINE:?}", self.user);
                return Err(TokenError::Unavailable(why));
            }
        };
        self.printed(&output)
    }

    /// What it printed, which no error may repeat.
    fn printed(&self, output: &Output) -> Result<String, TokenError> {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(SAID).collect();
        if !output.status.success() {
            return Err(self.refused(&format!("ended with {}: {said}", output.status)));
        }
        let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if token.is_empty() || token.contains(char::is_whitespace) {
            return Err(self.refused(&format!("must print a token and nothing else: {said}")));
        }
        Ok(token)
    }

    fn refused(&self, why: &str) -> TokenError {
        TokenError::Refused(format!("--token-command for {} {}", self.user, why.trim_end_matches(": ")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn asked(line: &str) -> String {
        match CommandTokens::new(line).of("ann").token(None).await {
            Ok(token) => token,
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_program_prints_the_token_of_its_last_argument() {
        assert_eq!(asked("printf '%s-%s\\n' token").await, "token-ann");
        let nothing = asked("true").await;
        assert_eq!(nothing, "no token: --token-command for ann must print a token and nothing else");
    }

    #[tokio::test]
    async fn an_error_says_what_the_program_said_but_no_token() {
        let failed = asked("echo TOKEN; echo 'the vault is shut' >&2; exit 3;").await;
        assert_eq!(failed, "no token: --token-command for ann ended with exit status: 3: the vault is shut");
        assert!(!asked("echo TOKEN and more; true").await.contains("TOKEN"));
        let missing = asked("no-such-program").await;
        assert!(missing.contains("exit status: 127: ") && missing.contains("no-such-program"), "{missing}");
    }

    #[tokio::test]
    async fn it_runs_once_for_a_user_and_again_for_a_token_that_was_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let line = format!("cd {} && echo x >>asked; wc -l <asked; true", folder.path().display());
        let tokens = CommandTokens::new(&line);
        assert_eq!(tokens.of("ann").token(None).await.unwrap(), "1");
        assert_eq!(tokens.of("ann").token(None).await.unwrap(), "1");
        assert_eq!(tokens.of("ann").token(Some("1")).await.unwrap(), "2");
        let same = CommandTokens::new("echo same; true").of("ann");
        assert_eq!(same.token(None).await.unwrap(), "same");
        assert!(same.token(Some("same")).await.unwrap_err().to_string().contains("the server refuses"));
    }
}
