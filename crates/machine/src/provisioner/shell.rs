//! A step that runs shell code in the image.

use super::{StepError, Stream};
use crate::communicator::agent::AgentSession;
use std::{path::PathBuf, time::Duration};

/// Shell code to run in the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShellStep {
    /// The step's name, for errors.
    pub name: String,
    /// What to run.
    pub source: ShellSource,
    /// Variables to set.
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
}

/// What a shell step runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellSource {
    /// Elements that together are one script, so that `cd`, variables and here-documents reach from one to the next.
    Inline(Vec<String>),
    /// Script files of this host, one after the other.
    Scripts(Vec<PathBuf>),
}

impl Default for ShellSource {
    fn default() -> Self {
        Self::Inline(Vec::new())
    }
}

impl ShellStep {
    /// Runs the step. `on_line` gets every line of its output as it comes, without the line end, bytes that are not UTF-8
    /// replaced, very long lines in pieces.
    ///
    /// # Errors
    /// [`StepError::Failed`] when it ran and did not succeed.
    pub async fn run(
        &self,
        session: &mut AgentSession,
        on_line: impl FnMut(Stream, &str) + Send,
    ) -> Result<(), StepError> {
        drop(on_line);
        todo!("{session:?}")
    }
}
