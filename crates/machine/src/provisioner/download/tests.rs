//! Downloads from real servers, and from an agent.

use super::*;
use crate::communicator::{
    process_guest::ProcessGuest,
    ssh::server::{Kind, Server},
};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn step(source: &Path, slash: &str, target: &Path) -> DownloadStep {
    let source = format!("{}{slash}", source.display());
    DownloadStep { name: "it".to_owned(), source, target: target.to_owned() }
}

#[tokio::test]
async fn files_replace_what_was_there_once_they_are_whole() {
    for (kind, user) in [(Kind::OpenSsh, "app"), (Kind::Dropbear, "root")] {
        let server = Server::start(kind);
        let mut session = Session::Ssh(Box::new(server.session(user).await));
        let (from, world) = (server.path("from"), tempfile::tempdir().unwrap());
        fs_err::write(&from, "new").unwrap();
        // Root's alone: whoever is logged in reads as root.
        fs_err::set_permissions(&from, PermissionsExt::from_mode(0o600)).unwrap();
        let target = world.path().join("deep/er/file");
        for _ in 0..2 {
            step(&from, "", &target).run(&mut session).await.unwrap();
            assert_eq!(fs_err::read(&target).unwrap(), b"new");
        }
        let error = step(&server.path("none"), "", &target).run(&mut session).await.unwrap_err();
        let StepError::Communicator { source, .. } = error else { panic!("{error:?}") };
        assert!(
            source.to_string().contains("No such file") || source.to_string().contains("no such file"),
            "{source}"
        );
        assert_eq!(fs_err::read(&target).unwrap(), b"new", "it is as it was");
        assert_eq!(fs_err::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn an_agents_file_comes_too() {
    let (guest, agent) = ProcessGuest::start().await;
    let (mut session, world) = (Session::Agent(agent), tempfile::tempdir().unwrap());
    fs_err::write(guest.path("/srv/file"), "text").unwrap();
    let target = world.path().join("file");
    step(Path::new("/srv/file"), "", &target).run(&mut session).await.unwrap();
    assert_eq!(fs_err::read(&target).unwrap(), b"text");
    // This guest has no tar.
    let error =
        step(Path::new("/srv"), "/", &world.path().join("folder")).run(&mut session).await.unwrap_err();
    assert!(matches!(error, StepError::Communicator { .. }), "{error:?}");
}

#[tokio::test]
async fn folders_are_merged_and_no_link_is_followed() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = Session::Ssh(Box::new(server.session("app").await));
    let (from, world) = (server.path("from"), tempfile::tempdir().unwrap());
    fs_err::create_dir_all(from.join("sub/empty")).unwrap();
    fs_err::create_dir_all(from.join("trap")).unwrap();
    fs_err::write(from.join("trap/file"), "x").unwrap();
    fs_err::write(from.join("sub/it's one"), vec![7; 3_000_000]).unwrap();
    fs_err::write(from.join("program"), "#!/bin/sh\n").unwrap();
    fs_err::set_permissions(from.join("program"), PermissionsExt::from_mode(0o4755)).unwrap();
    symlink("sub/../none", from.join("link")).unwrap();
    let target = world.path().join("new/target");
    step(&from, "/", &target).run(&mut session).await.unwrap();
    // What a guest planted before must not lead out of the folder now.
    let outside = tempfile::tempdir().unwrap();
    fs_err::remove_dir_all(target.join("trap")).unwrap();
    symlink(outside.path(), target.join("trap")).unwrap();
    fs_err::write(target.join("mine"), "stays").unwrap();
    step(&from, "/", &target).run(&mut session).await.unwrap();
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
    assert_eq!(fs_err::read(target.join("trap/file")).unwrap(), b"x");
    assert_eq!(fs_err::read(target.join("mine")).unwrap(), b"stays");
    assert_eq!(fs_err::read(target.join("sub/it's one")).unwrap(), vec![7; 3_000_000]);
    assert!(target.join("sub/empty").is_dir());
    assert_eq!(fs_err::metadata(target.join("program")).unwrap().mode() & 0o7777, 0o755, "no set-user-id");
    assert_eq!(fs_err::read_link(target.join("link")).unwrap(), Path::new("sub/../none"));
    assert_eq!(fs_err::read_dir(target.parent().unwrap()).unwrap().count(), 1, "nothing temporary stays");

    let error = step(&server.path("none"), "/", &target).run(&mut session).await.unwrap_err();
    let StepError::Communicator { source, .. } = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("No such file or directory"), "{source}");
    assert_eq!(fs_err::read(target.join("mine")).unwrap(), b"stays");
}

/// An archive that a hostile guest makes.
#[test]
fn an_archive_does_not_lead_out_of_its_folder() {
    let world = tempfile::tempdir().unwrap();
    let (outside, inside) = (world.path().join("outside"), world.path().join("inside"));
    fs_err::create_dir(&outside).unwrap();
    fs_err::create_dir(&inside).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "out", &outside).unwrap();
    let mut file = |name: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_size(1);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, b"x".as_slice()).unwrap();
    };
    file(b"../up");
    file(b"out/through");
    let bytes = builder.into_inner().unwrap();
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || sender.send(bytes));
    // Whether it is refused or left out, nothing is outside.
    unpack(receiver, &inside).ok();
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
    assert!(!world.path().join("up").exists());
}
