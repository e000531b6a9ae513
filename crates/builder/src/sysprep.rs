//! The last step of every build: what belongs to the machine that the image was built in is taken out of it.
//!
//! One shell script, `sysprep/sysprep.sh`, with a function an item, run by the image's own `/bin/sh` as root. It runs
//! over the agent, in a chroot of a root that is quiet, and over ssh in a system that runs and will write some of it
//! again when it stops: then the agent runs it once more over the powered-off disk. Running it twice changes nothing.
//!
//! Two items are done elsewhere: free blocks are given back when the agent leaves the image, and the search for secrets
//! reads the disk once the machine is off.
//!
//! # SSH host keys
//! Machines that share a host key can each be mistaken for any other, so an image must hold none. But an image of which
//! nothing makes keys at its first boot would lock everybody out: Debian's sshd does not start without. So:
//!
//! | the image has | host keys |
//! |---|---|
//! | cloud-init; a unit or init script that runs `ssh-keygen -A`, as Fedora, Arch, Alpine have | removed |
//! | sshd and systemd, and nothing of the kind | removed; a unit is left that makes them at the first boot, and then removes itself |
//! | sshd, and neither | kept, with a warning that says what to do |
//!
//! The unit is the one thing that Kiln ever leaves in an image. It is said in the build's output, and `keep =
//! ["ssh-host-keys"]` leaves keys and image alone.

use crate::Error;
use kiln_machine::communicator::{
    AgentError, CommunicatorError, Session,
    agent::{Exec, Stream},
};
use kiln_template::{Sysprep, SysprepItem};
use std::time::Duration;

const SCRIPT: &str = include_str!("sysprep/sysprep.sh");

/// The script's own items, in the order in which they run: what is logged on the way goes with the logs.
const ITEMS: [SysprepItem; 10] = [
    SysprepItem::MachineId,
    SysprepItem::SshHostKeys,
    SysprepItem::CloudInit,
    SysprepItem::DhcpLeases,
    SysprepItem::RandomSeed,
    SysprepItem::NetRules,
    SysprepItem::ShellHistory,
    SysprepItem::Apt,
    SysprepItem::TemporaryFiles,
    SysprepItem::Logs,
];

/// It takes a second; an emulated guest full of logs takes longer.
const WITHIN: Duration = Duration::from_secs(300);

/// What the script says is a few lines; the rest of a guest that says more is not kept.
const MOST_OUTPUT: usize = 1 << 20;

/// What was done, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// A line an item that did something: `ssh-host-keys: 6 removed`.
    pub(crate) done: Vec<String>,
    /// What could not be done, or was left for a reason.
    pub(crate) warnings: Vec<String>,
}

/// Runs the script. `on_line` gets each line of the summary's `done`.
///
/// # Errors
/// When the connection ends, or the script itself breaks down.
pub(crate) async fn run(
    session: &mut Session,
    sysprep: &Sysprep,
    mut on_line: impl FnMut(&str) + Send,
) -> Result<Summary, Error> {
    let items: Vec<_> = ITEMS.into_iter().filter(|item| sysprep.does(*item)).collect();
    if items.is_empty() {
        return Ok(Summary::default());
    }
    let mut argv = ["/bin/sh", "-c", SCRIPT, "sysprep"].map(str::to_owned).to_vec();
    argv.extend(items.iter().map(|item| item.as_str().to_owned()));
    let exec = Exec { argv, environment: vec![("LC_ALL".to_owned(), "C".to_owned())], ..Exec::default() };
    let (mut said, mut complaints) = (Vec::new(), Vec::new());
    let ended = session.exec(&exec, Some(WITHIN), |stream, bytes| {
        let output = if stream == Stream::Stdout { &mut said } else { &mut complaints };
        let room = MOST_OUTPUT.saturating_sub(output.len());
        output.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    });
    let status = match ended.await {
        Ok(status) => status,
        Err(error) if has_no_shell(&error) => {
            let warning = "the image has no /bin/sh: nothing was taken out of it".to_owned();
            return Ok(Summary { done: Vec::new(), warnings: vec![warning] });
        }
        Err(error) => return Err(error.into()),
    };
    let (said, complaints) = (String::from_utf8_lossy(&said), String::from_utf8_lossy(&complaints));
    if !status.success() {
        let told = format!("sysprep failed: {status}\n{complaints}").trim_end().to_owned();
        return Err(Error::StepFailed { told, wants_network: false });
    }
    let mut summary = Summary::default();
    for line in said.lines() {
        match line.strip_prefix("warning: ") {
            Some(warning) => summary.warnings.push(warning.to_owned()),
            None => {
                on_line(line);
                summary.done.push(line.to_owned());
            }
        }
    }
    summary.warnings.extend(complaints.lines().map(str::to_owned));
    Ok(summary)
}

fn has_no_shell(error: &CommunicatorError) -> bool {
    let CommunicatorError::Agent(AgentError::Refused { message, .. }) = error else { return false };
    message.contains("cannot run /bin/sh")
}

#[cfg(test)]
mod tests;
