//! `[[provisioner]]`: the steps of a build.

use crate::model::{HostPath, Text};
use kiln_types::TimeSpan;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A step of the build, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioner {
    /// The name as written, or one made from what the step does: `shell: apt-get update`.
    pub name: String,
    /// The line of its `[[provisioner]]`, from 1.
    pub line: usize,
    /// Names of the variables that it uses, directly or through locals.
    pub variables: BTreeSet<String>,
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
}

/// A step that runs commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShellStep {
    /// What to run.
    pub code: ShellCode,
    /// Variables to set for it.
    pub environment: BTreeMap<String, Text>,
    /// The program that reads the script, and its arguments: `["/bin/sh", "-e"]`.
    pub interpreter: Vec<String>,
    /// An absolute path in the guest.
    pub working_directory: Option<String>,
    /// The guest's user to run as; nothing means root.
    pub user: Option<String>,
    /// How long it may take; nothing means as long as it likes.
    pub timeout: Option<TimeSpan>,
    /// Exit statuses that count as success.
    pub valid_exit_codes: BTreeSet<u8>,
}

/// What a shell step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShellCode {
    /// Lines written in the template; together they are one script.
    Inline(Vec<InlineLine>),
    /// Script files of this host, one after the other.
    Scripts(Vec<HostPath>),
}

/// An element of `inline`. It may hold line ends of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct InlineLine {
    /// The command.
    pub text: Text,
    /// The template's line on which it starts, from 1.
    #[serde(skip)]
    pub line: usize,
}

/// A step that puts a file or folder into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileStep {
    /// What to put there.
    pub content: Content,
    /// An absolute path in the guest. One that ends with a slash is a folder to put it into.
    pub destination: String,
    /// Permission bits, at most 0o7777; nothing keeps the file's own, and gives `content` 0644.
    pub mode: Option<u32>,
    /// Who owns it; nothing means root.
    pub owner: Option<Owner>,
}

/// What a file step puts into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A file or folder of this host.
    Source(HostPath),
    /// The text of a file.
    Text(Text),
}

/// A user and perhaps a group of the guest, by name or number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The user.
    pub user: String,
    /// The group; nothing means the user's own.
    pub group: Option<String>,
}
