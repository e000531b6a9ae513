//! Sessions with real servers: OpenSSH's and dropbear.

use super::{
    server::{Kind, PASSWORD, Server},
    *,
};
use crate::communicator::agent::UploadContent;
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
};
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

fn sh(script: &str) -> Exec {
    Exec { argv: ["sh", "-c", script].map(str::to_owned).to_vec(), ..Exec::default() }
}

async fn run(session: &mut SshSession, exec: &Exec) -> (Result<ExitStatus, SshError>, String, String) {
    let (mut out, mut said) = (Vec::new(), Vec::new());
    let ended = session
        .exec(exec, Some(Duration::from_secs(30)), |stream, bytes| match stream {
            Stream::Stdout => out.extend_from_slice(bytes),
            Stream::Stderr => said.extend_from_slice(bytes),
        })
        .await;
    (ended, String::from_utf8(out).unwrap(), String::from_utf8(said).unwrap())
}

async fn out(session: &mut SshSession, exec: &Exec) -> String {
    let (ended, out, said) = run(session, exec).await;
    assert!(matches!(ended, Ok(ExitStatus::Exited(0))), "{ended:?} {out} {said}");
    out
}

#[tokio::test]
async fn programs_run_as_root_whoever_is_logged_in() {
    for kind in [Kind::OpenSsh, Kind::Dropbear] {
        let server = Server::start(kind);
        for user in ["root", "app"] {
            let mut session = server.session(user).await;
            let exec = sh("id -u; echo $HOME $USER $LOGNAME $SHELL $(pwd); cat; echo oh >&2; exit 3");
            let (ended, out, said) = run(&mut session, &exec).await;
            assert_eq!(ended.unwrap(), ExitStatus::Exited(3));
            let root = server.path("root");
            assert_eq!(out, format!("0\n{} root root /bin/sh /\n", root.display()), "{kind:?} {user}");
            assert_eq!(said, "oh\n");
        }
    }
}

#[tokio::test]
async fn a_password_lets_in_and_serves_sudo() {
    let server = Server::start(Kind::OpenSsh);
    let password = Credential::Password(Password(PASSWORD.to_owned()));
    let target = Target { credentials: vec![password], ..server.target("asked") };
    let mut session = server.connect(&target).await.unwrap();
    assert_eq!(out(&mut session, &sh("id -u; cat")).await, "0\n");
    let upload = upload(UploadContent::Bytes(b"x".to_vec()), &server, "file");
    session.upload(&upload).await.unwrap();
    assert_eq!(fs_err::read(server.path("file")).unwrap(), b"x");
    assert!(!format!("{target:?}").contains(PASSWORD));
}

#[tokio::test]
async fn a_password_answers_a_server_that_asks() {
    let server = Server::start(Kind::Asking);
    let with = |word: &str| {
        let password = Credential::Password(Password(word.to_owned()));
        Target { credentials: vec![password], ..server.target("asked") }
    };
    let mut session = server.connect(&with(PASSWORD)).await.unwrap();
    assert_eq!(out(&mut session, &sh("id -u")).await, "0\n");
    let error = refused(&server, &with("wrong")).await;
    assert!(error.last.unwrap().to_string().ends_with("it accepts: keyboard-interactive, publickey"));
}

#[tokio::test]
async fn programs_run_as_users_and_groups_of_the_guest() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = server.session("app").await;
    let as_user =
        |user: &str| Exec { user: Some(user.to_owned()), ..sh("id -u; id -g; id -G; echo $USER $HOME") };
    let app = server.path("app");
    assert_eq!(
        out(&mut session, &as_user("app")).await,
        format!("1000\n1000\n1000 33\napp {}\n", app.display())
    );
    assert!(out(&mut session, &as_user("1000")).await.contains("app "));
    assert!(out(&mut session, &as_user("app:web")).await.starts_with("1000\n33\n"));
    assert!(out(&mut session, &as_user("root:web")).await.starts_with("0\n33\n"));
    assert_eq!(out(&mut session, &as_user("4711:4712")).await, "4711\n4712\n4712\n4711 /\n");
    let (ended, _, said) = run(&mut session, &as_user("nobody-knows")).await;
    assert_eq!((ended.unwrap(), &*said), (ExitStatus::Exited(126), "the guest has no user nobody-knows\n"));
    let (ended, _, said) = run(&mut session, &as_user("app:nobodys")).await;
    assert_eq!((ended.unwrap(), &*said), (ExitStatus::Exited(126), "the guest has no group nobodys\n"));
}

