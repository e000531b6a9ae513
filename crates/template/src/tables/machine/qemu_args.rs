//! `machine.qemu_args`.

use crate::{
    reader::Field,
    report::{Checked, Diagnostic},
};

/// Options that cannot be given, and why.
const REFUSED: [(&[&str], &str); 7] = [
    (&["m"], "a machine's memory is `memory`"),
    (&["smp"], "a machine's processors are `cpus`"),
    (&["accel", "enable-kvm"], "what runs the guest's instructions is `accelerator`"),
    (
        &["display", "vnc", "spice", "nographic", "curses", "sdl", "full-screen"],
        "the guest's screen is kept in memory: no display ever listens",
    ),
    (
        &["monitor", "mon", "qmp", "qmp-pretty", "serial"],
        "Kiln itself is at the other end of QEMU's monitor and of the guest's console",
    ),
    (
        &["daemonize", "pidfile", "chroot", "runas", "run-with"],
        "Kiln starts QEMU so that it cannot outlive the build",
    ),
    (
        &["incoming", "loadvm", "S", "snapshot", "nodefaults", "preconfig", "no-shutdown"],
        "it decides how the guest starts, ends or keeps what it writes, which is Kiln's to do",
    ),
];

/// Reads an argument.
pub(super) fn read(field: &Field<'_>) -> Checked<String> {
    let argument = field.string()?;
    // QEMU takes one hyphen or two.
    let option = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
    let refused = REFUSED.iter().find(|(options, _)| option.is_some_and(|option| options.contains(&option)));
    let Some((_, why)) = refused else { return Ok(argument) };
    let title = format!("`{argument}` cannot be given to QEMU by a template");
    let diagnostic = Diagnostic::at(field.span(), title).label("refused");
    Err(field.context.report(diagnostic.help(*why)))
}
