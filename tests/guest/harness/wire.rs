//! What host and guest agent say to each other over the virtio-serial port: frames, and the messages in them.
//!
//! The port is a stream without beginning or end: an agent may be killed in the middle of a frame (switch-root, a
//! reset) and the next one starts to talk at once. So a frame counts only when its magic, its length and its checksum
//! all hold, and everything else is skipped. A message is cut into frames small enough that the skipping soon ends.
//!
//! Every start of an agent is a *session*. A request names the session it is meant for and is ignored by any other:
//! it is carried out once or not at all, never a second time by the agent of the next stage.

use std::collections::VecDeque;
use std::time::Duration;

/// First bytes of every frame.
const MAGIC: [u8; 8] = *b"\x00\xffimad\x1b\x7f";
/// Magic, checksum, message number, part, last, length.
const HEADER: usize = 8 + 4 + 8 + 4 + 1 + 4;
/// The most that one frame carries.
const PART: usize = 16 * 1024;
/// The most that one request may take where it goes over a serial line: what the guest's kernel keeps of it, 64 KiB, must
/// never be full, or user-mode Linux mixes its bytes up (`line_timer_cb()` is interrupted by its own interrupt).
pub(crate) const REQUEST: usize = 48 * 1024;
/// The most that one message holds (a guard against nonsense that happens to have a checksum).
const MESSAGE: usize = 256 << 20;

/// Cuts the message `number` into frames.
pub(crate) fn frames(number: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + HEADER * (body.len() / PART + 1));
    let count = body.len().div_ceil(PART).max(1);
    for part in 0..count {
        let piece = &body[part * PART..body.len().min((part + 1) * PART)];
        let mut rest = Vec::with_capacity(HEADER - 12 + piece.len());
        rest.extend_from_slice(&number.to_le_bytes());
        rest.extend_from_slice(&u32::try_from(part).expect("a message has fewer parts").to_le_bytes());
        rest.push(u8::from(part + 1 == count));
        rest.extend_from_slice(&u32::try_from(piece.len()).expect("a part is small").to_le_bytes());
        rest.extend_from_slice(piece);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&checksum(&rest).to_le_bytes());
        out.extend_from_slice(&rest);
    }
    out
}

/// FNV-1a, 32 bits.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Finds the messages in a stream of bytes.
#[derive(Default)]
pub(crate) struct Deframer {
    bytes: Vec<u8>,
    begun: Option<(u64, u32, Vec<u8>)>,
    whole: VecDeque<(u64, Vec<u8>)>,
}

impl Deframer {
    /// Takes in bytes as they come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let mut done = 0;
        // A frame that is not complete yet does not hide a complete one behind it: its sender may be gone.
        let mut at = 0;
        while let Some(found) = find(&self.bytes[at..]) {
            let start = at + found;
            match Frame::parse(&self.bytes[start..]) {
                Parsed::Whole(frame, length) => {
                    at = start + length;
                    done = at;
                    Self::collect(&mut self.begun, &mut self.whole, &frame);
                }
                Parsed::Partial => at = start + 1,
                Parsed::Bad => {
                    at = start + 1;
                    if done == start {
                        done = at;
                    }
                }
            }
        }
        // Keep what may become a frame: from the first magic on, or a magic's beginning.
        let keep = match find(&self.bytes[done..]) {
            Some(found) => done + found,
            None => done.max(self.bytes.len().saturating_sub(MAGIC.len() - 1)),
        };
        self.bytes.drain(..keep);
    }

    fn collect(begun: &mut Option<(u64, u32, Vec<u8>)>, whole: &mut VecDeque<(u64, Vec<u8>)>, frame: &Frame) {
        let mut body = match begun.take() {
            Some((number, next, body)) if number == frame.number && next == frame.part => body,
            _ if frame.part == 0 => Vec::new(),
            _ => return,
        };
        if body.len() + frame.bytes.len() > MESSAGE {
            return;
        }
        body.extend_from_slice(frame.bytes);
        if frame.last {
            whole.push_back((frame.number, body));
        } else {
            *begun = Some((frame.number, frame.part + 1, body));
        }
    }

    /// The next whole message: its number and its body.
    pub(crate) fn next(&mut self) -> Option<(u64, Vec<u8>)> {
        self.whole.pop_front()
    }
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MAGIC.len()).position(|window| window == MAGIC)
}

struct Frame<'a> {
    number: u64,
    part: u32,
    last: bool,
    bytes: &'a [u8],
}

enum Parsed<'a> {
    Whole(Frame<'a>, usize),
    Partial,
    Bad,
}

impl<'a> Frame<'a> {
    fn parse(bytes: &'a [u8]) -> Parsed<'a> {
        if bytes.len() < HEADER {
            return Parsed::Partial;
        }
        let mut fields = Fields(&bytes[MAGIC.len()..HEADER]);
        let (Some(sum), Some(number), Some(part), Some(last), Some(length)) =
            (fields.u32(), fields.u64(), fields.u32(), fields.u8(), fields.u32())
        else {
            return Parsed::Bad;
        };
        let length = length as usize;
        if length > PART || last > 1 {
            return Parsed::Bad;
        }
        let Some(rest) = bytes.get(MAGIC.len() + 4..HEADER + length) else { return Parsed::Partial };
        if checksum(rest) != sum {
            return Parsed::Bad;
        }
        let frame = Frame { number, part, last: last == 1, bytes: &bytes[HEADER..HEADER + length] };
        Parsed::Whole(frame, HEADER + length)
    }
}

/// What the host asks of the agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// Say hello again.
    Ping,
    /// Run a command.
    Run(Command),
    /// Write a part of a file, with this mode; the first part, at offset 0, truncates it.
    Put { path: String, mode: u32, offset: u64, bytes: Vec<u8> },
    /// Read a file.
    Get { path: String },
}

