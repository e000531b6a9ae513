//! QEMU's machine protocol: one JSON value a line, over a connection that both sides were born with.
//!
//! A small client of our own in place of the crate `qapi`: its types for all of QEMU's schema take 24 seconds of
//! processor time to compile, more than everything else that this crate needs, and a build sends four commands.

use crate::Error;
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::{mpsc, oneshot},
    time::timeout,
};

/// How long QEMU may take to answer. Every command that takes longer than moments is a job in the background, so one
/// that does not answer hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// An answer to a command: what it returned, or QEMU's description of what was wrong.
type Answer = Result<Value, String>;

/// A connection over which commands are given. Dropping the future of a command does no harm to the next one.
#[derive(Debug, Clone)]
pub struct Qmp {
    requests: mpsc::UnboundedSender<Request>,
}

/// Something that QEMU tells unasked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

#[derive(Debug)]
struct Request {
    command: String,
    arguments: Value,
    answer: oneshot::Sender<Answer>,
}

impl Qmp {
    /// Greets QEMU; events go to `events` from then on.
    pub(crate) async fn connect(
        stream: UnixStream,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self, Error> {
        let (requests, asked) = mpsc::unbounded_channel();
        tokio::spawn(converse(stream, asked, events));
        let qmp = Self { requests };
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Gives a command and returns its answer.
    ///
    /// # Errors
    /// When QEMU refuses it, has ended, or does not answer within 30 seconds.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, Error> {
        let gone = || Error::QmpGone { command: command.to_owned() };
        let (answer, answered) = oneshot::channel();
        let request = Request { command: command.to_owned(), arguments, answer };
        self.requests.send(request).map_err(|_closed| gone())?;
        match timeout(ANSWER_WITHIN, answered).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(why))) => Err(Error::Qmp { command: command.to_owned(), why }),
            Ok(Err(_closed)) => Err(gone()),
            Err(_elapsed) => Err(Error::QmpSilent { command: command.to_owned(), waited: ANSWER_WITHIN }),
        }
    }
}

/// Holds the connection until QEMU or both receivers are gone. What waits for an answer then is dropped.
async fn converse(
    stream: UnixStream,
    mut asked: mpsc::UnboundedReceiver<Request>,
    events: mpsc::UnboundedSender<Event>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut waiting: HashMap<u64, oneshot::Sender<Answer>> = HashMap::new();
    let (mut next_id, mut asking) = (0_u64, true);
    loop {
        tokio::select! {
            line = lines.next_line() => match line {
                Ok(Some(line)) => drop(sort(&line, &mut waiting, &events)),
                Ok(None) | Err(_) => return,
            },
            request = asked.recv(), if asking => match request {
                Some(Request { command, arguments, answer }) => {
                    next_id += 1;
                    let mut line = json!({"execute": command, "arguments": arguments, "id": next_id}).to_string();
                    line.push('\n');
                    if writer.write_all(line.as_bytes()).await.is_err() {
                        return;
                    }
                    waiting.insert(next_id, answer);
                }
                None => asking = false,
            },
        }
    }
}

/// Passes a message on to whoever waits for it, where anybody still does.
fn sort(
    line: &str,
    waiting: &mut HashMap<u64, oneshot::Sender<Answer>>,
    events: &mpsc::UnboundedSender<Event>,
) -> Option<()> {
    let message: Value = serde_json::from_str(line).ok()?;
    if let Some(name) = message.get("event").and_then(Value::as_str) {
        let data = message.get("data").cloned().unwrap_or_default();
        return events.send(Event { name: name.to_owned(), data }).ok();
    }
    let answer = waiting.remove(&message.get("id")?.as_u64()?)?;
    answer.send(answer_of(&message)).ok()
}

fn answer_of(message: &Value) -> Answer {
    match (message.get("return"), message.pointer("/error/desc").and_then(Value::as_str)) {
        (Some(value), _) => Ok(value.clone()),
        (None, why) => Err(why.unwrap_or("no description").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::Lines;

    type Reader = Lines<BufReader<tokio::net::unix::OwnedReadHalf>>;

    async fn asked(lines: &mut Reader) -> Value {
        serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap()
    }

    /// A QEMU that greets, and whose lines the test reads and writes.
    async fn pair() -> (Qmp, mpsc::UnboundedReceiver<Event>, Reader, tokio::net::unix::OwnedWriteHalf) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let (reader, mut writer) = theirs.into_split();
        let mut lines = BufReader::new(reader).lines();
        let qemu = async {
            writer.write_all(b"{\"QMP\": {\"version\": {}}}\n").await.unwrap();
            assert_eq!(asked(&mut lines).await["execute"], "qmp_capabilities");
            writer.write_all(b"{\"return\": {}, \"id\": 1}\n").await.unwrap();
        };
        let (qmp, ()) = tokio::join!(Qmp::connect(ours, sender), qemu);
        (qmp.unwrap(), events, lines, writer)
    }

    #[tokio::test]
    async fn answers_and_events_are_told_apart() {
        let (qmp, mut events, mut lines, mut writer) = pair().await;
        let qemu = async {
            let id = asked(&mut lines).await["id"].clone();
            let text = format!(
                "{}\n{}\n",
                json!({"event": "STOP", "data": {"a": 1}}),
                json!({"error": {"class": "GenericError", "desc": "no"}, "id": id})
            );
            writer.write_all(text.as_bytes()).await.unwrap();
        };
        let (answer, ()) = tokio::join!(qmp.execute("frobnicate", json!({})), qemu);
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::Qmp { ref why, .. } if why == "no"), "{error}");
        assert_eq!(events.recv().await.unwrap(), Event { name: "STOP".to_owned(), data: json!({"a": 1}) });
        drop((lines, writer));
        let error = qmp.execute("quit", json!({})).await.unwrap_err();
        assert!(matches!(error, Error::QmpGone { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_was_given_up_does_not_answer_the_next() {
        let (qmp, _events, mut lines, mut writer) = pair().await;
        let given_up = timeout(Duration::from_millis(20), qmp.execute("slow", json!({}))).await;
        assert!(given_up.is_err());
        let qemu = async {
            for _ in 0..2 {
                let request = asked(&mut lines).await;
                let answer = json!({"return": request["execute"], "id": request["id"]}).to_string() + "\n";
                writer.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let (answer, ()) = tokio::join!(qmp.execute("quick", json!({})), qemu);
        assert_eq!(answer.unwrap(), "quick");
    }
}
