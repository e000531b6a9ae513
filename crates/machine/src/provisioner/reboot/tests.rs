//! Restarts, as a server seems to do them: the kernel's number changes, and connections are cut.

use super::*;
use crate::communicator::{
    process_guest::ProcessGuest,
    ssh::server::{Kind, Server},
};

fn step(command: &str, seconds: u64) -> RebootStep {
    RebootStep {
        name: "it".to_owned(),
        command: Some(command.to_owned()),
        timeout: Duration::from_secs(seconds),
    }
}

#[tokio::test]
async fn it_waits_until_another_system_answers() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = Session::Ssh(Box::new(server.session("app").await));
    let boot_id = server.path("boot_id");
    let restart = async {
        // The old system answers for a while.
        sleep(Duration::from_secs(1)).await;
        server.cut();
        sleep(Duration::from_millis(300)).await;
        fs_err::write(&boot_id, "second\n").unwrap();
        server.cut();
    };
    let (mut said, mut told) = (Vec::new(), Vec::new());
    let step = step("echo going down", 30);
    let running = step.run(&mut session, |_, line| said.push(line.to_owned()), |now| told.push(now));
    let (ended, ()) = tokio::join!(running, restart);
    ended.unwrap();
    assert_eq!(said, ["going down"]);
    assert!(told.iter().any(|now| matches!(now, Progress::Server(_))), "{told:?}");
    let mut id = Vec::new();
    session.read(BOOT_ID, |bytes| id.extend_from_slice(bytes)).await.unwrap();
    assert_eq!(id, b"second\n");
}

#[tokio::test]
async fn a_guest_that_does_not_restart_is_said_as_such() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = Session::Ssh(Box::new(server.session("root").await));
    let ended = step("true", 2).run(&mut session, |_, _| {}, |_| {}).await;
    let Err(StepError::Failed(failed)) = ended else { panic!("{ended:?}") };
    assert_eq!(failed.cause, Cause::TimedOut(Duration::from_secs(2)));
    let ended = step("echo no >&2; exit 5", 20).run(&mut session, |_, _| {}, |_| {}).await;
    let Err(StepError::Failed(failed)) = ended else { panic!("{ended:?}") };
    assert_eq!(
        (failed.cause, failed.last_output),
        (Cause::Exit(ExitStatus::Exited(5)), vec!["no".to_owned()])
    );
}

#[tokio::test]
async fn the_agents_guest_does_not_restart() {
    let (_guest, agent) = ProcessGuest::start().await;
    let ended = step("true", 5).run(&mut Session::Agent(agent), |_, _| {}, |_| {}).await;
    let Err(error) = ended else { panic!("it did") };
    assert!(matches!(error, StepError::NeedsSsh { .. }) && error.hint().unwrap().contains("ssh"));
}
