//! Events on a terminal: finished phases scroll by with their times, the running one shows its last lines.

use super::{plain::how_far, seconds, tail::Tail};
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_builder::{Event, Events, Outcome};
use std::{sync::Mutex, time::Duration};

/// Lines of the running phase that are shown.
const TAIL_LINES: usize = 6;

/// Draws events on standard error.
#[derive(Debug)]
pub(crate) struct Tty {
    bar: ProgressBar,
    tail: Tail,
    phase: String,
}

impl Tty {
    /// Draws on standard error.
    pub(crate) fn events() -> Events {
        let tty = Mutex::new(Self::new());
        Events::to(move |event| {
            if let Ok(mut tty) = tty.lock() {
                tty.show(&event);
            }
        })
    }

    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed:.dim}{msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { bar, tail: Tail::new(TAIL_LINES), phase: String::new() }
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::BuildStarted { template } => self.scroll(&format!("building {template}")),
            Event::PhaseStarted(phase) => {
                self.phase = phase.to_string();
                self.tail.clear();
                self.bar.reset();
                self.bar.enable_steady_tick(Duration::from_millis(120));
                self.bar.set_prefix(self.phase.clone());
                self.draw_tail();
            }
            Event::Output(line) => {
                self.tail.push(line);
                self.draw_tail();
            }
            Event::Progress { done, total } => {
                self.bar.set_prefix(format!("{}  {}", self.phase, how_far(*done, *total)));
            }
            Event::Note(text) => self.scroll(&format!("  {text}")),
            Event::Warning(text) => {
                self.scroll(&format!("  {} {text}", styled("warning:", AnsiColor::Yellow)));
            }
            Event::PhaseFinished { phase, outcome, took, detail } => {
                self.bar.disable_steady_tick();
                self.bar.set_message("");
                let word = match outcome {
                    Outcome::Done => styled("done  ", AnsiColor::Green),
                    Outcome::Cached => styled("cached", AnsiColor::Cyan),
                    Outcome::Failed => styled("failed", AnsiColor::Red),
                };
                self.scroll(format!("{word} {:>8}  {phase}  {detail}", seconds(*took)).trim_end());
                self.bar.finish_and_clear();
            }
        }
    }

    fn scroll(&self, line: &str) {
        self.bar.suspend(|| anstream::eprintln!("{line}"));
    }

    fn draw_tail(&self) {
        let lines = self.tail.lines(width().saturating_sub(5)).map(|line| format!("\n  | {line}"));
        self.bar.set_message(lines.collect::<String>());
    }
}

/// Returns the terminal's width now: people resize windows while a build runs.
fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col))
}

fn styled(text: &str, colour: AnsiColor) -> String {
    let style = Style::new().fg_color(Some(colour.into())).bold();
    format!("{style}{text}{style:#}")
}
