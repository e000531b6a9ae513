//! What differs between two images, compared with what was done to each.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{Kiln, tiny_template};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const COMMON: &str = "mkdir -p /srv/gone /var/lib/dpkg && echo same > /srv/same && echo old > /srv/content && \
                      echo mode > /srv/mode && ln -s same /srv/link && echo x > /srv/gone/inner && \
                      touch -d @1000000000 /srv/content";

const PACKAGES: [&str; 2] = [
    "Package: web\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n",
    "Package: web\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.0\n\n\
     Package: more\nStatus: install ok installed\nArchitecture: all\nVersion: 3\n",
];

/// What is done to the second image alone. The content keeps its length and its time.
const CHANGES: &str = "echo new > /srv/content && touch -d @1000000000 /srv/content && chmod 0600 /srv/mode && \
                       chown 33:34 /srv/mode && ln -sf content /srv/link && rm -r /srv/gone && \
                       mkdir /srv/more && echo hello > /srv/more/hello";

fn build(kiln: &Kiln, name: &str, packages: &str, script: &str) -> Result<String> {
    let rest = format!(
        "[sysprep]\nenabled = false\n[image]\nname = \"{name}\"\n\
         [[provisioner]]\ntype = \"shell\"\ninline = [\"{script}\"]\n\
         [[provisioner]]\ntype = \"file\"\ncontent = '''{packages}'''\ndestination = \"/var/lib/dpkg/status\"\n"
    );
    let folder = kiln.world.template(name, &tiny_template(&tiny()?, &rest))?;
    let built = kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    Ok(built["Builds"][0]["ImageId"].as_str().context("an id")?.to_owned())
}

fn change<'d>(diff: &'d Value, path: &str) -> Result<&'d Value> {
    let files = diff["Files"].as_array().context("files")?;
    files.iter().find(|file| file["Path"] == path).with_context(|| format!("{path}: {diff:#}"))
}

fn sha256(content: &str) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn files_and_packages_that_differ_are_listed() -> Result<()> {
    let kiln = world()?;
    let first = build(&kiln, "first", PACKAGES[0], COMMON)?;
    let second = build(&kiln, "second", PACKAGES[1], &format!("{COMMON} && {CHANGES}"))?;
    let diff = kiln.json(&["image", "diff", &first, &second, "--json"])?;
    assert_eq!(diff["BlocksOnly"], json!([]));

    assert_eq!(
        diff["Packages"],
        json!([{"Name": "more:all", "Old": null, "New": "3"}, {"Name": "web:amd64", "Old": "1.0", "New": "2.0"}])
    );
    let content = change(&diff, "/srv/content")?;
    assert_eq!(content["Old"]["Sha256"], sha256("old\n"));
    assert_eq!(content["New"]["Sha256"], sha256("new\n"));
    assert_eq!(content["New"]["Size"], 4);
    let mode = change(&diff, "/srv/mode")?;
    assert_eq!(mode["Old"]["Mode"], "0644");
    assert_eq!(
        (&mode["New"]["Mode"], &mode["New"]["User"], &mode["New"]["Group"]),
        (&json!("0600"), &json!(33), &json!(34))
    );
    let link = change(&diff, "/srv/link")?;
    assert_eq!((&link["Old"]["Target"], &link["New"]["Target"]), (&json!("same"), &json!("content")));
    assert!(change(&diff, "/srv/gone/inner")?["New"].is_null());
    assert!(change(&diff, "/srv/gone")?["New"].is_null());
    assert_eq!(change(&diff, "/srv/more")?["New"]["Kind"], "folder");
    assert_eq!(change(&diff, "/srv/more/hello")?["New"]["Sha256"], sha256("hello\n"));
    assert!(change(&diff, "/srv/same").is_err(), "written by each, and the same");
    let count = |what: &str| diff["Blocks"][what].as_u64().context("a count");
    assert!(count("Different")? > 0 && count("Different")? < count("Data")? / 2, "{}", diff["Blocks"]);

    let shown = kiln.run(&["image", "diff", "first", "second"])?.stdout;
    for line in [
        "~ web:amd64 1.0 -> 2.0",
        "~ /srv/content  content",
        "~ /srv/mode  0644 -> 0600, 0:0 -> 33:34",
        "~ /srv/link  same -> content",
        "- /srv/gone/inner",
        "+ /srv/more/hello  file 0644 0:0, 6 bytes",
    ] {
        assert!(shown.lines().any(|have| have == line), "{line} in\n{shown}");
    }
    let same = kiln.run(&["image", "diff", "first", &first])?;
    assert!(same.code == Some(0) && same.stdout.starts_with("0 of "), "{same:?}");
    assert_eq!(same.stdout.lines().count(), 1);
    assert_eq!(kiln.run(&["image", "diff", "first", "third"])?.code, Some(1));
    Ok(())
}
