//! A guest that boots by itself, and is reached over SSH.
//!
//! ```text
//! files       the agent puts an SSH server of the build's own into the image ─▶ kernel or boot loader ─▶ steps ─▶ off
//!                ─▶ the agent takes it out again, sysprep
//! cloud-init  a NoCloud seed disk ─▶ boot loader ─▶ steps ─▶ what cloud-init made of it is taken out ─▶ off ─▶ sysprep
//! none        the image has an account of its own
//! ```
//! The guest's host key is made here and pinned; both keys live as long as the build.

use crate::{
    Error, Events, Kiln, OpenPhase,
    events::Phase,
    guest::{Guest, alive, turned_off},
    layering::{Inside, LayeredMachine, Layering},
    provision::Provision,
    step::{Surroundings, told_progress},
    steps::{Machines, disk_variables, reboots, sysprep},
};
use kiln_disk::{Root, find_kernel, find_root};
use kiln_machine::{
    Running,
    communicator::{
        Session,
        agent::Exec,
        ssh::{
            Credential, HostKey, KeyPair, Password, SshSession, Target,
            fast_boot::{self, Access, FastBootError, Placed},
        },
    },
    config::{Boot, Forward, Interface, Medium, MediumKind, Network},
    seed::Seed,
    start,
};
use kiln_template::{Firmware, Ssh, SshSetup};
use kiln_types::Architecture;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// A guest stops its services first, each of which may take its time.
const OFF_WITHIN: Duration = Duration::from_secs(180);

/// What cloud-init did is undone in a second; an emulated guest takes longer.
const SCRIPT_WITHIN: Duration = Duration::from_secs(120);

/// How Kiln gets in.
struct Entrance {
    target: Target,
    put: Put,
}

/// What was put into the image for that.
enum Put {
    Nothing,
    Files(Placed),
    Seed { path: PathBuf, removal: String },
}

/// How a guest starts, and what its disk is connected to.
pub(crate) struct Start {
    pub(crate) boot: Boot,
    pub(crate) interface: Interface,
    /// For people.
    pub(crate) described: String,
}

impl Start {
    fn by_loader(machines: &Machines<'_>, why: &str) -> Self {
        Self {
            boot: machines.state.boot(),
            interface: Interface::VirtioBlk,
            described: format!("boots its own boot loader ({why})"),
        }
    }
}

impl Kiln {
    /// Runs the steps in a guest that booted, and what must be done to the disk before and after that by the agent.
    pub(crate) async fn steps_by_ssh(
        &self,
        machines: &mut Machines<'_>,
        ssh: &Ssh,
        layering: &mut Layering<'_>,
        phase: OpenPhase,
        events: &Events,
    ) -> Result<usize, Error> {
        if machines.template().machine.network == kiln_template::Network::None {
            return Err(Error::NoNetworkForSsh);
        }
        let before = layering.below().and_then(|(_, placed)| placed.cloned());
        let entrance = self.make_entrance(machines, ssh, before.as_ref(), events).await?;
        let start_by = self.start_of(machines, &entrance)?;
        events.note(&start_by.described);
        let surroundings = surroundings(machines, start_by.interface);
        let mut guest = self.boot_guest(machines, ssh, &entrance, start_by, events).await?;
        phase.done("");
        let provision = Provision { surroundings: &surroundings, ..machines.provision(events) };
        let placed = match &entrance.put {
            Put::Files(placed) => Some(placed.clone()),
            Put::Nothing | Put::Seed { .. } => None,
        };
        let mut layers = layering.over(LayeredMachine {
            qemu: machines.hardware.qemu.clone(),
            volumes: machines.volumes.clone(),
            base: machines.base.record.content,
            inside: Inside::Ssh { state: &machines.state, placed },
        });
        let ran = provision.run(&mut guest, &mut layers).await?;
        machines.volumes = layers.volumes();
        self.leave(machines, guest, &entrance, events).await?;
        Ok(ran)
    }

    /// Boots a copy of a finished image, and says what is found in it. Nothing is taken out of it again.
    pub(crate) async fn boot_for_tests(
        &self,
        machines: &Machines<'_>,
        ssh: &Ssh,
        by_loader: bool,
        events: &Events,
    ) -> Result<(Guest, Surroundings), Error> {
        if machines.template().machine.network == kiln_template::Network::None {
            return Err(Error::NoNetworkForSsh);
        }
        let entrance = self.make_entrance(machines, ssh, None, events).await?;
        let start_by = match by_loader {
            true => Start::by_loader(machines, "a test asks for it"),
            false => self.start_of(machines, &entrance)?,
        };
        events.note(&start_by.described);
        let surroundings = surroundings(machines, start_by.interface);
        let guest = self.boot_guest(machines, ssh, &entrance, start_by, events).await?;
        Ok((guest, surroundings))
    }

