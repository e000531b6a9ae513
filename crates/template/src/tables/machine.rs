//! `[machine]` and `[communicator]`.

use crate::{
    model::{Communicator, Machine},
    reader::{Field, Kind},
    report::{Checked, Diagnostic},
};
use kiln_types::{Architecture, ByteSize};

/// Communicators that people may know, and that do not exist yet.
const LATER: [&str; 3] = ["ssh", "winrm", "none"];

/// Reads the machine.
pub(crate) fn read(field: &Field<'_>) -> Checked<Machine> {
    let mut table = field.table("`[machine]`")?;
    let default = Machine::default();
    let cpus = table.or("cpus", default.cpus, |field| {
        let cpus = field.integer(1..=255)?;
        Ok(u8::try_from(cpus).expect("the range fits"))
    });
    let memory = table.or("memory", default.memory, |field| field.size(ByteSize::from_mib(128)));
    let architecture = table.or("architecture", default.architecture, architecture);
    let accelerator = table.or("accelerator", default.accelerator, Field::word);
    let firmware = table.or("firmware", default.firmware, Field::word);
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
    })
}

fn architecture(field: &Field<'_>) -> Checked<Architecture> {
    let architecture = field.parse()?;
    if architecture == Architecture::X86_64 {
        return Ok(architecture);
    }
    let title = format!("the `agent` communicator does not run on {architecture} yet");
    Err(field.wrong(title, "only x86_64 is supported so far"))
}

/// Reads the communicator.
pub(crate) fn read_communicator(field: &Field<'_>) -> Checked<Communicator> {
    let mut table = field.table("`[communicator]`")?;
    let Some(field) = table.get("type") else {
        return table.finish().map(|()| Communicator::Agent);
    };
    let word = field.string()?;
    if let Some(later) = Some(word.as_str()).filter(|word| LATER.contains(word)) {
        // Its other keys are not looked at: they would be right one day.
        let title = format!("communicator `{later}` does not exist yet");
        let diagnostic = Diagnostic::at(field.span(), title).label("not supported so far");
        let help = "use `agent`, which needs no network, no SSH and no boot of the image";
        return Err(field.context.report(diagnostic.help(help)));
    }
    let kind = field.word();
    table.finish().and(kind)
}
