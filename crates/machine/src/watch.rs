//! Watches over a machine and tells its end, with the cause that was known first.

use crate::{
    command::disk_node,
    config::MachineConfig,
    death::{Cause, Death},
    qmp::Event,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    process::Child,
    sync::{mpsc, watch},
    time::timeout,
};

/// What QEMU told before it ended is in the connection by then; the connection ends with it.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

/// What is known of the machine when it ends.
#[derive(Debug)]
struct Watcher {
    console: PathBuf,
    log: PathBuf,
    /// The node and the file of each disk.
    disks: Vec<(String, PathBuf)>,
    tell: watch::Sender<Option<Death>>,
    /// Why QEMU shut down, in its own words.
    reason: Option<String>,
}

/// Starts to watch. Events that are told reach the receiver that is returned as well as all who wait for the end.
pub(crate) fn watch_over(
    child: Child,
    events: mpsc::UnboundedReceiver<Event>,
    config: &MachineConfig,
) -> watch::Receiver<Option<Death>> {
    let (tell, ended) = watch::channel(None);
    let disks = config.disks.iter().enumerate();
    let disks = disks.filter_map(|(n, disk)| Some((disk_node(n), disk.overlays.last()?.clone()))).collect();
    let watcher =
        Watcher { console: config.console.clone(), log: config.log.clone(), disks, tell, reason: None };
    tokio::spawn(watcher.watch(child, events));
    ended
}

/// Waits until the end is told.
pub(crate) async fn died(ended: &mut watch::Receiver<Option<Death>>) -> Death {
    loop {
        if let Some(death) = ended.borrow_and_update().clone() {
            return death;
        }
        if ended.changed().await.is_err() {
            // The watcher is gone with the runtime: nothing will be told any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Watcher {
    async fn watch(mut self, mut child: Child, mut events: mpsc::UnboundedReceiver<Event>) {
        let mut listening = true;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                event = events.recv(), if listening => match event {
                    Some(event) => self.hear(&event),
                    None => listening = false,
                },
            }
        };
        let last_words = async {
            while let Some(event) = events.recv().await {
                self.hear(&event);
            }
        };
        // Something that holds the connection for longer is of no interest.
        drop(timeout(LAST_WORDS_WITHIN, last_words).await);
        if let Ok(status) = status {
            self.say(Cause::of_exit(status, self.reason.as_deref(), &self.console));
        }
    }

    fn hear(&mut self, event: &Event) {
        if event.name == "SHUTDOWN" {
            self.reason = event.data.get("reason").and_then(Value::as_str).map(str::to_owned);
        }
        let file_of =
            |node: &str| self.disks.iter().find(|(name, _)| name == node).map(|(_, path)| Path::new(path));
        if let Some(cause) = Cause::of_event(event, file_of) {
            self.say(cause);
        }
    }

    /// Tells the end, once: what comes after the first cause comes of it.
    fn say(&self, cause: Cause) {
        self.tell.send_if_modified(|told| {
            let first = told.is_none();
            if first {
                *told = Some(Death::new(cause, &self.console, &self.log));
            }
            first
        });
    }
}
