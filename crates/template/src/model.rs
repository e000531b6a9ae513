//! What a template means: every value typed, every default filled in, every `${…}` replaced.

mod bundle;
mod cache;
mod combination;
mod communicator;
mod image;
mod iso;
mod lifecycle;
mod machine;
mod provisioner;
mod source;
mod step;
mod sysprep;
mod test;
mod text;

pub use bundle::{Bundle, RootDeviceType};
pub use cache::StepCache;
pub use combination::Combination;
pub use communicator::{Communicator, Ssh, SshSetup};
pub use image::{Compat, Compression, Export, ExportFormat, Image, Subformat};
pub use iso::{EndsWith, Install, Iso};
pub use lifecycle::{After, Lifecycle};
pub use machine::{Accelerator, ExtraDisk, Firmware, Machine, Network};
pub use provisioner::{Provisioner, Step};
pub use source::{Bootstrap, Checksum, DiskFormat, DiskSource, ImageSource, Location, Source, Variant};
pub use step::{
    AnsibleStep, BreakpointStep, Content, DownloadStep, FileStep, InlineLine, Owner, RebootStep, ShellCode,
    ShellStep,
};
pub use sysprep::{Sysprep, SysprepItem};
pub use test::{Check, FileCheck, Test};
pub use text::{HostPath, Text};

/// A template as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Lower-case letters, digits and inner hyphens, at most 63.
    pub name: String,
    /// What the template is for.
    pub description: Option<String>,
    /// Which build of the template's matrix this is.
    pub combination: Combination,
    /// The variables with the values that they have in this run, in the order in which they are written.
    pub variables: Vec<Variable>,
    /// Where the base disk comes from.
    pub source: Source,
    /// The machine that the build runs in.
    pub machine: Machine,
    /// How Kiln talks to the guest.
    pub communicator: Communicator,
    /// Folders of the guest, absolute and none within another, that last from build to build and are no part of the image.
    pub cache_mounts: Vec<String>,
    /// The steps, in the order in which they run.
    pub provisioners: Vec<Provisioner>,
    /// What is taken out of the guest after the last step.
    pub sysprep: Sysprep,
    /// The image to register.
    pub image: Image,
    /// What must be true of it before it is available, in order.
    pub tests: Vec<Test>,
    /// The bundle that the root of the image is made from, where it is not a volume.
    pub bundle: Option<Bundle>,
    /// The files to make from the finished image.
    pub exports: Vec<Export>,
}

impl Template {
    /// Returns what a build of it is called among others: `debian-web`, or `debian-web[trixie,arm64]` of a matrix.
    #[must_use]
    pub fn label(&self) -> String {
        if self.combination.is_empty() {
            return self.name.clone();
        }
        format!("{}[{}]", self.name, self.combination.values(","))
    }

    /// Returns the values that must not be shown anywhere.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|variable| variable.sensitive).map(|variable| variable.value.expose())
    }

    /// Returns the variable of a name.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }
}

/// A variable and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its value; of a sensitive variable only [`Text::expose`] tells it.
    pub value: Text,
    /// Whether the value is kept out of everything that is shown or stored.
    pub sensitive: bool,
    /// Whether the value of a sensitive variable is part of the cache keys of what uses it; its name always is.
    pub cache_key: bool,
}
