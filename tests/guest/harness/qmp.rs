//! QEMU's monitor protocol, as far as saving and restoring a machine needs it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    pub(super) fn new(stream: UnixStream) -> Result<Self, String> {
        stream.set_read_timeout(Some(TIMEOUT)).map_err(|error| error.to_string())?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.line()?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    fn line(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err("QEMU closed its monitor".to_owned()),
            Ok(_) => serde_json::from_str(&line).map_err(|error| format!("QEMU's monitor said {line:?}: {error}")),
            Err(error) => Err(format!("QEMU's monitor: {error}")),
        }
    }

    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, String> {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.reader.get_mut().write_all(line.as_bytes()).map_err(|error| format!("QEMU's monitor: {error}"))?;
        loop {
            let mut answer = self.line()?;
            if let Some(error) = answer.get("error") {
                return Err(format!("{command}: {error}"));
            }
            // Everything else is an event.
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Writes the stopped machine's state to a file, without the memory where that lies in a shared file.
    pub(super) fn save(&mut self, file: &Path) -> Result<(), String> {
        self.execute("stop", &json!({}))?;
        self.ignore_shared_memory()?;
        let uri = format!("exec:cat > {}", quoted(file)?);
        self.execute("migrate", &json!({"uri": uri}))?;
        self.until_status("query-migrate", |status| match status {
            "completed" => Some(Ok(())),
            "failed" | "cancelled" => Some(Err(format!("saving the machine: {status}"))),
            _ => None,
        })
    }

    /// Reads a state into a machine that was started with `-incoming defer`, and lets it run.
    pub(super) fn restore(&mut self, file: &Path) -> Result<(), String> {
        self.ignore_shared_memory()?;
        let uri = format!("exec:cat {}", quoted(file)?);
        self.execute("migrate-incoming", &json!({"uri": uri}))?;
        self.until_status("query-status", |status| match status {
            "inmigrate" => None,
            "paused" | "postmigrate" | "running" => Some(Ok(())),
            _ => Some(Err(format!("restoring the machine: {status}"))),
        })?;
        self.resume()
    }

    pub(super) fn resume(&mut self) -> Result<(), String> {
        self.execute("cont", &json!({})).map(drop)
    }

    fn ignore_shared_memory(&mut self) -> Result<(), String> {
        let capabilities = json!({"capabilities": [{"capability": "x-ignore-shared", "state": true}]});
        self.execute("migrate-set-capabilities", &capabilities).map(drop)
    }

    fn until_status(
        &mut self,
        query: &str,
        verdict: impl Fn(&str) -> Option<Result<(), String>>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let answer = self.execute(query, &json!({}))?;
            if let Some(result) = verdict(answer["status"].as_str().unwrap_or_default()) {
                return result.map_err(|error| format!("{error}: {answer}"));
            }
            if begun.elapsed() > TIMEOUT {
                return Err(format!("{query}: no end after {TIMEOUT:?}: {answer}"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A path for the shell line that QEMU runs.
fn quoted(path: &Path) -> Result<String, String> {
    let text = path.to_str().filter(|text| !text.contains('\''));
    text.map(|text| format!("'{text}'")).ok_or_else(|| format!("{}: not a path for a shell", path.display()))
}
