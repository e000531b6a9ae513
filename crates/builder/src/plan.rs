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
    checksum::file_sha256,
    inputs::{self, Inputs, LastBuild, LastStep},
    key::{KeyMaker, Seal},
};
use kiln_template::{
    Communicator, Content, HostPath, Provisioner, ShellCode, ShellStep, Step, Template, Variable,
};
use kiln_types::Digest;
use serde_json::json;
use std::{collections::BTreeMap, path::Path};

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
    /// What the key was made of; nothing where the step is left out.
    pub(crate) inputs: Inputs,
}

/// The steps of a template over a base whose content is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSteps {
    /// The steps in order.
    pub steps: Vec<PlannedStep>,
    /// What every step depends on beside the steps before it.
    pub(crate) machine: Inputs,
    /// What the image depends on.
    pub image_key: Digest,
}

impl PlannedSteps {
    /// Computes the keys of a template's steps over a base.
    ///
    /// # Errors
    /// When a file that a step names cannot be read.
    pub fn over(base: Digest, template: &Template, seal: &Seal) -> Result<Self, Error> {
        let (key, machine) = machine_key(base, template)?;
        Ok(Self { machine, ..Self::over_layer(key, 0, template, seal)? })
    }

    /// Computes the keys of the steps over what the first `done` ones left, whatever they were.
    pub(crate) fn over_layer(
        layer: Digest,
        done: usize,
        template: &Template,
        seal: &Seal,
    ) -> Result<Self, Error> {
        let mut parent = layer;
        let mut steps = Vec::with_capacity(template.provisioners.len());
        for (index, provisioner) in template.provisioners.iter().enumerate() {
            // A step that this run leaves out changes nothing.
            let mut inputs = Inputs::default();
            if index >= done && provisioner.skipped.is_none() {
                (parent, inputs) = step_key(parent, provisioner, template, seal)?;
            }
            steps.push(PlannedStep {
                number: index + 1,
                name: provisioner.name.clone(),
                key: parent,
                inputs,
            });
        }
        let image_key = image_key(parent, template)?;
        Ok(Self { steps, machine: Inputs::default(), image_key })
    }
}

impl PlannedSteps {
    /// Returns what the next plan is to know of this one.
    pub(crate) fn as_last_build(&self, template: &Template) -> Result<LastBuild, Error> {
        let steps = self.steps.iter();
        let steps = steps.map(|step| LastStep { name: step.name.clone(), inputs: step.inputs.clone() });
        let source = Inputs::of(&template.source)?;
        Ok(LastBuild { source, machine: self.machine.clone(), steps: steps.collect() })
    }
}

/// What every step depends on: the base, and how it is reached.
fn machine_key(base: Digest, template: &Template) -> Result<(Digest, Inputs), Error> {
    let machine = &template.machine;
    let mut meant = json!({
        "machine.architecture": machine.architecture,
        "communicator": template.communicator,
        "machine.network": machine.network,
        "machine.disk": machine.disks,
    });
    if !template.cache_mounts.is_empty() {
        meant["cache_mount"] = json!(template.cache_mounts);
    }
    if !matches!(template.communicator, Communicator::Agent) {
        meant["machine.firmware"] = json!(machine.firmware);
        meant["machine.tpm"] = json!(machine.tpm);
    }
    let mut maker = KeyMaker::new("machine");
    maker.named("the base", base);
    maker.part("meant", &canonical(&meant)?);
    let (key, parts) = maker.finish_named();
    Ok((key, Inputs { meant, parts, variables: BTreeMap::new() }))
}

fn step_key(
    parent: Digest,
    provisioner: &Provisioner,
    template: &Template,
    seal: &Seal,
) -> Result<(Digest, Inputs), Error> {
    let mut maker = KeyMaker::new("step");
    maker.part("parent", parent.as_bytes());
    let mut meant = serde_json::to_value(&provisioner.step).map_err(Error::Canonical)?;
    meant["continue_on_error"] = json!(provisioner.continue_on_error);
    maker.part("step", &canonical(&meant)?);
    // A sensitive value is there as the name of its variable.
    let sealed = |variable: &&Variable| variable.cache_key && provisioner.variables.contains(&variable.name);
    for variable in template.variables.iter().filter(sealed) {
        let digest = seal.digest(&variable.name, variable.value.expose().as_bytes());
        maker.named(&format!("variable {}", variable.name), digest);
    }
    files(&provisioner.step, &mut maker)?;
    let (key, parts) = maker.finish_named();
    let variables = inputs::values(template, provisioner.variables.iter());
    Ok((key, Inputs { meant, parts, variables }))
}

/// Adds the scripts of the host that a shell step names.
pub(crate) fn shell_files(shell: &ShellStep, maker: &mut KeyMaker) -> Result<(), Error> {
    match &shell.code {
        ShellCode::Scripts(scripts) => {
            scripts.iter().try_for_each(|script| maker.tree("script", &script.path, &script.written))
        }
        ShellCode::Inline(_) => Ok(()),
    }
}

/// Adds every file of the host that a step names.
fn files(step: &Step, maker: &mut KeyMaker) -> Result<(), Error> {
    if let Step::Shell(shell) = step {
        return shell_files(shell, maker);
    }
    let mut tree = |label: &str, path: &HostPath| maker.tree(label, &path.path, &path.written);
    match step {
        Step::File(file) => match &file.content {
            Content::Source(source) => tree("source", source),
            Content::Text(_) => Ok(()),
        },
        Step::Ansible(ansible) => {
            tree("playbook", &ansible.playbook)?;
            ansible.galaxy_file.iter().try_for_each(|galaxy| tree("galaxy", galaxy))?;
            for beside in BESIDE_PLAYBOOKS {
                let path = ansible.playbook.path.with_file_name(beside);
                if path.exists() {
                    let shown = Path::new(&ansible.playbook.written).with_file_name(beside);
                    maker.tree(beside, &path, &shown.to_string_lossy())?;
                }
            }
            Ok(())
        }
        Step::Shell(_) | Step::Download(_) | Step::Reboot(_) | Step::Breakpoint(_) => Ok(()),
    }
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
    if let Some(bundle) = &template.bundle {
        maker.part("bundle", &canonical(bundle)?);
        for certificate in [&bundle.cert, &bundle.ec2cert] {
            maker.part("certificate", file_sha256(&certificate.path)?.as_bytes());
        }
    }
    maker.part("firmware", &canonical(&(template.machine.firmware, template.machine.tpm))?);
    Ok(maker.finish())
}

/// Serialises what was meant: fields in the order of their types, maps in the order of their keys.
pub(crate) fn canonical<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(Error::Canonical)
}

#[cfg(test)]
mod tests;
