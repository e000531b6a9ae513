//! What can go wrong with a build. The chain of causes is printed once, by the command line.

use crate::{regions::RegionsError, reuse::StepChoice};
use kiln_machine::provisioner::StepError;
use kiln_types::{ByteSize, Digest, ImageId, ImageName, ParseError, RegionName, SnapshotId};
use std::{io, path::PathBuf};

/// How callers react to an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something failed.
    Failed,
    /// What was asked for is not valid; nothing was started.
    Usage,
    /// This host lacks something.
    Host,
    /// Someone gave up waiting.
    Interrupted,
}

/// A build, or a look at what was built, that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "one error enum a crate, called by the crate's name")]
pub enum Error {
    /// The template has mistakes; [`kiln_template::Report::render`] shows them.
    #[error("the template is not valid")]
    Template(kiln_template::Report),
    /// A template changed while it was built: the combination of its matrix has gone.
    #[error("the matrix of {} has changed since the build began", path.display())]
    NoCombination {
        /// The template.
        path: PathBuf,
    },
    /// No template lies where one was looked for.
    #[error("there is no template at {}", path.display())]
    NoTemplate {
        /// The file looked for.
        path: PathBuf,
    },
    /// A template or variable file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A word on the command line is not one of those known.
    #[error(transparent)]
    Word(#[from] ParseError),
    /// A file operation failed; the source names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A lock cannot be taken.
    #[error("{} cannot be locked", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the home is damaged.
    #[error("{} is damaged", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The home was written by a newer `kiln`.
    #[error("{} has format {found}, this kiln knows up to {known}", path.display())]
    NewerHome {
        /// The home's record.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The home cannot be made.
    #[error("the home {} cannot be made", path.display())]
    NoHome {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A new build's folder is locked by someone else, which cannot be while the home is locked.
    #[error("{} is in use", path.display())]
    HomeBusy {
        /// The folder.
        path: PathBuf,
    },
    /// A file that a step names is neither a file, a folder nor a link.
    #[error("{} is neither a file, a folder nor a link", path.display())]
    SpecialFile {
        /// The path.
        path: PathBuf,
    },
    /// A value could not be serialised for its key.
    #[error("a key could not be made")]
    Canonical(#[source] serde_json::Error),
    /// A request over http(s) failed.
    #[error("{url} cannot be fetched")]
    Http {
        /// The address.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// A server answered something else than the file.
    #[error("{url} cannot be fetched: the server answered {status}")]
    HttpStatus {
        /// The address.
        url: String,
        /// The status.
        status: u16,
    },
    /// Nothing of a template was built here that could be shared.
    #[error("nothing of {template} is in the cache")]
    NothingToPush {
        /// The template.
        template: String,
    },
    /// What a region's cache holds contradicts itself.
    #[error("{what} in the region's cache is damaged: {why}")]
    SharedDamaged {
        /// What it is.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Without a network nothing is known of what is behind an address.
    #[error("{url} was never looked up here")]
    NotLookedUp {
        /// The address.
        url: String,
    },
    /// A download broke off; what came is kept and the next try goes on from there.
    #[error("the download of {url} broke off")]
    Body {
        /// The address.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// A file is not the one that was expected.
    #[error("{subject} has the wrong checksum: expected {kind}:{expected}, found {kind}:{found}")]
    Checksum {
        /// What was checked.
        subject: String,
        /// sha256 or sha512.
        kind: &'static str,
        /// What the template says.
        expected: String,
        /// What the file hashes to.
        found: String,
    },
    /// A checksum file does not name the image.
    #[error("{place} holds no checksum of {name}")]
    NotInChecksumFile {
        /// The checksum file.
        place: String,
        /// The image's file name.
        name: String,
    },
    /// A disk was to be made smaller than its content.
    #[error("disk_size is {asked}, but the source's disk has {has} already")]
    DiskTooSmall {
        /// What the template says.
        asked: ByteSize,
        /// What the source has.
        has: ByteSize,
    },
    /// The secret of the installation is not one.
    #[error("{}: not this installation's secret", path.display())]
    BadSeal {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// No step is called so.
    #[error("the template has no step {step}")]
    NoSuchStep {
        /// What was asked for.
        step: StepChoice,
        /// The names of the steps, in order.
        steps: Vec<String>,
    },
    /// Images are made of a snapshot. The text is EC2's.
    #[error("The snapshot {id} is currently in use by {}", listed(images))]
    SnapshotInUse {
        /// The snapshot.
        id: SnapshotId,
        /// The images.
        images: Vec<ImageId>,
    },
    /// The configuration names no account so, and it is no id.
    #[error("there is no account {name:?} in the configuration, and an id has 12 digits")]
    NoSuchAccount {
        /// The name.
        name: String,
    },
    /// The configuration names no region so.
    #[error("there is no region {name} in the configuration")]
    NoSuchRegion {
        /// The name.
        name: RegionName,
    },
    /// A region is called so already.
    #[error("a region is called {name} already")]
    RegionNamed {
        /// The name.
        name: RegionName,
    },
    /// The configuration's regions cannot be read.
    #[error(transparent)]
    Regions(#[from] RegionsError),
    /// No layer, or more than one, is called so.
    #[error("{count} layers have a key that begins with {layer}")]
    NoSuchLayer {
        /// What was asked for.
        layer: String,
        /// How many there are.
        count: usize,
    },
    /// A layer does not fit a build.
    #[error("layer {key} cannot be gone on from: {why}")]
    UnfitLayer {
        /// The layer.
        key: Digest,
        /// Why.
        why: String,
    },
    /// A layer was made anew while a build was about to use it.
    #[error("layer {key} changed while it was taken from the cache")]
    LayerChanged {
        /// What it is the result of.
        key: Digest,
    },
    /// The name is taken, known before anything was started.
    #[error("AMI name {name} is already in use by AMI {holder}")]
    NameTaken {
        /// The name.
        name: ImageName,
        /// The image that holds it.
        holder: ImageId,
    },
    /// An image's root is no volume that has a snapshot.
    #[error("the root device of {image} has no snapshot")]
    NoRootSnapshot {
        /// The image.
        image: ImageId,
    },
    /// No image is there to start from.
    #[error("no available image of these owners fits the source: {asked}")]
    NoSourceImage {
        /// The source, in words.
        asked: String,
    },
    /// Several images are there to start from, and the template does not say which.
    #[error("several images fit the source: {asked}\n  {}", found.join("\n  "))]
    ManySourceImages {
        /// The source, in words.
        asked: String,
        /// Their ids and names, the newest last.
        found: Vec<String>,
    },
    /// The template's machine cannot start from an image.
    #[error("the {what} of {image} is {has}, and this build wants {wants}")]
    UnfitSourceImage {
        /// The image.
        image: ImageId,
        /// What does not fit.
        what: &'static str,
        /// What the image has.
        has: String,
        /// What the template has.
        wants: String,
    },
    /// The image names no kernel that the appliance can use, and none is in the cache.
    #[error("no kernel for the agent: {why}, and the cache has none")]
    NoKernel {
        /// Why the image's own does not serve.
        why: String,
    },
    /// An installer did not end.
    #[error("the installer is not done after {}s: install.timeout", after.as_secs())]
    InstallTimedOut {
        /// How long it had.
        after: std::time::Duration,
    },
    /// An installer ended in another way than the template says.
    #[error("the installer {did}, and the template says that it ends otherwise")]
    InstallEnded {
        /// What it did.
        did: &'static str,
        /// The template's word for that.
        says: &'static str,
    },
    /// A guest that is reached over SSH was to have no network.
    #[error("machine.network = \"none\" leaves no way to reach the guest over SSH")]
    NoNetworkForSsh,
    /// The agent cannot put files into an image whose programs it cannot run.
    #[error("communicator.setup = \"files\" needs the agent, which runs no programs of arm64")]
    ForeignFiles,
    /// An image does not take an SSH server of the build's own.
    #[error(transparent)]
    FastBoot(Box<kiln_machine::communicator::ssh::fast_boot::FastBootError>),
    /// A seed could not be made.
    #[error(transparent)]
    Seed(Box<kiln_machine::seed::SeedError>),
    /// A boot command was not typed to its end.
    #[error(transparent)]
    Typing(Box<kiln_machine::keyboard::TypingError>),
    /// Nothing can be served to a guest.
    #[error(transparent)]
    HttpServer(#[from] kiln_machine::http_server::HttpServerError),
    /// A medium could not be made.
    #[error(transparent)]
    Medium(#[from] kiln_machine::medium::MediumError),
    /// Values of sensitive variables are in the image.
    #[error("the image would hold secrets:\n  {}", places.join("\n  "))]
    Leaked {
        /// Which value is where.
        places: Vec<String>,
    },
    /// A step waits for a person, and there is none.
    #[error("the breakpoint needs a terminal: standard input and standard error are none")]
    NoTerminal,
    /// A provisioner failed.
    #[error("step {number} `{name}` ({template}:{line}) failed")]
    Step {
        /// Its place, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// The template's file.
        template: String,
        /// Its line there.
        line: usize,
        /// What happened.
        source: Box<Self>,
    },
    /// What a failing step did: its status, its line, its last output.
    #[error("{told}")]
    StepFailed {
        /// All of it, secrets masked.
        told: String,
        /// Whether it looks as if it had wanted the network that the template says it has not.
        wants_network: bool,
    },
    /// A step could not be run at all.
    #[error(transparent)]
    StepNotRun(Box<kiln_machine::provisioner::StepError>),
    /// The connection to the guest failed.
    #[error(transparent)]
    Communicator(Box<kiln_machine::communicator::CommunicatorError>),
    /// The appliance could not be made.
    #[error(transparent)]
    Appliance(#[from] kiln_machine::appliance::ApplianceError),
    /// The guest neither did what it was told nor died.
    #[error("the guest is not done after {}s of {doing}", within.as_secs())]
    GuestStuck {
        /// What it was told to do.
        doing: &'static str,
        /// How long it had.
        within: std::time::Duration,
    },
    /// The build was given up.
    #[error("interrupted")]
    Interrupted,
    /// A task on another thread ended without a result.
    #[error("a task of the build ended early")]
    Task(#[source] tokio::task::JoinError),
    /// A disk image was refused or could not be read.
    #[error(transparent)]
    Qcow2(#[from] kiln_qcow2::Error),
    /// A base disk could not be made or looked into.
    #[error(transparent)]
    Disk(#[from] kiln_disk::Error),
    /// A machine failed.
    #[error(transparent)]
    Machine(#[from] kiln_machine::Error),
    /// A snapshot could not be stored or read.
    #[error(transparent)]
    Store(#[from] kiln_store::Error),
    /// The catalogue refused.
    #[error(transparent)]
    Catalog(#[from] kiln_catalog::Error),
    /// A bundle cannot be made or read.
    #[error(transparent)]
    Bundle(#[from] kiln_bundle::Error),
    /// A disk has no partition of a number.
    #[error("{disk} has no partition {number}")]
    NoPartition {
        /// The disk.
        disk: String,
        /// The number asked for.
        number: u32,
    },
    /// A template says nothing of its images' ageing.
    #[error("the template {template} has no [image.lifecycle]")]
    NoLifecycle {
        /// The template.
        template: String,
    },
    /// Tests of an image failed.
    #[error("{}", .0.summary())]
    TestsFailed(Box<crate::Tested>),
    /// Something cannot be done with an instance.
    #[error(transparent)]
    Instance(#[from] crate::InstanceError),
    /// An export failed.
    #[error(transparent)]
    Export(#[from] kiln_export::Error),
}

/// Lists ids as EC2 does.
fn listed(ids: &[ImageId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// Returns EC2's code of a refusal, for scripts.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) | Self::Catalog(kiln_catalog::Error::Store(error)) => error.code(),
            Self::Catalog(error) => Some(error.code()),
            Self::Instance(error) => error.code(),
            Self::SnapshotInUse { .. } => Some("InvalidSnapshot.InUse"),
            _ => None,
        }
    }

    /// Returns the error and its causes in one line, for records.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// Says how callers react.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Template(_)
            | Self::NoCombination { .. }
            | Self::NoTemplate { .. }
            | Self::Unreadable { .. }
            | Self::NoSuchAccount { .. }
            | Self::NoSuchRegion { .. }
            | Self::RegionNamed { .. }
            | Self::Regions(_)
            | Self::NoLifecycle { .. }
            | Self::Word(_) => ErrorKind::Usage,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::NoKernel { .. } | Self::NewerHome { .. } => ErrorKind::Host,
            Self::StepNotRun(error) if matches!(**error, StepError::NoProgram { .. }) => ErrorKind::Host,
            Self::Machine(error) if error.host_lacks() => ErrorKind::Host,
            Self::Disk(kiln_disk::Error::MissingTool { .. }) => ErrorKind::Host,
            Self::Appliance(_) => ErrorKind::Host,
            Self::Step { source, .. } => source.kind(),
            Self::Bundle(kiln_bundle::Error::Invalid(_)) | Self::NoPartition { .. } => ErrorKind::Usage,
            Self::Export(kiln_export::Error::Option { .. }) => ErrorKind::Usage,
            _ => ErrorKind::Failed,
        }
    }

    /// Returns what to type next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchStep { steps, .. } => Some(format!("one of 1–{}, or a name: {}", steps.len(), steps.join("; "))),
            Self::NoSuchLayer { .. } => Some("kiln cache list".to_owned()),
            Self::NothingToPush { .. } => Some("kiln build TEMPLATE".to_owned()),
            Self::NotLookedUp { .. } => Some("kiln plan TEMPLATE   # with a network, once".to_owned()),
            Self::NoSuchAccount { .. } => Some("kiln account".to_owned()),
            Self::TestsFailed(tested) => Some(format!("kiln image show {}", tested.image_id)),
            Self::NoLifecycle { .. } => Some("lifecycle = { deregister_after = \"90d\" }   # in [image]".to_owned()),
            Self::Instance(error) => error.hint(),
            Self::NoSuchRegion { .. } => Some("kiln region list".to_owned()),
            Self::SnapshotInUse { images, .. } => {
                images.first().map(|image| format!("kiln image deregister {image}"))
            }
            Self::RegionNamed { name } => Some(format!("kiln region remove {name}")),
            Self::NoKernel { .. } => Some("kiln doctor --fix".to_owned()),
            Self::Leaked { .. } => Some(
                "remove it in the step that wrote it; a step reads secrets from its environment or /run/secrets"
                    .to_owned(),
            ),
            Self::NoSourceImage { .. } => Some("kiln image list --owner self   # or community, or an account".to_owned()),
            Self::ManySourceImages { .. } => Some("most_recent = true   # in [source]".to_owned()),
            Self::UnfitSourceImage { what: "state", .. } => None,
            Self::UnfitSourceImage { what, has, .. } => Some(format!("{what} = \"{has}\"   # in [machine]")),
            Self::InstallEnded { says, .. } => Some(format!("install = {{ ends_with = \"{says}\" }}")),
            Self::Typing(error) => error.hint(),
            Self::StepNotRun(error) => error.hint(),
            Self::ForeignFiles => Some("setup = \"cloud-init\", or an account of the image's own with setup = \"none\"".to_owned()),
            Self::StepFailed { wants_network: true, .. } => {
                Some("machine.network is \"none\": a step that needs it wants network = \"user\"".to_owned())
            }
            Self::NoNetworkForSsh => Some("communicator = { type = \"agent\" }".to_owned()),
            Self::Communicator(error) => error.hint(),
            Self::Medium(error) => error.hint(),
            Self::NoTerminal => Some("skip it where nobody sits: when = \"${var.interactive}\"".to_owned()),
            Self::NoTemplate { .. } => {
                Some("kiln build DIR   # a folder that holds template.toml".to_owned())
            }
            Self::NameTaken { .. } => Some("kiln build --replace …   # or another [image] name".to_owned()),
            Self::Machine(error) => error.hint(),
            Self::Disk(error) => error.hint(),
            Self::Qcow2(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Catalog(error) => error.hint(),
            Self::Export(error) => error.hint(),
            Self::Bundle(error) => error.hint(),
            Self::Step { source, .. } => source.hint(),
            _ => None,
        }
    }
}

/// The large ones are kept apart: every result of this crate would be as large.
macro_rules! boxed {
    ($($source:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self::$variant(Box::new(error.into()))
            }
        }
    )+};
}

boxed! {
    kiln_machine::communicator::CommunicatorError => Communicator,
    kiln_machine::communicator::AgentError => Communicator,
    kiln_machine::communicator::ssh::SshError => Communicator,
    kiln_machine::communicator::ssh::fast_boot::FastBootError => FastBoot,
    kiln_machine::keyboard::TypingError => Typing,
    kiln_machine::provisioner::StepError => StepNotRun,
    kiln_machine::seed::SeedError => Seed,
}
