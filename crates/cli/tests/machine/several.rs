//! Several builds at once: a matrix and more templates, of which one fails.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{Kiln, tiny_template};
use serde_json::Value;

/// Three of four combinations, of which one has a step that fails.
const MATRIX: &str = r#"
[matrix]
colour = ["red", "green"]
size = [1, 2]
exclude = [{ colour = "green", size = "1" }]

[[provisioner]]
type = "shell"
name = "paint"
inline = ["mkdir -p /srv && echo ${matrix.colour}-${matrix.size} > /srv/colour", "[ ${matrix.colour} = red ]"]

[image]
name = "tiny-${matrix.colour}-${matrix.size}"

[[export]]
format = "raw"
path = "dist/${matrix.colour}-${matrix.size}.raw"
"#;

fn built<'d>(document: &'d Value, template: &str) -> Result<&'d Value> {
    let builds = document["Builds"].as_array().context("builds")?;
    builds
        .iter()
        .find(|build| build["Template"] == template)
        .with_context(|| format!("{template}: {document}"))
}

#[test]
fn a_build_that_fails_does_not_stop_the_others() -> Result<()> {
    let base = tiny()?;
    let kiln = world()?;
    let matrix = kiln.world.template("matrix", &tiny_template(&base, MATRIX))?;
    let single = tiny_template(&base, "").replace("name = \"tiny\"", "name = \"single\"");
    let single = kiln.world.template("single", &single)?;
    let templates = [matrix.to_str().context("a path")?, single.to_str().context("a path")?];

    let plans = kiln.json(&["plan", templates[0], templates[1], "--json"])?;
    assert_eq!(plans["Plans"].as_array().context("plans")?.len(), 4);
    let valid = kiln.run(&["validate", templates[0]])?;
    assert_eq!(
        valid.stdout,
        "tiny[red,1]: valid, 1 step\ntiny[red,2]: valid, 1 step\ntiny[green,2]: valid, 1 step\n"
    );

    let run = kiln.run(&["build", templates[0], templates[1], "--jobs", "2", "--json"])?;
    assert_eq!(run.code, Some(1), "{run:?}");
    let document: Value = serde_json::from_str(&run.stdout)?;
    for template in ["tiny[red,1]", "tiny[red,2]", "single"] {
        assert!(built(&document, template)?["ImageId"].is_string(), "{document}");
    }
    let failed = built(&document, "tiny[green,2]")?;
    assert!(failed["Error"].as_str().context("an error")?.contains("paint"), "{document}");
    assert!(
        run.stderr.lines().all(|line| line.starts_with("tiny[") || line.starts_with("single: ")),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("tiny[green,2]: error: "), "{}", run.stderr);
    the_builds_share_the_base(&kiln, &run.stderr)?;
    for colour in ["red-1", "red-2"] {
        let raw = fs_err::read(matrix.join(format!("dist/{colour}.raw")))?;
        let text = format!("{colour}\n");
        assert!(raw.windows(text.len()).any(|window| window == text.as_bytes()), "{colour}");
    }
    assert!(!matrix.join("dist/green-2.raw").exists());

    let again = kiln.run(&["build", templates[0], templates[1]])?;
    assert_eq!(again.code, Some(1), "{again:?}");
    let rows: Vec<Vec<&str>> = again.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["TEMPLATE", "RESULT", "IMAGE", "NAME", "TOOK"]);
    assert_eq!(rows[1][..2], ["tiny[red,1]", "unchanged"]);
    assert_eq!(rows[3], ["tiny[green,2]", "failed"]);
    assert_eq!(rows[4][..2], ["single", "unchanged"]);
    Ok(())
}

/// Says that one build made the base, and the others found it.
fn the_builds_share_the_base(kiln: &Kiln, log: &str) -> Result<()> {
    assert_eq!(log.matches("==> base snapshot").count(), 1, "{log}");
    let snapshots = kiln.json(&["snapshot", "list", "--json"])?;
    assert_eq!(
        snapshots["Snapshots"].as_array().context("snapshots")?.len(),
        4,
        "the base's and three images'"
    );
    Ok(())
}

#[test]
fn what_cannot_be_built_together_is_refused_before_anything_starts() -> Result<()> {
    let base = tiny()?;
    let kiln = world()?;
    let text = tiny_template(&base, "[image]\nname = \"same-name\"\n");
    let (one, other) = (kiln.world.template("one", &text)?, kiln.world.template("other", &text)?);
    let templates = [one.to_str().context("a path")?, other.to_str().context("a path")?];
    let run = kiln.run(&["build", templates[0], templates[1]])?;
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("both make the image same-name"), "{}", run.stderr);
    let matrix = kiln.world.template("matrix", &tiny_template(&base, MATRIX))?;
    let run = kiln.run(&["build", matrix.to_str().context("a path")?, "--on-error", "shell"])?;
    assert_eq!(run.code, Some(2), "{run:?}");
    Ok(())
}
