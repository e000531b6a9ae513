//! TOML text to a [`Template`], or every mistake in it with its place.
//!
//! ```text
//! text ─ toml ─▶ tree with spans ─ tables/* through reader/* ─▶ Template
//!                                   │ once for each combination of [matrix]
//!                                   │ names: variables, then locals and the image's name, then the rest
//!                                   └─▶ Report: one diagnostic a mistake, rendered as rustc does
//! ```
//! **Invariant:** nothing here reads a file, the environment or the clock; they are handed in as [`Inputs`].
//! The one thing asked of the file system is whether a file that a template names is there.
//!
//! **Invariant:** the value of a sensitive variable is in no diagnostic, no `Debug` and no serialised form; only
//! [`Text::expose`] gives it.

mod context;
mod given;
mod inputs;
mod interpolation;
mod load;
mod locals;
mod model;
mod names;
mod reader;
mod report;
mod scope;
mod tables;
mod variables;

pub use inputs::{Inputs, VarFile};
pub use load::load;
pub use model::{
    Accelerator, After, AnsibleStep, Bootstrap, BreakpointStep, Bundle, Check, Checksum, Combination,
    Communicator, Compat, Compression, Content, DiskFormat, DiskSource, DownloadStep, EndsWith, Export,
    ExportFormat, ExtraDisk, FileCheck, FileStep, Firmware, HostPath, Image, ImageSource, InlineLine,
    Install, Iso, Lifecycle, Location, Machine, Network, Owner, Provisioner, RebootStep, RootDeviceType,
    ShellCode, ShellStep, Source, Ssh, SshSetup, Step, StepCache, Subformat, Sysprep, SysprepItem, Template,
    Test, Text, Variable, Variant,
};
pub use report::Report;
