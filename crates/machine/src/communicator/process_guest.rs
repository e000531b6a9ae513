//! For tests: the agent as an ordinary thread, in a chroot made of a few of the host's own programs.

use super::agent::AgentSession;
use kiln_agent::guest::{System, serve};
use std::{
    collections::BTreeSet,
    net::Shutdown,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    thread::JoinHandle,
    time::Duration,
};

const PROGRAMS: [&str; 10] = ["sh", "cat", "sleep", "ls", "stat", "mkdir", "readlink", "ln", "rm", "rmdir"];

/// A guest without a machine. Only root can make one.
pub(crate) struct ProcessGuest {
    root: tempfile::TempDir,
    end: UnixStream,
    agent: Option<JoinHandle<()>>,
}

impl Drop for ProcessGuest {
    fn drop(&mut self) {
        self.end.shutdown(Shutdown::Both).ok();
        if let Some(agent) = self.agent.take() {
            agent.join().expect("the agent does not panic");
        }
    }
}

impl ProcessGuest {
    /// Starts a guest. Only root can: what cannot be tested fails.
    pub(crate) async fn start() -> (Self, AgentSession) {
        assert!(rustix::process::geteuid().is_root(), "only root can chroot: run the tests as root");
        let root = tempfile::tempdir().unwrap();
        fill(root.path());
        let (host, guest) = UnixStream::pair().unwrap();
        let (to_host, end, path) =
            (guest.try_clone().unwrap(), host.try_clone().unwrap(), root.path().to_owned());
        let agent = std::thread::spawn(move || {
            serve(guest, to_host, &mut System::process(Some(path))).ok();
        });
        host.set_nonblocking(true).unwrap();
        let host = tokio::net::UnixStream::from_std(host).unwrap();
        let session = AgentSession::connect(host, Duration::from_secs(10)).await.unwrap();
        (Self { root, end, agent: Some(agent) }, session)
    }

    /// Where a path of the guest is on the host.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// Cuts the connection, as a QEMU that dies does.
    pub(crate) fn die(&self) {
        self.end.shutdown(Shutdown::Both).unwrap();
    }
}

/// Makes a root with a shell, its libraries and three users.
fn fill(root: &Path) {
    fs_err::set_permissions(root, PermissionsExt::from_mode(0o755)).unwrap();
    for folder in ["bin", "dev", "etc", "tmp", "run", "srv"] {
        fs_err::create_dir(root.join(folder)).unwrap();
    }
    fs_err::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n";
    fs_err::write(root.join("etc/passwd"), passwd).unwrap();
    fs_err::write(root.join("etc/group"), "root:x:0:\napp:x:1000:\nweb:x:33:app\n").unwrap();
    // A file serves where devices are not allowed: standard input is empty either way.
    fs_err::write(root.join("dev/null"), "").unwrap();
    fs_err::set_permissions(root.join("dev/null"), PermissionsExt::from_mode(0o666)).unwrap();
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        let path =
            ["/bin", "/usr/bin"].iter().map(|bin| Path::new(bin).join(program)).find(|path| path.exists());
        let path = path.unwrap_or_else(|| panic!("this host has no {program}"));
        fs_err::copy(&path, root.join("bin").join(program)).unwrap();
        let ldd = Command::new("ldd").arg(&path).output().unwrap();
        let text = String::from_utf8(ldd.stdout).unwrap();
        libraries.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    for library in libraries {
        let place = root.join(library.strip_prefix("/").unwrap());
        fs_err::create_dir_all(place.parent().unwrap()).unwrap();
        fs_err::copy(&library, place).unwrap();
    }
}
