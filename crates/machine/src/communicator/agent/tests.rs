//! The session against the agent itself, run as a thread in a chroot.

use super::*;
use crate::communicator::process_guest::ProcessGuest;
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    time::Instant,
};

fn sh(script: &str) -> Exec {
    Exec { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(), ..Exec::default() }
}

fn bytes(text: &str, destination: &str) -> Upload {
    let content = UploadContent::Bytes(text.as_bytes().to_vec());
    Upload { content, destination: destination.to_owned(), mode: None, owner: None }
}

async fn run(session: &mut AgentSession, exec: &Exec) -> (Result<ExitStatus, AgentError>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = session.exec(exec, Some(Duration::from_secs(20)), |stream, bytes| match stream {
        Stream::Stdout => out.extend_from_slice(bytes),
        Stream::Stderr => err.extend_from_slice(bytes),
    });
    let ended = ended.await;
    (ended, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[tokio::test]
async fn programs_have_streams_statuses_and_a_user() {
    let (_guest, mut session) = ProcessGuest::start().await;
    let (ended, out, err) = run(&mut session, &sh("echo out; echo err >&2; exit 7")).await;
    assert_eq!((ended.unwrap(), &*out, &*err), (ExitStatus::Exited(7), "out\n", "err\n"));
    let (ended, ..) = run(&mut session, &sh("kill -9 $$")).await;
    assert_eq!(ended.unwrap(), ExitStatus::Signaled(9));

    let mut exec = sh("echo $HOME $USER $SHELL $X $PATH; >/tmp/mine; stat -c %u:%g /tmp/mine; >mine");
    exec.environment = vec![("X".to_owned(), "y z".to_owned())];
    exec.user = Some("app:web".to_owned());
    exec.working_directory = Some("/srv".to_owned());
    let (ended, out, err) = run(&mut session, &exec).await;
    assert_eq!(ended.unwrap(), ExitStatus::Exited(2), "app cannot write into root's folder");
    assert!(err.contains("ermission denied"), "{err}");
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(out, format!("/srv app /bin/sh y z {path}\n1000:33\n"));
}

#[tokio::test]
async fn what_cannot_run_is_said() {
    let (_guest, mut session) = ProcessGuest::start().await;
    let mut exec = sh("true");
    exec.argv[0] = "/bin/nothing".to_owned();
    let refused = |error: Result<ExitStatus, AgentError>| error.unwrap_err().to_string();
    let text = refused(run(&mut session, &exec).await.0);
    assert!(text.contains("cannot run /bin/nothing: No such file"), "{text}");
    exec.user = Some("bob".to_owned());
    let text = refused(run(&mut session, &exec).await.0);
    assert!(text.contains("the image has no user \"bob\""), "{text}");
    exec.user = None;
    exec.working_directory = Some("/none".to_owned());
    let text = refused(run(&mut session, &exec).await.0);
    assert!(text.contains("the working directory /none"), "{text}");
    exec = sh(&"x".repeat(300 << 10));
    assert!(matches!(run(&mut session, &exec).await.0, Err(AgentError::TooLarge { .. })));
    assert!(run(&mut session, &sh("true")).await.0.unwrap().success(), "the session goes on");
}

#[tokio::test]
async fn a_program_that_leaves_others_behind_still_ends() {
    let (_guest, mut session) = ProcessGuest::start().await;
    let started = Instant::now();
    let (ended, out, _) = run(&mut session, &sh("sleep 8 & echo started")).await;
    assert_eq!((ended.unwrap(), &*out), (ExitStatus::Exited(0), "started\n"));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_ended() {
    let (_guest, mut session) = ProcessGuest::start().await;
    let exec = sh("trap 'echo bye; exit 3' TERM; echo hi; while :; do sleep 0.05; done");
    let mut out = Vec::new();
    let limit = Duration::from_millis(300);
    let ended = session.exec(&exec, Some(limit), |_, bytes| out.extend_from_slice(bytes)).await;
    assert!(matches!(ended, Err(AgentError::TimedOut { after }) if after == limit), "{ended:?}");
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("hi\n") && out.contains("bye\n"), "SIGTERM comes first: {out}");
}

#[tokio::test]
async fn a_dropped_program_is_killed_and_the_session_goes_on() {
    let (guest, mut session) = ProcessGuest::start().await;
    let exec = sh("echo $$ >/tmp/pid; while :; do sleep 0.05; done");
    tokio::time::timeout(Duration::from_millis(500), session.exec(&exec, None, |_, _| {})).await.unwrap_err();
    let (ended, out, _) = run(&mut session, &sh("echo again")).await;
    assert_eq!((ended.unwrap(), &*out), (ExitStatus::Exited(0), "again\n"));
    let pid = fs_err::read_to_string(guest.path("/tmp/pid")).unwrap();
    let proc = Path::new("/proc").join(pid.trim());
    for _ in 0..100 {
        if !proc.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} still runs", proc.display());
}

/// More than the sockets and queues hold, both ways: neither side may wait for the other for ever.
#[tokio::test]
async fn a_flood_of_output_is_complete() {
    let (_guest, mut session) = ProcessGuest::start().await;
    let line = "0123456789abcde";
    let content = UploadContent::Bytes(format!("{line}\n").repeat(1 << 20).into_bytes());
    let (destination, mode, owner) = ("/srv/big".to_owned(), None, None);
    session.upload(&Upload { content, destination, mode, owner }).await.unwrap();
    let mut count = 0;
    let script = sh("cat /srv/big & cat /srv/big >&2; wait");
    let ended = session.exec(&script, None, |_, bytes| count += bytes.len()).await;
    assert_eq!((ended.unwrap(), count), (ExitStatus::Exited(0), 32 << 20));
}

#[tokio::test]
async fn files_land_whole_with_mode_and_owner() {
    let (guest, mut session) = ProcessGuest::start().await;
    let mut upload = bytes("hello", "/srv/deep/er/file");
    upload.mode = Some(0o4750);
    upload.owner = Some("app:web".to_owned());
    session.upload(&upload).await.unwrap();
    let path = guest.path("/srv/deep/er/file");
    let metadata = fs_err::metadata(&path).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o4750, 1000, 33));
    assert_eq!(fs_err::read(&path).unwrap(), b"hello");
    session.upload(&bytes("again", "/srv/deep/er/file")).await.unwrap();
    let metadata = fs_err::metadata(&path).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o644, 0));
    let names: Vec<_> = fs_err::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing temporary stays: {names:?}");

    let to = guest.path("/downloaded");
    session.download("/srv/deep/er/file", &to).await.unwrap();
    assert_eq!(fs_err::read(&to).unwrap(), b"again");
    session.download("/srv/none", &to).await.unwrap_err();
    assert!(!to.exists());
    let refused = session.upload(&bytes("x", "/srv/deep")).await.unwrap_err().to_string();
    assert!(refused.contains("is a folder"), "{refused}");
    let refused = session.upload(&bytes("x", "/srv/new/")).await.unwrap_err().to_string();
    assert!(refused.contains("names no file"), "{refused}");
}

