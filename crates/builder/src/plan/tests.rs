//! Keys change with what they stand for, and with nothing else.

use super::*;
use kiln_template::{Inputs, Template};
use kiln_types::Timestamp;
use std::{collections::BTreeMap, path::Path};

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
