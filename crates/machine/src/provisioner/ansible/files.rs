//! What Ansible is told, as files that only their owner can read.

use super::AnsibleStep;
use crate::communicator::ssh::{Credential, SshSession};
use serde_json::{Map, Value, json};
use std::{
    ffi::OsString,
    fs::Permissions,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The guest's name in the inventory.
const HOST: &str = "default";

/// The files of one step.
pub(super) struct Files {
    folder: tempfile::TempDir,
    /// Elsewhere: the path of a socket is short.
    sockets: tempfile::TempDir,
}

impl Files {
    pub(super) fn write(step: &AnsibleStep, ssh: &SshSession, folder: &Path) -> io::Result<Self> {
        let private = || Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("ansible-").permissions(private()).tempdir_in(folder)?;
        let sockets = tempfile::Builder::new().prefix("kiln-").permissions(private()).tempdir()?;
        let files = Self { folder, sockets };
        let (address, target) = (ssh.address(), ssh.target());
        let key = target.host_key.as_ref().map(crate::communicator::ssh::HostKey::line).unwrap_or_default();
        files.put("known_hosts", &format!("[{}]:{} {key}\n", address.ip(), address.port()))?;
        files.put("vars.json", &json!(step.extra_vars).to_string())?;
        let user = step.user.as_ref().unwrap_or(&target.user);
        let mut vars = Map::new();
        let mut set = |name: &str, value: Value| drop(vars.insert(name.to_owned(), value));
        set("ansible_host", json!(address.ip().to_string()));
        set("ansible_port", json!(address.port()));
        set("ansible_user", json!(user));
        set("ansible_ssh_common_args", json!(files.ssh_arguments()));
        set("ansible_become", json!(user != "root"));
        for credential in target.credentials.iter().rev() {
            match credential {
                Credential::Key(pair) => {
                    files.put("key", &pair.private_openssh().map_err(io::Error::other)?)?;
                    set("ansible_ssh_private_key_file", json!(files.path("key")));
                }
                Credential::Password(password) => {
                    set("ansible_password", json!(password.0));
                    set("ansible_become_password", json!(password.0));
                }
                Credential::Agent(_) => {}
            }
        }
        let groups = step.groups.iter().map(|group| (group.clone(), json!({ "hosts": { HOST: {} } })));
        let inventory =
            json!({ "all": { "hosts": { HOST: vars }, "children": groups.collect::<Map<_, _>>() } });
        files.put("inventory.json", &inventory.to_string())?;
        Ok(files)
    }

    /// The host key is pinned; a person's own configuration and keys do not count.
    fn ssh_arguments(&self) -> String {
        let known = self.path("known_hosts");
        format!(
            "-F /dev/null -o UserKnownHostsFile='\"{}\"' -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes",
            known.display()
        )
    }

    fn put(&self, name: &str, text: &str) -> io::Result<()> {
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true);
        options.options_mut().mode(0o600);
        options.open(self.path(name))?.write_all(text.as_bytes())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn inventory(&self) -> PathBuf {
        self.path("inventory.json")
    }

    pub(super) fn vars_argument(&self) -> OsString {
        let mut argument = OsString::from("@");
        argument.push(self.path("vars.json"));
        argument
    }

    pub(super) fn sockets(&self) -> &Path {
        self.sockets.path()
    }
}
