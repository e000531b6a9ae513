//! Events as lines, for logs and CI: every line of output, nothing that moves.

use super::{seconds, tail::printable};
use kiln_builder::{Event, Events, Outcome};
use std::{
    io::Write,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Downloads and exports say how far they are this often: a log that stands still looks dead.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Writes events as lines.
#[derive(Debug)]
pub(crate) struct Plain<W> {
    out: W,
    /// Stands before every line: whose it is.
    prefix: String,
    last_progress: Instant,
}

impl Plain<anstream::Stderr> {
    /// Writes to standard error, `prefix` before every line.
    pub(crate) fn events(prefix: &str) -> Events {
        let plain = Mutex::new(Self::new(anstream::stderr(), prefix));
        Events::to(move |event| {
            if let Ok(mut plain) = plain.lock() {
                plain.show(&event);
            }
        })
    }
}

impl<W: Write> Plain<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W, prefix: &str) -> Self {
        Self { out, prefix: prefix.to_owned(), last_progress: Instant::now() }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::BuildStarted { template } => self.line(&format!("building {template}")),
            Event::PhaseStarted(phase) => {
                self.last_progress = Instant::now();
                self.line(&format!("==> {phase}"));
            }
            Event::Output(line) => self.line(&format!("    | {}", printable(line))),
            Event::Progress { done, total } => self.progress(*done, *total),
            Event::Note(text) => self.line(&format!("    {text}")),
            Event::Warning(text) => self.line(&format!("    warning: {text}")),
            Event::TerminalTaken(_) => {}
            Event::PhaseFinished { outcome, took, detail, .. } => {
                let word = match outcome {
                    Outcome::Done => "done",
                    Outcome::Cached => "cached",
                    Outcome::Skipped => "skipped",
                    Outcome::Failed => "failed",
                };
                let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
                self.line(&format!("    {word} in {}{detail}", seconds(*took)));
            }
        }
    }

    fn progress(&mut self, done: u64, total: u64) {
        if self.last_progress.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.last_progress = Instant::now();
        self.line(&format!("    {}", how_far(done, total)));
    }

    fn line(&mut self, line: &str) {
        // Nobody reads any more: the build goes on, its result is what counts.
        drop(self.out.write_all(format!("{}{line}\n", self.prefix).as_bytes()));
    }
}

/// Says how far something is: `1.2 GiB of 3.4 GiB (35 %)`.
pub(crate) fn how_far(done: u64, total: u64) -> String {
    let size = |bytes| kiln_types::ByteSize::from_bytes(bytes).approximate();
    if total == 0 {
        return size(done);
    }
    let percent = u128::from(done) * 100 / u128::from(total);
    format!("{} of {} ({percent} %)", size(done), size(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_builder::Phase;

    #[test]
    fn a_build_as_lines() {
        let mut plain = Plain::new(Vec::new(), "a: ");
        let phase = Phase::Step { number: 1, count: 2, name: "install nginx".to_owned() };
        for event in [
            Event::BuildStarted { template: "debian-web".to_owned() },
            Event::PhaseStarted(phase.clone()),
            Event::Output("Get:1 \u{1b}[1mnginx\u{1b}[0m".to_owned()),
            Event::Note("no KVM here".to_owned()),
            Event::PhaseFinished {
                phase,
                outcome: Outcome::Done,
                took: Duration::from_millis(64_210),
                detail: String::new(),
            },
        ] {
            plain.show(&event);
        }
        let text = String::from_utf8(plain.out).unwrap();
        assert_eq!(
            text,
            "a: building debian-web\na: ==> step 1/2: install nginx\na:     | Get:1 nginx\na:     no KVM here\na:     done in 64.2s\n"
        );
    }

    #[test]
    fn how_far_it_is() {
        assert_eq!(how_far(1 << 30, 4 << 30), "1.0 GiB of 4.0 GiB (25 %)");
        assert_eq!(how_far(1 << 20, 0), "1.0 MiB");
    }
}
