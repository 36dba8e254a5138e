//! The host's end of the agent's port.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{self, Deframer, Hello, Reply, Request};

/// Another version of the protocol speaks.
const UNREADABLE: &str =
    "the agent's message cannot be read: the image holds an older agent, run tests/guest/images/build.sh";

pub(super) struct Agent {
    stream: UnixStream,
    replies: Receiver<(u64, Option<Reply>)>,
    number: u64,
    hello: Option<Hello>,
}

impl Agent {
    pub(super) fn new(stream: UnixStream) -> Result<Self, String> {
        let mut reader = stream.try_clone().map_err(|error| error.to_string())?;
        stream.set_write_timeout(Some(Duration::from_secs(60))).map_err(|error| error.to_string())?;
        let (sender, replies) = channel();
        thread::spawn(move || {
            let mut deframer = Deframer::default();
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                deframer.push(&buffer[..count]);
                while let Some((number, body)) = deframer.next() {
                    if sender.send((number, Reply::decode(&body))).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Self { stream, replies, number: 0, hello: None })
    }

    /// Waits until every process is gone that held the port's other end.
    pub(super) fn closed(&mut self, timeout: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < timeout && self.replies.recv_timeout(timeout) != Err(RecvTimeoutError::Disconnected) {}
    }

    /// What the agent said of itself last.
    pub(super) fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// The system is known to be gone: only a new greeting counts.
    pub(super) fn forget(&mut self) {
        self.hello = None;
    }

    /// Waits a while for an agent that starts, and says whether one has greeted by now.
    pub(super) fn listen(&mut self, timeout: Duration) -> Result<bool, String> {
        match self.replies.recv_timeout(timeout) {
            Ok((_, Some(Reply::Hello(hello)))) => self.hello = Some(hello),
            Ok((_, None)) => return Err(UNREADABLE.to_owned()),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the agent's port is closed".to_owned()),
        }
        Ok(self.hello.is_some())
    }

    /// Asks who is there, whoever it is.
    pub(super) fn ping(&mut self, timeout: Duration) -> Result<(), String> {
        self.exchange(&Request::Ping, 0, timeout, &mut || Ok(())).map(drop)
    }

    /// Sends a request to the agent that greeted last, and waits for the reply; `alive` is asked again and again
    /// whether that still makes sense.
    pub(super) fn request(
        &mut self,
        request: &Request,
        timeout: Duration,
        alive: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<Reply, String> {
        let session = self.hello.as_ref().ok_or("no agent has greeted")?.session;
        self.exchange(request, session, timeout, alive)
    }

    fn exchange(
        &mut self,
        request: &Request,
        session: u64,
        timeout: Duration,
        alive: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<Reply, String> {
        let begun = Instant::now();
        self.number += 1;
        let frames = wire::frames(self.number, &request.encode(session));
        self.stream.write_all(&frames).map_err(|error| format!("writing to the agent's port: {error}"))?;
        loop {
            let left = timeout.checked_sub(begun.elapsed()).ok_or("the agent does not answer")?;
            match self.replies.recv_timeout(left.min(Duration::from_millis(200))) {
                Ok((number, reply)) => {
                    let reply = reply.ok_or(UNREADABLE)?;
                    if let Reply::Hello(hello) = &reply {
                        let other = hello.session != session;
                        self.hello = Some(hello.clone());
                        // Who greets now has not heard what its predecessor was asked; a ping is answered by that.
                        match session {
                            0 => return Ok(reply),
                            _ if other => return Err("the agent went away before it answered".to_owned()),
                            _ => {}
                        }
                    }
                    if number == self.number {
                        return Ok(reply);
                    }
                }
                Err(RecvTimeoutError::Timeout) => alive()?,
                Err(RecvTimeoutError::Disconnected) => {
                    alive()?;
                    return Err("the agent's port is closed".to_owned());
                }
            }
        }
    }
}
