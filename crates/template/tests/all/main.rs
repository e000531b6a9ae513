//! Templates as people write them: right ones, mistaken ones, and ones that nobody would write.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod canonical;
mod fixtures;
mod hostile;
mod reference;
mod secrets;
mod shipped;

use kiln_template::{Inputs, Report, Template, load};
use kiln_types::Timestamp;
use std::{collections::BTreeMap, path::Path};

/// 2026-11-23 01:13:11, the moment of every test.
const NOW: i64 = 1_795_396_391;

fn inputs(folder: &Path) -> Inputs {
    Inputs {
        folder: folder.to_owned(),
        vars: Vec::new(),
        var_files: Vec::new(),
        env: BTreeMap::new(),
        now: Timestamp::from_unix(NOW).unwrap(),
    }
}

fn load_text(text: &str, inputs: &Inputs) -> Result<Template, Report> {
    let mut templates = load(Path::new("template.toml"), text, inputs)?;
    assert_eq!(templates.len(), 1, "no matrix");
    Ok(templates.remove(0))
}
