//! Puts bytes into the place of a file, durably: whatever happens, the old file is there or the
//! new.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file that its owner alone may read, since it may hold PINs: a temporary file beside it,
/// sync, rename, sync of the directory.
///
/// # Errors
/// With path and operation. Then the old file is still there.
pub fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let part = path.with_file_name(name);
    // A leftover file may have another mode.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(explain("remove", &part)(error)),
        Ok(()) | Err(_) => (),
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // The partial file may be what fills the disk.
        let _left = fs::remove_file(&part);
        return Err(explain("write", &part)(error));
    }
    fs::rename(&part, path).map_err(explain("rename", &part))?;
    sync(path.parent().unwrap_or(path))
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