    /// Makes a way into the guest, as the template says or as the image allows.
    async fn make_entrance(
        &self,
        machines: &Machines<'_>,
        ssh: &Ssh,
        before: Option<&Placed>,
        events: &Events,
    ) -> Result<Entrance, Error> {
        if ssh.setup == SshSetup::None {
            return Ok(Entrance { target: own_account(ssh)?, put: Put::Nothing });
        }
        let (user_key, host_key) = (KeyPair::generate()?, KeyPair::generate()?);
        let target = |port| Target {
            port,
            user: ssh.username.clone(),
            credentials: vec![Credential::Key(user_key.clone())],
            host_key: Some(host_key.host_key()),
            keepalive: ssh.keepalive.as_duration(),
        };
        let authorized_key = user_key.public_line("kiln");
        let foreign = machines.template().machine.architecture == Architecture::Arm64;
        if foreign && ssh.setup == SshSetup::Auto {
            events.note("the agent runs no programs of arm64; cloud-init lets Kiln in");
        }
        if foreign && ssh.setup == SshSetup::Files {
            return Err(Error::ForeignFiles);
        }
        if ssh.setup != SshSetup::CloudInit && !foreign {
            let access = Access {
                authorized_key: authorized_key.clone(),
                host_key: host_key.clone(),
                cloud_init: false,
            };
            match self.put_files(machines, &access, before, events).await {
                Ok(placed) => {
                    return Ok(Entrance { target: target(fast_boot::PORT), put: Put::Files(placed) });
                }
                Err(error) if ssh.setup == SshSetup::Auto && is_unfit(&error) => {
                    events.note(format!("{error}; cloud-init lets Kiln in instead"));
                }
                Err(error) => return Err(error),
            }
        }
        let seed = Seed {
            instance_id: format!("kiln-{}", machines.loaded.now.compact()),
            hostname: None,
            user: ssh.username.clone(),
            authorized_key,
            host_key: host_key.clone(),
        };
        let path = machines.folder.path().join("seed.iso");
        seed.write(&path)?;
        Ok(Entrance { target: target(ssh.port), put: Put::Seed { path, removal: seed.removal() } })
    }

    /// Lets the agent put the files of a build's own SSH server into the image.
    async fn put_files(
        &self,
        machines: &Machines<'_>,
        access: &Access,
        before: Option<&Placed>,
        events: &Events,
    ) -> Result<Placed, Error> {
        let (mut guest, _) = self.open_root(machines, "prepare", true, None, events).await?;
        let placed = match &mut guest.session {
            Session::Agent(agent) => {
                if let Some(before) = before {
                    alive(&guest.running, fast_boot::remove(agent, before)).await?;
                }
                fast_boot::put(agent, access).await.map_err(Error::from)
            }
            Session::Ssh(_) => return Err(Error::NoTerminal),
        };
        guest.close(false, events).await?;
        placed
    }

    /// Takes out what let Kiln in, and what belongs to this machine, and turns it off.
    async fn leave(
        &self,
        machines: &Machines<'_>,
        mut guest: Guest,
        entrance: &Entrance,
        events: &Events,
    ) -> Result<(), Error> {
        if let Put::Seed { removal, .. } = &entrance.put {
            run_script(&mut guest, removal).await?;
        }
        // What is to be run for sysprep are programs of the image.
        let by_agent = machines.template().machine.architecture != Architecture::Arm64
            && find_root(&machines.base.disk).is_ok();
        let items = &machines.template().sysprep;
        if !by_agent && items.enabled {
            sysprep(&mut guest, items, events).await?;
        }
        let phase = events.begin(Phase::Shutdown);
        guest.close(false, events).await?;
        phase.done("");
        if !by_agent {
            return Ok(());
        }
        // Now nothing runs that would write any of it again.
        let (mut guest, _) = self.open_root(machines, "finish", false, None, events).await?;
        if let (Session::Agent(agent), Put::Files(placed)) = (&mut guest.session, &entrance.put) {
            alive(&guest.running, fast_boot::remove(agent, placed)).await?;
        }
        self.close_root(machines, guest, events).await
    }

    /// Boots the image, and logs in.
    async fn boot_guest(
        &self,
        machines: &Machines<'_>,
        ssh: &Ssh,
        entrance: &Entrance,
        start_by: Start,
        events: &Events,
    ) -> Result<Guest, Error> {
        let target = &entrance.target;
        let template = machines.template();
        let mut config =
            machines.hardware.config(&template.machine, start_by.boot, machines.folder.path(), "guest");
        config.disks = machines.volumes.iter().map(|volume| volume.disk(start_by.interface)).collect();
        if let Put::Seed { path, .. } = &entrance.put {
            // Cloud kernels have no driver for a CD drive.
            config.media = vec![Medium { path: path.clone(), kind: MediumKind::Disk, boots: false }];
        }
        config.network = Network::Forwarded(vec![Forward::to(target.port)]);
        config.tpm = machines.state.tpm();
        config.restarts = true;
        config.extra_args.clone_from(&template.machine.qemu_args);
        let hardware = &machines.hardware;
        let running = start(&hardware.qemu, &self.supervisor, &config, &hardware.choice).await?;
        if let Some(why) = running.fallback() {
            events.warning(format!("KVM did not work ({why}); TCG runs the guest now"));
        }
        let tell = |progress| events.output(told_progress(progress));
        let session = SshSession::wait(&running, target, ssh.timeout.as_duration(), tell).await?;
        Ok(Guest { running, session: Session::Ssh(Box::new(session)) })
    }

