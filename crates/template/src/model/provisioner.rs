//! `[[provisioner]]`: the steps of a build, and what all of them have.

use crate::model::{AnsibleStep, BreakpointStep, DownloadStep, FileStep, RebootStep, ShellStep, StepCache};
use kiln_types::TimeSpan;
use serde::Serialize;
use std::collections::BTreeSet;

/// A step of the build, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioner {
    /// The name as written, or one made from what the step does: `shell: apt-get update`.
    pub name: String,
    /// The line of its `[[provisioner]]`, from 1.
    pub line: usize,
    /// Names of the variables that it uses, directly or through locals.
    pub variables: BTreeSet<String>,
    /// Why this run leaves it out: `when: trixie == bookworm`; nothing means that it runs.
    pub skipped: Option<String>,
    /// How long to wait before it starts; no part of its `timeout`.
    pub pause_before: Option<TimeSpan>,
    /// How long one try may take; nothing means as long as it likes, and for a reboot its own.
    pub timeout: Option<TimeSpan>,
    /// How often it is tried again after it failed, at most 100.
    pub max_retries: u32,
    /// Whether the build goes on when it fails.
    pub continue_on_error: bool,
    /// How long its result stands for running it.
    pub cache: StepCache,
    /// What it does. Its serialised form is what a cache key is made of: it holds no secret, no name, no line
    /// and no path of this host beyond what is written; contents of the files named are the caller's to add.
    pub step: Step,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Step {
    /// Runs commands.
    Shell(ShellStep),
    /// Puts a file or folder into the guest.
    File(FileStep),
    /// Fetches a file or folder from the guest.
    Download(DownloadStep),
    /// Starts the guest anew and waits until it is back.
    Reboot(RebootStep),
    /// Stops for a person.
    Breakpoint(BreakpointStep),
    /// Runs a playbook of this host against the guest.
    Ansible(AnsibleStep),
}
