//! A desk: `posgate ctl` as a person runs it, and the socket as a program uses it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tinyjson::JsonValue;

use crate::harness::{PATIENCE, Site, posgate};

/// What became of a `ctl`.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The exit code, and words that must stand in what was said.
    #[track_caller]
    pub fn expect(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "not said: {word}\n{self:#?}");
        }
        self
    }

    /// The key that was drawn.
    #[track_caller]
    pub fn key(&self) -> String {
        let line = self.err.lines().find_map(|line| line.strip_prefix("key="));
        line.unwrap_or_else(|| panic!("no key in {self:#?}")).to_owned()
    }

    /// What was said, as JSON.
    #[track_caller]
    pub fn json(&self) -> JsonValue {
        self.out.trim().parse().unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

pub fn command(site: &Site, words: &[&str]) -> Command {
    let mut command = posgate();
    command.arg("ctl").args(words).arg("--config").arg(site.path("posgate"));
    command.env("POSGATE_BY", "li").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `posgate ctl` with these words; the operator is `li`.
#[track_caller]
pub fn ctl(site: &Site, words: &[&str]) -> Said {
    end(command(site, words).spawn().expect("it starts"))
}

/// Waits for a `ctl` that was started.
#[track_caller]
pub fn end(child: Child) -> Said {
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A connection to the socket.
pub struct Client(pub BufReader<UnixStream>);

impl Client {
    #[track_caller]
    pub fn of(site: &Site) -> Self {
        let stream = UnixStream::connect(site.path("ctl.sock")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn send(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).expect("sent");
    }

    /// The next answer; empty once the server closed.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(_) => line.trim_end().to_owned(),
            // It closed with something of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.hear()
    }
}

/// A member of an object, as text.
#[track_caller]
pub fn member(value: &JsonValue, key: &str) -> String {
    let JsonValue::Object(members) = value else { panic!("{value:?}") };
    match members.get(key) {
        Some(JsonValue::String(text)) => text.clone(),
        Some(other) => other.stringify().unwrap(),
        None => panic!("no {key} in {value:?}"),
    }
}

/// Looks again and again until it is so: for what no stream tells.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut tries = PATIENCE.as_millis() / 5;
    while !is_so() {
        tries -= 1;
        assert!(tries > 0, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
