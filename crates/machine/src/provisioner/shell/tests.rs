//! Shell steps over the agent, run as a thread in a chroot.

use super::*;
use crate::communicator::{
    process_guest::ProcessGuest,
    ssh::server::{Kind, Server},
};
use std::os::unix::fs::MetadataExt;

async fn guest() -> (ProcessGuest, Session) {
    let (guest, session) = ProcessGuest::start().await;
    (guest, Session::Agent(session))
}

fn inline(elements: &[&str]) -> ShellStep {
    ShellStep {
        name: "it".to_owned(),
        source: ShellSource::Inline(elements.iter().map(|element| (*element).to_owned()).collect()),
        timeout: Some(Duration::from_secs(20)),
        ..ShellStep::default()
    }
}

async fn run(session: &mut Session, step: &ShellStep) -> (Result<(), StepError>, Vec<String>) {
    let mut lines = Vec::new();
    let ended = step.run(session, |_, line| lines.push(line.to_owned())).await;
    (ended, lines)
}

async fn failure(session: &mut Session, step: &ShellStep) -> StepFailed {
    match run(session, step).await.0 {
        Err(StepError::Failed(failed)) => *failed,
        other => panic!("{other:?}"),
    }
}

const STATUS: fn(i32) -> Cause = |code| Cause::Exit(ExitStatus::Exited(code));

#[tokio::test]
async fn elements_are_one_script() {
    let (guest, mut session) = guest().await;
    let step = inline(&[
        "# a comment",
        "",
        "cd /srv; x=1",
        "cat >page <<END",
        "x is $x",
        "END",
        "if [ $x = 1 ]",
        "then",
        "  echo one",
        "fi",
        "false || true",
        "[ -f /none ] && echo there",
        "echo status $?",
        "set +e",
        "(exit 7)",
        "echo status $?",
        "echo joined \\",
        "line",
        "f() {",
        "  echo $1; }",
        "f done",
        "echo $DEBIAN_FRONTEND",
    ]);
    let (ended, lines) = run(&mut session, &step).await;
    assert!(ended.is_ok(), "{ended:?} {lines:?}");
    assert_eq!(lines, ["one", "status 1", "status 7", "joined line", "done", "noninteractive"]);
    assert_eq!(fs_err::read_to_string(guest.path("/srv/page")).unwrap(), "x is 1\n");
    assert_eq!(fs_err::metadata(guest.path("/run/kiln/inline")).unwrap().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_failing_element_is_named() {
    let (_guest, mut session) = guest().await;
    let failed = failure(&mut session, &inline(&["echo a", "echo b >&2; exit 7", "echo c"])).await;
    assert_eq!(failed.line, Some((1, "echo b >&2; exit 7".to_owned())));
    assert_eq!(
        (failed.cause, &*failed.last_output),
        (STATUS(7), ["a".to_owned(), "b".to_owned()].as_slice())
    );
    assert_eq!(failed.to_string(), "step \"it\" failed in line 2: exit status 7");

    let failed = failure(&mut session, &inline(&["exit 3"])).await;
    assert_eq!(failed.line, Some((0, "exit 3".to_owned())));

    let failed =
        failure(&mut session, &inline(&["true", "cat <<E", "x", "E", "for x in 1; do", "nothing; done"]))
            .await;
    assert_eq!(failed.line, Some((4, "for x in 1; do".to_owned())), "of a group, its first");
    let said = failed.last_output.last().unwrap();
    assert!(
        said.contains("/run/kiln/inline: 6: nothing: not found"),
        "line numbers are the script's: {said}"
    );

    let failed = failure(&mut session, &inline(&["f() { true", "}", "true", "f", "false"])).await;
    assert_eq!(failed.line.unwrap().0, 4, "a function is one command");

    let failed = failure(&mut session, &inline(&["trap 'echo mine' EXIT", "true", "exec false"])).await;
    assert_eq!(failed.line.unwrap().0, 2, "an own trap or exec hides nothing");

    let failed = failure(&mut session, &inline(&["true", "if then", "true"])).await;
    assert_eq!((failed.line.unwrap().0, failed.cause), (1, STATUS(2)), "a syntax error");

    let mut step = inline(&["true", "exit 9"]);
    step.interpreter = vec!["/bin/cat".to_owned(), "/none".to_owned()];
    assert_eq!(failure(&mut session, &step).await.line, None, "not a shell");
}

#[tokio::test]
async fn a_step_that_takes_too_long_says_where_it_was() {
    let (_guest, mut session) = guest().await;
    let mut step = inline(&["echo a", "while :; do sleep 0.05; done", "echo c"]);
    step.timeout = Some(Duration::from_millis(700));
    let failed = failure(&mut session, &step).await;
    assert_eq!(failed.cause, Cause::TimedOut(Duration::from_millis(700)));
    assert_eq!(failed.line.unwrap().0, 1);
    assert_eq!(failed.last_output[0], "a");
}

#[tokio::test]
async fn users_codes_and_environment() {
    let (_guest, mut session) = guest().await;
    let mut step = inline(&["echo $SECRET $HOME", "ls -d ."]);
    step.user = Some("app".to_owned());
    step.working_directory = Some("/srv".to_owned());
    step.environment = vec![("SECRET".to_owned(), "s'$x".to_owned())];
    let (ended, lines) = run(&mut session, &step).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(lines, ["s'$x /srv", "."]);

    let mut step = inline(&["true", "exit 3"]);
    step.user = Some("app".to_owned());
    assert_eq!(failure(&mut session, &step).await.line.unwrap().0, 1, "app may write the line");
    step.valid_exit_codes = vec![0, 3];
    assert!(run(&mut session, &step).await.0.is_ok());
    step.valid_exit_codes = vec![3];
    step.source = ShellSource::Inline(vec!["true".to_owned()]);
    assert_eq!(failure(&mut session, &step).await.cause, STATUS(0), "only 3 was valid");
}

#[tokio::test]
async fn scripts_run_by_their_own_interpreter() {
    let (_guest, mut session) = guest().await;
    let host = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = host.path().join(name);
        fs_err::write(&path, text).unwrap();
        path
    };
    let own = script("own", "#!/bin/cat\nI am text\n");
    let plain = script("plain.sh", "echo plain $0; false; echo not reached");
    let mut step = inline(&[]);
    step.source = ShellSource::Scripts(vec![own.clone(), plain.clone()]);
    let (ended, lines) = run(&mut session, &step).await;
    assert_eq!(lines, ["#!/bin/cat", "I am text", "plain /run/kiln/plain.sh"]);
    let Err(StepError::Failed(failed)) = ended else { panic!("{ended:?}") };
    assert_eq!((failed.script, failed.cause), (Some(plain), STATUS(1)));

    step.interpreter = vec!["/bin/sh".to_owned(), "-ex".to_owned()];
    step.source = ShellSource::Scripts(vec![own]);
    let failed = failure(&mut session, &step).await;
    assert_eq!(failed.cause, STATUS(127), "the step's interpreter goes before the script's");

    step.source = ShellSource::Scripts(vec![host.path().join("missing")]);
    let error = run(&mut session, &step).await.0.unwrap_err();
    assert!(
        matches!(error, StepError::Communicator { source: CommunicatorError::Host { .. }, .. }),
        "{error:?}"
    );
}

/// The same steps over SSH: marks, line numbers, `#!` lines, and what is left behind.
#[tokio::test]
async fn a_guest_that_boots_runs_them_as_well() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = Session::Ssh(Box::new(server.session("app").await));
    let failed = failure(&mut session, &inline(&["cd /tmp", "echo b >&2; exit 7", "echo c"])).await;
    assert_eq!((failed.line.unwrap().0, failed.cause), (1, STATUS(7)));
    let mut step = inline(&["id -u; echo $SECRET $DEBIAN_FRONTEND"]);
    step.user = Some("app".to_owned());
    step.environment = vec![("SECRET".to_owned(), "s'$x".to_owned())];
    assert_eq!(run(&mut session, &step).await.1, ["1000", "s'$x noninteractive"]);
    let mut slow = inline(&["echo a", "sleep 77"]);
    slow.timeout = Some(Duration::from_millis(900));
    let failed = failure(&mut session, &slow).await;
    assert_eq!((failed.line.unwrap().0, failed.cause), (1, Cause::TimedOut(Duration::from_millis(900))));
    let host = tempfile::tempdir().unwrap();
    let script = host.path().join("run.me");
    fs_err::write(&script, "#!/usr/bin/env bash\nset -o pipefail; echo ${BASH_VERSION:0:1} $0\n").unwrap();
    let step = ShellStep { source: ShellSource::Scripts(vec![script]), ..inline(&[]) };
    assert_eq!(run(&mut session, &step).await.1, ["5 /run/kiln/run.me"]);
    session.end_step().await.unwrap();
    assert!(!server.run("kiln").exists());
}

