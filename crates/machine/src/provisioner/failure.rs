//! Why a step failed, in words for the person who wrote it.

use crate::communicator::{AgentError, agent::ExitStatus};
use std::{path::PathBuf, time::Duration};

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It ran and failed.
    #[error(transparent)]
    Failed(Box<StepFailed>),
    /// It could not be run.
    #[error("cannot run step {name:?}")]
    Agent {
        /// The step.
        name: String,
        /// Why not.
        source: AgentError,
    },
}

/// A step that ran and failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailed {
    /// The step.
    pub name: String,
    /// Which script of the step, where it names several.
    pub script: Option<PathBuf>,
    /// Which element of `inline`, counted from 0, and its text, where that could be found out. The text is masked by whoever prints it.
    pub line: Option<(usize, String)>,
    /// How it ended.
    pub cause: Cause,
    /// The last lines that it wrote, at most 20, oldest first.
    pub last_output: Vec<String>,
}

/// How a step ended that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// With a status that does not count as success.
    Exit(ExitStatus),
    /// It ran longer than it may.
    TimedOut(Duration),
}

impl std::fmt::Display for StepFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.cause {
            Cause::Exit(status) => write!(f, "step {:?} failed: {status}", self.name),
            Cause::TimedOut(after) => write!(f, "step {:?} was not done after {after:?}", self.name),
        }
    }
}

impl std::error::Error for StepFailed {}
