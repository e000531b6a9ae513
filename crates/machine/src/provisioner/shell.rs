//! A step that runs shell code in the image.
//!
//! ```text
//! /run/kiln/<script>   what runs: mode 0700, owned by the step's user
//! /run/kiln/line       the number of the element that runs now, written by marks in the script
//! /run/secrets/<name>  sensitive values, mode 0400, owned by the step's user, in memory that is never swapped out
//! ```
//! All of it is taken away when the step ends, by [`Session::end_step`].

mod script;
mod secrets;

use super::{Cause, StepError, StepFailed, Stream, lines::Lines};
use crate::communicator::{
    CommunicatorError, Session,
    agent::{Exec, ExitStatus, Upload, UploadContent},
};
use script::Script;
use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Where scripts lie in the guest while they run.
const FOLDER: &str = "/run/kiln";
const LINE_FILE: &str = "/run/kiln/line";

/// How long a guest may be away that a step disconnected, unless the step has a timeout.
const BACK_WITHIN: Duration = Duration::from_secs(600);

/// How long a connection has to show that it lives.
const ALIVE_WITHIN: Duration = Duration::from_secs(20);

/// What runs a script unless the step says otherwise.
const INTERPRETER: [&str; 2] = ["/bin/sh", "-e"];

/// Shell code to run in the image.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ShellStep {
    /// The step's name, for errors.
    pub name: String,
    /// What to run.
    pub source: ShellSource,
    /// Variables to set. `DEBIAN_FRONTEND` is `noninteractive` unless it stands here.
    pub environment: Vec<(String, String)>,
    /// The program that reads the script and its arguments. Empty or `/bin/sh -e` is the default: then a script with a `#!`
    /// line is run by what that names.
    pub interpreter: Vec<String>,
    /// An absolute path in the guest; `None` is `/`.
    pub working_directory: Option<String>,
    /// The guest's user to run as; `None` is root.
    pub user: Option<String>,
    /// How long the step may take; `None` is as long as it likes.
    pub timeout: Option<Duration>,
    /// Exit codes that count as success; empty is 0 alone.
    pub valid_exit_codes: Vec<u8>,
    /// Whether the connection may end with it, as when it restarts the network or the guest: it is made anew then.
    pub expect_disconnect: bool,
    /// Names and values that it finds as files below `/run/secrets`.
    pub secrets: Vec<(String, String)>,
}

impl fmt::Debug for ShellStep {
    /// Leaves out code and environment: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShellStep")
            .field("name", &self.name)
            .field("interpreter", &self.interpreter)
            .field("working_directory", &self.working_directory)
            .field("user", &self.user)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What a shell step runs.
#[derive(Clone, PartialEq, Eq)]
pub enum ShellSource {
    /// Elements that together are one script, so that `cd`, variables and here-documents reach from one to the next.
    Inline(Vec<String>),
    /// Script files of this host, one after the other.
    Scripts(Vec<PathBuf>),
}

impl fmt::Debug for ShellSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(elements) => write!(f, "Inline({} elements)", elements.len()),
            Self::Scripts(scripts) => f.debug_tuple("Scripts").field(scripts).finish(),
        }
    }
}

impl Default for ShellSource {
    fn default() -> Self {
        Self::Inline(Vec::new())
    }
}

/// How far a script came that did not succeed.
struct Failing {
    line: Option<(usize, String)>,
    cause: Cause,
}

impl ShellStep {
    /// Runs the step. `on_line` gets every line of its output as it comes, without the line end, bytes that are not UTF-8
    /// replaced, very long lines in pieces.
    ///
    /// # Errors
    /// [`StepError::Failed`] when it ran and did not succeed.
    pub async fn run(
        &self,
        session: &mut Session,
        on_line: impl FnMut(Stream, &str) + Send,
    ) -> Result<(), StepError> {
        let ran = self.run_scripts(session, on_line).await;
        let gone = matches!(&ran, Err(StepError::Communicator { source, .. }) if source.is_disconnected());
        if !self.expect_disconnect || !(gone || ran.is_ok()) {
            return ran;
        }
        let failed = |source| StepError::Communicator { name: self.name.clone(), source };
        comes_back(session, self.timeout.unwrap_or(BACK_WITHIN)).await.map_err(failed)
    }

    async fn run_scripts(
        &self,
        session: &mut Session,
        on_line: impl FnMut(Stream, &str) + Send,
    ) -> Result<(), StepError> {
        let mut lines = Lines::new(on_line);
        let failed = |source| StepError::Communicator { name: self.name.clone(), source };
        secrets::put(session, &self.secrets, self.user.as_deref()).await.map_err(failed)?;
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match &self.source {
            ShellSource::Inline(elements) => {
                let failing = self.inline(session, elements, deadline, &mut lines).await;
                self.outcome(failing, None, &lines)
            }
            ShellSource::Scripts(scripts) => {
                for script in scripts {
                    let failing = self.script(session, script, deadline, &mut lines).await;
                    self.outcome(failing, Some(script), &lines)?;
                }
                Ok(())
            }
        }
    }

    fn outcome<F: FnMut(Stream, &str)>(
        &self,
        failing: Result<Option<Failing>, CommunicatorError>,
        script: Option<&Path>,
        lines: &Lines<F>,
    ) -> Result<(), StepError> {
        let name = self.name.clone();
        match failing {
            Ok(None) => Ok(()),
            Ok(Some(Failing { line, cause })) => {
                let (script, last_output) = (script.map(Path::to_owned), lines.last());
                Err(StepError::Failed(Box::new(StepFailed { name, script, line, cause, last_output })))
            }
            Err(source) => Err(StepError::Communicator { name, source }),
        }
    }

