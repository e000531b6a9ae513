//! Events on a terminal: finished phases scroll by with their times, the running one shows its last lines.

use super::{plain::how_far, seconds, tail::Tail};
use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_builder::{Event, Events, Outcome};
use std::{sync::Mutex, time::Duration};

/// Lines of the running phase that are shown.
const TAIL_LINES: usize = 6;

/// Draws events on standard error.
#[derive(Debug)]
pub(crate) struct Tty {
    screen: MultiProgress,
    /// The running phase.
    head: ProgressBar,
    /// Its last lines, a bar each: one bar of several lines is not drawn right.
    lines: Vec<ProgressBar>,
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
        Self {
            screen: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            head: ProgressBar::hidden(),
            lines: Vec::new(),
            tail: Tail::new(TAIL_LINES),
            phase: String::new(),
        }
    }

    fn show(&mut self, event: &Event) {
        match event {
            Event::BuildStarted { template } => self.scroll(&format!("building {template}")),
            Event::PhaseStarted(phase) => self.begin(phase.to_string()),
            Event::Output(line) => {
                self.tail.push(line);
                self.draw_tail();
            }
            Event::Progress { done, total } => {
                self.head.set_prefix(format!("{}  {}", self.phase, how_far(*done, *total)));
            }
            Event::Note(text) => self.scroll(&format!("  {text}")),
            Event::Warning(text) => {
                self.scroll(&format!("  {} {text}", styled("warning:", AnsiColor::Yellow)));
            }
            Event::TerminalTaken(taken) => self.stand_aside(*taken),
            Event::PhaseFinished { phase, outcome, took, detail } => {
                self.end();
                let word = match outcome {
                    Outcome::Done => styled("done  ", AnsiColor::Green),
                    Outcome::Cached => styled("cached", AnsiColor::Cyan),
                    Outcome::Skipped => styled("skipped", AnsiColor::Cyan),
                    Outcome::Failed => styled("failed", AnsiColor::Red),
                };
                self.scroll(format!("{word} {:>8}  {phase}  {detail}", seconds(*took)).trim_end());
            }
        }
    }

    fn begin(&mut self, phase: String) {
        let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed:.dim}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        self.head = self.screen.add(ProgressBar::new_spinner().with_style(style).with_prefix(phase.clone()));
        self.head.enable_steady_tick(Duration::from_millis(120));
        self.phase = phase;
    }

    /// Draws nothing while a person types in the guest.
    fn stand_aside(&mut self, taken: bool) {
        if taken {
            self.end();
            self.screen.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            self.screen.set_draw_target(ProgressDrawTarget::stderr());
            self.begin(self.phase.clone());
        }
    }

    fn end(&mut self) {
        for line in self.lines.drain(..) {
            line.finish_and_clear();
            self.screen.remove(&line);
        }
        self.tail.clear();
        self.head.finish_and_clear();
        self.screen.remove(&self.head);
    }

    fn scroll(&self, line: &str) {
        self.screen.suspend(|| anstream::eprintln!("{line}"));
    }

    fn draw_tail(&mut self) {
        for (number, line) in self.tail.lines(width().saturating_sub(5)).enumerate() {
            if number == self.lines.len() {
                let style = ProgressStyle::with_template("  | {msg}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
                self.lines.push(self.screen.add(ProgressBar::new_spinner().with_style(style)));
            }
            self.lines[number].set_message(line);
        }
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
