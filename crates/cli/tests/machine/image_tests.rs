//! The tests of a template: on a build's image before it is available, again where they alone have changed, and by hand.

use crate::{tiny, world};
use anyhow::{Context, Result, ensure};
use kiln_testkit::{Kiln, LONG, tiny_template};
use serde_json::{Value, json};

const STEPS: &str = r#"
[variables]
token = { default = "swordfish-0123456789", sensitive = true }

[image]
name = "tested"

[[provisioner]]
type = "shell"
inline = ["mkdir -p /srv && echo one two > /srv/one", "chmod 640 /srv/one && chown app:app /srv/one"]
"#;

/// Tests that pass, one of them by what it must not find.
const GOOD: &str = r#"
[[test]]
type = "file"
path = "/srv/one"
mode = "0640"
owner = "app:app"
contains = "e t"

[[test]]
type = "file"
path = "/srv/two"
absent = true

[[test]]
name = "nothing of another test is left"
type = "shell"
inline = ["test ! -e /srv/touched", "touch /srv/touched"]

[[test]]
type = "command"
command = ["/bin/cat", "/srv/one", "/srv/two"]
exit_code = 1
contains = "one two"

[[test]]
type = "unique_machine_id"

[[test]]
type = "file"
path = "/nowhere"
when = "false"
"#;

/// Tests that fail, each for a reason of its own.
const BAD: &str = r#"
[[test]]
name = "mode"
type = "file"
path = "/srv/one"
mode = "0644"

[[test]]
name = "owner"
type = "file"
path = "/srv/one"
owner = "root"

[[test]]
name = "contains"
type = "file"
path = "/srv/one"
contains = "three"

[[test]]
name = "there"
type = "file"
path = "/srv/one"
absent = true

[[test]]
name = "code"
type = "command"
command = "false"

[[test]]
name = "no program"
type = "command"
command = ["/bin/none"]

[[test]]
name = "too slow"
type = "command"
command = ["sleep", "600"]
timeout = "2s"

[[test]]
name = "secret"
type = "shell"
inline = ["echo the token is $TOKEN", "exit 3"]
environment = { TOKEN = "${var.token}" }

[[test]]
name = "package"
type = "package"
package = "nginx"
"#;

fn build(kiln: &Kiln, tests: &str, more: &[&str]) -> Result<(Option<i32>, Value, String)> {
    let folder = kiln.world.template("tested", &tiny_template(&tiny()?, &format!("{STEPS}{tests}")))?;
    let template = folder.to_str().context("a path")?;
    let run = kiln.run(&[&["build", template, "--json"], more].concat())?;
    let document: Value = serde_json::from_str(&run.stdout).with_context(|| format!("{run:?}"))?;
    Ok((run.code, document["Builds"][0].clone(), run.stderr))
}

fn outcomes(tests: &Value) -> Vec<(&str, &str)> {
    let tests = tests.as_array().map(Vec::as_slice).unwrap_or_default();
    tests.iter().filter_map(|test| Some((test["Name"].as_str()?, test["Outcome"].as_str()?))).collect()
}

/// Returns what a plan says of the tests of the template as it was built last.
fn planned(kiln: &Kiln) -> Result<(String, String)> {
    let folder = kiln.world.path().join("templates/tested");
    let plan = kiln.json(&["plan", folder.to_str().context("a path")?, "--json"])?;
    let last = plan["Items"].as_array().and_then(|items| items.last()).context("items")?;
    let text = |key: &str| last[key].as_str().unwrap_or_default().to_owned();
    Ok((text("Name"), text("Action")))
}

fn images(kiln: &Kiln) -> Result<Vec<Value>> {
    Ok(kiln.json(&["image", "list", "--json"])?["Images"].as_array().context("images")?.clone())
}

