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

/// Builds a template that starts from an image and changes nothing.
fn from_image(kiln: &Kiln, name: &str, source: &str) -> Result<serde_json::Value> {
    let folder = kiln.world.template(name, &starts_from(name, source))?;
    let built = kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    let id = built["Builds"][0]["ImageId"].as_str().context("an id")?;
    Ok(kiln.json(&["image", "show", id, "--json"])?["Images"][0].clone())
}

fn starts_from(name: &str, source: &str) -> String {
    format!(
        "[template]\nname = \"{name}\"\n[source]\ntype = \"image\"\n{source}\n[image]\nname = \"{name}\"\n"
    )
}

#[test]
fn an_image_is_built_from_another() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let (first, snapshot) = image(&kiln, "web-1")?;
    let (_, data) = image(&kiln, "data")?;
    let mapping = |device: &str, rest: &str| format!("{device}={rest}");
    let two = [
        "image",
        "register",
        "--name",
        "web-2",
        "--root-device-name",
        "/dev/sda1",
        "--block-device-mapping",
        &mapping("/dev/sda1", &snapshot),
        "--block-device-mapping",
        &mapping("/dev/sdf", &format!("{data}:9:false:gp3")),
    ];
    done(&kiln, &two)?;

    let second = from_image(&kiln, "by-id", &format!("id = \"{first}\""))?;
    assert_eq!(
        (&second["SourceImageId"], &second["Kiln"]["Lineage"][0]),
        (&first.clone().into(), &first.clone().into())
    );
    assert_eq!(second["SourceImageRegion"], "local");
    let root = second["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"].as_str().context("a snapshot")?;
    let shown = &kiln.json(&["snapshot", "show", root, "--json"])?["Snapshots"][0];
    assert_eq!(shown["Kiln"]["ChangedBlocks"], 0, "the image's own snapshot is the parent: {shown:#}");

    let latest = &kiln.json(&["image", "list", "--json", "--filter", "name=web-*", "--latest"])?["Images"][0];
    let newest = from_image(&kiln, "by-search", "filters = { name = \"web-*\" }\nmost_recent = true")?;
    assert_eq!(newest["SourceImageId"], latest["ImageId"]);

    let with_data = from_image(&kiln, "by-name", "owners = [\"self\"]\nfilters = { name = \"web-2\" }")?;
    let id = with_data["SourceImageId"].as_str().context("an id")?;
    assert_eq!(with_data["Kiln"]["Base"], format!("image {id}"));
    let carried = &with_data["BlockDeviceMappings"][1];
    assert_eq!(
        (&carried["DeviceName"], &carried["Ebs"]["SnapshotId"]),
        (&"/dev/sdf".into(), &data.clone().into())
    );
    assert_eq!(
        (&carried["Ebs"]["VolumeSize"], &carried["Ebs"]["DeleteOnTermination"]),
        (&9.into(), &false.into())
    );

    let grandchild = from_image(&kiln, "again", "filters = { name = [\"none\", \"by-id\"] }")?;
    assert_eq!(grandchild["Kiln"]["Lineage"], serde_json::json!([first, second["ImageId"]]));
    Ok(())
}

#[test]
fn an_image_that_no_build_can_start_from_is_refused() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let (first, _) = image(&kiln, "web-1")?;
    let (second, _) = image(&kiln, "web-2")?;
    let says = |source: &str, words: &[&str]| {
        let folder = kiln.world.template("refused", &starts_from("refused", source))?;
        let run = kiln.run(&[&["build", folder.to_str().context("a path")?], words].concat())?;
        ensure!(run.code == Some(1), "{run:?}");
        Ok(run.stderr)
    };
    let several = says("filters = { name = \"web-*\" }", &[])?;
    for line in [format!("{first} web-1"), format!("{second} web-2"), "hint: most_recent = true".to_owned()] {
        assert!(several.contains(&line), "{several}");
    }
    let none = says("filters = { name = \"db-*\" }\nmost_recent = true", &[])?;
    assert!(
        none.contains("no available image of these owners fits the source: image with name=db-*"),
        "{none}"
    );
    assert!(says("filters = { nmae = \"x\" }", &[])?.contains("nmae"));
    let by_id = format!("id = \"{first}\"");
    let hidden = says(&by_id, &["--account", FRIEND])?;
    assert!(
        hidden.contains(&format!("InvalidAMIID.NotFound: The image id '[{first}]' does not exist")),
        "{hidden}"
    );
    let other = says(&format!("{by_id}\n[machine]\narchitecture = \"i386\""), &[])?;
    assert!(other.contains("hint: architecture = \"x86_64\""), "{other}");
    assert_eq!(kiln.images()?, 2);
    done(&kiln, &["image", "edit", &first, "--disable"])?;
    let disabled = says(&by_id, &[])?;
    assert!(
        disabled.contains(&format!("the state of {first} is disabled, and this build wants available")),
        "{disabled}"
    );
    Ok(())
}