    /// Chooses how the guest starts: by its kernel alone where that is enough, else by its own boot loader.
    fn start_of(&self, machines: &Machines<'_>, entrance: &Entrance) -> Result<Start, Error> {
        let loader = |why: &str| Start::by_loader(machines, why);
        let template = machines.template();
        if template.machine.firmware != Firmware::Bios {
            return Ok(loader("machine.firmware"));
        }
        if reboots(template) {
            return Ok(loader("a step reboots it"));
        }
        if matches!(entrance.put, Put::Seed { .. }) {
            // Without the initrd's modules the seed is there only after cloud-init has looked for it.
            return Ok(loader("cloud-init is to find its seed"));
        }
        let kernel = machines.folder.path().join("guest-kernel");
        Ok(by_kernel(&machines.base.disk, kernel)?.unwrap_or_else(loader))
    }
}

/// Starts a disk by its kernel alone, which is written to `path`; or says why that is not enough.
pub(crate) fn by_kernel(disk: &Path, path: PathBuf) -> Result<Result<Start, &'static str>, Error> {
    let Ok(root) = find_root(disk) else { return Ok(Err("its root cannot be read")) };
    let Some(kernel) = find_kernel(disk, &root)? else { return Ok(Err("no kernel was found in it")) };
    // With these two the root is reached without an initrd, and without modules.
    if !(kernel.built_in("nvme")? && kernel.built_in(root.filesystem.as_str())?) {
        return Ok(Err("its kernel needs its initrd"));
    }
    fs_err::write(&path, kernel.read_vmlinuz()?)?;
    let command_line = command_line(&root);
    Ok(Ok(Start {
        boot: Boot::Kernel { kernel: path, initrd: None, command_line },
        interface: Interface::Nvme,
        described: format!("boots its kernel {} without boot loader and initrd", kernel.version()),
    }))
}

/// Tells the kernel what the image's boot loader would tell it, and what makes its console ours: the last one named is the
/// one that services write to.
fn command_line(root: &Root) -> String {
    let ours = |argument: &&String| {
        let name = argument.split('=').next().unwrap_or_default();
        !["console", "panic", "quiet", "splash", "initrd", "BOOT_IMAGE"].contains(&name)
    };
    let mut arguments = vec![root.root_argument("nvme0n1")];
    arguments.extend(root.boot_arguments.iter().filter(ours).cloned());
    if !root.boot_arguments.iter().any(|argument| matches!(argument.as_str(), "ro" | "rw")) {
        arguments.push("ro".to_owned());
    }
    arguments.extend(["console=ttyS0", "panic=-1"].map(str::to_owned));
    arguments.join(" ")
}

/// Says whether another way in may be open.
fn is_unfit(error: &Error) -> bool {
    match error {
        Error::FastBoot(error) => matches!(**error, FastBootError::Unfit(_)),
        Error::Disk(_) | Error::NoKernel { .. } => true,
        _ => false,
    }
}

/// What every step finds in a guest whose disks are connected so.
fn surroundings(machines: &Machines<'_>, interface: Interface) -> Surroundings {
    let mut surroundings = machines.surroundings.clone();
    surroundings.environment = disk_variables(machines.template(), interface);
    surroundings.environment.extend(machines.request.guest.environment());
    surroundings
}

pub(crate) async fn run_script(guest: &mut Guest, script: &str) -> Result<(), Error> {
    let exec = Exec { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), ..Exec::default() };
    let Guest { running, session } = guest;
    alive(running, session.exec(&exec, Some(SCRIPT_WITHIN), |_, _| {})).await.map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_disk::FileSystem;

    #[test]
    fn a_kernel_is_told_what_the_boot_loader_would_tell_it() {
        let told = |arguments: &[&str]| {
            command_line(&Root {
                partition: Some(1),
                device: "vda1".to_owned(),
                offset: 0,
                size: 0,
                filesystem: FileSystem::Ext4,
                options: String::new(),
                uuid: None,
                partuuid: Some("1a2b-01".to_owned()),
                mounts: Vec::new(),
                boot_arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
                os_release: None,
            })
        };
        assert_eq!(told(&[]), "root=PARTUUID=1a2b-01 ro console=ttyS0 panic=-1");
        assert_eq!(
            told(&["rw", "net.ifnames=0", "quiet", "console=tty0", "dyndbg=\"a b\""]),
            "root=PARTUUID=1a2b-01 rw net.ifnames=0 dyndbg=\"a b\" console=ttyS0 panic=-1"
        );
    }
}
