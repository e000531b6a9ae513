//! What the host asks for.

use super::{
    Frame, ProtocolError, VERSION,
    wire::{Reader, Writer},
};
use crate::model::{Device, Exec, Greeting, Mount, Network, Setup, TerminalSize};

/// `KILN` in the order that it has on the wire.
const MAGIC: u32 = u32::from_le_bytes(*b"KILN");

/// A message of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// This is the time; who are you?
    Hello(Greeting),
    /// Mount these, the root first.
    Mount(Vec<Mount>),
    /// Prepare the chroot.
    SetUp(Setup),
    /// Run this.
    Exec(Exec),
    /// Send a signal to the group of the program with this id.
    Signal(StepSignal),
    /// Take a file or folder.
    Upload {
        /// Where it goes.
        destination: String,
        /// The name that it gets where `destination` is a folder; `None` never goes into one.
        name: Option<String>,
        /// The user who is to own it, and perhaps a group; `None` is root.
        owner: Option<String>,
    },
    /// The next file, folder or link of an upload, `path` below its destination; empty for the destination itself.
    Entry {
        /// Relative, `/` between names.
        path: String,
        /// What it is.
        kind: EntryKind,
    },
    /// The next bytes of the file that was last named.
    Chunk(Vec<u8>),
    /// The upload is complete.
    UploadEnd,
    /// Send this file.
    Download(String),
    /// End every process, and give the next step fresh temporary folders.
    EndStep,
    /// Leave the image; trim unused blocks where so asked.
    Finish {
        /// Whether to discard the blocks that no file uses.
        trim: bool,
    },
    /// Switch off.
    PowerOff,
    /// What is typed at the terminal of the program with this id.
    Input(Vec<u8>),
    /// The terminal of the program with this id has another size now.
    Resize(TerminalSize),
}

/// What an entry of an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder with these permission bits, which an existing folder does not get.
    Folder(u32),
    /// A file with these permission bits; its bytes follow until the next entry.
    File(u32),
    /// A symbolic link to this text.
    Link(String),
}

/// The signals that a host may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepSignal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl Request {
    /// Puts the message into a frame.
    ///
    /// # Errors
    /// When it is too long.
    pub fn encode(&self, id: u32) -> Result<Vec<u8>, ProtocolError> {
        let mut w = Writer::default();
        let kind = match self {
            Self::Hello(greeting) => {
                w.u32(MAGIC).u16(VERSION).u64(greeting.unix_time).bytes(&greeting.entropy);
                1
            }
            Self::Mount(mounts) => {
                w.list(mounts, write_mount);
                2
            }
            Self::SetUp(setup) => {
                write_setup(&mut w, setup);
                3
            }
            Self::Exec(exec) => {
                write_exec(&mut w, exec);
                4
            }
            Self::Signal(signal) => {
                w.u8(match signal {
                    StepSignal::Interrupt => 2,
                    StepSignal::Terminate => 15,
                    StepSignal::Kill => 9,
                });
                5
            }
            Self::Upload { destination, name, owner } => {
                w.text(destination).option(name.as_deref(), write_text).option(owner.as_deref(), write_text);
                6
            }
            Self::Entry { path, kind } => {
                write_entry(w.text(path), kind);
                7
            }
            Self::Chunk(bytes) => return Frame::encode(id, 8, bytes),
            Self::UploadEnd => 9,
            Self::Download(path) => {
                w.text(path);
                10
            }
            Self::EndStep => 11,
            Self::Finish { trim } => {
                w.bool(*trim);
                12
            }
            Self::PowerOff => 13,
            Self::Input(bytes) => return Frame::encode(id, 14, bytes),
            Self::Resize(size) => {
                write_size(&mut w, *size);
                15
            }
        };
        Frame::encode(id, kind, &w.0)
    }

    /// Reads the message in a frame.
    ///
    /// # Errors
    /// When the frame does not hold a request of this version.
    pub fn decode(frame: Frame) -> Result<Self, ProtocolError> {
        let mut r = Reader(&frame.body);
        let request = match frame.kind {
            1 => {
                match (r.u32()?, r.u16()?) {
                    (MAGIC, VERSION) => {}
                    (MAGIC, version) => return Err(ProtocolError::Version(version)),
                    (magic, _) => return Err(ProtocolError::BadMagic(magic)),
                }
                Self::Hello(Greeting { unix_time: r.u64()?, entropy: r.bytes()? })
            }
            2 => Self::Mount(r.list(read_mount)?),
            3 => Self::SetUp(read_setup(&mut r)?),
            4 => Self::Exec(read_exec(&mut r)?),
            5 => Self::Signal(match r.u8()? {
                2 => StepSignal::Interrupt,
                15 => StepSignal::Terminate,
                9 => StepSignal::Kill,
                _ => return Err(ProtocolError::BadValue("signal")),
            }),
            6 => Self::Upload {
                destination: r.text()?,
                name: r.option(Reader::text)?,
                owner: r.option(Reader::text)?,
            },
            7 => Self::Entry { path: r.text()?, kind: read_entry(&mut r)? },
            8 => return Ok(Self::Chunk(frame.body)),
            9 => Self::UploadEnd,
            10 => Self::Download(r.text()?),
            11 => Self::EndStep,
            12 => Self::Finish { trim: r.bool()? },
            13 => Self::PowerOff,
            14 => return Ok(Self::Input(frame.body)),
            15 => Self::Resize(read_size(&mut r)?),
            kind => return Err(ProtocolError::UnknownKind(kind)),
        };
        r.end()?;
        Ok(request)
    }
}

