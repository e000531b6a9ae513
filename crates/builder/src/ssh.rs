//! A guest that boots by itself, and is reached over SSH.

use crate::{
    Error, Events, Kiln, OpenPhase,
    guest::{Guest, turned_off},
    steps::{Machines, reboots},
};
use kiln_disk::{find_kernel, find_root};
use kiln_machine::{
    Running,
    communicator::{
        Session,
        agent::Exec,
        ssh::{Credential, HostKey, KeyPair, Password, Progress, SshSession, Target},
    },
    config::{Boot, Interface, Medium, Network},
    start,
};
use kiln_template::{Firmware, Ssh};
use std::time::Duration;

/// A guest stops its services first, each of which may take its time.
const OFF_WITHIN: Duration = Duration::from_secs(180);

/// How a guest starts, and what its disk is connected to.
pub(crate) struct Start {
    pub(crate) boot: Boot,
    pub(crate) interface: Interface,
    /// For people.
    pub(crate) described: String,
}

impl Kiln {
    /// Runs the steps in a guest that booted, and what must be done to the disk before and after that by the agent.
    pub(crate) async fn steps_by_ssh(
        &self,
        machines: &Machines<'_>,
        ssh: &Ssh,
        phase: OpenPhase,
        events: &Events,
    ) -> Result<usize, Error> {
        let target = own_account(ssh)?;
        let start_by = self.start_of(machines)?;
        events.note(&start_by.described);
        let mut guest = self.boot_guest(machines, ssh, &target, start_by, Vec::new(), events).await?;
        phase.done("");
        let ran = machines.provision(events).run(&mut guest).await?;
        guest.close(false, events).await?;
        Ok(ran)
    }

    /// Boots the image, and logs in.
    async fn boot_guest(
        &self,
        machines: &Machines<'_>,
        ssh: &Ssh,
        target: &Target,
        start_by: Start,
        media: Vec<Medium>,
        events: &Events,
    ) -> Result<Guest, Error> {
        let template = machines.template();
        let mut config =
            machines.hardware.config(&template.machine, start_by.boot, machines.folder.path(), "guest");
        config.disks = machines.volumes.iter().map(|volume| volume.disk(start_by.interface)).collect();
        config.media = media;
        config.network = Network::Forwarded(vec![target.port]);
        config.tpm = machines.state.tpm();
        config.restarts = true;
        config.extra_args.clone_from(&template.machine.qemu_args);
        let hardware = &machines.hardware;
        let running = start(&hardware.qemu, &self.supervisor, &config, &hardware.choice).await?;
        if let Some(why) = running.fallback() {
            events.warning(format!("KVM did not work ({why}); TCG runs the guest now"));
        }
        let tell = |progress| match progress {
            Progress::Console(line) => events.output(line),
            Progress::Reached(reached) => events.output(format!("ssh: {reached}")),
            Progress::Server(server) => events.output(format!("ssh: the guest runs {server}")),
        };
        let session = SshSession::wait(&running, target, ssh.timeout.as_duration(), tell).await?;
        Ok(Guest { running, session: Session::Ssh(Box::new(session)) })
    }

    /// Chooses how the guest starts: by its kernel alone where that is enough, else by its own boot loader.
    fn start_of(&self, machines: &Machines<'_>) -> Result<Start, Error> {
        let loader = |why: &str| Start {
            boot: machines.state.boot(),
            interface: Interface::VirtioBlk,
            described: format!("boots its own boot loader ({why})"),
        };
        let template = machines.template();
        if template.machine.firmware != Firmware::Bios {
            return Ok(loader("machine.firmware"));
        }
        if reboots(template) {
            return Ok(loader("a step reboots it"));
        }
        let disk = &machines.base.disk;
        let Ok(root) = find_root(disk) else { return Ok(loader("its root cannot be read")) };
        let Some(kernel) = find_kernel(disk, &root)? else { return Ok(loader("no kernel was found in it")) };
        // With these two the root is reached without an initrd, and without modules.
        if !(kernel.built_in("nvme")? && kernel.built_in(root.filesystem.as_str())?) {
            return Ok(loader("its kernel needs its initrd"));
        }
        let path = machines.folder.path().join("guest-kernel");
        fs_err::write(&path, kernel.read_vmlinuz()?)?;
        let root_argument = root.root_argument("nvme0n1");
        let arguments = ["console=ttyS0", "ro", "panic=-1"].join(" ");
        Ok(Start {
            boot: Boot::Kernel {
                kernel: path,
                initrd: None,
                command_line: format!("{root_argument} {arguments}"),
            },
            interface: Interface::Nvme,
            described: format!("boots its kernel {} without boot loader and initrd", kernel.version()),
        })
    }
}

/// Whom to reach in an image that has an account of its own.
fn own_account(ssh: &Ssh) -> Result<Target, Error> {
    let mut credentials = Vec::new();
    if let Some(key) = &ssh.private_key {
        credentials.push(Credential::Key(KeyPair::read(&key.path)?));
    }
    if let Some(password) = &ssh.password {
        credentials.push(Credential::Password(Password(password.expose().to_owned())));
    }
    let host_key = ssh.host_key.as_deref().map(HostKey::parse).transpose()?;
    Ok(Target {
        port: ssh.port,
        user: ssh.username.clone(),
        credentials,
        host_key,
        keepalive: ssh.keepalive.as_duration(),
    })
}

/// Turns a guest off from inside.
pub(crate) async fn shut_down(
    running: Running,
    mut session: Box<SshSession>,
    events: &Events,
) -> Result<(), Error> {
    let script =
        "sync; if command -v systemctl >/dev/null; then systemctl poweroff --no-block; else poweroff; fi";
    let exec = Exec { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), ..Exec::default() };
    // The connection may end with it.
    drop(session.exec(&exec, Some(Duration::from_secs(30)), |_, _| {}).await);
    session.disconnect().await;
    turned_off(running, OFF_WITHIN, events).await
}
