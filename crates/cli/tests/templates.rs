//! The templates that come with Kiln: each is valid as it lies there, once it has the keys that it asks for.

use anyhow::{Context, Result};
use kiln_testkit::{Kiln, shipped_templates};

#[test]
fn every_template_that_comes_with_kiln_is_valid() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let mut checked = 0;
    for entry in fs_err::read_dir(shipped_templates())? {
        let name = entry?.file_name().into_string().ok().context("a name")?;
        let folder = kiln.world.shipped(&name)?;
        let folder = folder.to_str().context("a path")?;
        if name == "debian-instance-store" {
            let keys = format!("{folder}/keys");
            assert_eq!(kiln.run(&["validate", folder])?.code, Some(2), "{name} without keys");
            assert_eq!(kiln.run(&["bundle", "keygen", "-o", &keys])?.code, Some(0), "{keys}");
        }
        let run = kiln.run(&["validate", folder])?;
        assert_eq!(run.code, Some(0), "{run:?}");
        checked += 1;
    }
    assert!(checked >= 6, "{checked} templates");
    Ok(())
}
