//! Running a program in the chroot.

use super::{
    accounts::Account,
    chroot,
    failure::{Doing, Failure},
    lock,
    outbox::Outbox,
    output::{Output, pass_on},
    reaper::Reaper,
    terminal::{Act, Terminal, attend},
};
use crate::{
    model::{Exec, ExitStatus, Stream, TerminalSize},
    protocol::{Reply, StepSignal},
};
use rustix::{
    process::{Pid, Signal, kill_process_group},
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};
use std::{
    collections::HashMap,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The programs that run now, by the id of their request. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Programs {
    reaper: Reaper,
    running: Arc<Mutex<HashMap<u32, Program>>>,
}

struct Program {
    stage: Stage,
    /// What is done at its terminal goes here.
    terminal: Sender<Act>,
}

/// What a program runs in.
pub(crate) struct Place {
    /// Its `/`; `None` is the agent's own.
    pub(crate) root: Option<PathBuf>,
    pub(crate) personality_32bit: bool,
}

enum Stage {
    /// Not started yet; a signal that came meanwhile.
    Starting(Option<StepSignal>),
    Running(Pid),
}

impl Programs {
    pub(crate) fn new(reaper: Reaper) -> Self {
        Self { reaper, running: Arc::default() }
    }

    /// Runs a program in a thread of its own that answers through `outbox`.
    pub(crate) fn start(&self, id: u32, exec: Exec, place: Place, outbox: &Outbox) {
        let (terminal, acts) = channel();
        lock(&self.running).insert(id, Program { stage: Stage::Starting(None), terminal });
        let (programs, outbox) = (self.clone(), outbox.clone());
        thread::spawn(move || {
            let ended = chroot::enter(place.root.as_deref())
                .and_then(|()| programs.run(id, &exec, &place, acts, &outbox));
            lock(&programs.running).remove(&id);
            outbox.send(id, &ended.map_or_else(|e| Reply::Failed(e.to_string()), Reply::Exited));
        });
    }

    /// Sends a signal to a program and those it started. One that has ended by now is left alone.
    pub(crate) fn signal(&self, id: u32, signal: StepSignal) {
        match lock(&self.running).get_mut(&id).map(|program| &mut program.stage) {
            Some(Stage::Starting(pending)) => *pending = Some(signal),
            Some(Stage::Running(pid)) => send(*pid, signal),
            None => {}
        }
    }

    /// Types at a program's terminal. One that has none, or has ended, takes nothing.
    pub(crate) fn input(&self, id: u32, bytes: Vec<u8>) {
        self.act(id, Act::Type(bytes));
    }

    /// Tells a program's terminal its size.
    pub(crate) fn resize(&self, id: u32, size: TerminalSize) {
        self.act(id, Act::Resize(size));
    }

    fn act(&self, id: u32, act: Act) {
        if let Some(program) = lock(&self.running).get(&id) {
            program.terminal.send(act).ok();
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

    fn run(
        &self,
        id: u32,
        exec: &Exec,
        place: &Place,
        acts: Receiver<Act>,
        outbox: &Outbox,
    ) -> Result<ExitStatus, Failure> {
        let program = exec.argv.first().ok_or_else(|| Failure::new("no program was named"))?;
        let account = Account::find(exec.user.as_deref())?;
        let folder = exec.working_directory.as_deref().unwrap_or("/");
        fs_err::metadata(folder).doing(|| format!("the working directory {folder}"))?;
        let mut command = Command::new(program);
        command.args(&exec.argv[1..]).current_dir(folder).env_clear();
        command.envs([("PATH", PATH), ("HOME", &account.home), ("SHELL", &account.shell)]);
        command.envs([("USER", &account.name), ("LOGNAME", &account.name)]);
        command.envs(exec.environment.iter().map(|(name, value)| (name, value)));
        let terminal = exec.terminal.map(|size| Terminal::open(size, &account)).transpose()?;
        let what = || format!("cannot run {program}");
        give_streams(&mut command, terminal.as_ref()).doing(what)?;
        if place.personality_32bit {
            use_32bit_personality(&mut command);
        }
        become_user(&mut command, &account, terminal.is_some());
        let running = self.reaper.spawn(&mut command).doing(what)?;
        if let Some(Program { stage, .. }) = lock(&self.running).get_mut(&id)
            && let Stage::Starting(Some(signal)) = std::mem::replace(stage, Stage::Running(running.pid))
        {
            send(running.pid, signal);
        }
        let mut outputs = vec![
            Output { stream: Stream::Stdout, from: running.stdout.map(OwnedFd::from) },
            Output { stream: Stream::Stderr, from: running.stderr.map(OwnedFd::from) },
        ];
        // The command holds the program's end of its terminal.
        drop(command);
        if let Some(Terminal { ours, theirs }) = terminal {
            drop(theirs);
            attend(ours.try_clone().doing(what)?, acts);
            outputs = vec![Output { stream: Stream::Stdout, from: Some(ours) }];
        }
        pass_on(id, &mut outputs, running.ending, outbox).doing(|| format!("reading the output of {program}"))
    }
}

/// Gives the program its terminal, or no input and two pipes.
fn give_streams(command: &mut Command, terminal: Option<&Terminal>) -> io::Result<()> {
    let Some(Terminal { theirs, .. }) = terminal else {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        return Ok(());
    };
    command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs.try_clone()?);
    Ok(())
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
fn become_user(command: &mut Command, account: &Account, at_terminal: bool) {
    use rustix::fs::{Gid, Uid};
    let groups: Vec<Gid> = account.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    let privileged = rustix::process::geteuid().is_root();
    let before = move || -> io::Result<()> {
        rustix::process::setsid()?;
        if at_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
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

/// `PER_LINUX32` of linux/personality.h: `uname -m` says `i686` to the program and to all that it starts.
const PER_LINUX32: std::ffi::c_ulong = 8;

#[expect(unsafe_code, reason = "no safe wrapper for personality(2)")]
fn use_32bit_personality(command: &mut Command) {
    // SAFETY: its declaration in sys/personality.h.
    unsafe extern "C" {
        safe fn personality(persona: std::ffi::c_ulong) -> std::ffi::c_int;
    }
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| match personality(PER_LINUX32) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}
