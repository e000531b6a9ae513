//! `kiln instance ssh`: the host's own client, with the instance's key and the guest's host key pinned.

use crate::{exit, failure::Failure};
use kiln_builder::{Described, Kiln};
use std::{os::unix::process::CommandExt, path::Path, process::Command};

/// Becomes the client; returns only where that fails.
pub(super) fn log_in(kiln: &Kiln, described: &Described, user: &str, command: &[String]) -> Failure {
    let id = described.instance.instance_id;
    let Some(access) = described.ssh(&kiln.instance_files(id)) else {
        let state = described.state.name.as_str();
        return Failure::usage(format!("the instance '{id}' is {state}"))
            .with_hint(format!("kiln instance start {id}"));
    };
    let option = |name: &str, path: &Path| format!("{name}=\"{}\"", path.display());
    let mut ssh = Command::new("ssh");
    ssh.args(["-p", &access.port.to_string(), "-l", user]);
    ssh.args(["-o", &option("IdentityFile", &access.key), "-o", "IdentitiesOnly=yes"]);
    ssh.args(["-o", &option("UserKnownHostsFile", &access.known_hosts)]);
    ssh.args(["-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes"]);
    ssh.args(["-o", &format!("HostKeyAlias={}", access.host_key_alias), "-o", "LogLevel=ERROR"]);
    let error = ssh.arg("127.0.0.1").arg("--").args(command).exec();
    Failure::from_error(&error, Some("apt install openssh-client".to_owned()), exit::HOST)
        .about("ssh cannot be run")
}
