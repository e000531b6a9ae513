//! The life of an image on the command line, without a machine: a disk that no step changes is built, shared, searched as
//! other accounts, edited, deregistered and restored.

use anyhow::{Context, Result, ensure};
use kiln_testkit::Kiln;
use sha2::{Digest, Sha256};

const FRIEND: &str = "111111111111";
const STRANGER: &str = "222222222222";

/// Builds an image of a disk of some bytes and returns its id and its snapshot's.
fn image(kiln: &Kiln, name: &str) -> Result<(String, String)> {
    let disk = [name.as_bytes(), &[1; 1 << 20]].concat();
    kiln.world.file(&format!("templates/{name}/disk.raw"), &disk)?;
    let digest: String = Sha256::digest(&disk).iter().map(|byte| format!("{byte:02x}")).collect();
    let template = format!(
        "[template]\nname = \"{name}\"\n[source]\ntype = \"disk\"\npath = \"disk.raw\"\nchecksum = \"sha256:{digest}\"\n\
         [image]\nname = \"{name}\"\ntags = {{ Role = \"{name}\" }}\n"
    );
    let folder = kiln.world.template(name, &template)?;
    let build = &kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?["Builds"][0];
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).context("an id");
    Ok((text(&build["ImageId"])?, text(&build["SnapshotIds"][0])?))
}

/// Runs a command that must be refused, and returns the first line of what it says.
fn refused(kiln: &Kiln, words: &[&str]) -> Result<String> {
    let run = kiln.run(words)?;
    ensure!(run.code == Some(1), "{words:?}: {run:?}");
    Ok(run.stderr.lines().next().unwrap_or_default().to_owned())
}

fn done(kiln: &Kiln, words: &[&str]) -> Result<String> {
    let run = kiln.run(words)?;
    ensure!(run.code == Some(0), "{words:?}: {run:?}");
    Ok(run.stdout)
}

/// Lists the names that an account finds.
fn names(kiln: &Kiln, words: &[&str]) -> Result<Vec<String>> {
    let document = kiln.json(&[&["image", "list", "--json", "--sort", "name"], words].concat())?;
    let images = document["Images"].as_array().context("images")?;
    Ok(images.iter().filter_map(|image| image["Name"].as_str().map(str::to_owned)).collect())
}

#[test]
fn an_image_is_searched_and_shared() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let (web, _) = image(&kiln, "web")?;
    image(&kiln, "db-1")?;
    assert_eq!(names(&kiln, &[])?, ["db-1", "web"]);
    assert_eq!(names(&kiln, &["--filter", "name=w?b", "--filter", "tag:Role=web,db-1"])?, ["web"]);
    assert_eq!(names(&kiln, &["--latest"])?.len(), 1);
    assert_eq!(kiln.run(&["image", "list", "--filter", "nmae=x"])?.code, Some(2));

    assert_eq!(names(&kiln, &["--account", FRIEND])?, [""; 0]);
    let hidden = refused(&kiln, &["image", "show", &web, "--account", FRIEND])?;
    assert_eq!(hidden, format!("error: InvalidAMIID.NotFound: The image id '[{web}]' does not exist"));
    done(&kiln, &["image", "share", "web", "--add", &format!("account:{FRIEND}")])?;
    assert_eq!(names(&kiln, &["--account", FRIEND])?, ["web"]);
    assert_eq!(names(&kiln, &["--account", STRANGER])?, [""; 0]);
    let theirs = &kiln.json(&["image", "show", &web, "--json", "--account", FRIEND])?["Images"][0];
    assert_eq!(theirs["Tags"], serde_json::json!([]), "tags are the owner's");
    let denied = refused(&kiln, &["image", "edit", &web, "--disable", "--account", FRIEND])?;
    assert_eq!(denied, format!("error: AuthFailure: Not authorized for image:{web}"));
    ensure!(done(&kiln, &["image", "show", "web"])?.contains(&format!("account:{FRIEND}")));
    done(&kiln, &["image", "share", "web", "--add", "public"])?;
    assert_eq!(names(&kiln, &["--account", STRANGER, "--owner", "community"])?, ["web"]);
    Ok(())
}

#[test]
fn an_image_is_edited_deregistered_and_restored() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let (web, snapshot) = image(&kiln, "web")?;
    done(&kiln, &["image", "share", "web", "--add", "public"])?;
    done(
        &kiln,
        &[
            "image",
            "edit",
            "web",
            "--protection",
            "enabled",
            "--description",
            "a page",
            "--tag",
            "Stage=test",
        ],
    )?;
    let protected = refused(&kiln, &["image", "deregister", "web"])?;
    ensure!(protected.starts_with("error: OperationNotPermitted: "), "{protected}");
    let shown = &kiln.json(&["image", "show", "web", "--json"])?["Images"][0];
    assert_eq!(
        (&shown["Description"], &shown["DeregistrationProtection"]),
        (&"a page".into(), &"enabled".into())
    );
    done(&kiln, &["image", "edit", "web", "--protection", "disabled"])?;
    assert_eq!(done(&kiln, &["image", "deregister", "web"])?, format!("{web}\n"));
    let gone = refused(&kiln, &["image", "show", &web])?;
    assert_eq!(gone, format!("error: InvalidAMIID.Unavailable: The image ID '{web}' is no longer available"));
    ensure!(done(&kiln, &["image", "list", "--recycle-bin"])?.contains(&web));

    // Its name is free, its snapshot still there: another image of the same volume takes both.
    let mapping = format!("/dev/sda1={snapshot}:8:false:gp3");
    let register = ["image", "register", "--name", "web", "--block-device-mapping", &mapping, "--json"];
    let other = &kiln.json(&register)?["Images"][0];
    let ebs = &other["BlockDeviceMappings"][0]["Ebs"];
    assert_eq!(
        (&ebs["VolumeSize"], &ebs["VolumeType"], &ebs["DeleteOnTermination"]),
        (&8.into(), &"gp3".into(), &false.into())
    );
    let taken = refused(&kiln, &["image", "restore", &web])?;
    ensure!(
        taken.starts_with("error: InvalidAMIName.Duplicate: AMI name web is already in use by AMI ami-"),
        "{taken}"
    );
    done(&kiln, &["image", "deregister", "web", "--recycle-bin", "0s"])?;
    done(&kiln, &["image", "restore", &web])?;
    let back = &kiln.json(&["image", "show", "web", "--json"])?["Images"][0];
    assert_eq!((&back["ImageId"], &back["Public"]), (&web.as_str().into(), &false.into()));
    Ok(())
}
