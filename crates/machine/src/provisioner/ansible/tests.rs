//! Playbooks, by the real Ansible over a real server.

use super::*;
use crate::communicator::{
    process_guest::ProcessGuest,
    ssh::{
        Password,
        server::{Kind, PASSWORD, Server},
    },
};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn programs() -> Vec<PathBuf> {
    ["/usr/bin", "/usr/local/bin"].map(PathBuf::from).to_vec()
}

fn playbook(folder: &Path, tasks: &str) -> PathBuf {
    let path = folder.join("play book.yml");
    fs_err::write(&path, format!("- hosts: web\n  gather_facts: false\n  tasks:\n{tasks}")).unwrap();
    path
}

async fn run(
    step: &AnsibleStep,
    session: &mut Session,
    folder: &Path,
) -> (Result<(), StepError>, Vec<String>) {
    let mut lines = Vec::new();
    let programs = programs();
    let host = AnsibleHost { programs: &programs, folder };
    let ended = step.run(session, host, |_, line| lines.push(line.to_owned())).await;
    (ended, lines)
}

#[tokio::test]
async fn a_playbook_changes_the_guest_as_root() {
    let server = Server::start(Kind::OpenSsh);
    let world = tempfile::tempdir().unwrap();
    let made = server.path("made");
    let tasks = format!(
        "    - copy: {{ dest: {}, content: \"{{{{ word }}}}\", mode: '0600' }}\n    - command: id -un\n      register: who\n    \
         - debug: {{ msg: \"as {{{{ who.stdout }}}} with {{{{ lookup('env', 'WORD') }}}}\" }}\n",
        made.display()
    );
    let step = AnsibleStep {
        name: "it".to_owned(),
        playbook: playbook(world.path(), &tasks),
        extra_vars: [("word".to_owned(), "it's {secret}".to_owned())].into(),
        groups: vec!["web".to_owned()],
        extra_arguments: vec!["-v".to_owned()],
        environment: vec![("WORD".to_owned(), "a variable".to_owned())],
        ..AnsibleStep::default()
    };
    for user in ["root", "app"] {
        let mut session = Session::Ssh(Box::new(server.session(user).await));
        let (ended, lines) = run(&step, &mut session, world.path()).await;
        assert!(ended.is_ok(), "{user}: {ended:?} {lines:#?}");
        assert!(lines.iter().any(|line| line.contains("as root with a variable")), "{lines:#?}");
        let metadata = fs_err::metadata(&made).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
        assert_eq!(fs_err::read_to_string(&made).unwrap(), "it's {secret}");
        fs_err::remove_file(&made).unwrap();
        assert_eq!(fs_err::read_dir(world.path()).unwrap().count(), 1, "nothing stays but the playbook");
    }
}

#[tokio::test]
async fn a_play_that_fails_says_what_ansible_said() {
    let server = Server::start(Kind::OpenSsh);
    let world = tempfile::tempdir().unwrap();
    let tasks = "    - command: sh -c 'echo this is why >&2; exit 3'\n";
    let mut step = AnsibleStep {
        name: "it".to_owned(),
        playbook: playbook(world.path(), tasks),
        groups: vec!["web".to_owned()],
        ..AnsibleStep::default()
    };
    let mut session = Session::Ssh(Box::new(server.session("root").await));
    let (ended, _) = run(&step, &mut session, world.path()).await;
    let Err(StepError::Failed(failed)) = ended else { panic!("{ended:?}") };
    assert_eq!(failed.cause, Cause::Exit(ExitStatus::Exited(2)));
    assert!(failed.last_output.iter().any(|line| line.contains("this is why")), "{failed:?}");
    step.galaxy_file = Some(world.path().join("none.yml"));
    let (ended, lines) = run(&step, &mut session, world.path()).await;
    assert!(matches!(ended, Err(StepError::Failed(_))), "{ended:?}");
    assert!(lines.iter().any(|line| line.contains("none.yml")), "{lines:?}");
}

/// The key that Ansible is told is the one that counts: another guest is not talked to.
#[tokio::test]
async fn another_guest_is_refused() {
    let server = Server::start(Kind::OpenSsh);
    let world = tempfile::tempdir().unwrap();
    let step = AnsibleStep {
        name: "it".to_owned(),
        playbook: playbook(world.path(), "    - ping:\n"),
        groups: vec!["web".to_owned()],
        ..AnsibleStep::default()
    };
    let mut session = server.session("root").await;
    session.pin(Server::wrong_key());
    let (ended, lines) = run(&step, &mut Session::Ssh(Box::new(session)), world.path()).await;
    assert!(matches!(ended, Err(StepError::Failed(_))), "{ended:?}");
    assert!(lines.iter().any(|line| line.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")), "{lines:#?}");
}

#[tokio::test]
async fn secrets_lie_in_files_of_their_owner_alone() {
    let server = Server::start(Kind::OpenSsh);
    let world = tempfile::tempdir().unwrap();
    let password = Credential::Password(Password(PASSWORD.to_owned()));
    let mut target = server.target("asked");
    target.credentials.push(password);
    let session = server.connect(&target).await.unwrap();
    let extra_vars = [("token".to_owned(), "hidden".to_owned())].into();
    let files =
        Files::write(&AnsibleStep { extra_vars, ..AnsibleStep::default() }, &session, world.path()).unwrap();
    let folder = files.inventory().parent().unwrap().to_owned();
    assert_eq!(fs_err::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    let names: Vec<_> = fs_err::read_dir(&folder).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(names.len(), 4);
    for entry in names {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
    let inventory = fs_err::read_to_string(files.inventory()).unwrap();
    assert!(inventory.contains("\"ansible_become\":true") && inventory.contains(PASSWORD), "{inventory}");
    assert!(!files.vars_argument().to_string_lossy().contains("hidden"));
    drop(files);
    assert!(!folder.exists());
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let server = Server::start(Kind::OpenSsh);
    let mut session = Session::Ssh(Box::new(server.session("root").await));
    let host = AnsibleHost { programs: &[], folder: Path::new("/tmp") };
    let error = AnsibleStep::default().run(&mut session, host, |_, _| {}).await.unwrap_err();
    assert!(error.to_string().contains("needs ansible-playbook"), "{error}");
    assert_eq!(error.hint().unwrap(), "apt-get install ansible-core");
    let (_guest, agent) = ProcessGuest::start().await;
    let error = AnsibleStep::default().run(&mut Session::Agent(agent), host, |_, _| {}).await.unwrap_err();
    assert!(matches!(error, StepError::NeedsSsh { .. }));
}
