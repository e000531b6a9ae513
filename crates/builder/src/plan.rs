//! What a build would do, found out without starting anything.
//!
//! ```text
//! base key ── what the source says            base content ── what the base disk holds (known once it is made)
//! step key ── parent's key, step as meant, every byte of the files it names
//! image key ─ last step's key, what the record says beside its name
//! ```
//! The image key is kept in the record. A template whose key an image already has needs no build: that image is its
//! result. `${build.timestamp}` in the image's name alone is therefore no reason to build again.

use crate::{
    Error,
    key::{KeyMaker, Seal},
};
use kiln_template::{Communicator, Content, Provisioner, ShellCode, Step, Template};
use kiln_types::Digest;

/// What Ansible looks for beside a playbook.
const BESIDE_PLAYBOOKS: [&str; 8] =
    ["ansible.cfg", "files", "group_vars", "host_vars", "library", "roles", "templates", "vars"];

/// A step as planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// Its place, from 1.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// What its result depends on.
    pub key: Digest,
}

/// The steps of a template over a base whose content is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSteps {
    /// The steps in order.
    pub steps: Vec<PlannedStep>,
    /// What the image depends on.
    pub image_key: Digest,
}

impl PlannedSteps {
    /// Computes the keys of a template's steps over a base.
    ///
    /// # Errors
    /// When a file that a step names cannot be read.
    pub fn over(base: Digest, template: &Template, seal: &Seal) -> Result<Self, Error> {
        let mut parent = machine_key(base, template)?;
        let mut steps = Vec::with_capacity(template.provisioners.len());
        for (index, provisioner) in template.provisioners.iter().enumerate() {
            // A step that this run leaves out changes nothing.
            if provisioner.skipped.is_none() {
                parent = step_key(parent, provisioner, template, seal)?;
            }
            steps.push(PlannedStep { number: index + 1, name: provisioner.name.clone(), key: parent });
        }
        let image_key = image_key(parent, template)?;
        Ok(Self { steps, image_key })
    }
}

/// What every step depends on: the base, and how it is reached.
fn machine_key(base: Digest, template: &Template) -> Result<Digest, Error> {
    let mut maker = KeyMaker::new("machine");
    maker.part("base", base.as_bytes());
    maker.part("architecture", template.machine.architecture.as_str().as_bytes());
    maker.part("communicator", &canonical(&template.communicator)?);
    maker.part("network", &canonical(&template.machine.network)?);
    maker.part("disks", &canonical(&template.machine.disks)?);
    if !matches!(template.communicator, Communicator::Agent) {
        maker.part("hardware", &canonical(&(template.machine.firmware, template.machine.tpm))?);
    }
    Ok(maker.finish())
}

fn step_key(
    parent: Digest,
    provisioner: &Provisioner,
    template: &Template,
    seal: &Seal,
) -> Result<Digest, Error> {
    let mut maker = KeyMaker::new("step");
    maker.part("parent", parent.as_bytes());
    let meant = canonical(&provisioner.step)?;
    maker.part("step", &meant);
    // A sensitive value is there as the name of its variable.
    let named = |name: &str| memchr::memmem::find(&meant, name.as_bytes()).is_some();
    for variable in template.variables.iter().filter(|variable| variable.cache_key && named(&variable.name)) {
        let sealed = seal.digest(&variable.name, variable.value.expose().as_bytes());
        maker.part("sealed", sealed.as_bytes());
    }
    maker.part("goes on", &[u8::from(provisioner.continue_on_error)]);
    match &provisioner.step {
        Step::Shell(shell) => {
            if let ShellCode::Scripts(scripts) = &shell.code {
                for script in scripts {
                    maker.tree("script", &script.path)?;
                }
            }
        }
        Step::File(file) => {
            if let Content::Source(source) = &file.content {
                maker.tree("source", &source.path)?;
            }
        }
        Step::Ansible(ansible) => {
            maker.tree("playbook", &ansible.playbook.path)?;
            for beside in BESIDE_PLAYBOOKS {
                let path = ansible.playbook.path.with_file_name(beside);
                if path.exists() {
                    maker.tree(beside, &path)?;
                }
            }
            if let Some(galaxy) = &ansible.galaxy_file {
                maker.tree("galaxy", &galaxy.path)?;
            }
        }
        Step::Download(_) | Step::Reboot(_) | Step::Breakpoint(_) => {}
    }
    Ok(maker.finish())
}

fn image_key(last: Digest, template: &Template) -> Result<Digest, Error> {
    let image = &template.image;
    let mut maker = KeyMaker::new("image");
    maker.part("last step", last.as_bytes());
    maker.part("template", template.name.as_bytes());
    maker.part("description", &canonical(&image.description)?);
    maker.part("tags", &canonical(&image.tags)?);
    maker.part("root device", image.root_device_name.as_str().as_bytes());
    maker.part("sysprep", &canonical(&template.sysprep)?);
    maker.part("firmware", &canonical(&(template.machine.firmware, template.machine.tpm))?);
    Ok(maker.finish())
}

/// Serialises what was meant: fields in the order of their types, maps in the order of their keys.
pub(crate) fn canonical<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(Error::Canonical)
}

#[cfg(test)]
mod tests;
