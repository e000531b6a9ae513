//! One conversation with the host: requests in, replies out.

use super::{
    chroot, download,
    failure::Failure,
    outbox::Outbox,
    system::System,
    upload::{self, Destination, Piece},
};
use crate::{
    model::{Greeting, Guest},
    protocol::{Frame, Reply, Request, read_frame},
};
use std::{
    collections::HashMap,
    io::{self, BufReader, Read, Write},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

/// Pieces of an upload that may wait for the disk.
const PIECES: usize = 16;

/// Why a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host asked to switch off.
    PowerOff,
    /// The host went away.
    Gone,
}

/// Obeys the host until it goes away.
///
/// # Errors
/// When the port fails or carries something that is not of the protocol.
pub fn serve(
    from_host: impl Read,
    to_host: impl Write + Send + 'static,
    system: &mut System,
) -> io::Result<End> {
    let outbox = Outbox::default();
    let writing = outbox.clone();
    let writer = thread::spawn(move || writing.write_to(to_host));
    let mut session = Session { outbox, system, uploads: HashMap::new() };
    let ended = session.obey(BufReader::with_capacity(64 << 10, from_host));
    if let Err(error) = &ended {
        session.outbox.send(0, &Reply::Failed(error.to_string()));
    }
    session.system.programs.kill();
    session.outbox.close();
    writer.join().ok();
    ended
}

struct Session<'a> {
    outbox: Outbox,
    system: &'a mut System,
    uploads: HashMap<u32, SyncSender<Piece>>,
}

impl Session<'_> {
    fn obey(&mut self, mut from_host: impl Read) -> io::Result<End> {
        while let Some(frame) = read_frame(&mut from_host)? {
            let id = frame.id;
            match decode(frame)? {
                Ok(Request::PowerOff) => return Ok(End::PowerOff),
                Ok(request) => self.take(id, request),
                Err(refusal) => self.outbox.send(id, &refusal),
            }
        }
        Ok(End::Gone)
    }

    fn take(&mut self, id: u32, request: Request) {
        match request {
            Request::Entry { path, kind } => self.pass_on(id, Piece::Entry { path, kind }),
            Request::Chunk(bytes) => self.pass_on(id, Piece::Chunk(bytes)),
            Request::UploadEnd => {
                self.pass_on(id, Piece::End);
                self.uploads.remove(&id);
            }
            Request::Signal(signal) => self.system.programs.signal(id, signal),
            Request::Input(bytes) => self.system.programs.input(id, bytes),
            Request::Resize(size) => self.system.programs.resize(id, size),
            request => {
                // The host gave up on an upload that it did not end.
                self.uploads.clear();
                self.begin(id, request);
            }
        }
    }

    fn begin(&mut self, id: u32, request: Request) {
        let done = match request {
            Request::Hello(greeting) => return self.outbox.send(id, &self.greet(&greeting)),
            Request::Exec(exec) => {
                return self.system.start(id, exec, &self.outbox);
            }
            Request::Upload { destination, name, owner } => {
                return self.upload(id, Destination { path: destination, name, owner });
            }
            Request::Download(path) => return self.download(id, path),
            Request::Mount(mounts) => self.system.mount(&mounts),
            Request::SetUp(setup) => self.system.set_up(&setup),
            Request::EndStep => self.system.end_step(),
            Request::Finish { trim } => {
                let finished = self.system.finish(trim).map_or_else(failed, Reply::Finished);
                return self.outbox.send(id, &finished);
            }
            // Taken care of by the callers.
            Request::PowerOff
            | Request::Signal(_)
            | Request::Input(_)
            | Request::Resize(_)
            | Request::Entry { .. }
            | Request::Chunk(_)
            | Request::UploadEnd => Ok(()),
        };
        self.outbox.send(id, &reply(done));
    }

    fn greet(&self, greeting: &Greeting) -> Reply {
        self.system.wake(greeting).map_or_else(failed, |()| Reply::Hello(guest()))
    }

    /// An upload that failed has no reader any more, and the host knows.
    fn pass_on(&self, id: u32, piece: Piece) {
        if let Some(upload) = self.uploads.get(&id) {
            upload.send(piece).ok();
        }
    }

    fn upload(&mut self, id: u32, destination: Destination) {
        let (pieces, receiver) = sync_channel(PIECES);
        self.uploads.insert(id, pieces);
        let (root, outbox) = (self.system.root.clone(), self.outbox.clone());
        thread::spawn(move || {
            let done = chroot::enter(root.as_deref()).and_then(|()| upload::receive(&destination, &receiver));
            outbox.send(id, &reply(done));
        });
    }

    fn download(&self, id: u32, path: String) {
        let (root, outbox) = (self.system.root.clone(), self.outbox.clone());
        thread::spawn(move || {
            let done = chroot::enter(root.as_deref()).and_then(|()| download::send(id, &path, &outbox));
            outbox.send(id, &reply(done));
        });
    }
}

fn reply(done: Result<(), Failure>) -> Reply {
    done.map_or_else(failed, |()| Reply::Done)
}

#[expect(clippy::needless_pass_by_value, reason = "stands where a result is turned into a reply")]
fn failed(failure: Failure) -> Reply {
    Reply::Failed(failure.to_string())
}

/// Decodes a request. A greeting of another version is answered; anything else that does not decode ends the conversation,
/// since nothing after it can be trusted.
fn decode(frame: Frame) -> io::Result<Result<Request, Reply>> {
    let greeting = frame.kind == 1;
    match Request::decode(frame) {
        Ok(request) => Ok(Ok(request)),
        Err(error) if greeting => Ok(Err(Reply::Failed(error.to_string()))),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

fn guest() -> Guest {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Where a driver takes plugged devices, every port that they could come to is a slot.
    let slots = fs_err::read_dir("/sys/bus/pci/slots");
    let hot_plug = slots.is_ok_and(|mut slots| slots.next().is_some());
    Guest { kernel, uptime: since.try_into().unwrap_or_default(), hot_plug }
}
