//! `[machine]`.

mod disk;
mod qemu_args;

use crate::{
    model::{Communicator, Firmware, Machine},
    reader::{Field, Kind},
    report::{Checked, Diagnostic},
};
use kiln_types::{Architecture, ByteSize, DeviceName};

/// Reads the machine. The communicator must be one that its architecture has; `root` is the root's name in the
/// block device mapping, which no other disk can have.
pub(crate) fn read(
    field: &Field<'_>,
    communicator: &Checked<Communicator>,
    root: Option<&DeviceName>,
) -> Checked<Machine> {
    let mut table = field.table("`[machine]`")?;
    let default = Machine::default();
    let cpus = table.or("cpus", default.cpus, |field| {
        let cpus = field.integer(1..=255)?;
        Ok(u8::try_from(cpus).expect("the range fits"))
    });
    let memory = table.or("memory", default.memory, |field| field.size(ByteSize::from_mib(128)));
    let architecture =
        table.or("architecture", default.architecture, |field| architecture(field, communicator));
    let accelerator = table.or("accelerator", default.accelerator, Field::word);
    let firmware = match table.get("firmware") {
        Some(field) => firmware(&field, architecture),
        None if architecture == Ok(Architecture::Arm64) => Ok(Firmware::Uefi),
        None => Ok(default.firmware),
    };
    let network = table.or("network", default.network, Field::word);
    let kernel_field = table.get("kernel");
    let kernel = kernel_field.as_ref().map(|field| field.host_path(Kind::File)).transpose();
    let initrd = table.optional("initrd", |field| {
        if kernel_field.is_none() {
            let diagnostic = Diagnostic::at(field.key.clone(), "`initrd` without a `kernel`");
            return Err(field.context.report(diagnostic.help("add `kernel = \"…\"`, or leave both out")));
        }
        field.host_path(Kind::File)
    });
    let tpm = table.or("tpm", default.tpm, |field| tpm(field, architecture));
    let disks = table.or("disk", default.disks, |field| disk::read(field, root));
    let qemu_args = table.or("qemu_args", default.qemu_args, |field| field.each(qemu_args::read));
    table.finish()?;
    Ok(Machine {
        cpus: cpus?,
        memory: memory?,
        architecture: architecture?,
        accelerator: accelerator?,
        firmware: firmware?,
        kernel: kernel?,
        initrd: initrd?,
        network: network?,
        tpm: tpm?,
        disks: disks?,
        qemu_args: qemu_args?,
    })
}

fn architecture(field: &Field<'_>, communicator: &Checked<Communicator>) -> Checked<Architecture> {
    let architecture = field.parse()?;
    if architecture == Architecture::Arm64 && *communicator == Ok(Communicator::Agent) {
        let title = "the `agent` communicator does not run on arm64";
        let diagnostic = Diagnostic::at(field.span(), title).label("the agent is a program for x86");
        return Err(field
            .context
            .report(diagnostic.help("boot the image itself: add `[communicator]` with `type = \"ssh\"`")));
    }
    Ok(architecture)
}

fn firmware(field: &Field<'_>, architecture: Checked<Architecture>) -> Checked<Firmware> {
    let firmware = field.word()?;
    match (architecture, firmware) {
        (Ok(Architecture::Arm64), Firmware::Bios) => {
            let diagnostic =
                Diagnostic::at(field.span(), "arm64 has no `bios`").label("its machines start through UEFI");
            Err(field.context.report(diagnostic.help("write `firmware = \"uefi\"`, or leave it out")))
        }
        (Ok(Architecture::I386), Firmware::UefiSecure) => {
            let diagnostic = Diagnostic::at(field.span(), "there is no Secure Boot for i386");
            let diagnostic = diagnostic.label("no firmware of this kind checks 32-bit boot loaders");
            Err(field.context.report(diagnostic.help("write `firmware = \"uefi\"` or `firmware = \"bios\"`")))
        }
        _ => Ok(firmware),
    }
}

fn tpm(field: &Field<'_>, architecture: Checked<Architecture>) -> Checked<bool> {
    let tpm = field.boolean()?;
    if tpm && architecture == Ok(Architecture::I386) {
        return Err(field.wrong("an i386 machine has no TPM", "needs `x86_64` or `arm64`"));
    }
    Ok(tpm)
}