#[tokio::test]
async fn folders_and_programs_that_are_missing_are_said() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = server.session("root").await;
    let exec = Exec { working_directory: Some("/none at all".to_owned()), ..sh("echo never") };
    let (ended, out, said) = run(&mut session, &exec).await;
    assert_eq!((ended.unwrap(), &*out), (ExitStatus::Exited(126), ""));
    assert!(said.contains("/none at all"), "{said}");
    let exec = Exec { argv: vec!["no-such-program".to_owned()], ..Exec::default() };
    let (ended, _, said) = run(&mut session, &exec).await;
    assert_eq!(ended.unwrap(), ExitStatus::Exited(127));
    assert!(said.contains("no-such-program"), "{said}");
}

#[tokio::test]
async fn variables_reach_the_program_and_no_list_of_processes() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = server.session("app").await;
    let secret = format!("it's \"secret\" $HOME\nof {} lines", std::process::id());
    let environment =
        vec![("SECRET".to_owned(), secret.clone()), ("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    let exec = Exec { environment, ..sh("printf '%s|%s' \"$SECRET\" $PATH; sleep 1") };
    let mut seen = Vec::new();
    let mut watched = Vec::new();
    let running = session.exec(&exec, None, |_, bytes| watched.extend_from_slice(bytes));
    let watching = async {
        for _ in 0..40 {
            for entry in fs_err::read_dir("/proc").unwrap() {
                let arguments = fs_err::read(entry.unwrap().path().join("cmdline")).unwrap_or_default();
                seen.push(String::from_utf8_lossy(&arguments).into_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (ended, ()) = tokio::join!(running, watching);
    assert!(ended.unwrap().success());
    assert_eq!(String::from_utf8(watched).unwrap(), format!("{secret}|/usr/bin:/bin"));
    assert!(seen.iter().any(|arguments| arguments.contains("sleep")), "the program was seen");
    let told: Vec<_> = seen.iter().filter(|arguments| arguments.contains("secret\" $HOME\nof")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test]
async fn a_program_out_of_time_is_terminated_with_what_it_started() {
    for kind in [Kind::OpenSsh, Kind::Dropbear] {
        let server = Server::start(kind);
        let mut session = server.session("app").await;
        let (mut told, limit) = (Vec::new(), Duration::from_millis(800));
        let exec = sh("trap 'echo bye; exit' TERM; echo $$; sleep 77 & echo $!; wait");
        let ended = session.exec(&exec, Some(limit), |_, bytes| told.extend_from_slice(bytes)).await;
        assert!(matches!(ended, Err(SshError::TimedOut { after }) if after == limit), "{ended:?}");
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("bye\n"), "SIGTERM comes first: {told}");
        gone(&told).await;
        assert_eq!(out(&mut session, &sh("echo on")).await, "on\n");
    }
}

#[tokio::test]
async fn a_program_that_heeds_no_signal_is_killed() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = server.session("root").await;
    let (mut told, limit) = (Vec::new(), Duration::from_millis(300));
    let exec = sh("trap '' TERM; echo $$; while :; do sleep 0.05; done");
    let ended = session.exec(&exec, Some(limit), |_, bytes| told.extend_from_slice(bytes)).await;
    assert!(matches!(ended, Err(SshError::TimedOut { .. })), "{ended:?}");
    gone(&String::from_utf8(told).unwrap()).await;
}

#[tokio::test]
async fn a_dropped_program_is_killed_and_the_session_goes_on() {
    for kind in [Kind::OpenSsh, Kind::Dropbear] {
        let server = Server::start(kind);
        let mut session = server.session("app").await;
        let mut told = Vec::new();
        let exec = sh("echo $$; sleep 77 & echo $!; wait");
        let dropped = session.exec(&exec, None, |_, bytes| told.extend_from_slice(bytes));
        timeout(Duration::from_secs(1), dropped).await.unwrap_err();
        gone(&String::from_utf8(told).unwrap()).await;
        assert_eq!(out(&mut session, &sh("echo again")).await, "again\n");
    }
}

#[tokio::test]
async fn a_step_ends_with_what_it_left_running() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = server.session("app").await;
    let left = out(&mut session, &sh("sleep 77 >/dev/null 2>&1 & echo $!")).await;
    let other = out(&mut session, &sh("sleep 77 & echo $!")).await;
    assert!(alive(&left) && alive(&other), "they outlive their programs");
    session.end_step().await.unwrap();
    gone(&left).await;
    gone(&other).await;
    assert!(!server.run("kiln").exists());
    session.end_step().await.unwrap();
}

/// More than windows and queues hold, both ways: neither side may wait for the other for ever.
#[tokio::test]
async fn a_flood_of_output_is_complete() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = server.session("root").await;
    let bytes = "0123456789abcde\n".repeat(1 << 19).into_bytes();
    session.upload(&upload(UploadContent::Bytes(bytes), &server, "big")).await.unwrap();
    let big = server.path("big").display().to_string();
    let mut count = 0;
    let exec = sh(&format!("cat {big} & cat {big} >&2; wait"));
    let ended = session.exec(&exec, None, |_, bytes| count += bytes.len()).await;
    assert_eq!((ended.unwrap(), count), (ExitStatus::Exited(0), 16 << 20));
}

