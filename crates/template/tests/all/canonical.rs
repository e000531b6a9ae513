//! What cache keys are made of: a change here makes every step of every user run again.

use crate::{inputs, load_text};
use kiln_template::Template;
use std::path::Path;

fn template(steps: &str) -> Template {
    let text = "[template]\nname = \"t\"\n[source]\ntype = \"bootstrap\"\nsuite = \"sid\"\n\
                [variables]\nv = { default = \"value\" }\n"
        .to_owned()
        + steps;
    load_text(&text, &inputs(Path::new("../../fixtures/template/ok")))
        .unwrap_or_else(|e| panic!("{}", e.render(false)))
}

fn steps(text: &str) -> Vec<String> {
    let template = template(text);
    template.provisioners.iter().map(|step| serde_json::to_string(&step.step).unwrap()).collect()
}

#[test]
fn the_serialised_steps() {
    let found = steps(
        "[[provisioner]]\ntype = \"shell\"\nname = \"named\"\ninline = [\"echo ${var.v}\", \"true\"]\n\
         environment = { B = \"2\", A = \"1\" }\n\
         [[provisioner]]\ntype = \"shell\"\nscript = \"../files/setup.sh\"\nuser = \"nobody\"\ntimeout = \"90s\"\n\
         working_directory = \"/\"\nvalid_exit_codes = [7, 0]\n\
         [[provisioner]]\ntype = \"file\"\nsource = \"../files/motd\"\ndestination = \"/etc/motd\"\nmode = \"0644\"\n\
         owner = \"a:b\"\n\
         [[provisioner]]\ntype = \"download\"\nsource = \"/etc/motd\"\ndestination = \"out/\"\n\
         [[provisioner]]\ntype = \"breakpoint\"\nnote = \"look\"\n",
    );
    assert_eq!(
        found,
        [
            r#"{"type":"shell","code":{"inline":["echo value","true"]},"environment":{"A":"1","B":"2"},"interpreter":["/bin/sh","-e"],"working_directory":null,"user":null,"valid_exit_codes":[0],"expect_disconnect":false,"secrets":[]}"#,
            r#"{"type":"shell","code":{"scripts":["../files/setup.sh"]},"environment":{},"interpreter":["/bin/sh","-e"],"working_directory":"/","user":"nobody","valid_exit_codes":[0,7],"expect_disconnect":false,"secrets":[]}"#,
            r#"{"type":"file","content":{"source":"../files/motd"},"destination":"/etc/motd","mode":420,"owner":{"user":"a","group":"b"}}"#,
            r#"{"type":"download","source":"/etc/motd","destination":"out/"}"#,
            r#"{"type":"breakpoint","note":"look"}"#,
        ]
    );
}

#[test]
fn the_serialised_steps_of_a_booted_guest() {
    let found = steps(
        "[communicator]\ntype = \"ssh\"\n\
         [[provisioner]]\ntype = \"reboot\"\ntimeout = \"90s\"\ncommand = \"reboot -f\"\n\
         [[provisioner]]\ntype = \"ansible\"\nplaybook = \"../files/playbook.yml\"\nextra_vars = { b = \"2\" }\n",
    );
    assert_eq!(
        found,
        [
            r#"{"type":"reboot","command":"reboot -f"}"#,
            r#"{"type":"ansible","playbook":"../files/playbook.yml","extra_arguments":[],"extra_vars":{"b":"2"},"groups":[],"galaxy_file":null,"user":null,"environment":{}}"#,
        ]
    );
}

#[test]
fn the_serialised_machine() {
    let json = |text: &str| {
        let template = template(text);
        serde_json::to_string(&(template.communicator, template.machine.disks, template.sysprep)).unwrap()
    };
    assert_eq!(json(""), r#"["agent",[],{"enabled":true,"keep":[]}]"#);
    assert_eq!(
        json(
            "[communicator]\ntype = \"ssh\"\nport = 2222\ntimeout = \"1m\"\n[sysprep]\nkeep = [\"logs\"]\n\
             [[machine.disk]]\nname = \"data\"\nsize = \"1GiB\"\n"
        ),
        r#"[{"ssh":{"username":"root","setup":"auto"}},[{"name":"data","size":"1GiB","device_name":"/dev/sdb"}],{"enabled":true,"keep":["logs"]}]"#
    );
}

#[test]
fn the_serialised_installation() {
    let text = "[template]\nname = \"t\"\n[source]\ntype = \"iso\"\npath = \"../files/disk.raw\"\n\
                checksum = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n\
                disk_size = \"1GiB\"\nboot_command = [\"<ESC><wait>\", \"a=${http.address}\"]\n\
                install = { timeout = \"5m\" }\n";
    let template = load_text(text, &inputs(Path::new("../../fixtures/template/ok"))).unwrap();
    assert_eq!(
        serde_json::to_string(&template.source).unwrap(),
        r#"{"type":"iso","location":{"path":"../files/disk.raw"},"checksum":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"},"disk_size":"1GiB","boot_wait":"0s","boot_command":"<esc><wait1s>a=${http.address}","http_directory":null,"http_content":{},"cd_files":[],"cd_label":"cidata","floppy_files":[],"floppy_label":"cidata","install":{"ends_with":"poweroff"}}"#
    );
}

#[test]
fn what_is_common_to_all_steps_is_no_part_of_one() {
    let one = steps("[[provisioner]]\ntype = \"shell\"\ninline = [\"a\"]\n");
    let other = steps(
        "[[provisioner]]\ntype = \"shell\"\ninline = [\"a\"]\ntimeout = \"1m\"\npause_before = \"1s\"\n\
         max_retries = 2\nonly = [\"t\"]\nwhen = \"${var.v} == value\"\n",
    );
    assert_eq!(one, other);
}

#[test]
fn neither_name_nor_place_nor_spelling_is_part_of_it() {
    let one = steps("[[provisioner]]\ntype = \"shell\"\nname = \"a\"\ninline = [\"echo value\"]\n");
    let other = steps("\n\n# moved\n[[provisioner]]\ninline = [ 'echo ${var.v}' ]\ntype = \"shell\"\n");
    assert_eq!(one, other);
    let changed = steps("[[provisioner]]\ntype = \"shell\"\ninline = [\"echo value \"]\n");
    assert_ne!(one, changed);
}
