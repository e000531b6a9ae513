//! Keys change with what they stand for, and with nothing else.

use super::*;
use kiln_template::{Inputs, Template};
use kiln_types::Timestamp;
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path};

const TEMPLATE: &str = r#"
[template]
name = "web"
[variables]
token = { default = "first-secret", sensitive = true }
[source]
type = "bootstrap"
suite = "bookworm"
[[provisioner]]
type = "shell"
inline = ["echo one ${var.token}"]
[[provisioner]]
type = "file"
source = "index.html"
destination = "/srv/index.html"
[[provisioner]]
type = "shell"
inline = ["echo three"]
[image]
name = "web-${build.timestamp}"
"#;

fn load(folder: &Path, text: &str) -> Template {
    let inputs = Inputs {
        folder: folder.to_owned(),
        vars: Vec::new(),
        var_files: Vec::new(),
        env: BTreeMap::new(),
        now: Timestamp::now(),
    };
    kiln_template::load(Path::new("template.toml"), text, &inputs).unwrap().remove(0)
}

/// The keys of the three steps and of the image.
fn keys(folder: &Path, text: &str) -> Vec<Digest> {
    let planned =
        PlannedSteps::over(Digest::from_bytes([7; 32]), &load(folder, text), &Seal::from_bytes([5; 32]))
            .unwrap();
    let steps = planned.steps.iter().map(|step| step.key);
    steps.chain([planned.image_key]).collect()
}

/// Says from which step on the keys are different; 4 where none is.
fn first_change(old: &[Digest], new: &[Digest]) -> usize {
    let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    assert!(
        old[same..].iter().zip(&new[same..]).all(|(old, new)| old != new),
        "a key after the change stayed"
    );
    same
}

#[test]
fn a_change_shows_from_its_step_on() {
    let world = tempfile::tempdir().unwrap();
    let folder = world.path();
    fs_err::write(folder.join("index.html"), "old").unwrap();
    let old = keys(folder, TEMPLATE);
    let with = |from: &str, to: &str| first_change(&old, &keys(folder, &TEMPLATE.replace(from, to)));
    assert_eq!(with("echo one", "echo 1"), 0);
    assert_eq!(with("/srv/index.html", "/srv/other.html"), 1);
    assert_eq!(with("echo three", "echo 3"), 2);
    assert_eq!(with("[image]", "[image]\ntags = { a = \"b\" }"), 3);
    assert_eq!(with("first-secret", "another-secret"), 4, "a sensitive value is no part of a key");
    let keyed = TEMPLATE.replace("sensitive = true", "sensitive = true, cache_key = true");
    let old_keyed = keys(folder, &keyed);
    let rotated = keys(folder, &keyed.replace("first-secret", "another-secret"));
    assert_eq!(first_change(&old_keyed, &rotated), 0, "unless its variable says so");
    assert_eq!(with("web-${build.timestamp}", "other-${build.timestamp}"), 4, "nor is the image's name");
    fs_err::write(folder.join("index.html"), "new").unwrap();
    assert_eq!(first_change(&old, &keys(folder, TEMPLATE)), 1);
}

#[test]
fn another_base_is_another_key_everywhere() {
    let world = tempfile::tempdir().unwrap();
    fs_err::write(world.path().join("index.html"), "old").unwrap();
    let template = load(world.path(), TEMPLATE);
    let over = |byte| {
        PlannedSteps::over(Digest::from_bytes([byte; 32]), &template, &Seal::from_bytes([5; 32])).unwrap()
    };
    let (one, two) = (over(1), over(2));
    assert!(one.steps.iter().zip(&two.steps).all(|(one, two)| one.key != two.key));
    assert_ne!(one.image_key, two.image_key);
}

/// A step of a template that is made up, with one thing that can be different.
#[derive(Debug, Clone, Copy)]
enum Made {
    Inline,
    Variable,
    Environment,
    Script,
    File,
    Mode,
    Folder,
    Text,
    Destination,
}

const KINDS: [Made; 9] = [
    Made::Inline,
    Made::Variable,
    Made::Environment,
    Made::Script,
    Made::File,
    Made::Mode,
    Made::Folder,
    Made::Text,
    Made::Destination,
];

/// Writes a template of these steps and its files. In the step `changed`, the thing that can be different is.
fn write(folder: &Path, kinds: &[Made], changed: Option<usize>) -> String {
    let (mut variables, mut steps) = (Vec::new(), Vec::new());
    for (number, kind) in kinds.iter().enumerate() {
        let value = if changed == Some(number) { "new" } else { "old" };
        variables.push(format!("v{number} = {{ default = \"{value}\" }}\n"));
        let (file, tree) = (folder.join(format!("f{number}")), folder.join(format!("d{number}")));
        let shell = |rest: String| format!("type = \"shell\"\n{rest}\n");
        let file_step = |rest: String| format!("type = \"file\"\n{rest}\n");
        let fixed = |bytes: &str| fs_err::write(&file, bytes).unwrap();
        let text = match kind {
            Made::Inline => shell(format!("inline = [\"echo {value}\"]")),
            Made::Variable => shell(format!("inline = [\"echo ${{var.v{number}}}\"]")),
            Made::Environment => shell(format!("inline = [\"true\"]\nenvironment = {{ A = \"{value}\" }}")),
            Made::Script => {
                fixed(value);
                shell(format!("scripts = [\"f{number}\"]"))
            }
            Made::File => {
                fixed(value);
                file_step(format!("source = \"f{number}\"\ndestination = \"/a\""))
            }
            Made::Mode => {
                fixed("same");
                let mode = if value == "new" { 0o755 } else { 0o644 };
                fs_err::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
                file_step(format!("source = \"f{number}\"\ndestination = \"/a\""))
            }
            Made::Folder => {
                drop(fs_err::remove_dir_all(&tree));
                fs_err::create_dir(&tree).unwrap();
                fs_err::write(tree.join(value), "same").unwrap();
                file_step(format!("source = \"d{number}\"\ndestination = \"/a\""))
            }
            Made::Text => file_step(format!("content = \"{value}\"\ndestination = \"/a\"")),
            Made::Destination => file_step(format!("content = \"same\"\ndestination = \"/{value}\"")),
        };
        steps.push(format!("[[provisioner]]\n{text}"));
    }
    format!(
        "[template]\nname = \"t\"\n[variables]\nunused = {{ default = \"x\" }}\n{}\
         [source]\ntype = \"bootstrap\"\nsuite = \"bookworm\"\n{}",
        variables.concat(),
        steps.concat()
    )
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn any_one_change_changes_exactly_the_keys_from_its_step_on(
        kinds in proptest::collection::vec(proptest::sample::select(&KINDS[..]), 1..9),
        place in proptest::prelude::any::<proptest::sample::Index>(),
    ) {
        let world = tempfile::tempdir().unwrap();
        let changed = place.index(kinds.len());
        let old = keys(world.path(), &write(world.path(), &kinds, None));
        let unused = write(world.path(), &kinds, None).replace("\"x\"", "\"y\"");
        proptest::prop_assert_eq!(&old, &keys(world.path(), &unused), "nothing uses it");
        let new = keys(world.path(), &write(world.path(), &kinds, Some(changed)));
        proptest::prop_assert_eq!(first_change(&old, &new), changed, "{:?}", kinds[changed]);
    }
}
