//! Refusals, in EC2's words where it has some.

use kiln_types::InstanceId;
use std::path::PathBuf;

/// Why something cannot be done with an instance.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// There is none for this account.
    #[error("The instance ID '{text}' does not exist")]
    NotFound {
        /// The id or name that was asked for.
        text: String,
    },
    /// A name that several instances have.
    #[error("{} instances are called {name:?}: {}", ids.len(), listed(ids))]
    Ambiguous {
        /// The name.
        name: String,
        /// Those that have it.
        ids: Vec<InstanceId>,
    },
    /// An id that is none.
    #[error("Invalid id: \"{text}\"")]
    Malformed {
        /// The text.
        text: String,
    },
    /// Its state does not allow it.
    #[error("The instance '{id}' is not in a state from which it can be {what}: it is {state}")]
    IncorrectState {
        /// The instance.
        id: InstanceId,
        /// What was to be done.
        what: &'static str,
        /// Its state.
        state: &'static str,
    },
    /// Another command works on it.
    #[error("another command works on the instance '{id}'")]
    Busy {
        /// The instance.
        id: InstanceId,
    },
    /// The image cannot be started.
    #[error("the instance '{id}' cannot boot: its disk has no boot loader, and {why}")]
    NotBootable {
        /// The instance.
        id: InstanceId,
        /// Why its kernel alone does not do.
        why: &'static str,
    },
    /// The machine ended before it ran.
    #[error("the instance '{id}' did not start: {said}")]
    NotStarted {
        /// The instance.
        id: InstanceId,
        /// What its keeper said last.
        said: String,
        /// The file with the rest.
        log: PathBuf,
    },
    /// Its guest does not answer.
    #[error("port {port} of the instance '{id}' does not answer")]
    Silent {
        /// The instance.
        id: InstanceId,
        /// The guest's port.
        port: u16,
    },
    /// The keeper does not do what it was asked to.
    #[error("the instance '{id}' did not obey: {said}")]
    Disobeyed {
        /// The instance.
        id: InstanceId,
        /// What its keeper answered.
        said: String,
    },
    /// The image's root is made from a bundle.
    #[error("the root of {image} is a bundle of which this region has no disk")]
    BundledRoot {
        /// The image.
        image: kiln_types::ImageId,
    },
    /// The region of the instance is another.
    #[error("the instance '{id}' is of the region {region}")]
    OtherRegion {
        /// The instance.
        id: InstanceId,
        /// Its region.
        region: kiln_types::RegionName,
    },
}

impl InstanceError {
    /// Returns EC2's code of the refusal.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { .. } => Some("InvalidInstanceID.NotFound"),
            Self::Malformed { .. } => Some("InvalidInstanceID.Malformed"),
            Self::IncorrectState { .. } => Some("IncorrectInstanceState"),
            _ => None,
        }
    }

    /// Returns a way out where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } | Self::Malformed { .. } | Self::Ambiguous { .. } => {
                Some("kiln instance list".to_owned())
            }
            Self::IncorrectState { id, .. } | Self::Busy { id } => Some(format!("kiln instance show {id}")),
            Self::Silent { id, .. } => Some(format!("kiln instance console {id}")),
            Self::NotStarted { log, .. } => Some(format!("less {}", log.display())),
            Self::BundledRoot { .. } => Some(
                "--bundle-key FILE, or kiln image register --image-location MANIFEST --key FILE --name NAME"
                    .to_owned(),
            ),
            Self::OtherRegion { region, .. } => Some(format!("--region {region}")),
            Self::NotBootable { .. } | Self::Disobeyed { .. } => None,
        }
    }
}

fn listed(ids: &[InstanceId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
