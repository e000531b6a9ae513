//! Running a program in the chroot, and passing on what it writes.

use super::{
    accounts::Account,
    chroot,
    failure::{Doing, Failure},
    lock,
    outbox::Outbox,
    reaper::{Reaper, Running},
};
use crate::{
    model::{Exec, ExitStatus, Stream},
    protocol::{CHUNK, Reply, StepSignal},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, ioctl_fionbio},
    process::{Pid, Signal, kill_process_group},
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};
use std::{
    collections::HashMap,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// After a program's end its pipes are emptied up to here. A process that it left behind may write for ever.
const LAST_OUTPUT: usize = 1 << 20;

/// The programs that run now, by the id of their request. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Programs {
    reaper: Reaper,
    running: Arc<Mutex<HashMap<u32, Program>>>,
}

enum Program {
    /// Not started yet; a signal that came meanwhile.
    Starting(Option<StepSignal>),
    Running(Pid),
}

impl Programs {
    pub(crate) fn new(reaper: Reaper) -> Self {
        Self { reaper, running: Arc::default() }
    }

    /// Runs a program in a thread of its own that answers through `outbox`.
    pub(crate) fn start(&self, id: u32, exec: Exec, root: Option<PathBuf>, outbox: &Outbox) {
        lock(&self.running).insert(id, Program::Starting(None));
        let (programs, outbox) = (self.clone(), outbox.clone());
        thread::spawn(move || {
            let ended = chroot::enter(root.as_deref()).and_then(|()| programs.run(id, &exec, &outbox));
            lock(&programs.running).remove(&id);
            outbox.send(id, &ended.map_or_else(|e| Reply::Failed(e.to_string()), Reply::Exited));
        });
    }

    /// Sends a signal to a program and those it started. One that has ended by now is left alone.
    pub(crate) fn signal(&self, id: u32, signal: StepSignal) {
        match lock(&self.running).get_mut(&id) {
            Some(Program::Starting(pending)) => *pending = Some(signal),
            Some(Program::Running(pid)) => send(*pid, signal),
            None => {}
        }
    }

    /// Kills the groups of all programs.
    pub(crate) fn kill(&self) {
        let ids: Vec<u32> = lock(&self.running).keys().copied().collect();
        for id in ids {
            self.signal(id, StepSignal::Kill);
        }
    }

    /// Says whether nothing runs that was started here.
    pub(crate) fn idle(&self) -> bool {
        lock(&self.running).is_empty()
    }

    fn run(&self, id: u32, exec: &Exec, outbox: &Outbox) -> Result<ExitStatus, Failure> {
        let program = exec.argv.first().ok_or_else(|| Failure::new("no program was named"))?;
        let account = Account::find(exec.user.as_deref())?;
        let folder = exec.working_directory.as_deref().unwrap_or("/");
        fs_err::metadata(folder).doing(|| format!("the working directory {folder}"))?;
        let mut command = Command::new(program);
        command.args(&exec.argv[1..]).current_dir(folder).env_clear();
        command.envs([("PATH", PATH), ("HOME", &account.home), ("SHELL", &account.shell)]);
        command.envs([("USER", &account.name), ("LOGNAME", &account.name)]);
        command.envs(exec.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        become_user(&mut command, &account);
        let running = self.reaper.spawn(&mut command).doing(|| format!("cannot run {program}"))?;
        let started = lock(&self.running).insert(id, Program::Running(running.pid));
        if let Some(Program::Starting(Some(signal))) = started {
            send(running.pid, signal);
        }
        pass_on(id, running, outbox).doing(|| format!("reading the output of {program}"))
    }
}

fn send(group: Pid, signal: StepSignal) {
    let signal = match signal {
        StepSignal::Interrupt => Signal::INT,
        StepSignal::Terminate => Signal::TERM,
        StepSignal::Kill => Signal::KILL,
    };
    // It may have ended by itself.
    kill_process_group(group, signal).ok();
}

/// Gives the program a session of its own and the user's rights, in this order: the last gives up the right to do the rest.
fn become_user(command: &mut Command, account: &Account) {
    use rustix::fs::{Gid, Uid};
    let groups: Vec<Gid> = account.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    let privileged = rustix::process::geteuid().is_root();
    let before = move || -> io::Result<()> {
        rustix::process::setsid()?;
        if privileged {
            set_thread_groups(&groups)?;
            set_thread_gid(gid)?;
            set_thread_uid(uid)?;
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "no stable call sets groups and session between fork and exec")]
    // SAFETY: the closure makes bare system calls and allocates nothing; the new process has one thread, so that setting a
    // thread's ids sets the program's.
    unsafe {
        command.pre_exec(before);
    }
}

/// One of a program's outputs.
struct Output {
    stream: Stream,
    pipe: Option<OwnedFd>,
}

impl Output {
    /// Passes on what is there, at most one chunk; returns how much, 0 at its end.
    fn pass_on(&mut self, id: u32, outbox: &Outbox) -> io::Result<usize> {
        let Some(pipe) = &self.pipe else { return Ok(0) };
        let mut bytes = vec![0; CHUNK];
        match rustix::io::read(pipe, &mut bytes[..]) {
            Ok(0) => {
                self.pipe = None;
                Ok(0)
            }
            Ok(count) => {
                bytes.truncate(count);
                outbox.send_bulk(id, &Reply::Output(self.stream, bytes));
                Ok(count)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// Passes on a program's output until the program itself ends: what it left running keeps its pipes open.
fn pass_on(id: u32, running: Running, outbox: &Outbox) -> io::Result<ExitStatus> {
    let mut ending = running.ending;
    let mut outputs = [
        Output { stream: Stream::Stdout, pipe: running.stdout.map(OwnedFd::from) },
        Output { stream: Stream::Stderr, pipe: running.stderr.map(OwnedFd::from) },
    ];
    for pipe in outputs.iter().filter_map(|output| output.pipe.as_ref()) {
        ioctl_fionbio(pipe, true)?;
    }
    loop {
        let open: Vec<usize> = (0..outputs.len()).filter(|index| outputs[*index].pipe.is_some()).collect();
        let pipes = open.iter().filter_map(|index| outputs[*index].pipe.as_ref());
        let mut watched: Vec<PollFd<'_>> = pipes.map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
        watched.push(PollFd::from_borrowed_fd(ending.0.as_fd(), PollFlags::IN));
        match poll(&mut watched, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = watched.iter().map(|watched| !watched.revents().is_empty()).collect();
        if ready.last() == Some(&true) {
            break;
        }
        for (index, _) in open.iter().zip(&ready).filter(|(_, ready)| **ready) {
            outputs[*index].pass_on(id, outbox)?;
        }
    }
    for output in &mut outputs {
        let mut passed = 0;
        while passed < LAST_OUTPUT {
            match output.pass_on(id, outbox)? {
                0 => break,
                count => passed += count,
            }
        }
    }
    ending.status()
}
