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
         owner = \"a:b\"\n",
    );
    assert_eq!(
        found,
        [
            r#"{"type":"shell","code":{"inline":["echo value","true"]},"environment":{"A":"1","B":"2"},"interpreter":["/bin/sh","-e"],"working_directory":null,"user":null,"valid_exit_codes":[0],"expect_disconnect":false,"secrets":[]}"#,
            r#"{"type":"shell","code":{"scripts":["../files/setup.sh"]},"environment":{},"interpreter":["/bin/sh","-e"],"working_directory":"/","user":"nobody","valid_exit_codes":[0,7],"expect_disconnect":false,"secrets":[]}"#,
            r#"{"type":"file","content":{"source":"../files/motd"},"destination":"/etc/motd","mode":420,"owner":{"user":"a","group":"b"}}"#,
        ]
    );
}

#[test]
fn neither_name_nor_place_nor_spelling_is_part_of_it() {
    let one = steps("[[provisioner]]\ntype = \"shell\"\nname = \"a\"\ninline = [\"echo value\"]\n");
    let other = steps("\n\n# moved\n[[provisioner]]\ninline = [ 'echo ${var.v}' ]\ntype = \"shell\"\n");
    assert_eq!(one, other);
    let changed = steps("[[provisioner]]\ntype = \"shell\"\ninline = [\"echo value \"]\n");
    assert_ne!(one, changed);
}
