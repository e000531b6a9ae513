//! The script in a chroot, run by the agent and by each of the shells that images have.

use super::*;
use anyhow::{Context, Result, ensure};
use kiln_agent::guest::{System, serve};
use kiln_machine::communicator::agent::AgentSession;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Shutdown,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Command,
    thread::JoinHandle,
};

/// busybox is one program, and its `rm` is what busybox images have.
const SHELLS: [&str; 3] = ["busybox", "dash", "bash"];

/// A root on this host with a shell, `rm` and what a test puts there.
struct Image {
    root: tempfile::TempDir,
    end: UnixStream,
    agent: Option<JoinHandle<()>>,
    session: Session,
}

impl Drop for Image {
    fn drop(&mut self) {
        self.end.shutdown(Shutdown::Both).ok();
        if let Some(agent) = self.agent.take() {
            agent.join().unwrap();
        }
    }
}

impl Image {
    async fn new(shell: &str) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "only root can chroot: run the tests as root");
        let root = tempfile::tempdir()?;
        install(root.path(), shell)?;
        let (host, guest) = UnixStream::pair()?;
        let (to_host, end, path) = (guest.try_clone()?, host.try_clone()?, root.path().to_owned());
        let agent = std::thread::spawn(move || {
            serve(guest, to_host, &mut System::process(Some(path))).ok();
        });
        host.set_nonblocking(true)?;
        let host = tokio::net::UnixStream::from_std(host)?;
        let session = Session::Agent(AgentSession::connect(host, Duration::from_secs(10)).await?);
        let image = Self { root, end, agent: Some(agent), session };
        image.put("etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")?;
        Ok(image)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn put(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().context("a file in a folder")?)?;
        Ok(fs_err::write(path, text)?)
    }

    fn link(&self, target: &str, path: &str) -> Result<()> {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().context("a link in a folder")?)?;
        Ok(symlink(target, path)?)
    }

    fn program(&self, path: &str) -> Result<()> {
        self.put(path, "#!/bin/sh\n")?;
        Ok(fs_err::set_permissions(self.path(path), PermissionsExt::from_mode(0o755))?)
    }

    fn text(&self, path: &str) -> String {
        fs_err::read_to_string(self.path(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// Every path of the image, with what tells a change.
    fn state(&self) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
        let mut state = BTreeMap::new();
        let mut left = vec![self.root.path().to_owned()];
        while let Some(folder) = left.pop() {
            for entry in fs_err::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                let bytes = if metadata.is_file() { fs_err::read(&path).unwrap() } else { Vec::new() };
                if metadata.is_dir() {
                    left.push(path.clone());
                }
                // A plain file here, and so it keeps what is written to it.
                if path.ends_with("dev/null") {
                    continue;
                }
                state.insert(path, (metadata.mode(), metadata.ino(), bytes));
            }
        }
        state
    }

    async fn sysprep(&mut self, keep: &[SysprepItem]) -> Result<Summary> {
        let sysprep = Sysprep { enabled: true, keep: keep.iter().copied().collect() };
        let mut lines = Vec::new();
        let summary = run(&mut self.session, &sysprep, |line| lines.push(line.to_owned())).await?;
        assert_eq!(lines, summary.done);
        Ok(summary)
    }

    /// Runs it twice: the second time must find nothing.
    async fn clean(&mut self, keep: &[SysprepItem]) -> Result<Summary> {
        let summary = self.sysprep(keep).await?;
        let state = self.state();
        let again = self.sysprep(keep).await?;
        assert_eq!(again, Summary { done: Vec::new(), warnings: summary.warnings.clone() });
        let now = self.state();
        let changed =
            now.iter().filter(|(path, entry)| state.get(*path) != Some(entry)).map(|(path, _)| path);
        assert_eq!(changed.collect::<Vec<_>>(), Vec::<&PathBuf>::new(), "the second run changed something");
        assert_eq!(state.len(), now.len());
        Ok(summary)
    }
}

