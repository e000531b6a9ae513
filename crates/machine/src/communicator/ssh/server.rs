//! For tests: real SSH servers of this host, in a mount namespace with accounts and a `/run` of its own.

use super::{Credential, HostKey, KeyPair, Progress, SshError, SshSession, Target, wait::Place};
use std::{
    io::Read,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

/// The password of `asked`, whom `sudo` asks for it.
pub(crate) const PASSWORD: &str = "a word";
const HASH: &str =
    "$6$kilnkiln$4/09ePXJHn5KU5nCbTQ4LVP7txrMk5/2y39/evHImgzAl/3u/bDGYnYzPidFYUcgRYLL3s6cvMKngiz8Bre5j/";

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    OpenSsh,
    /// It has no SFTP.
    Dropbear,
    /// OpenSSH's, which asks for passwords by PAM alone.
    Asking,
}

/// A server on loopback. Only root can make one. It takes one connection after the other, each by a process of its own.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    /// Keeps the namespace.
    holder: Child,
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    pub(crate) host_key: KeyPair,
    pub(crate) user_key: KeyPair,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cut();
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

impl Server {
    pub(crate) fn start(kind: Kind) -> Self {
        assert!(rustix::process::geteuid().is_root(), "only root can: run the tests as root");
        let folder = tempfile::Builder::new().prefix("kiln-ssh-").tempdir().unwrap();
        fs_err::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let (host_key, user_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        fill(folder.path(), &host_key, &user_key);
        let holder = hold(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(Mutex::new(Vec::new()));
        let server = Self { folder, holder, address, open: Arc::clone(&open), host_key, user_key };
        let (root, namespace) = (server.path(""), format!("/proc/{}/ns/mnt", server.holder.id()));
        // The thread ends with the process of the tests; a listener that is gone takes no connection.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                open.lock().unwrap().push(stream.try_clone().unwrap());
                serve(kind, &root, &namespace, stream);
            }
        });
        server
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a file of the guest's `/run` is.
    pub(crate) fn run(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/run/{name}", self.holder.id()))
    }

    pub(super) fn place(&self) -> Place {
        Place { address: self.address, console: None }
    }

    pub(crate) fn target(&self, user: &str) -> Target {
        Target {
            port: 22,
            user: user.to_owned(),
            credentials: vec![Credential::Key(self.user_key.clone())],
            host_key: Some(self.host_key.host_key()),
            keepalive: Duration::from_secs(10),
        }
    }

    pub(crate) async fn session(&self, user: &str) -> SshSession {
        self.connect(&self.target(user)).await.unwrap()
    }

    pub(crate) async fn connect(&self, target: &Target) -> Result<SshSession, SshError> {
        SshSession::wait_for(self.place(), target, Duration::from_secs(20), |_: Progress| {}).await
    }

    /// Cuts every connection, as a network that goes away does.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // The other end may have been first.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    pub(crate) fn wrong_key() -> HostKey {
        KeyPair::generate().unwrap().host_key()
    }
}

/// Writes accounts, keys and configurations.
fn fill(folder: &Path, host_key: &KeyPair, user_key: &KeyPair) {
    let put = |name: &str, text: &str, mode: u32| {
        let path = folder.join(name);
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let home = |name: &str, id: u32| {
        let path = folder.join(name);
        fs_err::create_dir_all(path.join(".ssh")).unwrap();
        fs_err::write(path.join(".ssh/authorized_keys"), user_key.public_line("test")).unwrap();
        for path in [path.clone(), path.join(".ssh"), path.join(".ssh/authorized_keys")] {
            std::os::unix::fs::chown(path, Some(id), Some(id)).unwrap();
        }
        path.display().to_string()
    };
    let (root, app, asked) = (home("root", 0), home("app", 1000), home("asked", 1001));
    let passwd = format!(
        "root:x:0:0::{root}:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\napp:x:1000:1000::{app}:/bin/sh\n\
         asked:x:1001:1001::{asked}:/bin/bash\nnone:x:1002:1002::{app}:/bin/sh\n"
    );
    put("passwd", &passwd, 0o644);
    put(
        "group",
        "root:x:0:\napp:x:1000:\nasked:x:1001:\nnone:x:1002:\nweb:x:33:app\nnogroup:x:65534:\n",
        0o644,
    );
    let days = "19000:0:99999:7:::";
    put(
        "shadow",
        &format!("root:*:{days}\napp:*:{days}\nasked:{HASH}:{days}\nnone:*:{days}\nsshd:*:{days}\n"),
        0o600,
    );
    put("boot_id", "first\n", 0o444);
    put("sudoers", "root ALL=(ALL) ALL\napp ALL=(ALL) NOPASSWD: ALL\nasked ALL=(ALL) ALL\n", 0o440);
    put("host_key", &host_key.private_openssh().unwrap(), 0o600);
    let dropbear = Command::new("dropbearconvert")
        .args(["openssh", "dropbear"])
        .args([folder.join("host_key"), folder.join("dropbear_key")])
        .output();
    assert!(dropbear.unwrap().status.success(), "dropbearconvert (package dropbear-bin)");
    let config = format!(
        "HostKey {0}/host_key\nUsePAM no\nStrictModes no\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         PidFile none\nLogLevel ERROR\n",
        folder.display()
    );
    put("sshd_config", &config, 0o644);
}

/// Starts the process that keeps the namespace, and waits until it is furnished.
fn hold(folder: &Path) -> Child {
    let script = r#"
        set -e
        mount -t tmpfs -o mode=0755 run /run
        mkdir /run/sshd
        for file in passwd group shadow sudoers; do mount --bind "$0/$file" "/etc/$file"; done
        mount --bind "$0/boot_id" /proc/sys/kernel/random/boot_id
        echo furnished
        exec sleep 600"#;
    let mut holder = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare (package util-linux)");
    let mut said = [0; 9];
    holder.stdout.take().unwrap().read_exact(&mut said).expect("a mount namespace of its own");
    holder
}

fn serve(kind: Kind, folder: &Path, namespace: &str, stream: TcpStream) {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount={namespace}"));
    match kind {
        Kind::OpenSsh | Kind::Asking => {
            command.args(["/usr/sbin/sshd", "-i", "-f"]).arg(folder.join("sshd_config"))
        }
        Kind::Dropbear => command.args(["dropbear", "-i", "-r"]).arg(folder.join("dropbear_key")),
    };
    if kind == Kind::Asking {
        command.args([
            "-o",
            "UsePAM=yes",
            "-o",
            "KbdInteractiveAuthentication=yes",
            "-o",
            "PasswordAuthentication=no",
        ]);
    }
    let end = stream.try_clone().unwrap();
    let (out, errors) = (OwnedFd::from(stream.try_clone().unwrap()), folder.join("errors"));
    let errors = fs_err::OpenOptions::new().create(true).append(true).open(errors).unwrap();
    command.stdin(OwnedFd::from(stream)).stdout(out).stderr(errors.into_parts().0);
    let mut child = command.spawn().expect("nsenter (package util-linux)");
    drop(command);
    std::thread::spawn(move || {
        child.wait().unwrap();
        // The other end may have been first.
        end.shutdown(Shutdown::Both).ok();
    });
}
