//! What an instance is doing, found out from the outside.

use super::{Instance, InstanceError, InstanceFiles, Port, SSH, SshAccess, files::parse_id};
use crate::{Error, Kiln, home::write_whole};
use kiln_types::{ImageId, InstanceId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long EC2 shows an instance that was terminated: about an hour.
const SHOWN: i64 = 60 * 60;

/// EC2's states of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateName {
    /// Its volumes are made, or QEMU starts.
    Pending,
    /// QEMU runs.
    Running,
    /// It is being terminated.
    ShuttingDown,
    /// It is gone.
    Terminated,
    /// Its guest was told to turn itself off.
    Stopping,
    /// It does not run; its volumes are there.
    Stopped,
}

impl StateName {
    /// Returns the word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }
}

/// A state with EC2's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceState {
    /// The number.
    pub code: u8,
    /// The word.
    pub name: StateName,
}

/// What whoever holds the lock says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Status {
    pub(crate) state: StateName,
    /// With the ports of the host that were chosen.
    pub(crate) ports: Vec<Port>,
    pub(crate) accelerator: Option<String>,
}

impl Status {
    pub(crate) const fn of(state: StateName) -> Self {
        Self { state, ports: Vec::new(), accelerator: None }
    }

    pub(crate) fn write(&self, files: &InstanceFiles) -> Result<(), Error> {
        let bytes = serde_json::to_vec(self).map_err(Error::Canonical)?;
        write_whole(&files.path("status.json"), &bytes)
    }

    pub(crate) fn read(files: &InstanceFiles) -> Option<Self> {
        serde_json::from_slice(&fs_err::read(files.path("status.json")).ok()?).ok()
    }
}

/// An instance and its state.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    /// The record; while it runs, with the ports that were chosen.
    #[serde(flatten)]
    pub instance: Instance,
    /// The state.
    pub state: InstanceState,
    /// What runs it, while something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
}

impl Described {
    /// Returns how its owner gets into it, while it runs.
    #[must_use]
    pub fn ssh(&self, files: &InstanceFiles) -> Option<SshAccess> {
        let port = self.instance.ports.iter().find(|port| port.guest == SSH)?.host?;
        (self.state.name == StateName::Running).then(|| SshAccess {
            port,
            key: files.path("key"),
            known_hosts: files.path("known_hosts"),
            host_key_alias: self.instance.instance_id.to_string(),
        })
    }
}

impl Kiln {
    /// Returns the folder of an instance.
    #[must_use]
    pub fn instance_files(&self, id: InstanceId) -> InstanceFiles {
        InstanceFiles::new(&self.home.instances(), id)
    }

    /// Lists this account's instances, the oldest first. Those that were terminated long ago are forgotten.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn instances(&self) -> Result<Vec<Described>, Error> {
        let mut found = Vec::new();
        for entry in fs_err::read_dir(self.home.instances())? {
            let name = entry?.file_name();
            let Some(Ok(id)) = name.to_str().map(str::parse::<InstanceId>) else { continue };
            let Some(described) = self.described(id)? else { continue };
            let ended = described.instance.termination_time;
            if ended.is_some_and(|at| Timestamp::now().unix() - at.unix() > SHOWN) {
                fs_err::remove_dir_all(self.instance_files(id).folder())?;
            } else if described.instance.owner_id == self.catalog.viewer().account {
                found.push(described);
            }
        }
        found.sort_by_key(|one| (one.instance.launch_time, one.instance.instance_id));
        Ok(found)
    }

    /// Lists the images that instances of this host were made from, whoever launched them.
    pub(crate) fn images_in_use(&self) -> Result<BTreeSet<ImageId>, Error> {
        let mut images = BTreeSet::new();
        for entry in fs_err::read_dir(self.home.instances())? {
            let name = entry?.file_name();
            let Some(Ok(id)) = name.to_str().map(str::parse::<InstanceId>) else { continue };
            let instance = self.instance_files(id).record()?;
            let lives = instance.filter(|instance| instance.termination_time.is_none());
            images.extend(lives.map(|instance| instance.image_id));
        }
        Ok(images)
    }

    /// Finds an instance of this account by its id or name.
    ///
    /// # Errors
    /// [`InstanceError::NotFound`], [`InstanceError::Malformed`] or [`InstanceError::Ambiguous`].
    pub fn instance(&self, id_or_name: &str) -> Result<Described, Error> {
        let mut all = self.instances()?;
        if id_or_name.starts_with(InstanceId::PREFIX) {
            let id = parse_id(id_or_name)?;
            all.retain(|one| one.instance.instance_id == id);
        } else {
            let lives = |one: &Described| one.state.name != StateName::Terminated;
            all.retain(|one| one.instance.name() == Some(id_or_name) && lives(one));
        }
        let ids: Vec<_> = all.iter().map(|one| one.instance.instance_id).collect();
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err(InstanceError::Ambiguous { name: id_or_name.to_owned(), ids }.into()),
            (None, _) => Err(InstanceError::NotFound { text: id_or_name.to_owned() }.into()),
        }
    }

    /// Reads what an instance is and does; nothing where there is none.
    pub(crate) fn described(&self, id: InstanceId) -> Result<Option<Described>, Error> {
        let files = self.instance_files(id);
        // Whoever makes it holds the lock before there is a record.
        let Some(mut instance) = files.record()? else { return Ok(None) };
        let status = match files.lock()? {
            Some(_nobody_does) => None,
            None => Status::read(&files),
        };
        let resting = match instance.termination_time {
            Some(_) => StateName::Terminated,
            None => StateName::Stopped,
        };
        let name = status.as_ref().map_or(resting, |status| status.state);
        if let Some(status) = status.as_ref().filter(|status| !status.ports.is_empty()) {
            instance.ports.clone_from(&status.ports);
        }
        let accelerator = status.and_then(|status| status.accelerator);
        Ok(Some(Described { instance, state: InstanceState { code: name.code(), name }, accelerator }))
    }
}
