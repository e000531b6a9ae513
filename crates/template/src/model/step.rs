//! What each type of `[[provisioner]]` does.

use crate::model::{HostPath, Text};
use kiln_types::TimeSpan;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

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
    /// Exit statuses that count as success.
    pub valid_exit_codes: BTreeSet<u8>,
    /// Whether the connection may end with it, as when it restarts the network or the guest.
    pub expect_disconnect: bool,
    /// Sensitive variables that it finds as files, `/run/secrets/<name>`, which only its user can read.
    pub secrets: BTreeSet<String>,
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

/// A step that fetches a file or folder from the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DownloadStep {
    /// An absolute path in the guest. One that ends with a slash is a folder.
    pub source: String,
    /// What it becomes on this host. For a file, one that ends with a slash is a folder to put it into.
    pub destination: HostPath,
}

impl DownloadStep {
    /// Returns the path of this host that the file or folder becomes.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        match self.source.rsplit_once('/') {
            Some((_, name)) if !name.is_empty() && self.destination.written.ends_with('/') => {
                self.destination.path.join(name)
            }
            _ => self.destination.path.clone(),
        }
    }
}

/// A step that starts the guest anew and waits until it is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebootStep {
    /// How long the guest may take to be back. No part of the serialised form: it changes nothing in the guest.
    #[serde(skip)]
    pub timeout: TimeSpan,
    /// What to reboot it with; nothing means its own `reboot`.
    pub command: Option<Text>,
}

/// A step that stops for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakpointStep {
    /// What to tell them.
    pub note: Option<String>,
}

/// A step that runs a playbook of this host against the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnsibleStep {
    /// The playbook.
    pub playbook: HostPath,
    /// Arguments for `ansible-playbook`, which other users of this host can see: none of them is sensitive.
    pub extra_arguments: Vec<Text>,
    /// Variables of the play; they may be sensitive.
    pub extra_vars: BTreeMap<String, Text>,
    /// Groups of the inventory that the guest is in.
    pub groups: Vec<String>,
    /// Roles and collections for `ansible-galaxy` to install first.
    pub galaxy_file: Option<HostPath>,
    /// The guest's user that Ansible connects as; nothing means the communicator's.
    pub user: Option<String>,
    /// Environment variables of `ansible-playbook` itself, on this host.
    pub environment: BTreeMap<String, Text>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn where_a_download_goes() {
        let target = |source: &str, destination: &str| {
            let destination = HostPath::new(Path::new("/t"), destination);
            DownloadStep { source: source.to_owned(), destination }.target()
        };
        assert_eq!(target("/var/log/a.log", "out/"), Path::new("/t/out/a.log"));
        assert_eq!(target("/var/log/a.log", "out"), Path::new("/t/out"));
        assert_eq!(target("/etc/", "out/"), Path::new("/t/out"));
        assert_eq!(target("/etc/", "/out"), Path::new("/out"));
    }
}