#[tokio::test]
async fn a_connection_that_is_cut_ends_what_waits_and_what_runs() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = server.session("app").await;
    let mut told = Vec::new();
    let exec = sh("echo $$; sleep 77 & echo $!; wait");
    let running = session.exec(&exec, None, |_, bytes| told.extend_from_slice(bytes));
    let (ended, ()) = tokio::join!(timeout(Duration::from_secs(5), running), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.cut();
    });
    assert!(matches!(ended.unwrap(), Err(SshError::Disconnected { .. })));
    gone(&String::from_utf8(told).unwrap()).await;
    assert!(matches!(session.end_step().await, Err(SshError::Disconnected { .. })));
    session.reconnect(Duration::from_secs(10), |_| {}).await.unwrap();
    assert_eq!(out(&mut session, &sh("echo back")).await, "back\n");
}

#[tokio::test]
async fn files_land_whole_with_mode_and_owner() {
    for (kind, user) in [(Kind::OpenSsh, "root"), (Kind::OpenSsh, "app"), (Kind::Dropbear, "app")] {
        let server = Server::start(kind);
        let mut session = server.session(user).await;
        let mut first = upload(UploadContent::Bytes(b"hello".to_vec()), &server, "deep/er/file");
        (first.mode, first.owner) = (Some(0o4750), Some("app:web".to_owned()));
        session.upload(&first).await.unwrap();
        let path = server.path("deep/er/file");
        let metadata = fs_err::metadata(&path).unwrap();
        assert_eq!(
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid()),
            (0o4750, 1000, 33),
            "{kind:?}"
        );
        assert_eq!(fs_err::read(&path).unwrap(), b"hello");
        let again = upload(UploadContent::Bytes(b"again".to_vec()), &server, "deep/er/file");
        session.upload(&again).await.unwrap();
        let metadata = fs_err::metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o644, 0, 0));
        assert_eq!(fs_err::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing temporary stays");

        let guest = path.to_str().unwrap();
        let to = server.path("downloaded");
        session.download(guest, &to).await.unwrap();
        assert_eq!(fs_err::read(&to).unwrap(), b"again");
        let error = session.download("/srv/none", &to).await.unwrap_err();
        assert!(
            matches!(&error, SshError::Failed { message, .. } if message.contains("o such file")),
            "{error:?}"
        );
        assert!(!to.exists());
        let mut read = Vec::new();
        session.read("/proc/self/comm", |bytes| read.extend_from_slice(bytes)).await.unwrap();
        assert_eq!(read, b"cat\n");

        for (name, expected) in [("deep", "is a folder"), ("new/", "names no file")] {
            let bytes = UploadContent::Bytes(b"x".to_vec());
            let refused = session.upload(&upload(bytes, &server, name)).await.unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        let mut unknown = upload(UploadContent::Bytes(b"x".to_vec()), &server, "x");
        unknown.owner = Some("nobody-knows".to_owned());
        let refused = session.upload(&unknown).await.unwrap_err().to_string();
        assert!(refused.ends_with("the guest has no user nobody-knows"), "{refused}");
    }
}

