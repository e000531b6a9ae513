//! Passing on what a program writes, until it ends.

use super::{outbox::Outbox, reaper::Ending};
use crate::{
    model::{ExitStatus, Stream},
    protocol::{CHUNK, Reply},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, ioctl_fionbio},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

/// After a program's end its outputs are emptied up to here. A process that it left behind may write for ever.
const LAST_OUTPUT: usize = 1 << 20;

/// One of a program's outputs.
pub(crate) struct Output {
    pub(crate) stream: Stream,
    /// A pipe or a terminal.
    pub(crate) from: Option<OwnedFd>,
}

impl Output {
    /// Passes on what is there, at most one chunk; returns how much, 0 at its end.
    fn pass_on(&mut self, id: u32, outbox: &Outbox) -> io::Result<usize> {
        let Some(from) = &self.from else { return Ok(0) };
        let mut bytes = vec![0; CHUNK];
        match rustix::io::read(from, &mut bytes[..]) {
            // A terminal that no program holds any more has no end, only this error.
            Ok(0) | Err(Errno::IO) => {
                self.from = None;
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

/// Passes on a program's outputs until the program itself ends: what it left running keeps them open.
pub(crate) fn pass_on(
    id: u32,
    outputs: &mut [Output],
    mut ending: Ending,
    outbox: &Outbox,
) -> io::Result<ExitStatus> {
    for from in outputs.iter().filter_map(|output| output.from.as_ref()) {
        ioctl_fionbio(from, true)?;
    }
    loop {
        let mut open: Vec<&mut Output> = outputs.iter_mut().filter(|output| output.from.is_some()).collect();
        let pipes = open.iter().filter_map(|output| output.from.as_ref());
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
        for (output, _) in open.iter_mut().zip(&ready).filter(|(_, ready)| **ready) {
            output.pass_on(id, outbox)?;
        }
    }
    for output in outputs {
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
