//! The agent's loop in an ordinary process, spoken to over a socket pair.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use kiln_agent::{
    Exec, ExitStatus, Greeting, Stream, TerminalSize,
    guest::{End, System, serve},
    protocol::{CHUNK, EntryKind, Reply, Request, read_frame},
};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread::{self, JoinHandle},
    time::Duration,
};

fn start() -> (UnixStream, JoinHandle<io::Result<End>>) {
    let (host, guest) = UnixStream::pair().unwrap();
    host.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    host.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let to_host = guest.try_clone().unwrap();
    (host, thread::spawn(move || serve(guest, to_host, &mut System::process(None))))
}

fn send(host: &mut UnixStream, id: u32, request: &Request) {
    host.write_all(&request.encode(id).unwrap()).expect("the agent reads in time");
}

fn receive(host: &mut UnixStream) -> (u32, Reply) {
    let frame = read_frame(host).expect("the agent answers in time").expect("the stream goes on");
    (frame.id, Reply::decode(frame).expect("the agent speaks the protocol"))
}

fn sh(script: &str) -> Request {
    Request::Exec(Exec { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), ..Exec::default() })
}

fn upload(host: &mut UnixStream, id: u32, to: &Path, chunks: usize) {
    let destination = to.to_str().unwrap().to_owned();
    send(host, id, &Request::Upload { destination, name: None, owner: Some(own()) });
    send(host, id, &Request::Entry { path: String::new(), kind: EntryKind::File(0o600) });
    for _ in 0..chunks {
        send(host, id, &Request::Chunk(vec![7; CHUNK]));
    }
    send(host, id, &Request::UploadEnd);
}

/// The tests need no root, and an owner that this user may give.
fn own() -> String {
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    format!("{user}:{group}")
}

/// A host that writes megabytes while it does not read, to an agent that has megabytes to tell.
#[test]
fn neither_side_waits_for_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (mut host, agent) = start();
    send(&mut host, 1, &sh("head -c 20000000 /dev/zero; echo done >&2; exit 5"));
    upload(&mut host, 2, &folder.path().join("file"), 160);
    let (mut zeros, mut told) = (0, Vec::new());
    let mut ended = BTreeMap::new();
    while ended.len() < 2 {
        match receive(&mut host) {
            (1, Reply::Output(Stream::Stdout, bytes)) => zeros += bytes.len(),
            (1, Reply::Output(Stream::Stderr, bytes)) => told.extend(bytes),
            (id, reply) => drop(ended.insert(id, reply)),
        }
    }
    assert_eq!((zeros, told.as_slice()), (20_000_000, b"done\n".as_slice()));
    assert_eq!(ended[&1], Reply::Exited(ExitStatus::Exited(5)));
    assert_eq!(ended[&2], Reply::Done);
    assert_eq!(fs_err::metadata(folder.path().join("file")).unwrap().len(), 160 * 65536);
    send(&mut host, 3, &Request::PowerOff);
    assert_eq!(agent.join().unwrap().unwrap(), End::PowerOff);
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut host, agent) = start();
    let destination = folder.path().join("file").to_str().unwrap().to_owned();
    send(&mut host, 1, &Request::Upload { destination, name: None, owner: None });
    send(&mut host, 1, &Request::Entry { path: String::new(), kind: EntryKind::File(0o600) });
    send(&mut host, 1, &Request::Chunk(vec![1; 10]));
    send(&mut host, 2, &Request::Hello(Greeting::default()));
    let mut replies: Vec<(u32, Reply)> = vec![receive(&mut host), receive(&mut host)];
    replies.sort_by_key(|(id, _)| *id);
    assert!(matches!(&replies[0], (1, Reply::Failed(why)) if why.contains("broken off")), "{replies:?}");
    assert!(matches!(replies[1], (2, Reply::Hello(_))), "{replies:?}");
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    drop(host);
    assert_eq!(agent.join().unwrap().unwrap(), End::Gone);
}

#[test]
fn paths_that_lead_out_of_an_upload_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["../x", "/etc/x", "a/../../x", "."] {
        let (mut host, _agent) = start();
        let destination = folder.path().join("in").to_str().unwrap().to_owned();
        send(&mut host, 1, &Request::Upload { destination, name: None, owner: Some(own()) });
        send(&mut host, 1, &Request::Entry { path: path.to_owned(), kind: EntryKind::File(0o600) });
        assert!(matches!(receive(&mut host), (1, Reply::Failed(why)) if why.contains("leads out")), "{path}");
    }
}

#[test]
fn what_only_an_appliance_can_do_is_refused_elsewhere() {
    let (mut host, _agent) = start();
    for request in [Request::Mount(Vec::new()), Request::SetUp(kiln_agent::Setup::default())] {
        send(&mut host, 1, &request);
        assert!(matches!(receive(&mut host), (1, Reply::Failed(why)) if why.contains("only the appliance")));
    }
}

/// What is not of the protocol ends the conversation with a word, since nothing after it can be trusted; another version is
/// only refused.
#[test]
fn nonsense_is_answered() {
    let (mut host, agent) = start();
    host.write_all(b"\x06\0\0\0\x01\0\0\0\x01KILN\xff\0").unwrap();
    assert!(matches!(receive(&mut host), (1, Reply::Failed(why)) if why.contains("version 255")));
    host.write_all(b"\0\0\0\0\x01\0\0\0\x63").unwrap();
    assert!(matches!(receive(&mut host), (0, Reply::Failed(why)) if why.contains("kind 99")));
    assert_eq!(agent.join().unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// What is typed before the program runs waits for it; what nobody reads holds nothing up.
#[test]
fn a_terminal_is_typed_at_and_resized() {
    let (mut host, agent) = start();
    let script = "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && stty size; read line; echo \"got $line\"; read next; stty size; \
        trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.02; done";
    let Request::Exec(exec) = sh(script) else { unreachable!("it is one") };
    let terminal = Some(TerminalSize { rows: 33, columns: 111 });
    send(&mut host, 1, &Request::Exec(Exec { terminal, ..exec }));
    send(&mut host, 1, &Request::Input(b"first\r".to_vec()));
    let mut shown = String::new();
    let mut wait_for = |host: &mut UnixStream, text: &str| {
        while !shown.contains(text) {
            let (1, Reply::Output(Stream::Stdout, bytes)) = receive(host) else {
                panic!("no {text:?}: {shown}")
            };
            shown.push_str(&String::from_utf8(bytes).unwrap());
        }
    };
    wait_for(&mut host, "33 111\r\n");
    wait_for(&mut host, "got first\r\n");
    send(&mut host, 1, &Request::Resize(TerminalSize { rows: 20, columns: 60 }));
    send(&mut host, 1, &Request::Input(b"next\r".to_vec()));
    wait_for(&mut host, "20 60\r\n");
    wait_for(&mut host, "ready\r\n");
    send(&mut host, 1, &Request::Input(b"\x03".to_vec()));
    wait_for(&mut host, "interrupted\r\n");
    assert_eq!(receive(&mut host), (1, Reply::Exited(ExitStatus::Exited(7))));
    send(&mut host, 1, &Request::Input(b"nobody".to_vec()));

    let Request::Exec(exec) = sh("sleep 0.5") else { unreachable!("it is one") };
    send(&mut host, 2, &Request::Exec(Exec { terminal, ..exec }));
    for _ in 0..40 {
        send(&mut host, 2, &Request::Input(vec![b'x'; CHUNK]));
    }
    send(&mut host, 3, &Request::PowerOff);
    assert_eq!(agent.join().unwrap().unwrap(), End::PowerOff);
}
