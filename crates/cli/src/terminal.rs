//! The person's terminal, for a shell in a guest.
//!
//! It is opened anew: what is set on this descriptor, non-blocking reads, is not set on the standard streams that other
//! programs share. Raw mode belongs to the terminal itself and goes back when the shell ends, however it ends.

use fs_err::os::unix::fs::OpenOptionsExt;
use kiln_builder::{OpenTerminal, Terminal, TerminalSize};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd},
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// The terminal that `kiln` was started at.
#[derive(Debug)]
pub(crate) struct Controlling;

impl Controlling {
    /// Returns the terminal where a person sits at it: input and messages both go there.
    pub(crate) fn if_any() -> Option<Arc<dyn Terminal>> {
        (io::stdin().is_terminal() && io::stderr().is_terminal()).then(|| Arc::new(Self) as _)
    }
}

impl Terminal for Controlling {
    fn take(&self) -> io::Result<OpenTerminal> {
        let (input, output) = (Tty::open()?, Tty::open()?);
        let (tell, size) = watch::channel(size_of(input.0.get_ref()));
        let mut resized = signal(SignalKind::window_change())?;
        let looked_at = input.0.get_ref().try_clone()?;
        let watching = tokio::spawn(async move {
            while resized.recv().await.is_some() {
                if tell.send(size_of(&looked_at)).is_err() {
                    return;
                }
            }
        });
        let restore = Raw::enter(input.0.get_ref().try_clone()?, watching)?;
        Ok(OpenTerminal {
            input: Box::new(input),
            output: Box::new(output),
            size,
            restore: Box::new(restore),
        })
    }
}

fn size_of(tty: &File) -> TerminalSize {
    match tcgetwinsize(tty) {
        Ok(size) if size.ws_row > 0 => TerminalSize { rows: size.ws_row, columns: size.ws_col },
        _ => TerminalSize { rows: 24, columns: 80 },
    }
}

/// Raw mode, until dropped.
#[derive(Debug)]
struct Raw {
    tty: File,
    before: Termios,
    watching: tokio::task::JoinHandle<()>,
}

impl Raw {
    fn enter(tty: File, watching: tokio::task::JoinHandle<()>) -> io::Result<Self> {
        let before = tcgetattr(&tty)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&tty, OptionalActions::Flush, &raw)?;
        Ok(Self { tty, before, watching })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.watching.abort();
        // Nothing can be done about a terminal that is gone.
        tcsetattr(&self.tty, OptionalActions::Flush, &self.before).ok();
    }
}

/// A descriptor of the terminal that never blocks a thread: a read that waits would swallow the next key.
#[derive(Debug)]
struct Tty(AsyncFd<File>);

impl Tty {
    fn open() -> io::Result<Self> {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let tty =
            fs_err::OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open("/dev/tty")?;
        #[expect(unsafe_code, reason = "the safe constructor is deprecated")]
        // SAFETY: a `File` always gives the same descriptor, and the value that holds it owns it.
        Ok(Self(unsafe { AsyncFd::register(tty.into_parts().0) }?))
    }
}

impl AsyncRead for Tty {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let space = buf.initialize_unfilled();
            match ready.try_io(|tty| tty.get_ref().read(space)) {
                Ok(read) => return Poll::Ready(read.map(|count| buf.advance(count))),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Tty {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            match ready.try_io(|tty| tty.get_ref().write(bytes)) {
                Ok(written) => return Poll::Ready(written),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