    async fn inline<F: FnMut(Stream, &str) + Send>(
        &self,
        session: &mut Session,
        elements: &[String],
        deadline: Option<Instant>,
        lines: &mut Lines<F>,
    ) -> Result<Option<Failing>, CommunicatorError> {
        let interpreter = self.interpreter();
        let script = Script::new(session, elements, &interpreter[0]).await?;
        if script.marked {
            self.put(session, LINE_FILE, Vec::new(), 0o600).await?;
        }
        let path = format!("{FOLDER}/inline");
        self.put(session, &path, script.text.into_bytes(), 0o700).await?;
        let argv = interpreter.into_iter().chain([path]).collect();
        let Some(cause) = self.exec(session, argv, deadline, lines).await? else { return Ok(None) };
        let index = match elements.len() {
            1 => Some(0),
            _ if script.marked => reached(session).await,
            _ => None,
        };
        let line = index.and_then(|index| Some((index, elements.get(index)?.clone())));
        Ok(Some(Failing { line, cause }))
    }

    async fn script<F: FnMut(Stream, &str) + Send>(
        &self,
        session: &mut Session,
        script: &Path,
        deadline: Option<Instant>,
        lines: &mut Lines<F>,
    ) -> Result<Option<Failing>, CommunicatorError> {
        let host = |source| CommunicatorError::Host { path: script.to_owned(), source };
        let bytes = fs_err::read(script).map_err(host)?;
        let name = script.file_name().unwrap_or(script.as_os_str()).to_string_lossy();
        let path = format!("{FOLDER}/{name}");
        let named = Some(&bytes).filter(|_| self.interpreter() == INTERPRETER);
        let interpreter =
            named.and_then(|bytes| interpreter_line(bytes)).unwrap_or_else(|| self.interpreter());
        self.put(session, &path, bytes, 0o700).await?;
        let argv = interpreter.into_iter().chain([path]).collect();
        let cause = self.exec(session, argv, deadline, lines).await?;
        Ok(cause.map(|cause| Failing { line: None, cause }))
    }

    /// Runs a program of the step; `None` when it succeeded.
    async fn exec<F: FnMut(Stream, &str) + Send>(
        &self,
        session: &mut Session,
        argv: Vec<String>,
        deadline: Option<Instant>,
        lines: &mut Lines<F>,
    ) -> Result<Option<Cause>, CommunicatorError> {
        let mut environment = vec![("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())];
        environment.extend(self.environment.iter().cloned());
        let exec = Exec {
            argv,
            environment,
            working_directory: self.working_directory.clone(),
            user: self.user.clone(),
            terminal: None,
        };
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ended = session.exec(&exec, left, |stream, bytes| lines.take(stream, bytes)).await;
        lines.end();
        match ended {
            Ok(status) if self.succeeded(status) => Ok(None),
            Ok(status) => Ok(Some(Cause::Exit(status))),
            Err(error) => match error.timed_out() {
                Some(after) => Ok(Some(Cause::TimedOut(self.timeout.unwrap_or(after)))),
                None => Err(error),
            },
        }
    }

    fn succeeded(&self, status: ExitStatus) -> bool {
        match status {
            ExitStatus::Exited(code) if self.valid_exit_codes.is_empty() => code == 0,
            ExitStatus::Exited(code) => self.valid_exit_codes.iter().any(|valid| i32::from(*valid) == code),
            ExitStatus::Signaled(_) => false,
        }
    }

    fn interpreter(&self) -> Vec<String> {
        if self.interpreter.is_empty() {
            return INTERPRETER.map(str::to_owned).to_vec();
        }
        self.interpreter.clone()
    }

    async fn put(
        &self,
        session: &mut Session,
        path: &str,
        bytes: Vec<u8>,
        mode: u32,
    ) -> Result<(), CommunicatorError> {
        let (content, owner) = (UploadContent::Bytes(bytes), self.user.clone());
        session.upload(&Upload { content, destination: path.to_owned(), mode: Some(mode), owner }).await
    }
}

/// Reads the `#!` line as the kernel does: a program, and all the rest as one argument. The script is not run by itself:
/// many guests mount `/run` so that nothing there can be.
fn interpreter_line(script: &[u8]) -> Option<Vec<String>> {
    let line = script.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim();
    let (program, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let words = [program, argument.trim()].into_iter().filter(|word| !word.is_empty());
    Some(words.map(str::to_owned).collect()).filter(|words: &Vec<String>| !words.is_empty())
}

/// Makes sure of a connection that may have ended.
async fn comes_back(session: &mut Session, within: Duration) -> Result<(), CommunicatorError> {
    let Session::Ssh(ssh) = session else { return Ok(()) };
    // What was to end it may have come in the last moment.
    let dead = tokio::time::timeout(ALIVE_WITHIN, ssh.end_step()).await;
    if matches!(dead, Ok(Ok(()))) {
        return Ok(());
    }
    Ok(ssh.reconnect(within, |_| {}).await?)
}

/// Reads which element the script had reached. The step may have destroyed the file: then it is not known.
async fn reached(session: &mut Session) -> Option<usize> {
    let mut text = Vec::new();
    let read = session.read(LINE_FILE, |bytes| text.extend_from_slice(&bytes[..bytes.len().min(20)]));
    read.await.ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
