//! The connection to the server: lines out, answers in, and what it means when it breaks.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use posgate::control::json::{self, Value};
use posgate::limits::CONTROL_LINE_MAX;

/// How long a server may take for one answer: a reload of a large table on a small router, a slow flash.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub(super) struct Link {
    reader: BufReader<UnixStream>,
    path: PathBuf,
    /// The line could not be sent whole: if the server says nothing either, it did not get it.
    broken: Option<io::Error>,
}

/// No connection, or no longer.
#[derive(Debug)]
pub(super) struct Lost {
    sentence: String,
    /// Whether a line was on its way.
    is_sent: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Lost {
    /// The same of an order that was on its way.
    pub(super) fn of_order(self, key: &str) -> Self {
        if !self.is_sent {
            return self;
        }
        let sentence = format!("{}: not known whether it was done: run it again with --key {key}", self.sentence);
        Self { sentence, ..self }
    }

    /// The same of a file of orders.
    pub(super) fn of_file(self) -> Self {
        if !self.is_sent {
            return self;
        }
        let sentence =
            format!("{}: run the same again: it goes on where it stopped, and does nothing twice", self.sentence);
        Self { sentence, ..self }
    }
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// With the path and what to do.
    pub(super) fn connect(path: &Path) -> Result<Self, Lost> {
        let stream = UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        let stream = stream.map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => "there is no such socket: is posgate running, and is this its option control?",
                ErrorKind::ConnectionRefused => "nobody listens there: start posgate",
                ErrorKind::PermissionDenied => "not permitted: run it as posgate's user or in its group",
                _ => "is this posgate's control socket?",
            };
            Lost { sentence: format!("{}: {remedy} ({error})", path.display()), is_sent: false }
        })?;
        Ok(Self { reader: BufReader::new(stream), path: path.to_owned(), broken: None })
    }

    /// Sends a line.
    ///
    /// # Errors
    /// If it is longer than the server takes; a broken connection is told by [`Link::receive`], for the server may have said why.
    pub(super) fn send(&mut self, line: &str) -> Result<(), Lost> {
        if line.len() > CONTROL_LINE_MAX {
            let sentence = format!(
                "this makes a line of {} bytes, at most {CONTROL_LINE_MAX} can be sent: write less",
                line.len()
            );
            return Err(Lost { sentence, is_sent: false });
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
        // Twice as much as can come: what is longer is no posgate.
        let limit = 2 * CONTROL_LINE_MAX as u64;
        let received = loop {
            match self.reader.by_ref().take(limit - line.len() as u64).read_until(b'\n', &mut line) {
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                received => break received,
            }
        };
        let path = self.path.display();
        let lost = |what: &str| Lost { sentence: format!("{path}: {what}"), is_sent: true };
        match received {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(lost(&format!("no answer in {} s", PATIENCE.as_secs())))
            }
            Ok(_) if line.ends_with(b"\n") => {
                let text = String::from_utf8_lossy(&line);
                json::parse(text.trim_end()).map_err(|_| lost("what answers there is not posgate"))
            }
            Ok(_) | Err(_) => Err(lost("the connection was lost before the answer")),
        }
    }
}