/// Puts a shell and `rm` into a root.
fn install(root: &Path, shell: &str) -> Result<()> {
    for folder in ["bin", "dev", "etc", "proc", "root", "run", "tmp", "usr/bin", "usr/sbin", "var/tmp"] {
        fs_err::create_dir_all(root.join(folder))?;
    }
    fs_err::write(root.join("dev/null"), "")?;
    let mut programs = vec![shell];
    if shell != "busybox" {
        programs.extend(["rm", "mkdir", "cat", "ln"]);
    }
    let mut libraries = BTreeSet::new();
    for program in programs {
        let folders = ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(program));
        let path =
            folders.into_iter().find(|path| path.exists()).with_context(|| format!("no {program} here"))?;
        fs_err::copy(&path, root.join("bin").join(program))?;
        let ldd = Command::new("ldd").arg(&path).output()?;
        let text = String::from_utf8(ldd.stdout)?;
        libraries.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
    }
    for library in libraries {
        let place = root.join(library.strip_prefix("/")?);
        fs_err::create_dir_all(place.parent().context("a library in a folder")?)?;
        fs_err::copy(&library, place)?;
    }
    symlink(shell, root.join("bin/sh"))?;
    if shell == "busybox" {
        for applet in ["rm", "mkdir", "cat", "ln"] {
            symlink("busybox", root.join("bin").join(applet))?;
        }
    }
    Ok(())
}

/// What goes, and what it leaves: `None` where nothing, or the text of the file.
const FILES: [(&str, Option<&str>); 63] = [
    ("etc/machine-id", Some("")),
    ("var/lib/cloud/instance/user-data.txt", None),
    ("var/lib/cloud/.hidden", None),
    ("var/lib/cloud/seed/nocloud/user-data", Some("x\n")),
    ("var/log/cloud-init.log", None),
    ("var/lib/dhcp/dhclient.eth0.leases", None),
    ("var/lib/dhcp/notes", Some("x\n")),
    ("var/lib/dhcpcd/eth0.lease", None),
    ("var/lib/dhcpcd/duid", None),
    ("var/lib/NetworkManager/internal-1-eth0.lease", None),
    ("var/lib/NetworkManager/secret_key", None),
    ("var/lib/NetworkManager/NetworkManager.state", Some("x\n")),
    ("var/lib/systemd/random-seed", None),
    ("var/lib/urandom/random-seed", None),
    ("boot/efi/loader/random-seed", None),
    ("boot/efi/loader/loader.conf", Some("x\n")),
    ("root/.bash_history", None),
    ("root/.bashrc", Some("x\n")),
    ("home/app/.ash_history", None),
    ("home/app/.local/share/fish/fish_history", None),
    ("srv/some where/.bash_history", Some("x\n")),
    ("srv/svc/.zsh_history", None),
    ("var/lib/apt/lists/mirror_dists_stable_InRelease", None),
    ("var/lib/apt/lists/lock", Some("x\n")),
    ("var/lib/apt/lists/partial/half", None),
    ("var/lib/apt/extended_states", Some("x\n")),
    ("var/cache/apt/pkgcache.bin", None),
    ("var/cache/apt/archives/app_1_amd64.deb", None),
    ("var/cache/apt/archives/lock", Some("x\n")),
    ("var/cache/dnf/fedora-1/repodata/x.xml.gz", None),
    ("var/cache/apk/APKINDEX.1.tar.gz", None),
    ("var/cache/app/kept", Some("x\n")),
    ("tmp/a file", None),
    ("tmp/.hidden/deep/file", None),
    ("tmp/..odd", None),
    ("var/tmp/-rf", None),
    ("var/tmp/*", None),
    ("etc/udev/rules.d/70-persistent-net.rules", Some("# kept\n")),
    ("etc/udev/rules.d/80-other.rules", Some("x\n")),
    ("etc/sysconfig/network-scripts/ifcfg-eth0", Some("DEVICE=eth0\nONBOOT=yes\n")),
    ("etc/NetworkManager/system-connections/a b.nmconnection", Some("[ethernet]\n\n[ipv4]\n")),
    ("etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection", None),
    ("etc/netplan/50-cloud-init.yaml", None),
    ("etc/systemd/network/10-cloud-init-eth0.network", None),
    ("etc/netplan/10-own.yaml", Some("match: {macaddress: \"52:54:00:12:34:56\"}\n")),
    ("etc/netplan/20-other.yaml", Some("# cloud-init\nmatch: {macaddress: \"52:54:00:00:00:01\"}\n")),
    ("var/log/syslog", Some("")),
    ("var/log/syslog.1", None),
    ("var/log/syslog.2.gz", None),
    ("var/log/dnf.log-20260102", None),
    ("var/log/wtmp", Some("")),
    ("var/log/lastlog", Some("")),
    ("var/log/apt/history.log", Some("")),
    ("var/log/nginx/.deep/er/access.log", Some("")),
    ("var/log/installer/syslog", None),
    ("var/log/journal/0123456789abcdef0123456789abcdef/system.journal", None),
    ("var/log/journal/0123456789abcdef0123456789abcdef.ns/system.journal", None),
    ("var/log/journal/remote/remote.journal", None),
    ("var/lib/wtmpdb/wtmp.db", None),
    ("etc/ssh/sshd_config", Some("x\n")),
    ("etc/ssh/ssh_host_rsa_key", None),
    ("etc/ssh/ssh_host_rsa_key.pub", None),
    ("etc/hostname", Some("x\n")),
];

