//! A `qemu-img` child that reads what nobody here vouches for: with limits, and dead when its parent is.

use super::percent::Percent;
use crate::Error;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use std::{
    ffi::OsString,
    io::{self, Read},
    ops::ControlFlow,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

/// What a child may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    cpu_seconds: u64,
    memory: u64,
    file: u64,
}

impl Limits {
    /// Limits that no honest image meets: qemu-img converts 50 MB and more a CPU second also from deflate, and takes
    /// about 100 MiB beside its threads' stacks.
    pub(super) const fn for_volume(size: u64) -> Self {
        // Every format's tables take less than a sixteenth of the volume.
        Self { cpu_seconds: 600 + size / (4 << 20), memory: 4 << 30, file: size + size / 16 + (64 << 20) }
    }

    fn set(self) -> io::Result<()> {
        let limits = [
            (Resource::Cpu, self.cpu_seconds),
            (Resource::As, self.memory),
            (Resource::Fsize, self.file),
            (Resource::Core, 0),
            (Resource::Nofile, 128),
        ];
        for (resource, most) in limits {
            // A limit that stands already can only be lowered.
            let most = Some(getrlimit(resource).maximum.map_or(most, |standing| standing.min(most)));
            setrlimit(resource, Rlimit { current: most, maximum: most })?;
        }
        Ok(())
    }
}

/// Kills and reaps the child when it goes out of scope before its end.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both fail only when the child has been waited for already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs a subcommand to its end; `percent` gets hundredths of a per cent.
pub(super) fn run(
    verb: &'static str,
    arguments: &[OsString],
    subject: &Path,
    limits: Limits,
    mut percent: impl FnMut(u16) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut child = Reaped(spawn(verb, arguments, limits)?);
    let errors = child.0.stderr.take().map(|pipe| thread::spawn(move || tail(pipe)));
    if let Some(mut output) = child.0.stdout.take() {
        let (mut parser, mut buffer) = (Percent::default(), [0; 1024]);
        loop {
            match output.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    if parser.feed(&buffer[..read]).map(&mut percent) == Some(ControlFlow::Break(())) {
                        return Err(Error::Cancelled { path: subject.to_owned() });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let status = child.0.wait()?;
    let message = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    Err(Error::QemuImg { verb, path: subject.to_owned(), status: describe(status), message })
}

fn spawn(verb: &str, arguments: &[OsString], limits: Limits) -> Result<Child, Error> {
    let mut command = Command::new("qemu-img");
    command.arg(verb).args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let prepare = move || {
        // The thread that spawns is the one that waits, so its end is the end of the work.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        limits.set()
    };
    #[expect(
        unsafe_code,
        reason = "limits must hold before qemu-img's first instruction, and there is no safe hook"
    )]
    // SAFETY: the closure only makes system calls; it allocates nothing and takes no lock between fork and exec.
    unsafe {
        command.pre_exec(prepare);
    }
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::QemuImgMissing,
        _ => Error::Io(io::Error::new(error.kind(), format!("cannot start qemu-img: {error}"))),
    })
}

/// Reads to the end and keeps the last lines.
fn tail(mut pipe: impl Read) -> String {
    const KEPT: usize = 4096;
    let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(read) = pipe.read(&mut buffer)
        && read > 0
    {
        kept.extend_from_slice(&buffer[..read]);
        kept.drain(..kept.len().saturating_sub(KEPT));
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(24)) => "killed: it used more CPU time than any sound image needs".to_owned(),
        (None, Some(25)) => "killed: it wrote more than the volume's size".to_owned(),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "it did not exit".to_owned(),
    }
}
