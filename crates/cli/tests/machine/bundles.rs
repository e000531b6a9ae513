//! Builds whose image has a bundle for its root.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{tiny_template, tool};

const REST: &str = "[image]\nname = \"bundled\"\nroot_device_type = \"instance-store\"\n\
    [bundle]\nuser = \"123456789012\"\ncert = \"keys/cert.pem\"\nkey = \"keys/key.pem\"\nec2cert = \"keys/cert.pem\"\n\
    [[provisioner]]\ntype = \"shell\"\ninline = [\"echo bundled > /etc/motd\"]\n\
    [[test]]\ntype = \"file\"\npath = \"/etc/motd\"\ncontains = \"bundled\"\n\
    [[export]]\nformat = \"raw\"\npath = \"disk.raw\"\n";

#[test]
fn an_image_is_made_from_a_bundle() -> Result<()> {
    let kiln = world()?;
    let folder = kiln.world.template("bundled", &tiny_template(&tiny()?, REST))?;
    let folder = folder.to_str().context("a path")?;
    let keys = format!("{folder}/keys");
    assert_eq!(kiln.run(&["build", folder])?.code, Some(2), "the keys are missing");
    assert_eq!(kiln.run(&["bundle", "keygen", "-o", &keys])?.code, Some(0));
    let built = kiln.json(&["build", folder, "--json"])?["Builds"][0].clone();
    let id = built["ImageId"].as_str().context("an id")?;
    let image = kiln.json(&["image", "show", id, "--json"])?["Images"][0].clone();
    assert_eq!((&image["RootDeviceType"], &image["State"]), (&"instance-store".into(), &"available".into()));
    assert_eq!(image["BlockDeviceMappings"].as_array().map(Vec::len), Some(0));
    let manifest = image["ImageLocation"].as_str().context("a location")?;
    assert!(manifest.ends_with(&format!("/bundles/{id}/bundled.manifest.xml")), "{manifest}");

    // What the bundle holds is what was exported.
    let (key, cert) = (format!("{keys}/key.pem"), format!("{keys}/cert.pem"));
    let out = format!("{folder}/extracted.raw");
    let extract = kiln.run(&["bundle", "extract", manifest, "--key", &key, "--cert", &cert, "-o", &out])?;
    assert_eq!(extract.code, Some(0), "{extract:?}");
    tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", &out, &format!("{folder}/disk.raw")])?;

    let again = kiln.json(&["build", folder, "--json"])?["Builds"][0].clone();
    assert_eq!((&again["Unchanged"], &again["ImageId"]), (&true.into(), &built["ImageId"]));
    // Another certificate makes another bundle.
    let old_key = format!("{folder}/old-key.pem");
    fs_err::copy(&key, &old_key)?;
    fs_err::remove_dir_all(&keys)?;
    assert_eq!(kiln.run(&["bundle", "keygen", "-o", &keys])?.code, Some(0));
    let other = kiln.json(&["build", folder, "--json", "--replace"])?["Builds"][0].clone();
    assert_ne!(other["ImageId"], built["ImageId"]);
    assert_eq!((&other["StepsCached"], &other["StepsRun"]), (&1.into(), &0.into()));

    let launched = kiln.json(&["launch", "bundled", "--cpus", "1", "--memory", "256MiB", "--json"])?;
    let instance = &launched["Instances"][0];
    assert_eq!(instance["State"]["Name"], "running");
    let terminated =
        kiln.run(&["instance", "terminate", instance["InstanceId"].as_str().context("an id")?])?;
    assert_eq!(terminated.code, Some(0), "{terminated:?}");

    // A region that has no disk of it opens the bundle.
    let foreign = ["image", "register", "--name", "foreign", "--image-location", manifest, "--json"];
    let foreign = kiln.json(&foreign)?["Images"][0]["ImageId"].as_str().context("an id")?.to_owned();
    let refused = kiln.run(&["launch", &foreign])?;
    assert!(refused.stderr.contains("hint: --bundle-key FILE"), "{}", refused.stderr);
    let wrong = kiln.run(&["launch", &foreign, "--bundle-key", &key])?;
    assert_eq!(wrong.code, Some(1), "this key is of another pair");
    fs_err::copy(&old_key, &key)?;
    let launched = kiln.json(&["launch", &foreign, "--bundle-key", &key, "--memory", "256MiB", "--json"])?;
    let instance = launched["Instances"][0]["InstanceId"].as_str().context("an id")?;
    assert_eq!(kiln.run(&["instance", "terminate", instance])?.code, Some(0));
    assert_eq!(kiln.run(&["fsck"])?.code, Some(0));
    Ok(())
}
