//! Gives one option of a configuration file another value, and leaves everything else as it
//! stands: comments, order, quotes, the file's owner and mode (design.md, sections 4 and 9).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::Path;

use super::uci::{self, Section};
use crate::files::problem::Problems;

/// The file's bytes with this value of an option of its server section; `None` if they cannot be
/// read, or would say anything else otherwise than before.
pub fn with_option(bytes: &[u8], key: &str, value: &str) -> Option<Vec<u8>> {
    let text = core::str::from_utf8(bytes).ok()?;
    let sections = read(text)?;
    let server = sections.iter().find(|section| section.kind == "server")?;
    let quoted = format!("'{}'", value.replace('\'', "'\\''"));
    let given = server.settings.iter().find(|setting| setting.key == key);
    let (span, new) = match given {
        Some(setting) => (setting.span.clone(), quoted),
        None => {
            // A line of its own behind that of the section, which may hold another command.
            let end = server.end;
            let line_end = text[end..].find('\n').map_or(text.len(), |len| end + len);
            let rest = text[end..line_end].trim_start();
            if rest.is_empty() || rest.starts_with('#') {
                (line_end..line_end, format!("\n\toption {key} {quoted}"))
            } else {
                (end..end, format!("; option {key} {quoted}"))
            }
        }
    };
    let new = [&text[..span.start], &new, &text[span.end..]].concat();
    let others = |sections: &[Section]| {
        let of = |section: &Section| {
            let is_other = |setting: &&uci::Setting| section.kind != "server" || setting.key != key;
            let settings = section.settings.iter().filter(is_other);
            let settings = settings.map(|setting| (setting.is_list, setting.key.clone(), setting.value.clone()));
            (section.kind.clone(), section.name.clone(), settings.collect::<Vec<_>>())
        };
        sections.iter().map(of).collect::<Vec<_>>()
    };
    let after = read(&new)?;
    let says = |section: &Section| section.settings.iter().any(|setting| setting.key == key && setting.value == value);
    let is_said = after.iter().any(|section| section.kind == "server" && says(section));
    (is_said && others(&sections) == others(&after)).then(|| new.into_bytes())
}

fn read(text: &str) -> Option<Vec<Section>> {
    let mut problems = Problems::new(Path::new(""));
    let sections = uci::read(text, &mut problems);
    problems.into_list().is_empty().then_some(sections)
}

/// Puts these bytes in the place of a file's, durably, with its owner and mode: whatever happens,
/// the old bytes are there or the new. A link stays one.
///
/// # Errors
/// With path and operation.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = &fs::canonicalize(path).map_err(explain("find", path))?;
    // Hidden: what has a name in /etc/config is a configuration of its own for `uci`.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{name}.move"));
    let old = fs::metadata(path).map_err(explain("look at", path))?;
    match fs::remove_file(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(explain("remove", &part)(error)),
        Ok(()) | Err(_) => (),
    }
    // It may hold PINs.
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            chown(&part, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(old.permissions())?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&part, path));
    if let Err(error) = renamed {
        let _left = fs::remove_file(&part);
        return Err(explain("write", path)(error));
    }
    let dir = path.parent().unwrap_or(path);
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(explain("sync", dir))
}

fn explain(operation: &str, path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{operation} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn moved(text: &str, value: &str) -> Option<String> {
        with_option(text.as_bytes(), "ledger_dir", value).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_the_value_changes_however_it_was_written() {
        let frame = |written: &str| {
            format!(
                "# 食堂\nconfig x_own 'o'\n\toption ledger_dir '/other'\n\nconfig server 'main' # here\r\n\
                 \tlist  listen '0.0.0.0' # why\n\toption ledger_dir {written}\toption site \"a b\"; option clock ntp\nconfig door\n\toption door 1\n"
            )
        };
        for (before, after) in [
            ("'/etc/posgate/ledger'   # on flash\n", "'/mnt/usb/p'   # on flash\n"),
            ("/etc/posgate/ledger\r\n", "'/mnt/usb/p'\r\n"),
            ("\"/etc/\"'posgate/led'ger # x\n", "'/mnt/usb/p' # x\n"),
            ("ledger;", "'/mnt/usb/p';"),
            ("'/a\n/b'\n", "'/mnt/usb/p'\n"),
            ("\\\n  '/next'\n", "\\\n  '/mnt/usb/p'\n"),
        ] {
            assert_eq!(moved(&frame(before), "/mnt/usb/p"), Some(frame(after)), "{before}");
        }
    }

    #[test]
    fn an_option_that_is_not_given_gets_a_line_behind_the_sections() {
        for (before, after) in [
            ("config server\n", "config server\n\toption ledger_dir '/x'\n"),
            ("config server", "config server\n\toption ledger_dir '/x'"),
            (
                "config server 'main'  # it\r\n\toption site a\n",
                "config server 'main'  # it\r\n\toption ledger_dir '/x'\n\toption site a\n",
            ),
            ("config server; option site a\n", "config server; option ledger_dir '/x'; option site a\n"),
        ] {
            assert_eq!(moved(before, "/x").as_deref(), Some(after), "{before}");
        }
    }

    #[test]
    fn any_path_is_quoted_and_what_is_no_configuration_is_left_alone() {
        for value in ["/it's", "/a b#c;d\"e\\", "/食堂", "/'"] {
            let text = moved("config server\n\toption ledger_dir 'x' # y\n", value).unwrap();
            assert!(text.ends_with(" # y\n"), "{text}");
            let sections = read(&text).unwrap();
            assert_eq!(sections[0].settings[0].value, value);
        }
        for text in ["", "config door\n", "config server\n\toption ledger_dir 'x\n"] {
            assert_eq!(moved(text, "/x"), None, "{text}");
        }
        assert_eq!(with_option(b"config server\n\xFF\n", "ledger_dir", "/x"), None);
    }

    #[test]
    fn a_file_keeps_its_mode_and_its_link_and_leaves_no_rest() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("posgate"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        fs::write(dir.path().join(".posgate.move"), "left by a crash").unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no rest");
        assert!(replace(&dir.path().join("none"), b"").unwrap_err().to_string().contains("none"));
    }
}