#[test]
fn an_image_is_available_when_its_tests_have_passed() -> Result<()> {
    let kiln = world()?;
    let junit = kiln.world.path().join("junit.xml");
    let junit_path = junit.to_str().context("a path")?;

    let (code, failed, said) = build(&kiln, BAD, &["--junit", junit_path])?;
    assert_eq!(code, Some(1), "{said}");
    let found = outcomes(&failed["Tests"]);
    ensure!(found.len() == 9 && found.iter().all(|(_, outcome)| *outcome == "failed"), "{failed:#}");
    for (index, why) in [
        "its mode is 640, not 644",
        "its owner is app, not root",
        "no line of it holds: three",
        "/srv/one is there",
        "exit status 1, not exit status 0",
        "/bin/none",
        "not done after 2s",
        "in line 2 (template line",
        "nginx is not installed",
    ]
    .iter()
    .enumerate()
    {
        let message = failed["Tests"][index]["Message"].as_str().unwrap_or_default();
        ensure!(message.contains(why), "{why}: {message}");
    }
    ensure!(said.contains("9 of 9 tests failed: mode, owner, contains"), "{said}");
    let shown = kiln.run(&["image", "show", failed["ImageId"].as_str().context("an id")?])?.stdout;
    ensure!(shown.contains("Client.TestFailed: 9 of 9 tests failed: mode"), "{shown}");
    ensure!(fs_err::read_to_string(&junit)?.contains("tests=\"9\" failures=\"9\""));
    for text in [&failed.to_string(), &said, &fs_err::read_to_string(&junit)?] {
        ensure!(!text.contains("swordfish"), "{text}");
    }
    let left = images(&kiln)?;
    let [image] = left.as_slice() else { anyhow::bail!("{left:#?}") };
    assert_eq!(
        (&image["State"], &image["StateReason"]["Code"]),
        (&json!("failed"), &json!("Client.TestFailed"))
    );
    assert_eq!(kiln.run(&["image", "show", "tested"])?.code, Some(1), "it holds no name");

    // Only the tests have changed: the step's result stands.
    let (code, built, said) = build(&kiln, GOOD, &[])?;
    assert_eq!((code, &built["StepsRun"]), (Some(0), &json!(0)), "{said}");
    let expected = ["passed", "passed", "passed", "passed", "passed", "skipped"];
    assert_eq!(outcomes(&built["Tests"]).iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>(), expected);
    let id = built["ImageId"].as_str().context("an id")?;
    assert_eq!(kiln.json(&["image", "show", "tested", "--json"])?["Images"][0]["ImageId"], id);
    let (_, again, said) = build(&kiln, GOOD, &[])?;
    ensure!(again["Unchanged"] == true && again.get("Tests").is_none(), "{again:#} {said}");

    assert_eq!(planned(&kiln)?, ("5 tests".to_owned(), "cached".to_owned()));
    // Tests that were added run on the image that is there, which stays what it was.
    let (code, _, said) = build(&kiln, &format!("{GOOD}{BAD}"), &[])?;
    ensure!(code == Some(1) && said.contains("9 of 14 tests failed"), "{said}");
    assert_eq!(kiln.json(&["image", "show", id, "--json"])?["Images"][0]["State"], "available");
    let more = format!("{GOOD}[[test]]\ntype = \"command\"\ncommand = \"true\"\n");
    assert_eq!(planned(&kiln)?, ("14 tests".to_owned(), "run".to_owned()));
    let (_, added, said) = build(&kiln, &more, &[])?;
    ensure!(added["Unchanged"] == true && added["ImageId"] == id, "{added:#} {said}");
    assert_eq!(outcomes(&added["Tests"]).last(), Some(&("command: true", "passed")));
    ensure!(build(&kiln, &more, &[])?.1.get("Tests").is_none(), "it has passed these");
    Ok(())
}

