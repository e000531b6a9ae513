//! Shells in a guest, at a terminal that `script` makes.

use crate::{tiny, world};
use anyhow::{Context, Result, ensure};
use kiln_testkit::{Kiln, tiny_template};
use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

/// A machine starts within seconds on a quiet host.
const WITHIN: Duration = Duration::from_secs(300);

/// A command at a terminal of its own.
struct AtTerminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl AtTerminal {
    fn start(kiln: &Kiln, words: &str) -> Result<Self> {
        let command = kiln.command(&[]);
        let line = format!("exec {} {words}", command.get_program().display());
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                script.env(name, value);
            }
        }
        let piped = script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().context("script (package bsdutils)")?;
        let keyboard = child.stdin.take().context("a pipe")?;
        let mut output = child.stdout.take().context("a pipe")?;
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap_or_else(|held| held.into_inner()).extend_from_slice(&buffer[..length]);
            }
        });
        Ok(Self { child, keyboard, screen })
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap_or_else(|held| held.into_inner())).into_owned()
    }

    fn wait_for(&self, text: &str) -> Result<()> {
        let start = Instant::now();
        while !self.screen().contains(text) {
            ensure!(start.elapsed() < WITHIN, "{text} was never shown: {}", self.screen());
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Types a line whose answer cannot be taken for its echo, and waits for that.
    fn ask(&mut self, line: &str, answer: &str) -> Result<()> {
        writeln!(self.keyboard, "{line}")?;
        self.wait_for(answer)
    }

    fn end(mut self) -> Result<(Option<i32>, String)> {
        let status = self.child.wait()?;
        sleep(Duration::from_millis(200));
        Ok((status.code(), self.screen()))
    }
}

#[test]
fn a_breakpoint_and_a_failed_step_open_a_shell() -> Result<()> {
    let kiln = world()?;
    let steps = r#"
[[provisioner]]
type = "breakpoint"
note = "before the page"

[[provisioner]]
type = "shell"
environment = { COLOUR = "green" }
inline = ["test -e /typed", "exit 9"]
"#;
    let folder = kiln.world.template("tiny", &tiny_template(&tiny()?, steps))?;
    let words = format!("build {} --on-error shell", folder.display());
    let mut terminal = AtTerminal::start(&kiln, &words)?;
    terminal.wait_for("before the page")?;
    terminal.ask("touch /typed; echo answer-$((6 * 7))", "answer-42")?;
    writeln!(terminal.keyboard, "exit")?;
    // The second step found what was typed, and failed in its second line.
    terminal.wait_for("exit 9")?;
    terminal.ask("echo \"it is $COLOUR\"-$((6 * 8))", "it is green-48")?;
    writeln!(terminal.keyboard, "exit")?;
    let (code, screen) = terminal.end()?;
    assert_eq!(code, Some(1), "{screen}");
    ensure!(screen.contains("exit status 9"), "{screen}");
    assert_eq!(kiln.images()?, 0);
    kiln.no_processes(Duration::from_secs(10))
}
