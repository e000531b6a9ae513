//! Builds the agent, static, and leaves it for `include_bytes!`.
//!
//! The same cargo runs a second time, with a target folder of its own: the outer cargo holds the lock of the usual one
//! while this runs. A target that the agent cannot be built for gets an empty file, which the crate reports when it is
//! asked for the agent.
#![expect(clippy::disallowed_methods, reason = "a build script speaks with cargo through its environment")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What the outer cargo, or `clippy` as its wrapper, set for its own build and not for the agent's.
const NOT_OURS: [&str; 6] = [
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOCFLAGS",
];

fn main() {
    let out = PathBuf::from(variable("OUT_DIR"));
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../..");
    println!("cargo::rerun-if-changed=build.rs");
    for input in ["crates/agent/src", "crates/agent/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    let agent = out.join("kiln-agent");
    if variable("TARGET") == TARGET {
        build(&workspace, &out.join("agent"), &agent);
    } else {
        fs::write(&agent, []).expect("the output folder takes a file");
    }
}

fn build(workspace: &Path, target: &Path, agent: &Path) {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["build", "--quiet", "--profile", "agent", "--package", "kiln-agent", "--bin", "kiln-agent"]);
    cargo.args(["--target", TARGET, "--target-dir"]).arg(target);
    for name in NOT_OURS {
        cargo.env_remove(name);
    }
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static").current_dir(workspace);
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the agent does not build: {status}");
    fs::copy(target.join(TARGET).join("agent/kiln-agent"), agent).expect("the agent was built");
}

fn variable(name: &str) -> String {
    env::var(name).expect("cargo sets it")
}
