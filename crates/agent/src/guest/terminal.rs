//! A terminal for a program that a person talks to: a pair of devices, of which the program gets one.

use super::{
    accounts::Account,
    failure::{Doing, Failure},
};
use crate::model::TerminalSize;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Gid, Mode, OFlags, Uid},
    io::Errno,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{os::fd::OwnedFd, sync::mpsc::Receiver, thread};

/// What the host's person does at a terminal.
pub(crate) enum Act {
    Type(Vec<u8>),
    Resize(TerminalSize),
}

/// The two ends of a terminal.
pub(crate) struct Terminal {
    /// What is typed goes in here, and what the program writes comes out.
    pub(crate) ours: OwnedFd,
    /// The program's standard streams.
    pub(crate) theirs: OwnedFd,
}

impl Terminal {
    /// Opens a terminal of this thread's root.
    pub(crate) fn open(size: TerminalSize, owner: &Account) -> Result<Self, Failure> {
        let open = || -> Result<Self, Errno> {
            let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
            grantpt(&ours)?;
            unlockpt(&ours)?;
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            let theirs = rustix::fs::open(ptsname(&ours, Vec::new())?, flags, Mode::empty())?;
            if rustix::process::geteuid().is_root() {
                // Its group stays the one that the file system gives: tty, where the image has it.
                rustix::fs::fchown(&theirs, Some(Uid::from_raw(owner.uid)), None::<Gid>)?;
            }
            tcsetwinsize(&ours, winsize(size))?;
            Ok(Self { ours, theirs })
        };
        open().doing(|| "opening a terminal".to_owned())
    }
}

/// Passes on what is typed, in a thread of its own: a program that does not read must not hold up the one that takes
/// requests. It ends when nobody can type any more, or nobody can read.
pub(crate) fn attend(ours: OwnedFd, acts: Receiver<Act>) {
    thread::spawn(move || {
        for act in acts {
            let done = match act {
                Act::Type(bytes) => write_all(&ours, &bytes),
                Act::Resize(size) => tcsetwinsize(&ours, winsize(size)),
            };
            if done.is_err() {
                return;
            }
        }
    });
}

/// The device does not wait, since its reader must not: waiting is done here.
fn write_all(device: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(device, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(device, PollFlags::OUT)], None)?),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn winsize(size: TerminalSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}
