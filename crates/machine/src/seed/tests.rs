//! The seed, as `blkid` and OpenSSH's own tools see it.

use super::*;
use std::process::Command;

fn seed(user: &str) -> Seed {
    Seed {
        instance_id: "kiln-1".to_owned(),
        hostname: None,
        user: user.to_owned(),
        authorized_key: KeyPair::generate().unwrap().public_line("kiln"),
        host_key: KeyPair::generate().unwrap(),
    }
}

#[test]
fn the_label_is_cloud_inits() {
    let world = tempfile::tempdir().unwrap();
    let path = world.path().join("seed.iso");
    seed("root").write(&path).unwrap();
    let told = Command::new("/usr/sbin/blkid").args(["-p", "-o", "export"]).arg(&path).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("LABEL=cidata\n") && told.contains("TYPE=iso9660\n"), "{told}");
}

#[test]
fn cloud_init_gets_the_keys() {
    let seed = seed("debian");
    let text = seed.user_data().unwrap();
    let json = text.strip_prefix("#cloud-config\n").unwrap();
    let data: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(data["users"][0]["name"], "debian");
    assert_eq!(data["users"][0]["ssh_authorized_keys"][0], seed.authorized_key);
    assert_eq!(data["ssh_keys"]["ed25519_private"], seed.host_key.private_openssh().unwrap());
    assert_eq!(data["preserve_hostname"], true);
    assert_eq!(seed.meta_data(), "{\"instance-id\":\"kiln-1\"}\n");
    let named = Seed { hostname: Some("web".to_owned()), ..seed };
    assert_eq!(named.meta_data(), "{\"instance-id\":\"kiln-1\",\"local-hostname\":\"web\"}\n");
    assert!(named.user_data().unwrap().contains("\"preserve_hostname\":false"));
}

/// The script as a shell of this host does it, on files that are cloud-init's.
#[test]
fn what_it_left_is_taken_out() {
    let world = tempfile::tempdir().unwrap();
    let path = |name: &str| world.path().join(name);
    let seed = seed("debian");
    fs_err::create_dir_all(path("home/.ssh")).unwrap();
    fs_err::create_dir_all(path("sudoers.d")).unwrap();
    let (keys, rules) = (path("home/.ssh/authorized_keys"), path("sudoers.d/90-cloud-init-users"));
    fs_err::write(path("passwd"), format!("debian:x:1:1::{}:/bin/sh\n", path("home").display())).unwrap();
    let script = seed
        .removal()
        .replace("/etc/passwd", path("passwd").to_str().unwrap())
        .replace("/etc/sudoers.d", path("sudoers.d").to_str().unwrap());
    let run = || assert!(Command::new("sh").args(["-e", "-c", &script]).status().unwrap().success());
    fs_err::write(&keys, format!("ssh-rsa AAAA other\n{}\n", seed.authorized_key)).unwrap();
    let header =
        "# Created by cloud-init v. 22.4.2\n\n# User rules for debian\ndebian ALL=(ALL) NOPASSWD:ALL\n";
    fs_err::write(&rules, header).unwrap();
    run();
    assert_eq!(fs_err::read_to_string(&keys).unwrap(), "ssh-rsa AAAA other\n");
    assert!(!rules.exists());
    fs_err::write(&keys, format!("{}\n", seed.authorized_key)).unwrap();
    fs_err::write(&rules, format!("{header}\n# User rules for admin\nadmin ALL=(ALL) ALL\n")).unwrap();
    run();
    assert!(!path("home/.ssh").exists());
    assert!(
        fs_err::read_to_string(&rules).unwrap().ends_with("# User rules for admin\nadmin ALL=(ALL) ALL\n")
    );
    run();
}
