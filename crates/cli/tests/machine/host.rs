//! What belongs to the host and not to the template: it reaches the steps and stays out of the image.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{TinyBase, tiny_template, tool};
use sha2::{Digest, Sha256};
use std::process::Command;

#[test]
fn a_proxy_and_a_certificate_authority_reach_the_steps_and_not_the_image() -> Result<()> {
    let kiln = world()?;
    let folder = kiln.world.path().join("host");
    fs_err::create_dir(&folder)?;
    let at = |name: &str| folder.join(name).display().to_string();
    let request =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let (key, certificate) = (at("key.pem"), at("company.pem"));
    tool(
        "openssl",
        &[&request[..], &["-subj", "/CN=company", "-keyout", &key, "-out", &certificate]].concat(),
    )?;
    let config = at("config.toml");
    let guest =
        "[guest]\nproxy = \"http://me:swordfish-77@192.0.2.7:3128\"\nca_certificates = [\"company.pem\"]\n";
    fs_err::write(&config, guest)?;
    let body = fs_err::read_to_string(&certificate)?;
    let line = body.lines().nth(1).context("a certificate")?;
    // The tiny base trusts nobody: one that trusts somebody first.
    let first = "[[provisioner]]\ntype = \"file\"\ncontent = \"the image's own\\n\"\n\
         destination = \"/etc/ssl/certs/ca-certificates.crt\"\n\n[[export]]\nformat = \"raw\"\npath = \"dist/out.raw\"\n";
    let base = kiln.world.template("base", &tiny_template(&tiny()?, first))?;
    assert_eq!(kiln.run(&["build", base.to_str().context("a path")?])?.code, Some(0));
    let disk = base.join("dist/out.raw");
    let sha256 = Sha256::digest(fs_err::read(&disk)?).iter().map(|byte| format!("{byte:02x}")).collect();
    let steps = format!(
        "[[provisioner]]\ntype = \"shell\"\ninline = [\n\
         \"test \\\"$https_proxy\\\" = \\\"$http_proxy\\\"\",\n\"echo through $http_proxy\",\n\
         \"grep -q '{line}' /etc/ssl/certs/ca-certificates.crt\",\n\
         \"grep -q 'own' /etc/ssl/certs/ca-certificates.crt\",\n]\n\n\
         [[export]]\nformat = \"raw\"\npath = \"dist/out.raw\"\n"
    );
    let template = kiln.world.template("tiny", &tiny_template(&TinyBase { disk, sha256 }, &steps))?;
    let run = kiln.run(&["build", template.to_str().context("a path")?, "--config", &config])?;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("through http://me:********@192.0.2.7:3128"), "{}", run.stderr);
    assert!(!run.stderr.contains("swordfish"), "the password is shown: {}", run.stderr);
    let raw = template.join("dist/out.raw");
    for (text, stays) in [("swordfish-77", false), (line, false), ("the image's own", true)] {
        let found = Command::new("grep").args(["-qaF", text]).arg(&raw).status()?.success();
        assert_eq!(found, stays, "{text}");
    }
    Ok(())
}
