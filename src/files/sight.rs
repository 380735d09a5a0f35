//! What the operating system says of a file without reading it, to find out that nobody changed it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::engine::model::Wall;

/// A file system may note the time of a change only to this many milliseconds. So a file that was
/// changed this shortly before it was looked at may change again and look the same.
const GRAIN_MS: i64 = 3000;

/// Identity, length and times of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    file: (u64, u64),
    len: u64,
    /// Seconds and nanoseconds of the last change of its bytes, and of anything.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Sight {
    /// Looks at a file; `None` if there is none.
    pub fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of_metadata(&metadata))
    }

    fn of_metadata(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether an equal sight means the same bytes, if the file was read after it was looked at at
    /// `now`. Not if the clock was behind the file's times: it may come there again.
    pub fn is_proof(&self, now: Wall) -> bool {
        let is_past = |(seconds, _): (i64, i64)| seconds.saturating_mul(1000) < now.0.saturating_sub(GRAIN_MS);
        is_past(self.modified) && is_past(self.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_written_replaced_or_touched_looks_different() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cards.csv");
        assert_eq!(Sight::of(&path), None);
        fs::write(&path, "one").unwrap();
        let first = Sight::of(&path).unwrap();
        assert_eq!(Sight::of(&path), Some(first));
        fs::write(dir.path().join("new"), "two").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_ne!(Sight::of(&path), Some(first), "another file of the same length");
    }

    #[test]
    fn a_file_of_this_moment_or_of_the_future_proves_nothing() {
        let sight = Sight { file: (1, 2), len: 3, modified: (1000, 5), changed: (1000, 5) };
        for (ms, is_proof) in [(999_000, false), (1_000_500, false), (1_003_000, false), (1_003_001, true)] {
            assert_eq!(sight.is_proof(Wall(ms)), is_proof, "{ms}");
            let touched = Sight { changed: (0, 0), ..sight };
            assert_eq!(touched.is_proof(Wall(ms)), is_proof, "{ms}");
        }
    }
}