#[tokio::test]
async fn folders_keep_their_shape() {
    for (kind, user) in [(Kind::OpenSsh, "app"), (Kind::Dropbear, "root")] {
        let server = Server::start(kind);
        let mut session = server.session(user).await;
        let host = tempfile::tempdir().unwrap();
        let site = host.path().join("site");
        fs_err::create_dir_all(site.join("sub/empty")).unwrap();
        fs_err::set_permissions(site.join("sub"), PermissionsExt::from_mode(0o750)).unwrap();
        fs_err::write(site.join("sub/run it's.sh"), "#!/bin/sh\n").unwrap();
        fs_err::set_permissions(site.join("sub/run it's.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        fs_err::write(site.join("big"), vec![7; 3_000_000]).unwrap();
        symlink("sub/../none", site.join("link")).unwrap();
        fs_err::create_dir(server.path("srv")).unwrap();
        fs_err::write(server.path("srv/stays"), "old").unwrap();
        fs_err::write(server.path("srv/real"), "old").unwrap();
        symlink("real", server.path("srv/big")).unwrap();
        let put = |path: String, destination: &str| {
            let mut put = upload(UploadContent::Path(path.into()), &server, destination);
            put.owner = Some("app".to_owned());
            put
        };
        let named = site.to_str().unwrap().to_owned();
        // The second time everything is there already.
        for _ in 0..2 {
            session.upload(&put(named.clone(), "srv")).await.unwrap();
            session.upload(&put(named.clone(), "srv/renamed")).await.unwrap();
            session.upload(&put(format!("{named}/"), "srv")).await.unwrap();
        }
        for base in ["srv/site", "srv/renamed/site", "srv"] {
            let at = |name: &str| server.path(base).join(name);
            assert!(at("sub/empty").is_dir(), "{kind:?} {base}");
            assert_eq!(fs_err::metadata(at("sub")).unwrap().mode() & 0o777, 0o750);
            assert_eq!(fs_err::metadata(at("sub/run it's.sh")).unwrap().mode() & 0o777, 0o755);
            assert_eq!(fs_err::read(at("big")).unwrap(), vec![7; 3_000_000]);
            assert_eq!(fs_err::read_link(at("link")).unwrap(), PathBuf::from("sub/../none"));
            for name in ["sub", "sub/empty", "big", "link"] {
                assert_eq!(
                    fs_err::symlink_metadata(at(name)).unwrap().uid(),
                    if name == "big" && base == "srv" { 0 } else { 1000 },
                    "{kind:?} {base} {name}"
                );
            }
        }
        assert_eq!(fs_err::read_to_string(server.path("srv/stays")).unwrap(), "old");
        assert!(server.path("srv/big").is_symlink(), "a link stays a link");
        let missing = session.upload(&put("/nowhere/at/all".to_owned(), "x")).await.unwrap_err();
        assert!(
            matches!(&missing, SshError::Host { path, .. } if path.ends_with("nowhere/at/all")),
            "{missing:?}"
        );
    }
}

#[tokio::test]
async fn a_person_gets_a_terminal() {
    let server = Server::start(Kind::OpenSsh);
    let password = Credential::Password(Password(PASSWORD.to_owned()));
    let asked = Target { credentials: vec![password], ..server.target("asked") };
    for target in [server.target("root"), server.target("app"), asked] {
        let mut session = server.connect(&target).await.unwrap();
        let (near, far) = tokio::io::duplex(4096);
        let (input, output) = tokio::io::split(far);
        let (size, sizes) = watch::channel(TerminalSize { rows: 30, columns: 100 });
        let environment =
            vec![("TERM".to_owned(), "vt100".to_owned()), ("WORD".to_owned(), "from the step".to_owned())];
        let exec = Exec { environment, ..Exec { argv: vec!["sh".to_owned()], ..Exec::default() } };
        let person = async {
            let (mut reader, mut writer) = tokio::io::split(near);
            let mut seen = String::new();
            // What is typed while `sudo` asks is thrown away.
            type_and_see(&mut writer, &mut reader, "", "# ", &mut seen).await;
            for (typed, expected) in [
                ("tty >/dev/null && id -u && echo a $WORD $TERM\n", "a from the step vt100"),
                ("stty size\n", "30 100"),
            ] {
                type_and_see(&mut writer, &mut reader, typed, expected, &mut seen).await;
            }
            size.send(TerminalSize { rows: 40, columns: 90 }).unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            type_and_see(&mut writer, &mut reader, "stty size\n", "40 90", &mut seen).await;
            type_and_see(&mut writer, &mut reader, "exit 7\n", "exit 7", &mut seen).await;
            // Who goes away before the program has said its last is missed.
            (seen, reader, writer)
        };
        let (ended, (seen, ..)) = tokio::join!(session.shell(&exec, input, output, sizes), person);
        assert_eq!(ended.unwrap(), ExitStatus::Exited(7), "{seen}");
        assert!(seen.contains("0\r\na from the step") && !seen.contains(PASSWORD), "{seen}");
        assert!(!server.run("kiln/shell").exists());
    }
}

async fn type_and_see(
    writer: &mut (impl AsyncWrite + Unpin),
    reader: &mut (impl AsyncRead + Unpin),
    typed: &str,
    expected: &str,
    seen: &mut String,
) {
    use tokio::io::AsyncWriteExt;
    writer.write_all(typed.as_bytes()).await.unwrap();
    let mut bytes = [0; 1000];
    let reading = async {
        while !seen.contains(expected) {
            let count = reader.read(&mut bytes).await.unwrap();
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    assert!(timeout(Duration::from_secs(10), reading).await.is_ok(), "{expected:?} did not come: {seen}");
}

#[tokio::test]
async fn the_wrong_guest_is_not_talked_to() {
    for kind in [Kind::OpenSsh, Kind::Dropbear] {
        let server = Server::start(kind);
        let expected = Server::wrong_key();
        let target = Target { host_key: Some(expected.clone()), ..server.target("root") };
        let error = refused(&server, &target).await;
        let SshError::HostKey { expected: pinned, shown } = error.last.unwrap() else {
            panic!("not a wrong key")
        };
        assert_eq!((pinned, shown), (expected.fingerprint(), server.host_key.host_key().fingerprint()));
        assert_eq!(error.reached, Reached::Banner);
        // Without a pinned key, the first one is.
        let free = Target { host_key: None, ..server.target("root") };
        let session = server.connect(&free).await.unwrap();
        assert_eq!(session.target().host_key, Some(server.host_key.host_key()));
    }
}

async fn refused(server: &Server, target: &Target) -> NotReady {
    // PAM thinks for two seconds about a wrong password.
    let waited = SshSession::wait_for(server.place(), target, Duration::from_secs(5), |_| {}).await;
    match waited {
        Err(SshError::NotReady(error)) => *error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_login_that_is_refused_is_said_as_such() {
    let server = Server::start(Kind::OpenSsh);
    let key = Credential::Key(KeyPair::generate().unwrap());
    let password = Credential::Password(Password("wrong".to_owned()));
    let target = Target { credentials: vec![key, password], ..server.target("asked") };
    let error = refused(&server, &target).await;
    assert_eq!(error.reached, Reached::Login);
    let text = error.to_string();
    assert!(text.contains("the SSH server asked for a login, and refused it"), "{text}");
    let last = error.last.unwrap().to_string();
    assert_eq!(
        last,
        "the guest refused to let \"asked\" in with the private key, the password; it accepts: password, publickey"
    );
}

#[tokio::test]
async fn a_user_who_cannot_become_root_is_said_as_such() {
    let server = Server::start(Kind::OpenSsh);
    for user in ["asked", "none"] {
        let target = Target { user: user.to_owned(), ..server.target("root") };
        let error = server.connect(&target).await.unwrap_err();
        let SshError::Sudo { user: who, said } = &error else { panic!("{error:?}") };
        assert_eq!(who, user);
        assert!(said.contains("sudo: a password is required"), "{said}");
        assert!(error.hint().unwrap().contains("sudoers.d"));
    }
}

#[tokio::test]
async fn the_hosts_ssh_agent_lets_in() {
    let server = Server::start(Kind::OpenSsh);
    let (socket, key) = (server.path("agent"), server.path("user_key"));
    fs_err::write(&key, server.user_key.private_openssh().unwrap()).unwrap();
    fs_err::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let mut agent = std::process::Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).spawn().unwrap();
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let target = Target { credentials: vec![Credential::Agent(socket.clone())], ..server.target("root") };
    let empty = server.connect(&target).await.unwrap_err();
    assert!(empty.to_string().ends_with("holds no keys"), "{empty}");
    let add = std::process::Command::new("ssh-add").arg(&key).env("SSH_AUTH_SOCK", &socket).output();
    assert!(add.unwrap().status.success());
    let entered = server.connect(&target).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert_eq!(out(&mut entered.unwrap(), &sh("id -u")).await, "0\n");
    let gone = server.connect(&target).await.unwrap_err();
    assert!(matches!(gone, SshError::SshAgent { .. }), "{gone:?}");
}

/// Waits for what listens there, for a second, and returns how far it came and what was told.
async fn waited(address: SocketAddr, console: Option<PathBuf>) -> (NotReady, Vec<Progress>) {
    let server_less = Target {
        port: 22,
        user: "root".to_owned(),
        credentials: Vec::new(),
        host_key: None,
        keepalive: Duration::from_secs(10),
    };
    let (mut told, place) = (Vec::new(), Place { address, console });
    let waited = SshSession::wait_for(place, &server_less, Duration::from_millis(2500), |now| told.push(now));
    match waited.await {
        Err(SshError::NotReady(error)) => (*error, told),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_and_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = tempfile::tempdir().unwrap();
    let console = world.path().join("console.log");
    fs_err::write(&console, "[  OK  ] Reached target\nguest login: \n").unwrap();
    let (error, told) = waited(listener.local_addr().unwrap(), Some(console)).await;
    assert_eq!(error.reached, Reached::Tcp);
    assert_eq!(told[0], Progress::Reached(Reached::Tcp));
    assert!(
        told.iter().any(|now| matches!(now, Progress::Console(line) if line.contains("guest login:"))),
        "{told:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("QEMU took the connection") && text.contains("    | [  OK  ] Reached target"),
        "{text}"
    );
    assert_eq!(error.diagnosis.unwrap().kind, crate::diagnosis::Kind::LoginPrompt);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_said_as_such() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (error, told) = waited(address, None).await;
    assert_eq!((error.reached, told.len()), (Reached::Nothing, 0));
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn a_server_of_another_kind_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
        }
    });
    let place = Place { address, console: None };
    let target = Target {
        port: 2222,
        user: "root".to_owned(),
        credentials: Vec::new(),
        host_key: None,
        keepalive: Duration::from_secs(10),
    };
    let error = SshSession::wait_for(place, &target, Duration::from_secs(20), |_| {}).await.unwrap_err();
    assert!(
        matches!(&error, SshError::NoSsh { port: 2222, said } if said == "HTTP/1.1 400 Bad Request"),
        "{error:?}"
    );
}

/// A server that starts late is found soon.
#[tokio::test]
async fn a_guest_that_needs_time_is_found_when_it_is_up() {
    let server = Server::start(Kind::OpenSsh);
    let late = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place { address: late.local_addr().unwrap(), console: None };
    let upstream = server.place().address;
    drop(late);
    let address = place.address;
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut server = tokio::net::TcpStream::connect(upstream).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut server).await.ok() });
        }
    });
    let start = std::time::Instant::now();
    let mut told = Vec::new();
    let target = server.target("root");
    let session = SshSession::wait_for(place, &target, Duration::from_secs(30), |now| told.push(now)).await;
    session.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let reached: Vec<_> = told.iter().filter(|now| matches!(now, Progress::Reached(_))).collect();
    assert_eq!(reached.len(), 3, "{told:?}");
    assert!(told.iter().any(|now| matches!(now, Progress::Server(version) if version.contains("OpenSSH"))));
}

fn upload(content: UploadContent, server: &Server, destination: &str) -> Upload {
    let destination =
        format!("{}/{destination}", server.path("").display().to_string().trim_end_matches('/'));
    Upload { content, destination, mode: None, owner: None }
}

fn alive(pid: &str) -> bool {
    let state =
        fs_err::read_to_string(PathBuf::from("/proc").join(pid.trim()).join("stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

/// Waits until the processes are gone that a program told the numbers of.
async fn gone(told: &str) {
    let pids: Vec<&str> = told.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert!(!pids.is_empty(), "{told:?}");
    for _ in 0..250 {
        if pids.iter().all(|pid| !alive(pid)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("still there: {pids:?}");
}
