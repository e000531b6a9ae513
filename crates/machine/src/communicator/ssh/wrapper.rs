//! How a program of a step is run: the script that a shell of root's does.
//!
//! The shell stays and watches its standard input, which is the connection: see `wrapper/run.sh`. The environment stands
//! in the script, and so in no list of processes.

use super::root::quote;
use kiln_agent::Exec;
use std::fmt::Write;

/// Where things lie in the guest while a step runs.
pub(super) const FOLDER: &str = "/run/kiln";

const PREPARE: &str = include_str!("wrapper/prepare.sh");
const RUN: &str = include_str!("wrapper/run.sh");

/// Returns the script that runs a program without a terminal and without input.
pub(super) fn without_terminal(exec: &Exec) -> String {
    format!("exec 3<&0 </dev/null\n{}{PREPARE}{RUN}", variables(exec))
}

/// Returns the script that becomes a program at a terminal. It lies in a file and takes that away.
pub(super) fn at_terminal(exec: &Exec) -> String {
    format!("rm -f -- \"$0\"\nstty echo\n{}{PREPARE}exec \"$@\"\n", variables(exec))
}

/// Kills what the programs of a step left running, and takes away what lay there for it, secrets first of all.
pub(super) const END_STEP: &str = r#"
[ -e /run/kiln/groups ] && while read -r group; do kill -KILL "-$group" 2>/dev/null; done </run/kiln/groups
rm -rf /run/kiln
if grep -q ' /run/secrets ' /proc/mounts; then umount -l /run/secrets && rmdir /run/secrets; fi
"#;

fn variables(exec: &Exec) -> String {
    let user = exec.user.as_deref().unwrap_or("root");
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let folder = exec.working_directory.as_deref().unwrap_or("/");
    let mut text = format!("user={} group={} folder={}\n", quote(user), quote(group), quote(folder));
    text.push_str("environment() {\n:\n");
    for (name, value) in &exec.environment {
        writeln!(text, "export {name}={}", quote(value)).unwrap_or_default();
    }
    text.push_str("}\nset --");
    exec.argv.iter().for_each(|argument| write!(text, " {}", quote(argument)).unwrap_or_default());
    text.push('\n');
    text
}
