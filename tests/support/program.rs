//! Programs that a test makes and then runs.
//!
//! A file that this process has open for writing cannot be run ("text file busy"), and a test's
//! other threads start children all the time: such a child has a copy of every open file until its
//! `exec`, so that closing the file here is not enough. What always holds: the file that is run was
//! never open for writing in this process. `cp` writes it, and has ended before this returns.

use std::path::Path;
use std::process::Command;

/// Copies a program.
#[allow(dead_code, reason = "not every test copies one")]
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let (from, to) = (from.as_ref(), to.as_ref());
    let output = Command::new("cp").arg(from).arg(to).output().expect("cp starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a script that anybody may run.
#[allow(dead_code, reason = "not every test writes one")]
pub fn write_script(path: impl AsRef<Path>, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = path.as_ref();
    let mut written = path.as_os_str().to_owned();
    written.push(".written");
    std::fs::write(&written, text).expect("the script is written");
    std::fs::set_permissions(&written, std::fs::Permissions::from_mode(0o755)).expect("its mode is set");
    // An older one goes first: `cp` would write into it.
    let _ = std::fs::remove_file(path);
    copy_program(&written, path);
    std::fs::remove_file(&written).expect("the first copy is removed");
}
