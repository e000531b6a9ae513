//! Running the host's programs: output line by line, an end on demand, and no survivor when Kiln is killed.
//!
//! ```text
//! kiln ──spawns──▶ program        its own process group, output through one pipe
//!   └────spawns──▶ sh (watcher)   reads a pipe that only kiln holds; when it closes without a word,
//!                                 kiln is dead and the group is ended: TERM, then KILL
//! ```

use crate::Error;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    time::Duration,
};

/// Lines of a failed program's output that its error keeps.
const KEPT_LINES: usize = 25;

/// How often `cancel` is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How long a cancelled program may tidy up before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// A program of the host, and what to say when it is not there.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) purpose: &'static str,
    pub(crate) package: &'static str,
}

impl Tool {
    /// Returns the name under which the program starts: system folders may be missing from a user's PATH.
    pub(crate) fn find(&self) -> Result<String, Error> {
        for folder in ["", "/usr/sbin/", "/sbin/"] {
            let path = format!("{folder}{}", self.program);
            let mut probe = Command::new(&path);
            probe.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            match probe.status() {
                Ok(_) => return Ok(path),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io(format!("start {path}"), e)),
            }
        }
        Err(self.missing())
    }

    fn missing(&self) -> Error {
        Error::MissingTool { program: self.program, purpose: self.purpose, package: self.package }
    }
}

/// Runs a program to its end. Standard output and error go to `on_line`, mixed as they come.
pub(crate) fn run(
    command: &mut Command,
    tool: &Tool,
    cancel: &AtomicBool,
    on_line: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let io_error = |e| Error::io(format!("run {}", tool.program), e);
    let (output, input) = io::pipe().map_err(io_error)?;
    command.stdin(Stdio::null()).stderr(input.try_clone().map_err(io_error)?).stdout(input).process_group(0);
    let child = command.spawn().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => tool.missing(),
        _ => io_error(e),
    })?;
    // The command holds copies of the pipe's writing end; while they live, its output never ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut group = Group::new(child).map_err(io_error)?;
    let mut last = VecDeque::new();
    let finished = follow(output, cancel, &mut |line| {
        if last.len() == KEPT_LINES {
            last.pop_front();
        }
        last.push_back(line.to_owned());
        on_line(line);
    });
    if !finished {
        group.end();
        return Err(Error::Cancelled);
    }
    let status = group.wait().map_err(io_error)?;
    if status.success() {
        return Ok(());
    }
    let last_lines = Vec::from(last).join("\n");
    Err(Error::Tool { program: tool.program.to_owned(), status: status.to_string(), last_lines })
}

/// Hands on lines until the output ends (`true`) or the work is cancelled (`false`).
fn follow(output: io::PipeReader, cancel: &AtomicBool, on_line: &mut dyn FnMut(&str)) -> bool {
    let (sender, lines) = channel();
    // Not joined: after a cancel it ends by itself when the last holder of the pipe does.
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    loop {
        if cancel.load(Ordering::Relaxed) {
            return false;
        }
        match lines.recv_timeout(POLL) {
            Ok(line) => {
                // A progress bar overwrites its line: what it showed last counts.
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches('\r');
                on_line(text.rsplit('\r').next().unwrap_or(text));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}

/// A running program with its process group, and the watcher that outlives Kiln. Dropping it ends both.
struct Group {
    child: Child,
    id: Pid,
    ended: bool,
    watcher: Option<(Child, ChildStdin)>,
}

impl Group {
    fn new(mut child: Child) -> io::Result<Self> {
        let Some(id) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
            child.kill()?;
            return Err(io::Error::other("the process has no usable id"));
        };
        let mut group = Self { child, id, ended: false, watcher: None };
        let script = "read -r done || { kill -TERM -- \"-$0\"; sleep 5; kill -KILL -- \"-$0\"; }";
        let mut watcher = Command::new("sh")
            .args(["-c", script, &id.as_raw_nonzero().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        if let Some(pipe) = watcher.stdin.take() {
            group.watcher = Some((watcher, pipe));
        }
        Ok(group)
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.ended = true;
        Ok(status)
    }

    /// Asks the group to end, and kills it after a while.
    fn end(&mut self) {
        self.signal(Signal::TERM);
        let steps = GRACE.as_millis() / POLL.as_millis();
        for _ in 0..steps {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(POLL);
        }
        self.signal(Signal::KILL);
        if let Err(error) = self.wait() {
            tracing::debug!(%error, "cannot wait for a cancelled program");
        }
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.id, signal) {
            tracing::debug!(%error, ?signal, "process group is gone");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            self.end();
        }
        if let Some((mut watcher, mut pipe)) = self.watcher.take() {
            let told = pipe.write_all(b"done\n");
            drop(pipe);
            if let Err(error) = told.and_then(|()| watcher.wait()) {
                tracing::debug!(%error, "watcher is gone");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const SH: Tool = Tool { program: "sh", purpose: "tests", package: "dash" };

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_and_status() {
        let mut lines = Vec::new();
        let never = AtomicBool::new(false);
        let result = run(&mut sh("echo one; printf '1%%\\r2%%\\n' >&2; exit 3"), &SH, &never, &mut |line| {
            lines.push(line.to_owned());
        });
        assert_eq!(lines, ["one", "2%"]);
        assert!(
            matches!(&result, Err(Error::Tool { last_lines, .. }) if last_lines == "one\n2%"),
            "{result:?}"
        );
    }

    #[test]
    fn cancelling_ends_the_whole_group() {
        let cancel = AtomicBool::new(false);
        let started = Instant::now();
        let result = run(&mut sh("sleep 60 & echo $!; sleep 60"), &SH, &cancel, &mut |_| {
            cancel.store(true, Ordering::Relaxed);
        });
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
        assert!(started.elapsed() < GRACE);
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let tool = Tool { program: "kiln-no-such-program", purpose: "nothing", package: "no-such-package" };
        let error = tool.find().err().and_then(|error| error.hint());
        assert_eq!(error.as_deref(), Some("apt-get install no-such-package"));
    }
}