#[test]
fn any_image_is_tested_by_hand() -> Result<()> {
    let kiln = world()?;
    let base = tiny()?;
    let disk = base.disk.to_str().context("a path")?;
    kiln.run(&["image", "import", disk, "--name", "bare", "--format", "raw"])?;
    let template = |name: &str, tests: &str| -> Result<String> {
        let folder = kiln.world.template(name, &tiny_template(&base, tests))?;
        Ok(folder.to_str().context("a path")?.to_owned())
    };
    let good = template(
        "good",
        "[[test]]\ntype = \"file\"\npath = \"/etc/os-release\"\ncontains = \"kiln-tiny\"\n",
    )?;
    let tested = kiln.json(&["test", "bare", "--template", &good, "--json"])?;
    assert_eq!(outcomes(&tested["Tests"]), [("file: /etc/os-release", "passed")]);

    // Each build of a matrix has its own tests.
    let each = template(
        "each",
        "[matrix]\nos = [\"kiln-tiny\", \"plan9\"]\n[image]\nname = \"of-${matrix.os}\"\n\
         [[test]]\nname = \"os\"\ntype = \"file\"\npath = \"/etc/os-release\"\ncontains = \"${matrix.os}\"\n",
    )?;
    let run = kiln.run(&["test", "bare", "--template", &each])?;
    ensure!(run.code == Some(2) && run.stderr.contains("--matrix os=kiln-tiny"), "{run:?}");
    let run = kiln.run(&["test", "bare", "--template", &each, "--matrix", "os=hurd"])?;
    ensure!(run.code == Some(2) && run.stderr.contains("no build of the template"), "{run:?}");
    for (os, code) in [("os=kiln-tiny", 0), ("os=plan9", 1)] {
        let run = kiln.run(&["test", "bare", "--template", &each, "--matrix", os])?;
        assert_eq!(run.code, Some(code), "{run:?}");
    }

    // No systemd, no SSH server: what needs a system that runs says so.
    let boots = template("boots", "[[test]]\ntype = \"boots\"\n[[test]]\ntype = \"unique_machine_id\"\n")?;
    let junit = kiln.world.path().join("junit.xml");
    let run =
        kiln.run(&["test", "bare", "--template", &boots, "--junit", junit.to_str().context("a path")?])?;
    assert_eq!(run.code, Some(1), "{run:?}");
    ensure!(
        run.stdout.contains("the image did not boot") && run.stdout.contains("its init is not systemd"),
        "{run:?}"
    );
    ensure!(run.stdout.contains("1 of 2 tests failed: boots"), "{run:?}");
    ensure!(fs_err::read_to_string(&junit)?.contains("<failure message=\"the image did not boot"));

    let none = template("none", "")?;
    let run = kiln.run(&["test", "bare", "--template", &none])?;
    ensure!(run.code == Some(2) && run.stderr.contains("has no tests"), "{run:?}");
    let arm = template("arm", "[[test]]\ntype = \"command\"\ncommand = \"true\"\n")?;
    let text = fs_err::read_to_string(format!("{arm}/template.toml"))?;
    let text = text.replace("memory = \"512MiB\"", "memory = \"512MiB\"\narchitecture = \"i386\"");
    fs_err::write(format!("{arm}/template.toml"), text)?;
    let run = kiln.run(&["test", "bare", "--template", &arm])?;
    ensure!(run.code == Some(1) && run.stderr.contains("architecture"), "{run:?}");
    Ok(())
}

#[test]
fn a_build_that_dies_while_its_tests_run_leaves_an_image_that_failed() -> Result<()> {
    let kiln = world()?;
    let slow = "[[test]]\ntype = \"command\"\ncommand = [\"sleep\", \"600\"]\ntimeout = \"1h\"\n";
    let folder = kiln.world.template("tested", &tiny_template(&tiny()?, &format!("{STEPS}{slow}")))?;
    let template = folder.to_str().context("a path")?;
    let mut dying = kiln.start(&["build", template])?;
    dying.wait_for("test 1/1: command: sleep 600")?;
    let state = |images: &[Value]| images.iter().map(|image| image["State"].clone()).collect::<Vec<_>>();
    assert_eq!(state(&images(&kiln)?), ["pending"]);
    drop(dying);
    kiln.no_processes(LONG)?;
    assert_eq!(state(&images(&kiln)?), ["pending"]);

    let quick = "[[test]]\ntype = \"command\"\ncommand = \"true\"\n";
    let (code, built, said) = build(&kiln, quick, &[])?;
    assert_eq!(code, Some(0), "{said}");
    let left = images(&kiln)?;
    let dead = left.iter().find(|image| image["ImageId"] != built["ImageId"]).context("the dead one")?;
    assert_eq!((left.len(), &dead["State"]), (2, &json!("failed")));
    assert_eq!(dead["StateReason"]["Message"], "its build ended while its tests ran");
    assert_eq!(kiln.json(&["image", "show", "tested", "--json"])?["Images"][0]["ImageId"], built["ImageId"]);
    Ok(())
}
