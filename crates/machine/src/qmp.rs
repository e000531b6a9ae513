//! QEMU's machine protocol: one JSON value a line, over a connection that both sides were born with.
//!
//! A small client of our own in place of a crate with types for all of QEMU's schema: a build sends four commands, and
//! the generated types cost more to compile than the rest of this crate.

use crate::Error;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::mpsc,
};

/// An answer to a command: what it returned, or QEMU's description of what was wrong.
type Answer = Result<Value, String>;

/// A connection over which commands are given.
#[derive(Debug)]
pub struct Qmp {
    writer: OwnedWriteHalf,
    answers: mpsc::Receiver<Answer>,
}

/// Something that QEMU tells unasked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Qmp {
    /// Greets QEMU; events go to `events` from then on.
    pub(crate) async fn connect(
        stream: UnixStream,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self, Error> {
        let (reader, writer) = stream.into_split();
        let (sender, answers) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
                if !sort(message, &sender, &events).await {
                    break;
                }
            }
        });
        let mut qmp = Self { writer, answers };
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Gives a command and returns its answer.
    ///
    /// # Errors
    /// When QEMU refuses it, or has ended.
    pub async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, Error> {
        let gone = || Error::QmpGone { command: command.to_owned() };
        let mut line = json!({"execute": command, "arguments": arguments}).to_string();
        line.push('\n');
        self.writer.write_all(line.as_bytes()).await.map_err(|_gone| gone())?;
        match self.answers.recv().await {
            Some(Ok(value)) => Ok(value),
            Some(Err(why)) => Err(Error::Qmp { command: command.to_owned(), why }),
            None => Err(gone()),
        }
    }
}

/// Passes a message on to whoever waits for it; false where nobody does any more.
async fn sort(message: Value, answers: &mpsc::Sender<Answer>, events: &mpsc::UnboundedSender<Event>) -> bool {
    if let Some(name) = message.get("event").and_then(Value::as_str) {
        let data = message.get("data").cloned().unwrap_or_default();
        return events.send(Event { name: name.to_owned(), data }).is_ok();
    }
    if let Some(value) = message.get("return") {
        return answers.send(Ok(value.clone())).await.is_ok();
    }
    if let Some(error) = message.get("error") {
        let why = error.get("desc").and_then(Value::as_str).unwrap_or("no description");
        return answers.send(Err(why.to_owned())).await.is_ok();
    }
    // The greeting.
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_and_events_are_told_apart() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, mut events) = mpsc::unbounded_channel();
        let qemu = tokio::spawn(async move {
            let (reader, mut writer) = theirs.into_split();
            let mut lines = BufReader::new(reader).lines();
            writer.write_all(b"{\"QMP\": {\"version\": {}}}\n").await.unwrap();
            lines.next_line().await.unwrap();
            writer.write_all(b"{\"return\": {}}\n").await.unwrap();
            lines.next_line().await.unwrap();
            writer
                .write_all(b"{\"event\": \"STOP\", \"data\": {\"a\": 1}}\n{\"error\": {\"desc\": \"no\"}}\n")
                .await
                .unwrap();
        });
        let mut qmp = Qmp::connect(ours, sender).await.unwrap();
        let error = qmp.execute("frobnicate", json!({})).await.unwrap_err();
        assert!(matches!(error, Error::Qmp { ref why, .. } if why == "no"), "{error}");
        assert_eq!(events.recv().await.unwrap().name, "STOP");
        qemu.await.unwrap();
        let error = qmp.execute("quit", json!({})).await.unwrap_err();
        assert!(matches!(error, Error::QmpGone { .. }), "{error}");
    }
}
