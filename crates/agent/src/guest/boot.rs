//! From the kernel's first process to a port that listens.
//!
//! ```text
//! /init                this program
//! /modules/NN-name.ko  modules of the kernel, loaded in this order, then removed
//! /dev/console         what the kernel says and what the agent says before there is a port
//! /sysroot             the image's root, once the host had it mounted
//! ```

use super::{
    End, System,
    failure::{Doing, Failure},
    serve,
};
use crate::protocol::PORT;
use rustix::{
    fs::Mode,
    io::Errno,
    mount::{MountFlags, mount},
    process::{Resource, Rlimit, setrlimit},
    system::{RebootCommand, init_module, reboot},
};
use std::{
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// How long the port may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// The main function of the appliance's init. It returns only where it is not that.
pub fn run() -> ExitCode {
    if rustix::process::getpid().as_raw_nonzero().get() != 1 {
        say("this is the first process of an appliance that kiln starts; it does nothing here");
        return ExitCode::from(2);
    }
    std::panic::set_hook(Box::new(|panic| say(&format!("broke down: {panic}"))));
    if let Err(failure) = live() {
        say(&format!("error: {failure}"));
    }
    // Whoever watches the machine sees it stop at once.
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        say(&format!("cannot switch off: {error}"));
    }
    ExitCode::FAILURE
}

fn live() -> Result<(), Failure> {
    say("started");
    mount_kernel_file_systems()?;
    set_limits()?;
    load_modules(Path::new("/modules"))?;
    let port = wait_for_port()?;
    let open = || fs_err::OpenOptions::new().read(true).write(true).open(&port);
    let (from_host, to_host) = open().and_then(|port| Ok((port.try_clone()?, port)))?;
    say(&format!("listening on {}", port.display()));
    let mut system = System::appliance();
    loop {
        let (from_host, to_host) = (from_host.try_clone()?, to_host.try_clone()?);
        match serve(from_host, to_host, &mut system).doing(|| "serving the host".to_owned())? {
            End::PowerOff => return Ok(()),
            // The port reads as ended while no one is at its other end: a machine that was saved gets a new host.
            End::Gone => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn mount_kernel_file_systems() -> Result<(), Failure> {
    for (filesystem, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs_err::create_dir_all(place)?;
        match mount(filesystem, place, filesystem, MountFlags::empty(), None) {
            // Some kernels mount it before init runs.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(error) => return Err(error).doing(|| format!("mounting {place}")),
        }
    }
    let links = [("fd", "self/fd"), ("stdin", "self/fd/0"), ("stdout", "self/fd/1"), ("stderr", "self/fd/2")];
    for (name, target) in links {
        let link = Path::new("/dev").join(name);
        if !link.is_symlink() {
            symlink(Path::new("/proc").join(target), &link).doing(|| format!("making {}", link.display()))?;
        }
    }
    Ok(())
}

/// What programs of a booted Debian start with.
fn set_limits() -> Result<(), Failure> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let files = Rlimit { current: Some(1024), maximum: Some(512 << 10) };
    setrlimit(Resource::Nofile, files).doing(|| "setting the limit of open files".to_owned())
}

/// Loads every module in order. One that the kernel refuses is told of: what depends on it fails with its own words.
fn load_modules(folder: &Path) -> Result<(), Failure> {
    if !folder.is_dir() {
        return Ok(());
    }
    let entries = fs_err::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut modules: Vec<PathBuf> = entries.iter().map(fs_err::DirEntry::path).collect();
    modules.sort();
    for module in modules {
        let bytes = fs_err::read(&module)?;
        match init_module(&bytes, c"") {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => say(&format!("cannot load {}: {error}", module.display())),
        }
    }
    Ok(fs_err::remove_dir_all(folder)?)
}

/// ```text
/// /sys/class/virtio-ports/vport0p1/name    "org.kiln.agent.0"
/// /dev/vport0p1
/// ```
fn wait_for_port() -> Result<PathBuf, Failure> {
    let started = Instant::now();
    loop {
        if let Some(port) = find_port(Path::new("/sys/class/virtio-ports")) {
            return Ok(port);
        }
        if started.elapsed() > PATIENCE {
            return Err(Failure::new(format!("no virtio-serial port {PORT} appeared")));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn find_port(class: &Path) -> Option<PathBuf> {
    let ports = fs_err::read_dir(class).ok()?.flatten();
    let named = |port: &fs_err::DirEntry| {
        fs_err::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim() == PORT)
    };
    let node = ports.into_iter().find(named).map(|port| Path::new("/dev").join(port.file_name()))?;
    node.exists().then_some(node)
}

/// Tells whoever reads the console.
fn say(text: &str) {
    // Without a console there is no one to tell.
    writeln!(io::stderr(), "kiln-agent: {text}").ok();
}
