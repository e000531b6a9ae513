//! What goes into an image and out of it again, by the agent in a chroot; the unit, as systemd sees it.

use super::*;
use crate::communicator::process_guest::ProcessGuest;
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, process::Command};

fn access() -> Access {
    Access {
        authorized_key: KeyPair::generate().unwrap().public_line("build"),
        host_key: KeyPair::generate().unwrap(),
        cloud_init: false,
    }
}

/// Makes the guest look like an image with these, or takes them away.
fn furnish(guest: &ProcessGuest, systemd: bool, sshd: bool, shadow: &str, selinux: &str) {
    for (path, there) in [("/usr/lib/systemd/systemd", systemd), ("/usr/sbin/sshd", sshd)] {
        let path = guest.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        if there {
            fs_err::write(&path, "").unwrap();
            fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        } else {
            fs_err::remove_file(&path).ok();
        }
    }
    fs_err::create_dir_all(guest.path("/etc/selinux")).unwrap();
    fs_err::create_dir_all(guest.path("/etc/systemd/system")).unwrap();
    fs_err::create_dir_all(guest.path("/etc/cloud")).unwrap();
    fs_err::write(guest.path("/etc/shadow"), format!("{shadow}\napp:!:19000::::::\n")).unwrap();
    fs_err::write(guest.path("/etc/selinux/config"), format!("# a comment\nSELINUX={selinux}\n")).unwrap();
}

/// Everything below /etc, with what it holds.
fn tree(root: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs_err::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let holds = match () {
            () if metadata.is_dir() => Vec::new(),
            () if metadata.is_symlink() => {
                fs_err::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            }
            () => fs_err::read(&path).unwrap(),
        };
        into.insert(path.display().to_string(), holds);
        if metadata.is_dir() {
            tree(&path, into);
        }
    }
}

fn etc(guest: &ProcessGuest) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    tree(&guest.path("/etc"), &mut found);
    found
}

#[tokio::test]
async fn what_goes_in_comes_out_again() {
    let (guest, mut session) = ProcessGuest::start().await;
    furnish(&guest, true, true, "root:*:19000::::::", "permissive");
    let before = etc(&guest);
    let access = access();
    let placed = put(&mut session, &access).await.unwrap();
    let key = guest.path("/etc/kiln-build/host_key");
    assert_eq!(fs_err::read_to_string(&key).unwrap(), access.host_key.private_openssh().unwrap());
    assert_eq!(fs_err::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let keys = fs_err::read_to_string(guest.path("/etc/kiln-build/authorized_keys")).unwrap();
    assert_eq!(keys, format!("{}\n", access.authorized_key));
    assert!(guest.path("/etc/cloud/cloud-init.disabled").exists());
    assert!(guest.path("/etc/resolv.conf").exists());
    assert_eq!(fs_err::read_link(guest.path(LINK)).unwrap(), Path::new(UNIT_FILE));
    remove(&mut session, &placed).await.unwrap();
    assert_eq!(etc(&guest), before);
    remove(&mut session, &placed).await.unwrap();
}

#[tokio::test]
async fn what_the_image_has_itself_stays() {
    let (guest, mut session) = ProcessGuest::start().await;
    furnish(&guest, true, true, "root:$6$x:19000::::::", "disabled");
    for (path, text) in [
        (CLOUD_INIT_OFF, ""),
        (RESOLV_CONF, "nameserver 9.9.9.9\n"),
        ("/etc/systemd/system/basic.target.wants/other.service", ""),
    ] {
        fs_err::create_dir_all(guest.path(path).parent().unwrap()).unwrap();
        fs_err::write(guest.path(path), text).unwrap();
    }
    let before = etc(&guest);
    let placed = put(&mut session, &access()).await.unwrap();
    remove(&mut session, &placed).await.unwrap();
    assert_eq!(etc(&guest), before);
    // cloud-init is left on where it is wanted; a file that a step filled is the image's.
    fs_err::remove_file(guest.path(CLOUD_INIT_OFF)).unwrap();
    fs_err::remove_file(guest.path(RESOLV_CONF)).unwrap();
    let placed = put(&mut session, &Access { cloud_init: true, ..access() }).await.unwrap();
    assert!(!guest.path(CLOUD_INIT_OFF).exists());
    fs_err::write(guest.path(RESOLV_CONF), "nameserver 8.8.8.8\n").unwrap();
    remove(&mut session, &placed).await.unwrap();
    assert_eq!(fs_err::read(guest.path(RESOLV_CONF)).unwrap(), b"nameserver 8.8.8.8\n");
}

#[tokio::test]
async fn an_image_that_is_not_fit_is_left_alone() {
    let (guest, mut session) = ProcessGuest::start().await;
    let root = "root:*:19000::::::";
    for (systemd, sshd, shadow, selinux, why) in [
        (false, true, root, "disabled", Unfit::NoSystemd),
        (true, false, root, "disabled", Unfit::NoSshd),
        (true, true, "root:!locked:19000::::::", "disabled", Unfit::RootLocked),
        (true, true, root, "enforcing", Unfit::SeLinux),
    ] {
        furnish(&guest, systemd, sshd, shadow, selinux);
        let before = etc(&guest);
        let error = put(&mut session, &access()).await.unwrap_err();
        assert!(matches!(error, FastBootError::Unfit(found) if found == why), "{error:?}");
        assert_eq!(etc(&guest), before);
    }
}

#[test]
fn systemd_and_the_shell_and_the_server_take_their_files() {
    let world = tempfile::tempdir().unwrap();
    let (unit, start) = (world.path().join("kiln-build.service"), world.path().join("start"));
    fs_err::write(&unit, UNIT).unwrap();
    let told = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && !said.contains("kiln-build"), "{said}");
    fs_err::write(&start, START).unwrap();
    for shell in ["dash", "bash"] {
        assert!(Command::new(shell).arg("-n").arg(&start).status().unwrap().success());
    }
    let key = world.path().join("key");
    fs_err::write(&key, KeyPair::generate().unwrap().private_openssh().unwrap()).unwrap();
    fs_err::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let config = world.path().join("sshd_config");
    fs_err::write(&config, SSHD_CONFIG.replace("/etc/kiln-build/host_key", key.to_str().unwrap())).unwrap();
    // It wants a folder in /run.
    let script = "mount -t tmpfs run /run && mkdir /run/sshd && exec /usr/sbin/sshd -T -f \"$0\"";
    let told = Command::new("unshare").args(["--mount", "sh", "-c", script]).arg(&config).output().unwrap();
    let (out, said) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success() && said.is_empty(), "{said}");
    assert!(out.contains(&format!("port {PORT}\n")) && out.contains("passwordauthentication"), "{out}");
    assert!(out.contains("authenticationmethods publickey\n"), "{out}");
}