#[test]
fn the_configuration_says_whose_an_installation_is() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let text = format!("[account]\nid = \"{FRIEND}\"\nnames = {{ ci = \"{STRANGER}\" }}\n");
    let config = kiln.world.file("config.toml", &text)?.display().to_string();
    let run = |words: &[&str]| done(&kiln, &[words, &["--config", &config]].concat());
    let disk = kiln.world.file("disk.raw", vec![1; 1 << 20])?.display().to_string();
    run(&["image", "import", &disk, "--format", "raw", "--name", "own"])?;
    run(&["image", "import", &disk, "--format", "raw", "--name", "tested", "--account", "ci"])?;
    assert_eq!(names(&kiln, &["--config", &config])?, ["own"]);
    assert_eq!(names(&kiln, &["--account", FRIEND])?, ["own"]);
    assert_eq!(names(&kiln, &["--config", &config, "--account", "ci"])?, ["tested"]);
    assert_eq!(
        run(&["account", "--account", "ci"])?,
        format!(
            "ACCOUNT       WHAT\n{STRANGER}  commands act as it\n000000000000  owns the region local\n{STRANGER}  --account ci\n"
        )
    );
    let unknown = kiln.run(&["image", "list", "--config", &config, "--account", "cd"])?;
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("there is no account \"cd\""), "{}", unknown.stderr);
    Ok(())
}

/// Counts what a lifecycle did, by action.
fn actions(document: &serde_json::Value) -> Result<Vec<String>> {
    let images = document["Images"].as_array().context("images")?;
    Ok(images.iter().filter_map(|image| image["Action"].as_str().map(str::to_owned)).collect())
}

#[test]
fn images_age_as_their_template_says() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    // Made within a second, perhaps: which of them is the newest does not matter.
    for number in 1..=5 {
        let file = kiln.world.file("disk.raw", [number; 4096])?;
        let (file, name) = (file.to_str().context("a path")?, format!("web-{number}"));
        done(&kiln, &["image", "import", file, "--format", "raw", "--name", &name])?;
    }
    image(&kiln, "other")?;
    let rules = "\n[image.lifecycle]\ndeprecate_after = 1\ndisable_after = 2\nderegister_after = 3\n";
    let template = |name: &str, rest: &str| -> Result<String> {
        let source = "[source]\ntype = \"image\"\nfilters = { name = \"other\" }\n";
        let text = format!("[template]\nname = \"{name}\"\n{source}{rest}");
        Ok(kiln.world.template(name, &text)?.to_str().context("a path")?.to_owned())
    };
    let meant = template("meant", &format!("{rules}names = \"web-*\"\n"))?;
    let would = kiln.json(&["lifecycle", "apply", &meant, "--dry-run", "--json"])?;
    assert_eq!(actions(&would)?, ["keep", "deprecate", "disable", "deregister", "deregister"]);
    assert_eq!(names(&kiln, &[])?.len(), 6, "nothing was done");
    let said = done(&kiln, &["lifecycle", "apply", &meant])?;
    ensure!(said.contains("  deregistered  4 are newer") && said.contains("it is the newest"), "{said}");
    assert_eq!(names(&kiln, &["--include-disabled", "--filter", "name=web-*"])?.len(), 3);
    assert_eq!(names(&kiln, &["--filter", "name=web-*"])?.len(), 2);
    let again = kiln.json(&["lifecycle", "apply", &meant, "--json"])?;
    assert_eq!(actions(&again)?, ["keep"; 3], "{again:#}");
    ensure!(done(&kiln, &["image", "list", "--recycle-bin"])?.lines().count() == 3);

    // Without a pattern it is the template's own images, and there are none.
    let own = template("web", rules)?;
    assert_eq!(actions(&kiln.json(&["lifecycle", "apply", &own, "--json"])?)?, [""; 0]);
    let none = kiln.run(&["lifecycle", "apply", &template("none", "")?])?;
    ensure!(none.code == Some(2) && none.stderr.contains("has no [image.lifecycle]"), "{none:?}");
    Ok(())
}

#[test]
fn an_image_takes_its_snapshots_along_that_no_other_names() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let (web, snapshot) = image(&kiln, "web")?;
    let (_, data) = image(&kiln, "data")?;
    let (root, volume) = (format!("/dev/sda1={snapshot}"), format!("/dev/sdf={data}"));
    let devices = ["--block-device-mapping", &root, "--block-device-mapping", &volume];
    done(&kiln, &[&["image", "register", "--name", "both"], &devices[..]].concat())?;
    done(&kiln, &["image", "deregister", "data"])?;
    let delete = ["image", "deregister", "both", "--delete-snapshots", "--json"];
    let gone = kiln.json(&delete)?;
    let result = |id: &str, code: &str| serde_json::json!({"SnapshotId": id, "ReturnCode": code});
    assert_eq!(
        gone["DeleteSnapshotResults"],
        serde_json::json!([result(&snapshot, "skipped"), result(&data, "success")])
    );
    let said = done(&kiln, &["image", "deregister", &web, "--delete-snapshots"])?;
    assert_eq!(said, format!("{web}\n{snapshot}  deleted\n"));
    let left = kiln.json(&["snapshot", "list", "--json"])?;
    let left = left["Snapshots"].as_array().context("snapshots")?;
    ensure!(left.iter().all(|one| one["Description"] == "base: disk.raw"), "{left:#?}");
    let lost = refused(&kiln, &["image", "restore", &web])?;
    ensure!(lost.contains("is not in the Recycle Bin"), "{lost}");
    Ok(())
}
