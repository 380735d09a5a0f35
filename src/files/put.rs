//! Puts bytes into the place of a file, durably: whatever happens, the old file is there or the
//! new.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file that its owner alone may read, since it may hold PINs: a temporary file beside it,
/// sync, rename, sync of the directory.
///
/// # Errors
/// With path and operation. Then the old file is still there.
pub fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut putting = Putting::begin(path)?;
    putting.write(bytes)?;
    putting.finish()
}

/// A file that is being put into the place of another, as [`put`] does it. If it is not finished,
/// the old file stays.
#[derive(Debug)]
pub struct Putting {
    path: PathBuf,
    part: PathBuf,
    file: File,
    is_done: bool,
}

impl Putting {
    /// Begins a file for this path.
    ///
    /// # Errors
    /// With path and operation.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let part = path.with_file_name(name);
        // A leftover file may have another mode.
        match fs::remove_file(&part) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(explain("remove", &part)(error)),
            Ok(()) | Err(_) => (),
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.map_err(explain("write", &part))?;
        Ok(Self { path: path.to_owned(), part, file, is_done: false })
    }

    /// Appends bytes, and waits until they are on the medium: a long file at its end would take
    /// long.
    ///
    /// # Errors
    /// With path and operation.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).and_then(|()| self.file.sync_data()).map_err(explain("write", &self.part))
    }

    /// Puts the file into its place.
    ///
    /// # Errors
    /// With path and operation. Then the old file is still there.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.sync_all().map_err(explain("write", &self.part))?;
        fs::rename(&self.part, &self.path).map_err(explain("rename", &self.part))?;
        self.is_done = true;
        sync(self.path.parent().unwrap_or(&self.path))
    }
}

impl Drop for Putting {
    fn drop(&mut self) {
        if !self.is_done {
            // The partial file may be what fills the disk.
            let _left = fs::remove_file(&self.part);
        }
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// With the path.
pub fn sync(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|file| file.sync_all()).map_err(explain("sync", dir))
}

/// Names path and operation in an error.
pub(super) fn explain(operation: &str, path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{operation} {}: {error}", path.display()))
}
