//! A progress message on stderr for work that takes longer than a second. *Invariants:* if stderr
//! is not a terminal, it writes nothing and starts no thread; after it is dropped, its line is
//! erased.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Shows the message until it is dropped.
pub(super) struct Progress {
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins; `what` is as in `checking the ledger`.
    pub(super) fn start(what: &'static str) -> Self {
        if !io::stderr().is_terminal() {
            return Self { running: None };
        }
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let mut seconds = 0_u64;
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                seconds += 1;
                let _ = write!(io::stderr(), "\rposgate: {what}, {seconds} s");
            }
            if seconds > 0 {
                let _ = write!(io::stderr(), "\r{:79}\r", "");
            }
        });
        Self { running: Some((end, thread)) }
    }

    /// Whether stderr is a terminal.
    pub(super) fn is_shown(&self) -> bool {
        self.running.is_some()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.running.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
