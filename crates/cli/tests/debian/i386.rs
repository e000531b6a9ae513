//! A 32-bit Debian: the agent runs under a 64-bit kernel, and the steps see a 32-bit machine.

use anyhow::{Context, Result};
use kiln_testkit::{Kiln, tool};

#[test]
fn a_32_bit_debian_is_built_on_by_the_agent() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let doctor = kiln.run(&["doctor", "--fix"])?;
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    // The suite alone: updates of ports lag behind on mirrors, and their indexes are then not what the release says.
    let mirror = mirror_of("bookworm")?;
    let template = format!(
        "[template]\nname = \"i386\"\n\n[source]\ntype = \"bootstrap\"\nsuite = \"bookworm\"\nmirror = \"{mirror}\"\n\
         disk_size = \"2GiB\"\n\n[machine]\narchitecture = \"i386\"\n\n[[provisioner]]\ntype = \"shell\"\n\
         inline = [\"uname -m > /srv/machine\", \"dpkg --print-architecture >> /srv/machine\", \
         \"od -An -tx1 -j4 -N1 /bin/sh >> /srv/machine\"]\n\n\
         [[provisioner]]\ntype = \"download\"\nsource = \"/srv/machine\"\ndestination = \"fetched/\"\n"
    );
    let folder = kiln.world.template("i386", &template)?;
    let document = kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    assert_eq!(document["Builds"][0]["StepsRun"], 2);
    assert_eq!(fs_err::read_to_string(folder.join("fetched/machine"))?, "i686\ni386\n 01\n");
    let id = document["Builds"][0]["ImageId"].as_str().context("an image")?;
    let image = &kiln.json(&["image", "show", id, "--json"])?["Images"][0];
    assert_eq!(image["Architecture"], "i386");
    Ok(())
}

/// Returns where this host's apt takes a suite from.
fn mirror_of(suite: &str) -> Result<String> {
    let targets =
        tool("apt-get", &["indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages"])?;
    let mut sites = targets.lines().filter_map(|line| line.split_once(' '));
    let site = sites.find(|(release, _)| *release == suite);
    site.map(|(_, site)| site.to_owned()).context("apt has no sources of this suite")
}