fn fill(image: &Image) -> Result<()> {
    for (path, _) in FILES {
        image.put(path, "x\n")?;
    }
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1:1::/srv/some where:/bin/sh\nsvc:x:2:2::/srv/svc:/bin/sh\n\
                  odd:x:3:3::/*:/bin/sh\nnone:x:4:4:::/bin/sh";
    image.put("etc/passwd", passwd)?;
    image.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")?;
    let mac = "52:54:00:12:34:56";
    let udev = format!("# kept\nSUBSYSTEM==\"net\", ATTR{{address}}==\"{mac}\", NAME=\"eth0\"\n");
    image.put("etc/udev/rules.d/70-persistent-net.rules", &udev)?;
    let scripts = format!("DEVICE=eth0\nHWADDR={mac}\nONBOOT=yes\n");
    image.put("etc/sysconfig/network-scripts/ifcfg-eth0", &scripts)?;
    let folder = "etc/NetworkManager/system-connections";
    image
        .put(&format!("{folder}/a b.nmconnection"), &format!("[ethernet]\nmac-address={mac}\n\n[ipv4]\n"))?;
    let origin = "org.freedesktop.NetworkManager.origin=cloud-init";
    image.put(
        &format!("{folder}/cloud-init-eth0.nmconnection"),
        &format!("[user]\n{origin}\nmac-address={mac}\n"),
    )?;
    let netplan = format!("match: {{macaddress: \"{mac}\"}}\n");
    image.put("etc/netplan/10-own.yaml", &netplan)?;
    let network = format!("[Match]\nMACAddress={mac}\n[Network]\nDHCP=yes\n");
    image.put("etc/systemd/network/10-cloud-init-eth0.network", &network)?;
    image.put("etc/netplan/20-other.yaml", "# cloud-init\nmatch: {macaddress: \"52:54:00:00:00:01\"}\n")?;
    image.put("etc/netplan/50-cloud-init.yaml", &format!("# This file is cloud-init's.\n{netplan}"))?;
    Ok(())
}

#[tokio::test]
async fn everything_in_every_shell() -> Result<()> {
    for shell in SHELLS {
        let mut image = Image::new(shell).await?;
        fill(&image)?;
        // Links lead out of what may be touched, and stay or go themselves.
        image.put("srv/precious", "x\n")?;
        for path in ["tmp/link", "var/log/link", "var/lib/cloud/link", "root/.sh_history"] {
            image.link("/srv/precious", path)?;
        }
        image.link("/srv", "var/log/folder")?;
        image.put("var/lib/dbus/machine-id", "x\n")?;
        fs_err::set_permissions(image.path("var/log/syslog"), PermissionsExt::from_mode(0o640))?;

        let summary = image.clean(&[]).await?;
        let gone = FILES.iter().filter(|(_, left)| left.is_none());
        let there: Vec<_> = gone.map(|(path, _)| path).filter(|path| image.has(path)).collect();
        assert_eq!(there, Vec::<&&str>::new(), "{shell}: {summary:?}");
        for (path, text) in FILES.iter().filter_map(|(path, left)| left.map(|left| (path, left))) {
            assert!(image.has(path), "{shell}: {path} is gone");
            assert_eq!(image.text(path), text, "{shell}: {path}");
        }
        assert_eq!(fs_err::metadata(image.path("var/log/syslog"))?.mode() & 0o777, 0o640);
        assert_eq!(fs_err::read_link(image.path("var/lib/dbus/machine-id"))?, Path::new("/etc/machine-id"));
        assert_eq!(image.text("srv/precious"), "x\n");
        for (path, stays) in
            [("tmp/link", false), ("var/log/link", true), ("var/log/journal", true), ("tmp", true)]
        {
            assert_eq!(image.has(path), stays, "{shell}: {path}");
        }
        let done = [
            "machine-id: emptied",
            "ssh-host-keys: 2 removed",
            "cloud-init: its state of this machine removed",
            "dhcp-leases: 5 removed",
            "random-seed: removed",
            "net-rules: 6 settings of this machine's network card removed",
            "shell-history: 5 removed",
            "apt: 6 lists and cached files removed",
            "temporary-files: 6 removed",
            "logs: 13 emptied or removed",
        ];
        assert_eq!(summary.done, done, "{shell}");
        let warning = "net-rules: /etc/netplan/10-own.yaml names this machine's network card (52:54:00:12:34:56), \
                       which no other has";
        assert_eq!(summary.warnings, [warning], "{shell}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_to_be_kept_is_kept() -> Result<()> {
    for item in ITEMS {
        let mut image = Image::new("dash").await?;
        fill(&image)?;
        let before = image.state();
        let summary = image.sysprep(&[item]).await?;
        let name = item.as_str();
        assert!(!summary.done.iter().any(|line| line.starts_with(name)), "{name}: {summary:?}");
        assert_eq!(summary.done.len(), ITEMS.len() - 1, "{name}: {summary:?}");
        assert!(before != image.state());
    }
    let mut image = Image::new("dash").await?;
    fill(&image)?;
    let before = image.state();
    assert_eq!(image.sysprep(&ITEMS).await?, Summary::default());
    let off = Sysprep { enabled: false, keep: BTreeSet::new() };
    assert_eq!(run(&mut image.session, &off, |_| {}).await?, Summary::default());
    assert!(before == image.state());
    Ok(())
}

#[tokio::test]
async fn an_empty_image_stays_empty() -> Result<()> {
    for shell in SHELLS {
        let mut image = Image::new(shell).await?;
        let before = image.state();
        assert_eq!(image.sysprep(&[]).await?, Summary::default(), "{shell}");
        assert!(before == image.state(), "{shell}");
    }
    Ok(())
}

const UNIT: &str = "etc/systemd/system/regenerate-ssh-host-keys.service";
const LINK: &str = "etc/systemd/system/multi-user.target.wants/regenerate-ssh-host-keys.service";

/// An image with sshd, a key, systemd perhaps, and whatever makes keys.
async fn with_sshd(
    shell: &str,
    systemd: bool,
    more: impl Fn(&Image) -> Result<()>,
) -> Result<(Image, Summary)> {
    let mut image = Image::new(shell).await?;
    image.program("usr/sbin/sshd")?;
    image.program("usr/bin/ssh-keygen")?;
    image.put("etc/ssh/ssh_host_ed25519_key", "x\n")?;
    if systemd {
        image.program("usr/lib/systemd/systemd")?;
        image.put(
            "usr/lib/systemd/system/ssh.service",
            "[Service]\n# no ssh-keygen -A here\nExecStart=/usr/sbin/sshd -D\n",
        )?;
    }
    more(&image)?;
    let summary = image.clean(&[]).await?;
    Ok((image, summary))
}

#[tokio::test]
async fn host_keys_of_images_that_make_new_ones() -> Result<()> {
    type Maker = fn(&Image) -> Result<()>;
    let makers: [(&str, Maker); 5] = [
        ("cloud-init", |image| image.program("usr/bin/cloud-init")),
        ("Fedora", |image| {
            image.put(
                "usr/lib/systemd/system/sshd-keygen@.service",
                "ExecStart=/usr/libexec/openssh/sshd-keygen %i\n",
            )
        }),
        ("Arch", |image| {
            image.put("usr/lib/systemd/system/sshdgenkeys.service", "ExecStart=/usr/bin/ssh-keygen -A\n")
        }),
        ("an own unit", |image| {
            image.put("etc/systemd/system/keys.service", "[Service]\nExecStart=/usr/bin/ssh-keygen -q -A")?;
            image.link("../keys.service", "etc/systemd/system/multi-user.target.wants/keys.service")
        }),
        ("Alpine", |image| {
            image.program("etc/init.d/sshd")?;
            image.put("etc/init.d/sshd", "#!/sbin/openrc-run\nstart() {\n\tssh-keygen -A\n}\n")
        }),
    ];
    for shell in SHELLS {
        for (name, maker) in makers {
            let (image, summary) = with_sshd(shell, true, maker).await?;
            assert_eq!(summary.done, ["ssh-host-keys: 1 removed"], "{shell}, {name}");
            assert!(
                !image.has("etc/ssh/ssh_host_ed25519_key") && !image.has(UNIT) && !image.has(LINK),
                "{name}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn host_keys_of_images_that_do_not() -> Result<()> {
    type Maker = fn(&Image) -> Result<()>;
    let nothing: [Maker; 3] = [
        |_| Ok(()),
        // A unit that nobody starts, and a cloud-init that is switched off.
        |image| image.put("etc/systemd/system/keys.service", "[Service]\nExecStart=/usr/bin/ssh-keygen -A\n"),
        |image| {
            image.program("usr/bin/cloud-init")?;
            image.put("etc/cloud/cloud-init.disabled", "")
        },
    ];
    for shell in SHELLS {
        for maker in nothing {
            let (image, summary) = with_sshd(shell, true, maker).await?;
            let line =
                "ssh-host-keys: 1 removed; regenerate-ssh-host-keys.service makes new ones at the first boot";
            assert_eq!((summary.done, summary.warnings), (vec![line.to_owned()], Vec::new()), "{shell}");
            assert!(!image.has("etc/ssh/ssh_host_ed25519_key"));
            assert_eq!(fs_err::read_link(image.path(LINK))?, Path::new("/").join(UNIT));
            assert!(image.text(UNIT).contains("ExecStart=/usr/bin/ssh-keygen -A\n"), "{}", image.text(UNIT));
        }
        let (image, summary) = with_sshd(shell, false, |_| Ok(())).await?;
        assert!(image.has("etc/ssh/ssh_host_ed25519_key") && !image.has(UNIT), "{shell}");
        assert!(
            summary.done.is_empty() && summary.warnings[0].contains("ssh-host-keys: kept, since"),
            "{summary:?}"
        );
    }
    Ok(())
}

/// A unit that an earlier run left goes where something else makes keys by now.
#[tokio::test]
async fn the_unit_goes_when_it_is_not_needed() -> Result<()> {
    let (mut image, _) = with_sshd("dash", true, |_| Ok(())).await?;
    assert!(image.has(UNIT) && image.has(LINK));
    image.program("usr/bin/cloud-init")?;
    image.sysprep(&[]).await?;
    assert!(!image.has(UNIT) && !image.has(LINK));
    // Where its state is kept, cloud-init takes the next machine for this one and makes no keys.
    image.put("var/lib/cloud/instance/x", "")?;
    image.sysprep(&[SysprepItem::CloudInit]).await?;
    assert!(image.has(UNIT));
    Ok(())
}

/// systemd's own checker reads the unit.
#[tokio::test]
async fn systemd_accepts_the_unit() -> Result<()> {
    let (image, _) = with_sshd("dash", true, |_| Ok(())).await?;
    let output =
        Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(image.path(UNIT)).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // The host may well lack ssh-keygen, and has units of its own to complain of.
    let ours: Vec<_> =
        said.lines().filter(|line| line.contains("regenerate") && !line.contains("ssh-keygen")).collect();
    assert_eq!(ours, Vec::<&str>::new());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_removed_is_said() -> Result<()> {
    let mut image = Image::new("dash").await?;
    image.put("tmp/file", "x")?;
    image.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")?;
    fs_err::remove_file(image.path("bin/rm"))?;
    let summary = image.sysprep(&[]).await?;
    assert_eq!(summary.done, ["machine-id: emptied"], "a missing program stops nothing");
    assert!(summary.warnings.contains(&"/tmp/file cannot be removed".to_owned()), "{summary:?}");

    fs_err::remove_file(image.path("bin/sh"))?;
    let summary = image.sysprep(&[]).await?;
    assert_eq!(summary.warnings, ["the image has no /bin/sh: nothing was taken out of it"]);
    Ok(())
}

#[tokio::test]
async fn a_shell_that_fails_is_an_error() -> Result<()> {
    let mut image = Image::new("dash").await?;
    fs_err::remove_file(image.path("bin/sh"))?;
    image.put("bin/sh", "#!/bin/dash\necho broken >&2; exit 3\n")?;
    fs_err::set_permissions(image.path("bin/sh"), PermissionsExt::from_mode(0o755))?;
    let error = image.sysprep(&[]).await.unwrap_err().to_string();
    assert_eq!(error, "sysprep failed: exit status 3\nbroken");
    Ok(())
}

#[tokio::test]
async fn many_files_are_no_trouble() -> Result<()> {
    let mut image = Image::new("dash").await?;
    for number in 0..3000 {
        image.put(&format!("tmp/{number}"), "")?;
        image.put(&format!("var/log/app/{number}.log"), "x")?;
    }
    let summary = image.clean(&[]).await?;
    assert_eq!(summary.done, ["temporary-files: 3000 removed", "logs: 3000 emptied or removed"]);
    Ok(())
}
