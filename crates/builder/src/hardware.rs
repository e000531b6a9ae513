//! The machine of a template, as far as it does not depend on what is done with it.

use crate::{Error, Events, Kiln};
use kiln_machine::{
    Choice, KvmFacts, KvmProbe, Qemu, Wanted, choose,
    config::{self, Accelerator, Boot, MachineConfig},
};
use kiln_template::Machine;
use std::path::Path;

/// What runs a build's machines: found once, so that all of them are alike.
#[derive(Debug, Clone)]
pub(crate) struct Hardware {
    pub(crate) qemu: Qemu,
    pub(crate) choice: Choice,
}

impl Kiln {
    /// Finds QEMU and chooses the accelerator, and says which and why.
    pub(crate) fn hardware(&self, machine: &Machine, events: &Events) -> Result<Hardware, Error> {
        let qemu = Qemu::find(&self.programs, machine.architecture)?;
        let probe = KvmProbe::new(&self.home.kvm_probe());
        let facts = KvmFacts::of_this_host();
        let choice = choose(wanted(machine), machine.architecture, &facts, Some(&probe));
        events.note(format!("accelerator: {}", choice.reason));
        Ok(Hardware { qemu, choice })
    }
}

/// What a template asks for.
pub(crate) const fn wanted(machine: &Machine) -> Wanted {
    match machine.accelerator {
        kiln_template::Accelerator::Auto => Wanted::Auto,
        kiln_template::Accelerator::Kvm => Wanted::This(Accelerator::Kvm),
        kiln_template::Accelerator::Tcg => Wanted::This(Accelerator::Tcg),
    }
}

impl Hardware {
    /// Describes a machine without disks. `name` tells its logs from those of the build's other machines.
    pub(crate) fn config(&self, machine: &Machine, boot: Boot, folder: &Path, name: &str) -> MachineConfig {
        MachineConfig {
            architecture: machine.architecture,
            cpus: machine.cpus,
            memory: machine.memory,
            accelerator: self.choice.accelerator,
            disks: Vec::new(),
            media: Vec::new(),
            boot,
            durable: false,
            network: match machine.network {
                kiln_template::Network::User => config::Network::User,
                kiln_template::Network::None => config::Network::None,
            },
            screen: false,
            tpm: None,
            restarts: false,
            extra_args: Vec::new(),
            console: folder.join(format!("{name}-console.log")),
            log: folder.join(format!("{name}-qemu.log")),
            agent_port: None,
        }
    }
}
