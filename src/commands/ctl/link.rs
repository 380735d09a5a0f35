//! The connection to the server: lines out, answers in, and what it means when it breaks.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike as _};
use posgate::desk::json::{self, Value};
use posgate::engine::limits::CONTROL_LINE_MAX;
use posgate::host::clock::Clock;
use posgate::lang::tr;

/// How long a server may take for one answer, the first one's connection included (design.md,
/// section 3): a reload of a large table on a small router, a slow flash.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
pub(super) struct Link {
    reader: BufReader<UnixStream>,
    path: PathBuf,
    /// Measures from the beginning of the connection; the first answer takes it.
    began: Option<Clock>,
    /// The error of sending a line: without an answer, the server did not get the whole line.
    broken: Option<io::Error>,
}

/// The connection could not be made, or was lost.
#[derive(Debug)]
pub(super) struct Lost {
    sentence: String,
    /// Whether a line was sent.
    is_sent: bool,
    /// Whether nobody listens there.
    is_nobody: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Lost {
    /// Whether nobody listens at the socket, or there is none.
    pub(super) fn is_nobody(&self) -> bool {
        self.is_nobody
    }

    /// Adds how to give the order again, if it was sent.
    pub(super) fn of_order(self, key: &str) -> Self {
        if !self.is_sent {
            return self;
        }
        let sentence = tr!(
            "{}: not known whether it was done: run it again with --key {key}: the same key again does it once",
            "{}：不知道做没做成：请加 --key {key} 再来一遍，同一个操作编号只做一次",
            self.sentence
        );
        Self { sentence, ..self }
    }

    /// Adds how to give the file again, if a line was sent.
    pub(super) fn of_file(self) -> Self {
        if !self.is_sent {
            return self;
        }
        let sentence = tr!(
            "{}: run the same again: it goes on where it stopped, and does nothing twice",
            "{}：请同样再来一遍：会接着做，不会重做",
            self.sentence
        );
        Self { sentence, ..self }
    }
}

/// Connects, and waits no longer for that either: a server that is stopped takes no connections,
/// and the kernel keeps some waiting.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let seconds = i64::try_from(PATIENCE.as_secs()).expect("it is short");
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(seconds))?;
    nix::sys::socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// With the path and what to do.
    pub(super) fn connect(path: &Path) -> Result<Self, Lost> {
        let began = Some(Clock::new());
        let stream = connect(path);
        let stream = stream.map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => tr(
                    "there is no such socket: is posgate running, and is this its option control?",
                    "没有这个控制接口：posgate 在运行吗？option control 写的是它吗？",
                ),
                ErrorKind::ConnectionRefused => {
                    tr("nobody listens there: start posgate", "没有程序在那里监听：请启动 posgate")
                }
                ErrorKind::PermissionDenied => tr(
                    "not permitted: run it as posgate's user or in its group",
                    "没有权限：请用 posgate 的用户或组来运行",
                ),
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                    tr("nobody takes the connection: is the server stopped?", "连接没有人接：服务器停住了吗？")
                }
                _ => tr("is this posgate's control socket?", "这是 posgate 的控制接口吗？"),
            };
            let is_nobody = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused);
            Lost { sentence: format!("{}: {remedy} ({error})", path.display()), is_sent: false, is_nobody }
        })?;
        Ok(Self { reader: BufReader::new(stream), path: path.to_owned(), began, broken: None })
    }

    /// The connection alone.
    pub(super) fn into_stream(self) -> UnixStream {
        self.reader.into_inner()
    }

    /// Sends a line.
    ///
    /// # Errors
    /// If it is longer than the server takes; a broken connection is told by [`Link::receive`], for
    /// the server may have said why.
    pub(super) fn send(&mut self, line: &str) -> Result<(), Lost> {
        if line.len() > CONTROL_LINE_MAX {
            let sentence = tr!(
                "this makes a line of {} bytes, at most {CONTROL_LINE_MAX} can be sent: write less",
                "这一行有 {} 字节，至多能发 {CONTROL_LINE_MAX}：请写短一些",
                line.len()
            );
            return Err(Lost { sentence, is_sent: false, is_nobody: false });
        }
        if self.broken.is_none() {
            let sent = self.reader.get_mut().write_all(format!("{line}\n").as_bytes());
            self.broken = sent.err();
        }
        Ok(())
    }

    /// Waits for the next answer.
    ///
    /// # Errors
    /// If the connection breaks before.
    pub(super) fn receive(&mut self) -> Result<Value, Lost> {
        let mut line = Vec::new();
        let clock = self.began.take().unwrap_or_else(Clock::new);
        // Twice the longest answer: a longer line is not posgate's.
        let limit = 2 * CONTROL_LINE_MAX;
        let received = loop {
            // The time limit is for the whole answer, not for each byte.
            let left = PATIENCE.saturating_sub(Duration::from_millis(clock.mono().0));
            if left.is_zero() {
                break Err(ErrorKind::TimedOut.into());
            }
            let waiting = self.reader.get_ref().set_read_timeout(Some(left));
            let filled = waiting.and_then(|()| self.reader.fill_buf().map(<[u8]>::to_vec));
            match filled {
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => break Err(error),
                Ok(bytes) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                    line.extend_from_slice(&bytes[..end]);
                    self.reader.consume(end);
                    if end == 0 || line.ends_with(b"\n") || line.len() >= limit {
                        break Ok(line.len());
                    }
                }
            }
        };
        let path = self.path.display();
        let lost = |what: &str| Lost { sentence: format!("{path}: {what}"), is_sent: true, is_nobody: false };
        match received {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let what = tr!(
                    "no answer in {} s: the server is stopped, or its disk hangs",
                    "{} 秒没有应答：服务器停住了，或者磁盘卡住了",
                    PATIENCE.as_secs()
                );
                Err(lost(&what))
            }
            Ok(_) if line.ends_with(b"\n") => {
                let text = String::from_utf8_lossy(&line);
                json::parse(text.trim_end())
                    .map_err(|_| lost(tr("what answers there is not posgate", "那里应答的不是 posgate")))
            }
            Ok(_) | Err(_) => Err(lost(tr("the connection was lost before the answer", "应答之前连接断了"))),
        }
    }
}