fn write_text(w: &mut Writer, text: &str) {
    w.text(text);
}

fn write_mount(w: &mut Writer, mount: &Mount) {
    w.text(&mount.device.serial).option(mount.device.partition, |w, number| {
        w.u32(number);
    });
    w.text(&mount.filesystem).text(&mount.options).text(&mount.path);
    w.bool(mount.read_only).bool(mount.grow);
}

fn read_mount(r: &mut Reader<'_>) -> Result<Mount, ProtocolError> {
    let device = Device { serial: r.text()?, partition: r.option(Reader::u32)? };
    Ok(Mount {
        device,
        filesystem: r.text()?,
        options: r.text()?,
        path: r.text()?,
        read_only: r.bool()?,
        grow: r.bool()?,
    })
}

fn write_setup(w: &mut Writer, setup: &Setup) {
    w.option(setup.network.as_ref(), |w, network| {
        w.0.extend_from_slice(&network.address);
        w.u8(network.prefix);
        w.0.extend_from_slice(&network.gateway);
        w.0.extend_from_slice(&network.nameserver);
    });
    w.option(setup.hostname.as_deref(), write_text);
    write_environment(w, &setup.environment);
    w.option(setup.ca_certificates.as_deref(), |w, bytes| {
        w.bytes(bytes);
    });
    w.bool(setup.personality_32bit);
}

fn read_setup(r: &mut Reader<'_>) -> Result<Setup, ProtocolError> {
    let network = r.option(|r| {
        let (address, prefix) = (r.octets()?, r.u8()?);
        let (gateway, nameserver) = (r.octets()?, r.octets()?);
        if prefix > 32 {
            return Err(ProtocolError::BadValue("network prefix"));
        }
        Ok(Network { address, prefix, gateway, nameserver })
    })?;
    Ok(Setup {
        network,
        hostname: r.option(Reader::text)?,
        environment: read_environment(r)?,
        ca_certificates: r.option(Reader::bytes)?,
        personality_32bit: r.bool()?,
    })
}

fn write_exec(w: &mut Writer, exec: &Exec) {
    w.list(&exec.argv, |w, text| write_text(w, text));
    write_environment(w, &exec.environment);
    w.option(exec.working_directory.as_deref(), write_text).option(exec.user.as_deref(), write_text);
    w.option(exec.terminal, write_size);
}

fn read_exec(r: &mut Reader<'_>) -> Result<Exec, ProtocolError> {
    Ok(Exec {
        argv: r.list(Reader::text)?,
        environment: read_environment(r)?,
        working_directory: r.option(Reader::text)?,
        user: r.option(Reader::text)?,
        terminal: r.option(read_size)?,
    })
}

fn write_environment(w: &mut Writer, environment: &[(String, String)]) {
    w.list(environment, |w, (name, value)| {
        w.text(name).text(value);
    });
}

fn read_environment(r: &mut Reader<'_>) -> Result<Vec<(String, String)>, ProtocolError> {
    r.list(|r| Ok((r.text()?, r.text()?)))
}

fn write_size(w: &mut Writer, size: TerminalSize) {
    w.u16(size.rows).u16(size.columns);
}

fn read_size(r: &mut Reader<'_>) -> Result<TerminalSize, ProtocolError> {
    Ok(TerminalSize { rows: r.u16()?, columns: r.u16()? })
}

fn write_entry(w: &mut Writer, kind: &EntryKind) {
    match kind {
        EntryKind::Folder(mode) => w.u8(0).u32(*mode),
        EntryKind::File(mode) => w.u8(1).u32(*mode),
        EntryKind::Link(target) => w.u8(2).text(target),
    };
}

fn read_entry(r: &mut Reader<'_>) -> Result<EntryKind, ProtocolError> {
    Ok(match r.u8()? {
        0 => EntryKind::Folder(r.u32()?),
        1 => EntryKind::File(r.u32()?),
        2 => EntryKind::Link(r.text()?),
        _ => return Err(ProtocolError::BadValue("kind of entry")),
    })
}
