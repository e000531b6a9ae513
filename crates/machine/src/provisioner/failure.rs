//! Why a step failed, in words for the person who wrote it.

use crate::communicator::{CommunicatorError, agent::ExitStatus};
use std::{fmt, io, path::PathBuf, time::Duration};

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It ran and failed.
    #[error(transparent)]
    Failed(Box<StepFailed>),
    /// It could not be run.
    #[error("cannot run step {name:?}")]
    Communicator {
        /// The step.
        name: String,
        /// Why not.
        source: CommunicatorError,
    },
    /// It needs a guest that boots by itself.
    #[error("step {name:?} needs a guest that boots: the agent's stands still between steps")]
    NeedsSsh {
        /// The step.
        name: String,
    },
    /// A program of this host is missing.
    #[error("step {name:?} needs {program}, which was not found")]
    NoProgram {
        /// The step.
        name: String,
        /// The program.
        program: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// A file of this host could not be read or written.
    #[error("step {name:?} cannot write {}", path.display())]
    Host {
        /// The step.
        name: String,
        /// The host's file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl StepError {
    /// Returns what to type next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Communicator { source, .. } => source.hint(),
            Self::NeedsSsh { .. } => Some("[communicator] type = \"ssh\"   # in the template".to_owned()),
            Self::NoProgram { package, .. } => Some(format!("apt-get install {package}")),
            Self::Failed(_) | Self::Host { .. } => None,
        }
    }
}

/// A step that ran and failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct StepFailed {
    /// The step.
    pub name: String,
    /// Which script of the step, where it names several.
    pub script: Option<PathBuf>,
    /// Which element of `inline`, counted from 0, and its text, where that could be found out. Not masked. Of elements that
    /// only together are a command, like those of an `if`, the first.
    pub line: Option<(usize, String)>,
    /// How it ended.
    pub cause: Cause,
    /// The last lines that it wrote, at most 20, oldest first. Not masked.
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

impl fmt::Display for StepFailed {
    /// Says everything but what may hold secrets: the line's text and the output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {:?} failed", self.name)?;
        if let Some((index, _)) = &self.line {
            write!(f, " in line {}", index + 1)?;
        }
        if let Some(script) = &self.script {
            write!(f, " in script {}", script.display())?;
        }
        write!(f, ": {}", self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(status) => status.fmt(f),
            Self::TimedOut(after) => write!(f, "timed out after {} s", after.as_secs_f64()),
        }
    }
}
