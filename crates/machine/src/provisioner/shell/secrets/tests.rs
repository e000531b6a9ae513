//! Secrets of shell steps, over both communicators.

use crate::{
    communicator::{
        Session,
        process_guest::ProcessGuest,
        ssh::server::{Kind, Server},
    },
    provisioner::{ShellSource, ShellStep},
};

fn step(user: Option<&str>, elements: &[&str]) -> ShellStep {
    ShellStep {
        name: "it".to_owned(),
        source: ShellSource::Inline(elements.iter().map(|element| (*element).to_owned()).collect()),
        user: user.map(str::to_owned),
        secrets: vec![("token".to_owned(), "it's\nsecret".to_owned()), ("other".to_owned(), String::new())],
        ..ShellStep::default()
    }
}

async fn lines(session: &mut Session, step: &ShellStep) -> Vec<String> {
    let mut lines = Vec::new();
    let ended = step.run(session, |_, line| lines.push(line.to_owned())).await;
    assert!(ended.is_ok(), "{ended:?} {lines:?}");
    lines
}

const SHOW: [&str; 2] = ["cat /run/secrets/token; echo", "ls -ln /run/secrets"];

fn check(lines: &[String], uid: &str) {
    assert_eq!(lines[..2], ["it's", "secret"].map(str::to_owned));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("-r-------- 1 ") && line.contains(uid) && line.ends_with("token"))
    );
    assert!(lines.iter().any(|line| line.ends_with("other")), "{lines:?}");
}

#[tokio::test]
async fn a_guest_that_boots_has_them_in_memory_until_the_step_ends() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = Session::Ssh(Box::new(server.session("app").await));
    check(&lines(&mut session, &step(Some("app"), &SHOW)).await, " 1000 ");
    let mounts = lines(&mut session, &step(None, &["grep ' /run/secrets ' /proc/mounts"])).await;
    assert_eq!(mounts.len(), 1, "once: {mounts:?}");
    assert!(mounts[0].contains(" ramfs "), "{mounts:?}");
    session.end_step().await.unwrap();
    assert!(!server.run("secrets").exists());
}

#[tokio::test]
async fn the_agents_guest_has_them_too() {
    let (_guest, agent) = ProcessGuest::start().await;
    check(&lines(&mut Session::Agent(agent), &step(Some("app"), &SHOW)).await, " 1000 ");
}