#[tokio::test]
async fn a_step_may_take_the_connection_with_it() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = Session::Ssh(Box::new(server.session("root").await));
    let mut step = inline(&["sleep 77"]);
    let cut = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.cut();
    };
    let (ended, ()) = tokio::join!(step.run(&mut session, |_, _| {}), cut);
    let Err(StepError::Communicator { source, .. }) = ended else { panic!("{ended:?}") };
    assert!(source.is_disconnected(), "{source:?}");
    step.expect_disconnect = true;
    let mut session = Session::Ssh(Box::new(server.session("root").await));
    let cut = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.cut();
    };
    let (ended, ()) = tokio::join!(step.run(&mut session, |_, _| {}), cut);
    ended.unwrap();
    assert_eq!(run(&mut session, &inline(&["echo on"])).await.1, ["on"]);
    // A step that fails has failed, connection or not.
    step.source = ShellSource::Inline(vec!["exit 4".to_owned()]);
    assert_eq!(failure(&mut session, &step).await.cause, STATUS(4));
}

#[test]
fn the_first_line_is_read_as_the_kernel_does() {
    let read = |text: &str| interpreter_line(text.as_bytes());
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(read("#!/bin/sh\necho"), words(&["/bin/sh"]));
    assert_eq!(read("#! /usr/bin/env -S perl -w \nx"), words(&["/usr/bin/env", "-S perl -w"]));
    assert_eq!(read("#!\n"), None);
    assert_eq!(read("echo"), None);
}
