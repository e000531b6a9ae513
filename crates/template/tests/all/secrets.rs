//! The value of a sensitive variable is in nothing that is shown or stored.

use crate::{inputs, load_text};
use kiln_template::{Communicator, Content, Inputs, ShellCode, Source, Step, VarFile};
use std::path::{Path, PathBuf};

const SECRET: &str = "hunter2-do-not-tell";

fn head(password: &str) -> String {
    format!(
        "[template]\nname = \"t\"\n[source]\ntype = \"bootstrap\"\nsuite = \"s\"\n[variables]\npassword = {password}\n"
    )
}

fn quiet(text: &str, inputs: &Inputs) -> String {
    let report = load_text(text, inputs).unwrap_err();
    for colour in [false, true] {
        let shown = report.render(colour);
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(!format!("{report:?}").contains(SECRET), "{report:?}");
    report.render(false)
}

#[test]
fn a_step_shows_the_variable_and_runs_the_value() {
    let text = head(&format!("{{ default = \"{SECRET}\", sensitive = true }}"))
        + "[locals]\nline = \"user:${var.password}\"\n\
           [[provisioner]]\ntype = \"shell\"\ninline = [\"echo '${local.line}' | chpasswd\"]\n\
           environment = { P = \"${var.password}\" }\n\
           [[provisioner]]\ntype = \"file\"\ncontent = \"${var.password}\"\ndestination = \"/etc/p\"\n";
    let template = load_text(&text, &inputs(Path::new("."))).unwrap();
    assert_eq!(template.secrets().collect::<Vec<_>>(), [SECRET]);
    assert!(!format!("{template:?}").contains(SECRET));
    let [shell, file] = template.provisioners.as_slice() else { panic!("two steps") };
    assert_eq!(shell.name, "shell: echo 'user:${var.password}' | chpasswd");
    assert!(shell.variables.contains("password") && file.variables.contains("password"));
    let Step::Shell(step) = &shell.step else { panic!("a shell step") };
    let ShellCode::Inline(lines) = &step.code else { panic!("inline") };
    assert_eq!(lines[0].text.expose(), format!("echo 'user:{SECRET}' | chpasswd"));
    assert_eq!(step.environment["P"].expose(), SECRET);
    let Step::File(step) = &file.step else { panic!("a file step") };
    assert!(matches!(&step.content, Content::Text(text) if text.expose() == SECRET));
    for provisioner in &template.provisioners {
        let json = serde_json::to_string(&provisioner.step).unwrap();
        assert!(!json.contains(SECRET), "{json}");
        assert!(json.contains("${var.password}"), "{json}");
    }
}

#[test]
fn a_mistaken_declaration_does_not_show_its_default() {
    for rest in [
        "sensitive = true, pattern = \"[0-9]+\"",
        "sensitive = true, choices = [\"hunter2\", \"b\"]",
        "sensitive = true, patern = \"x\"",
        "patern = \"x\", sensitive = true",
        "sensitive = \"yes\"",
        "sensitive = true, description = 1",
    ] {
        quiet(&head(&format!("{{ default = \"{SECRET}\", {rest} }}")), &inputs(Path::new(".")));
    }
    let shown = quiet(
        &head("{ default = 73519.5, sensitive = true, choices = \"73519.5\" }"),
        &inputs(Path::new(".")),
    );
    assert!(!shown.contains("73519"), "{shown}");
    quiet(&head(&format!("{{ default = [\"{SECRET}\"], sensitive = true }}")), &inputs(Path::new(".")));
    quiet(
        &head(&format!("{{ default = \"{SECRET}${{var.x}}\", sensitive = true }}")),
        &inputs(Path::new(".")),
    );
}

#[test]
fn text_that_is_not_toml_does_not_show_it_either() {
    for broken in [
        format!("{{ default = \"{SECRET}, sensitive = true }}"),
        format!("{{ default = \"{SECRET}\" sensitive = true }}"),
        format!("{{ sensitive = true, default = {SECRET} }}"),
        format!("{{ default = \"{SECRET}\", sensitive = true"),
    ] {
        let shown = quiet(&head(&broken), &inputs(Path::new(".")));
        assert!(shown.contains("template.toml:7:"), "{shown}");
    }
}

#[test]
fn values_given_are_not_shown() {
    let declared = head("{ sensitive = true, pattern = \"[0-9]+\", env = \"PASSWORD\" }");
    let given = |change: &dyn Fn(&mut Inputs)| {
        let mut inputs = inputs(Path::new("."));
        change(&mut inputs);
        quiet(&declared, &inputs)
    };
    let file = |text: String| vec![VarFile { path: PathBuf::from("v.toml"), text }];
    given(&|inputs| inputs.vars = vec![("password".to_owned(), SECRET.to_owned())]);
    given(&|inputs| inputs.vars = vec![("pasword".to_owned(), SECRET.to_owned())]);
    given(&|inputs| inputs.env = [("PASSWORD".to_owned(), SECRET.to_owned())].into());
    given(&|inputs| inputs.var_files = file(format!("password = \"{SECRET}\"")));
    given(&|inputs| inputs.var_files = file(format!("pasword = \"{SECRET}\"")));
    given(&|inputs| inputs.var_files = file(format!("password = [\"{SECRET}\"]")));
    given(&|inputs| inputs.var_files = file(format!("password = \"{SECRET}")));
    given(&|inputs| inputs.var_files = file(format!("password = {SECRET}")));
    let inputs = inputs(Path::new("."));
    let mut named = inputs.clone();
    named.vars = vec![("password".to_owned(), SECRET.to_owned())];
    assert!(!format!("{named:?}").contains(SECRET));
}

#[test]
fn a_secret_is_refused_where_it_would_be_stored() {
    let declared = head(&format!("{{ default = \"{SECRET}\", sensitive = true }}"));
    for rest in [
        "[image]\nname = \"a-${var.password}\"",
        "[image]\ntags = { a = \"${var.password}\" }",
        "[image]\ndescription = \"${local.l}\"\n[locals]\nl = \"${var.password}\"",
        "[[export]]\nformat = \"raw\"\npath = \"${var.password}\"",
        "[machine]\ncpus = \"${var.password}\"",
        "[[provisioner]]\ntype = \"shell\"\nname = \"${var.password}\"\ninline = [\"true\"]",
        "[[provisioner]]\ntype = \"shell\"\nuser = \"${var.password}\"\ninline = [\"true\"]",
        "[[provisioner]]\ntype = \"shell\"\nwhen = \"${var.password} == a\"\ninline = [\"true\"]",
        "[[provisioner]]\ntype = \"shell\"\nonly = [\"${var.password}\"]\ninline = [\"true\"]",
        "[[provisioner]]\ntype = \"breakpoint\"\nnote = \"${var.password}\"",
        "[communicator]\ntype = \"ssh\"\nusername = \"${var.password}\"",
        "[communicator]\ntype = \"ssh\"\n[[provisioner]]\ntype = \"ansible\"\nplaybook = \"p\"\n\
         extra_arguments = [\"${var.password}\"]",
        "[machine]\nqemu_args = [\"${var.password}\"]",
    ] {
        let shown = quiet(&(declared.clone() + rest), &inputs(Path::new(".")));
        assert!(shown.contains("a sensitive value cannot be used in"), "{shown}");
    }
}

#[test]
fn a_booted_guest_and_an_installer_get_the_value() {
    let text = include_str!("../../../../fixtures/template/ok/everything-ssh.toml");
    let mut inputs = inputs(Path::new("../../fixtures/template/ok"));
    inputs.vars.push(("password".to_owned(), SECRET.to_owned()));
    let template = load_text(text, &inputs).unwrap();
    let Communicator::Ssh(ssh) = &template.communicator else { panic!("ssh") };
    assert_eq!(ssh.password.as_ref().unwrap().expose(), SECRET);
    let Some(Step::Ansible(play)) = template.provisioners.iter().map(|step| &step.step).nth(5) else {
        panic!("a play")
    };
    assert_eq!(play.extra_vars["password"].expose(), SECRET);
    assert_eq!(template.variable("password").unwrap().value.expose(), SECRET);
    let text = include_str!("../../../../fixtures/template/ok/everything-iso.toml");
    let installed = load_text(text, &inputs).unwrap();
    let Source::Iso(iso) = &installed.source else { panic!("an installation") };
    assert!(iso.http_content["/preseed.cfg"].expose().contains(SECRET));
    for shown in [
        format!("{template:?}{installed:?}"),
        serde_json::to_string(&template.communicator).unwrap(),
        serde_json::to_string(&play).unwrap(),
        serde_json::to_string(&installed.source).unwrap(),
    ] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn a_name_in_secrets_is_a_use_of_the_variable() {
    let text = head(&format!("{{ default = \"{SECRET}\", sensitive = true }}"))
        + "[[provisioner]]\ntype = \"shell\"\ninline = [\"cat /run/secrets/password\"]\nsecrets = [\"password\"]\n";
    let template = load_text(&text, &inputs(Path::new("."))).unwrap();
    assert!(template.provisioners[0].variables.contains("password"));
    assert!(!serde_json::to_string(&template.provisioners[0].step).unwrap().contains(SECRET));
}
