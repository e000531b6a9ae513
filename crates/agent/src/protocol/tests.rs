//! Round trips, pinned bytes, and bytes that are not of the protocol.

use super::*;
use crate::model::{
    Device, Exec, ExitStatus, Finished, Greeting, Guest, Mount, Network, Setup, Stream, TerminalSize,
};
use std::time::Duration;

fn requests() -> Vec<Request> {
    vec![
        Request::Hello(Greeting { unix_time: 1 << 40, entropy: vec![1, 2, 3] }),
        Request::Mount(vec![
            Mount {
                device: Device { serial: "root".to_owned(), partition: Some(3) },
                filesystem: "ext4".to_owned(),
                options: String::new(),
                path: "/".to_owned(),
                read_only: false,
                grow: true,
            },
            Mount {
                device: Device { serial: "root".to_owned(), partition: None },
                filesystem: "vfat".to_owned(),
                options: "umask=0077".to_owned(),
                path: "/boot/efi".to_owned(),
                read_only: true,
                grow: false,
            },
        ]),
        Request::SetUp(Setup {
            network: Some(Network::QEMU_USER),
            hostname: Some("kiln".to_owned()),
            environment: vec![("http_proxy".to_owned(), "http://10.0.2.2:3128".to_owned())],
            ca_certificates: Some(b"-----BEGIN CERTIFICATE-----".to_vec()),
            personality_32bit: true,
        }),
        Request::SetUp(Setup::default()),
        Request::Exec(Exec {
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), "echo ü".to_owned()],
            environment: vec![("A".to_owned(), "b=c".to_owned())],
            working_directory: Some("/srv".to_owned()),
            user: Some("app:www-data".to_owned()),
            terminal: Some(TerminalSize { rows: 24, columns: 80 }),
        }),
        Request::Signal(StepSignal::Kill),
        Request::Upload { destination: "/srv/".to_owned(), name: Some("a".to_owned()), owner: None },
        Request::Entry { path: String::new(), kind: EntryKind::Folder(0o755) },
        Request::Entry { path: "a/b".to_owned(), kind: EntryKind::File(0o4755) },
        Request::Entry { path: "c".to_owned(), kind: EntryKind::Link("../d".to_owned()) },
        Request::Chunk(vec![0; CHUNK]),
        Request::UploadEnd,
        Request::Download("/etc/passwd".to_owned()),
        Request::EndStep,
        Request::Finish { trim: true },
        Request::PowerOff,
        Request::Input(b"ls\r".to_vec()),
        Request::Resize(TerminalSize { rows: 50, columns: 132 }),
    ]
}

fn replies() -> Vec<Reply> {
    vec![
        Reply::Hello(Guest {
            kernel: "6.1.0".to_owned(),
            uptime: Duration::from_millis(1234),
            hot_plug: true,
        }),
        Reply::Done,
        Reply::Failed("no".to_owned()),
        Reply::Exited(ExitStatus::Exited(7)),
        Reply::Exited(ExitStatus::Signaled(9)),
        Reply::Output(Stream::Stdout, b"out".to_vec()),
        Reply::Output(Stream::Stderr, Vec::new()),
        Reply::Chunk(vec![255]),
        Reply::Finished(Finished { relabels: true }),
    ]
}

fn frame(bytes: &[u8]) -> Frame {
    read_frame(&mut &*bytes).expect("a whole frame").expect("not empty")
}

#[test]
fn everything_survives_the_way() {
    for request in requests() {
        let bytes = request.encode(77).expect("short enough");
        assert_eq!(frame(&bytes).id, 77);
        assert_eq!(Request::decode(frame(&bytes)).expect("decodes"), request);
    }
    for reply in replies() {
        let bytes = reply.encode(u32::MAX).expect("short enough");
        assert_eq!(frame(&bytes).kind, reply.kind());
        assert_eq!(Reply::decode(frame(&bytes)).expect("decodes"), reply);
    }
}

/// Any change here is a change of the protocol: raise `VERSION`.
#[test]
fn bytes_are_pinned() {
    let hello = Request::Hello(Greeting { unix_time: 9, entropy: vec![7] }).encode(1).unwrap();
    assert_eq!(hello, b"\x13\0\0\0\x01\0\0\0\x01KILN\x02\0\x09\0\0\0\0\0\0\0\x01\0\0\0\x07");
    let exit = Reply::Exited(ExitStatus::Signaled(9)).encode(0x0102_0304).unwrap();
    assert_eq!(exit, b"\x05\0\0\0\x04\x03\x02\x01\x83\x01\x09\0\0\0");
    let link = Request::Entry { path: "c".to_owned(), kind: EntryKind::Link("d".to_owned()) };
    assert_eq!(link.encode(2).unwrap(), b"\x0b\0\0\0\x02\0\0\0\x07\x01\0\0\0c\x02\x01\0\0\0d");
}

/// Every message cut at every place, and with a byte more, is refused without a panic.
#[test]
fn damage_is_an_error() {
    for request in requests() {
        let whole = frame(&request.encode(1).unwrap());
        if matches!(request, Request::Chunk(_) | Request::Input(_)) {
            continue;
        }
        for length in 0..whole.body.len() {
            let cut = Frame { body: whole.body[..length].to_vec(), ..whole.clone() };
            assert!(Request::decode(cut).is_err(), "{request:?} cut to {length}");
        }
        let mut longer = whole.clone();
        longer.body.push(0);
        assert_eq!(Request::decode(longer), Err(ProtocolError::TrailingBytes(1)), "{request:?}");
    }
    let bad = |kind, body: &[u8]| Reply::decode(Frame { id: 1, kind, body: body.to_vec() });
    assert_eq!(bad(1, b""), Err(ProtocolError::UnknownKind(1)));
    assert_eq!(bad(130, b"\xff\xff\xff\xffabc"), Err(ProtocolError::Truncated));
    assert_eq!(bad(130, b"\x01\0\0\0\xff"), Err(ProtocolError::NotText));
    assert_eq!(bad(131, b"\x02\0\0\0\0"), Err(ProtocolError::BadValue("exit status")));
    assert_eq!(bad(128, b"\x63\0"), Err(ProtocolError::Version(0x63)));
}

#[test]
fn a_list_cannot_claim_more_than_it_holds() {
    let body = [0xff, 0xff, 0xff, 0x7f, 0, 0];
    let frame = Frame { id: 1, kind: 2, body: body.to_vec() };
    assert_eq!(Request::decode(frame), Err(ProtocolError::Truncated));
}

#[test]
fn a_frame_cannot_claim_more_than_the_limit() {
    let mut bytes = vec![1, 0, 4, 0, 0, 0, 0, 0, 129];
    bytes.resize(HEADER_SIZE + MAX_BODY + 1, 0);
    let error = read_frame(&mut &*bytes).expect_err("too long");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!(Frame::encode(1, 8, &vec![0; MAX_BODY + 1]).is_err());
    assert!(read_frame(&mut &bytes[..4]).is_err(), "cut within the envelope");
    assert!(read_frame(&mut &b""[..]).expect("a clean end").is_none());
}