/// A command to run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Command {
    pub(crate) argv: Vec<String>,
    pub(crate) stdin: Vec<u8>,
    /// Added to a small fixed environment.
    pub(crate) env: Vec<(String, String)>,
    /// A name of the guest's `/etc/passwd`; root if there is none.
    pub(crate) user: Option<String>,
    /// After it the command and its process group are killed.
    pub(crate) timeout: Duration,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// An agent is there: the first message of every session, and the answer to a ping.
    Hello(Hello),
    /// A command came to its end.
    Ran { status: Status, stdout: Vec<u8>, stderr: Vec<u8> },
    /// The file is written.
    Done,
    /// A file's content.
    Content(Vec<u8>),
    /// The request could not be carried out; `errno` is 0 where no system call said so.
    Failed { errno: i32, message: String },
}

/// Who speaks, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Differs from agent to agent.
    pub(crate) session: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot_id: String,
    /// Whether this is the initramfs.
    pub(crate) initramfs: bool,
    /// The service that runs the emergency or rescue shell, if one does.
    pub(crate) emergency: Option<String>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It left with this code.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// It was still there at its timeout and was killed.
    TimedOut,
    /// It could not be started, with this errno.
    NotStarted(i32),
}

impl Request {
    /// Writes a request meant for `session` (0: for any).
    pub(crate) fn encode(&self, session: u64) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(session);
        match self {
            Self::Ping => out.u8(0),
            Self::Run(command) => {
                out.u8(1);
                out.words(&command.argv);
                out.bytes(&command.stdin);
                out.u32(command.env.len());
                for (name, value) in &command.env {
                    out.bytes(name.as_bytes());
                    out.bytes(value.as_bytes());
                }
                out.words(command.user.as_slice());
                out.u64(u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX));
            }
            Self::Put { path, mode, offset, bytes } => {
                out.u8(2);
                out.bytes(path.as_bytes());
                out.0.extend_from_slice(&mode.to_le_bytes());
                out.u64(*offset);
                out.bytes(bytes);
            }
            Self::Get { path } => {
                out.u8(3);
                out.bytes(path.as_bytes());
            }
        }
        out.0
    }

    /// Reads a request and the session it is meant for.
    pub(crate) fn decode(body: &[u8]) -> Option<(u64, Self)> {
        let mut fields = Fields(body);
        let session = fields.u64()?;
        let request = match fields.u8()? {
            0 => Self::Ping,
            1 => Self::Run(Command {
                argv: fields.words()?,
                stdin: fields.bytes()?,
                env: (0..fields.u32()?).map(|_| Some((fields.string()?, fields.string()?))).collect::<Option<_>>()?,
                user: fields.words()?.pop(),
                timeout: Duration::from_millis(fields.u64()?),
            }),
            2 => {
                Self::Put { path: fields.string()?, mode: fields.u32()?, offset: fields.u64()?, bytes: fields.bytes()? }
            }
            3 => Self::Get { path: fields.string()? },
            _ => return None,
        };
        fields.0.is_empty().then_some((session, request))
    }
}

impl Reply {
    /// Writes a reply.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Hello(hello) => {
                out.u8(0);
                out.u64(hello.session);
                out.bytes(hello.boot_id.as_bytes());
                out.u8(u8::from(hello.initramfs));
                out.words(hello.emergency.as_slice());
            }
            Self::Ran { status, stdout, stderr } => {
                out.u8(1);
                let (kind, value) = match status {
                    Status::Exited(code) => (0, *code),
                    Status::Killed(signal) => (1, *signal),
                    Status::TimedOut => (2, 0),
                    Status::NotStarted(errno) => (3, *errno),
                };
                out.u8(kind);
                out.0.extend_from_slice(&value.to_le_bytes());
                out.bytes(stdout);
                out.bytes(stderr);
            }
            Self::Done => out.u8(2),
            Self::Content(bytes) => {
                out.u8(3);
                out.bytes(bytes);
            }
            Self::Failed { errno, message } => {
                out.u8(4);
                out.0.extend_from_slice(&errno.to_le_bytes());
                out.bytes(message.as_bytes());
            }
        }
        out.0
    }

    /// Reads a reply.
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let mut fields = Fields(body);
        let reply = match fields.u8()? {
            0 => Self::Hello(Hello {
                session: fields.u64()?,
                boot_id: fields.string()?,
                initramfs: fields.u8()? == 1,
                emergency: fields.words()?.pop(),
            }),
            1 => {
                let (kind, value) = (fields.u8()?, fields.u32()?.cast_signed());
                let status = match kind {
                    0 => Status::Exited(value),
                    1 => Status::Killed(value),
                    2 => Status::TimedOut,
                    3 => Status::NotStarted(value),
                    _ => return None,
                };
                Self::Ran { status, stdout: fields.bytes()?, stderr: fields.bytes()? }
            }
            2 => Self::Done,
            3 => Self::Content(fields.bytes()?),
            4 => Self::Failed { errno: fields.u32()?.cast_signed(), message: fields.string()? },
            _ => return None,
        };
        fields.0.is_empty().then_some(reply)
    }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: usize) {
        self.0.extend_from_slice(&u32::try_from(value).expect("lengths fit 32 bits").to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.u32(value.len());
        self.0.extend_from_slice(value);
    }

    fn words(&mut self, words: &[String]) {
        self.u32(words.len());
        for word in words {
            self.bytes(word.as_bytes());
        }
    }
}

/// Bytes not read yet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.u32()? as usize;
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head.to_vec())
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn words(&mut self) -> Option<Vec<String>> {
        (0..self.u32()?).map(|_| self.string()).collect()
    }
}
