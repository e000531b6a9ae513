//! Template to image: joins the crates that each know one thing.
//!
//! ```text
//! request ─ load ─▶ template ─▶ plan ─▶ base disk ─▶ machine ─▶ steps ─▶ snapshot ─▶ image ─▶ exports
//!                      │          │        │            │                   │          └ the record is written last
//!                      └ every    └ known  └ cached     └ on a throw-away   └ only the blocks that the steps changed
//!                        mistake    image?   by key       overlay
//! ```
//! **Invariant:** nothing here prints or reads the environment; what happens is told as [`Event`]s.

mod accounts;
mod appliance;
mod base;
mod begun;
mod block_maps;
mod build;
mod bundled;
mod bundles;
mod cache;
mod cache_mounts;
mod cancel;
mod checks;
mod checksum;
mod copies;
mod diff;
mod doctor;
mod download;
mod error;
mod events;
mod exports;
mod guest;
mod guest_config;
mod hardware;
mod home;
mod image_tests;
mod import;
mod inputs;
mod install;
mod instances;
mod kernel;
mod key;
mod kiln;
mod layering;
mod layers;
mod leaks;
mod lifecycle;
mod lock;
mod machine_state;
mod mask;
mod on_error;
mod places;
mod plan;
mod planning;
mod provision;
mod regions;
mod request;
mod reuse;
mod shared_cache;
mod snapshots;
mod source;
mod ssh;
mod step;
mod steps;
mod sysprep;
mod test_results;
mod tested;
mod unbundle;
mod volumes;

pub use accounts::{Accounts, AccountsError};
pub use begun::Reached;
pub use build::{BuildRequest, Built, Exported};
pub use bundles::{BundleOf, BundleRequest, bundle_manifest, bundle_of, bundle_place, watched};
pub use cache::{CacheEntry, CacheKind, Prune};
pub use copies::CopyRequest;
pub use diff::{BlockDiff, FileChange, FileState, ImageDiff, PackageChange};
pub use doctor::{Check, CheckState};
pub use error::{Error, ErrorKind};
pub use events::{Event, Events, OpenPhase, Outcome, Phase};
pub use exports::ExportOptions;
pub use guest_config::{GuestConfig, GuestConfigError};
pub use home::Home;
pub use image_tests::TestRequest;
pub use import::ImportRequest;
pub use instances::{
    CreateImageRequest, Described, Instance, InstanceError, InstanceFiles, InstanceState, Keeper,
    LaunchRequest, METADATA, Port, SshAccess, StateName, Volume, serve_metadata,
};
pub use key::Seal;
pub use kiln::Kiln;
pub use kiln_bundle as bundle;
pub use kiln_catalog as catalog;
pub use kiln_export as export;
pub use kiln_machine::{Supervisor, communicator::agent::TerminalSize, supervise_main};
pub use kiln_store as store;
pub use kiln_template::Combination;
pub use lifecycle::Aged;
pub use mask::Mask;
pub use on_error::{OnError, OpenTerminal, Terminal};
pub use places::{Place, Places};
pub use plan::{PlannedStep, PlannedSteps};
pub use planning::{Action, Plan, PlanItem, PlanOptions};
pub use regions::{Regions, RegionsError};
pub use request::{Loaded, TemplateRequest};
pub use reuse::{Reuse, StepChoice};
pub use shared_cache::Travelled;
pub use snapshots::{SnapshotEdit, SnapshotRequest};
pub use test_results::{TestOutcome, TestResult, Tested};
pub use unbundle::UnbundleRequest;