#[tokio::test]
async fn links_of_the_image_do_not_lead_out_of_it() {
    let (guest, mut session) = ProcessGuest::start().await;
    let outside = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(guest.path(outside.path().to_str().unwrap())).unwrap();
    symlink(outside.path(), guest.path("/srv/trap")).unwrap();
    symlink("../../../../../../../../etc/target", guest.path("/srv/link")).unwrap();
    fs_err::write(guest.path("/etc/target"), "old").unwrap();
    session.upload(&bytes("x", "/srv/trap/file")).await.unwrap();
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
    assert!(guest.path(outside.path().join("file").to_str().unwrap()).exists());
    session.upload(&bytes("new", "/srv/link")).await.unwrap();
    assert_eq!(fs_err::read(guest.path("/etc/target")).unwrap(), b"new");
    assert!(guest.path("/srv/link").is_symlink());
}

#[tokio::test]
async fn folders_keep_their_shape() {
    let (guest, mut session) = ProcessGuest::start().await;
    let host = tempfile::tempdir().unwrap();
    let site = host.path().join("site");
    fs_err::create_dir_all(site.join("sub/empty")).unwrap();
    fs_err::write(site.join("sub/run.sh"), "#!/bin/sh\n").unwrap();
    fs_err::set_permissions(site.join("sub/run.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    fs_err::write(site.join("big"), vec![7; 300_000]).unwrap();
    symlink("sub/../none", site.join("link")).unwrap();
    let upload = |path: String, destination: &str| Upload {
        content: UploadContent::Path(path.into()),
        destination: destination.to_owned(),
        mode: None,
        owner: None,
    };
    let named = site.to_str().unwrap().to_owned();
    session.upload(&upload(named.clone(), "/srv")).await.unwrap();
    session.upload(&upload(named.clone(), "/srv/renamed")).await.unwrap();
    session.upload(&upload(format!("{named}/"), "/srv")).await.unwrap();
    for base in ["/srv/site", "/srv/renamed", "/srv"] {
        let at = |name: &str| guest.path(base).join(name);
        assert!(at("sub/empty").is_dir(), "{base}");
        assert_eq!(fs_err::metadata(at("sub/run.sh")).unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs_err::read(at("big")).unwrap(), vec![7; 300_000]);
        assert_eq!(fs_err::read_link(at("link")).unwrap(), Path::new("sub/../none"));
    }
    let missing = session.upload(&upload("/nowhere/at/all".to_owned(), "/srv/x")).await.unwrap_err();
    assert!(
        matches!(&missing, AgentError::Host { path, .. } if path.ends_with("nowhere/at/all")),
        "{missing:?}"
    );
    assert!(run(&mut session, &sh("true")).await.0.unwrap().success(), "the session goes on");
}

#[tokio::test]
async fn a_guest_that_dies_ends_what_waits_for_it() {
    let (guest, mut session) = ProcessGuest::start().await;
    let program = sh("sleep 5");
    let (ended, ()) = tokio::join!(session.exec(&program, None, |_, _| {}), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        guest.die();
    });
    assert!(matches!(ended, Err(AgentError::Disconnected { .. })));
    assert!(matches!(session.end_step().await, Err(AgentError::Disconnected { .. })));
}

#[tokio::test]
async fn a_guest_that_talks_nonsense_is_an_error() {
    for (sent, expected) in [
        (b"\xff\xff\xff\xff\x01\0\0\0\x80".as_slice(), "longer than"),
        (b"\0\0\0\0\x01\0\0\0\x07", "no message has kind 7"),
        (b"\x03\0\0\0\x01\0\0\0\x80\x02\0\0", "ends too early"),
        (b"\0\0\0\0\x01\0\0\0\x81", "kind 129 came out of turn"),
    ] {
        let (host, guest) = std::os::unix::net::UnixStream::pair().unwrap();
        (&guest).write_all(sent).unwrap();
        host.set_nonblocking(true).unwrap();
        let host = UnixStream::from_std(host).unwrap();
        let error = AgentSession::connect(host, Duration::from_secs(5)).await.unwrap_err();
        let AgentError::Protocol { source, .. } = error else { panic!("{error:?}") };
        assert!(source.to_string().contains(expected), "{source}");
    }
    let (host, _guest) = std::os::unix::net::UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    let host = UnixStream::from_std(host).unwrap();
    let silent = AgentSession::connect(host, Duration::from_millis(50)).await;
    assert!(matches!(silent, Err(AgentError::NoAnswer { .. })));
}
