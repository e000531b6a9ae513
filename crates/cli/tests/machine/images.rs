//! A build that starts from the image of another.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{root_of, tiny_template, tool};

#[test]
fn steps_go_on_from_an_image() -> Result<()> {
    let kiln = world()?;
    let first = "[image]\nname = \"first\"\n\
                 [[provisioner]]\ntype = \"shell\"\ninline = [\"mkdir -p /srv && echo one > /srv/one\"]\n";
    let folder = kiln.world.template("first", &tiny_template(&tiny()?, first))?;
    let first = kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?["Builds"][0].clone();

    let second = "[template]\nname = \"second\"\n\
                  [source]\ntype = \"image\"\nfilters = { name = \"fir*\", architecture = \"x86_64\" }\n\
                  [image]\nname = \"second\"\n\
                  [[provisioner]]\ntype = \"shell\"\ninline = [\"cat /srv/one /srv/one > /srv/two\"]\n\
                  [[export]]\nformat = \"raw\"\npath = \"second.raw\"\n";
    let folder = kiln.world.template("second", second)?;
    let template = folder.to_str().context("a path")?;
    let second = kiln.json(&["build", template, "--json"])?["Builds"][0].clone();
    let id = second["ImageId"].as_str().context("an id")?;
    let image = &kiln.json(&["image", "show", id, "--json"])?["Images"][0];
    assert_eq!(image["SourceImageId"], first["ImageId"]);
    let raw = folder.join("second.raw");
    let two = tool("debugfs", &["-R", "cat /srv/two", &root_of(raw.to_str().context("a path")?)?])?;
    assert!(two.contains("one\none\n"), "{two}");

    let snapshot = |built: &serde_json::Value| -> Result<serde_json::Value> {
        let id = built["SnapshotIds"][0].as_str().context("a snapshot")?;
        Ok(kiln.json(&["snapshot", "show", id, "--json"])?["Snapshots"][0].clone())
    };
    let (base, grown) = (snapshot(&first)?, snapshot(&second)?);
    assert_eq!(
        grown["ParentSnapshotId"], base["SnapshotId"],
        "the steps' blocks lie on the image's own: {grown:#}"
    );

    let again = kiln.json(&["build", template, "--json"])?["Builds"][0].clone();
    assert_eq!((&again["Unchanged"], &again["ImageId"]), (&true.into(), &second["ImageId"]));

    // Steps over an image are layers as well.
    let more = "[[provisioner]]\ntype = \"shell\"\ninline = [\"test -s /srv/two\"]\n";
    let text = fs_err::read_to_string(folder.join("template.toml"))?;
    fs_err::write(folder.join("template.toml"), text.replace("[[export]]", &format!("{more}[[export]]")))?;
    let more = kiln.json(&["build", template, "--json", "--replace"])?["Builds"][0].clone();
    assert_eq!((&more["StepsCached"], &more["StepsRun"]), (&1.into(), &1.into()));
    Ok(())
}
