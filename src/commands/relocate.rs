//! `posgate ledger move DIR`: moves the ledger to another directory and changes the configuration
//! to that directory (design.md, section 9; `ledger::relocate` moves the files).

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use posgate::files::config::{self, Settings, rewrite};
use posgate::files::good::{self, Good};
use posgate::lang::tr;
use posgate::ledger::identity::{self, Lineage};
use posgate::ledger::relocate::{self, Relocation, Rest};
use posgate::ledger::{CareError, DirStorage};

use super::load::SERVED_COPY;
use super::progress::Progress;
use super::serve::holds_ledger;
use super::{EXIT_USAGE, Options};

/// `service posgate stop` returns at once, but the server still has to sync: tries for 10 s,
/// including the tries of the lock itself.
const STOP_TRIES: u32 = 50;
const STOP_PAUSE: Duration = Duration::from_millis(100);

/// Moves the ledger to the directory `dir`, or completes an earlier move.
pub(super) fn run(options: &Options, dir: &Path) -> u8 {
    let Some(to) = whole_path(dir) else {
        let here = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let here = here.components().fold(PathBuf::new(), |mut path, part| {
            match part {
                Component::ParentDir => drop(path.pop()),
                part => path.push(part),
            }
            path
        });
        complain!(
            "posgate: {}: write the whole path, from / on and without `..`, as it is to stand in the configuration: `posgate ledger move {}`",
            "posgate: {}：请写完整路径，从 / 开始，不带 `..`，配置里也会这样写：`posgate ledger move {}`",
            dir.display(),
            here.display()
        );
        return EXIT_USAGE;
    };
    if options.config() == Path::new(SERVED_COPY) {
        complain!(
            "posgate: {SERVED_COPY} is the init script's copy, in RAM: name the file that it is made of, /etc/config/posgate",
            "posgate: {SERVED_COPY} 是启动脚本放在内存里的副本：请用它的原文件 /etc/config/posgate"
        );
        return EXIT_USAGE;
    }
    super::ledger::with_settings(options, |settings| relocate(options, settings, &to))
}

/// The path for the configuration: absolute, and valid for every process.
fn whole_path(dir: &Path) -> Option<PathBuf> {
    let is_plain = dir.is_absolute() && dir.to_str().is_some_and(|text| !text.contains(char::is_control));
    let is_whole = dir.components().all(|part| part != Component::ParentDir);
    // `collect` drops a trailing slash.
    (is_plain && is_whole).then(|| dir.components().collect())
}

fn relocate(options: &Options, settings: &Settings, to: &Path) -> Result<Vec<String>, CareError> {
    let served = std::path::absolute(&settings.ledger_dir)?;
    if options.has("remove-old") {
        refuse_ram(&served, to)?;
    }
    let is_named = is_same(&served, to);
    // Spelled as in the configuration.
    let to = if is_named { &served } else { to };
    let from = if is_named {
        match relocate::rest_of(to)? {
            Rest::Move(from) => from,
            Rest::Old(from) => return finish(options, settings, &from, to),
            Rest::Nothing if holds_ledger(to)? && options.has("remove-old") => {
                say!("{}: nothing is left to remove", "{}：没有要删除的了", to.display());
                return Ok(Vec::new());
            }
            Rest::Nothing if holds_ledger(to)? => {
                return refused(tr!(
                    "{}: the ledger lies there already, and the configuration names it: nothing is to be moved",
                    "{}：账本已经在那里，配置也写着它：不用移动",
                    to.display()
                ));
            }
            // A person changed the configuration before the ledger was moved.
            Rest::Nothing => identity::noted_place(&settings.identity).unwrap_or_else(|| to.to_owned()),
        }
    } else {
        served.clone()
    };
    if !holds_ledger(&from)? {
        return refused(tr!(
            "{}: no ledger is here: mount it, or correct `option ledger_dir`. A copy that was made before the medium was mounted is below the mount: \
             `umount`, then look",
            "{}：这里没有账本：请挂载，或者改正 `option ledger_dir`。如果是在挂载之前复制的，副本被挂载点盖住了：`umount` 以后再看",
            from.display()
        ));
    }
    let source = stopped(&from)?;
    if !Lineage::read(&source)?.is_own(&identity::read(&settings.identity)) {
        return refused(tr!(
            "{}: another ledger than this machine's lies here: `posgate check` names both",
            "{}：这里不是本机的账本：`posgate check` 说明是哪两个",
            from.display()
        ));
    }
    if !is_named {
        // Before the copy, which may take minutes.
        rewritten(&settings.file, to)?;
    }
    let progress = Progress::start(tr("moving the ledger", "正在移动账本"));
    let mut relocation = Relocation::prepare(source, &from, to, settings.reserve_bytes)?;
    let copied = relocation.copy()?;
    let switched = keep_good(settings, to).and_then(|()| relocation.seal()).map_err(CareError::from).and_then(|()| {
        if is_named {
            return Ok(());
        }
        // Read once more: a person may have edited it meanwhile.
        Ok(rewrite::replace(&settings.file, &rewritten(&settings.file, to)?)?)
    });
    drop(progress);
    if let Err(error) = switched {
        // The configuration may have been replaced without being durable.
        if config::load(&settings.file).is_ok_and(|now| is_same(&now.ledger_dir, &from)) {
            relocation.undo();
        }
        return Err(error);
    }
    say!("{copied}");
    say!("{}: option ledger_dir '{}'", settings.file.display(), to.display());
    if relocate::is_in_ram(to) {
        complain!(
            "posgate: {} is in RAM: a power cut loses the ledger there",
            "posgate: {} 在内存里：断电会丢掉那里的账本",
            to.display()
        );
    }
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    if device(&from) == device(to) {
        say!(
            "both lie in one file system: if {} was to be on another medium, look whether that is mounted",
            "两处在同一个文件系统上：{} 本该在另一个介质上的话，请看看是否挂上了",
            to.display()
        );
    }
    if Path::new("/run/systemd/system").exists() {
        say!(
            "systemd: let the service write there, by `systemctl edit posgate`:\n[Unit]\nRequiresMountsFor={0}\n[Service]\nReadWritePaths={0}",
            "systemd：用 `systemctl edit posgate` 允许服务写入：\n[Unit]\nRequiresMountsFor={0}\n[Service]\nReadWritePaths={0}",
            to.display()
        );
    }
    // Under the lock: no server may start on the old ledger any more.
    relocate::close_old(&from, to)?;
    drop(relocation);
    finish(options, settings, &from, to)
}

/// The steps after the switch; each run of the command repeats them.
fn finish(options: &Options, settings: &Settings, from: &Path, to: &Path) -> Result<Vec<String>, CareError> {
    // If this user cannot write the note, the next start does.
    if identity::note_place(&settings.identity, to).is_ok()
        && let Ok(owner) = fs::metadata(to)
    {
        let _as_it_is = lchown(identity::place_note(&settings.identity), Some(owner.uid()), Some(owner.gid()));
    }
    relocate::close_old(from, to)?;
    if options.has("remove-old") {
        refuse_ram(from, to)?;
        return Ok(vec![relocate::remove_old(from, to, &named_files(settings))?]);
    }
    if !from.is_dir() {
        say!("{} is gone", "{} 已经不在了", from.display());
        return Ok(Vec::new());
    }
    let config = options.config.as_ref().map_or_else(String::new, |path| format!(" --config {}", path.display()));
    say!(
        "{} is kept, and no server starts on it; when a day was served from the new one: `posgate ledger move {} --remove-old{config}`",
        "{} 保留着，服务器不会用它启动；在新的地方用过一天以后：`posgate ledger move {} --remove-old{config}`",
        from.display(),
        to.display()
    );
    Ok(Vec::new())
}

/// The files that the configuration names, which stay where they are even in a ledger's directory.
fn named_files(settings: &Settings) -> Vec<PathBuf> {
    let Settings { file, cards, identity, control, status, metrics, .. } = settings;
    let named = [Some(file), Some(cards), Some(identity), control.as_ref(), status.as_ref(), metrics.as_ref()];
    named.into_iter().flatten().cloned().chain([identity::place_note(identity)]).collect()
}

/// The last ledger on a disk is not removed for one in RAM.
fn refuse_ram(from: &Path, to: &Path) -> Result<(), CareError> {
    if relocate::is_in_ram(from) || !relocate::is_in_ram(to) {
        return Ok(());
    }
    refused(tr!(
        "{}: this is in RAM, and a power cut would lose the only ledger: name a directory on a disk",
        "{}：这里是内存，断电会丢掉唯一的账本：请写磁盘上的目录",
        to.display()
    ))
}

/// Waits for a stopping server and takes the ledger's lock.
fn stopped(from: &Path) -> io::Result<DirStorage> {
    let mut tries_left = STOP_TRIES;
    loop {
        match DirStorage::open(from) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries_left > 0 => {
                if tries_left == STOP_TRIES {
                    complain!(
                        "posgate: a server has the ledger in {}: waiting until it has stopped",
                        "posgate: {} 里的账本正被服务器使用：等它停下",
                        from.display()
                    );
                }
                tries_left -= 1;
                std::thread::sleep(STOP_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// The configuration with the new directory.
fn rewritten(file: &Path, to: &Path) -> Result<Vec<u8>, CareError> {
    let bytes = fs::read(file)?;
    match rewrite::with_option(&bytes, "ledger_dir", &to.to_string_lossy()) {
        Some(bytes) => Ok(bytes),
        None => refused(tr!(
            "{}: `option ledger_dir` cannot be changed here without changing more: write it in a line of its own",
            "{}：这里改 `option ledger_dir` 会改到别的：请让它单独占一行",
            file.display()
        )),
    }
}

/// Changes the good copy of the configuration, which was copied with the ledger, to the new
/// directory: a good copy that names another ledger is not served.
fn keep_good(settings: &Settings, to: &Path) -> io::Result<()> {
    let good = Good::of(to);
    let bytes = good.read(good::CONFIG).filter(|bytes| {
        config::parse(bytes, &settings.file).is_ok_and(|copy| is_same(&copy.ledger_dir, &settings.ledger_dir))
    });
    match bytes.and_then(|bytes| rewrite::with_option(&bytes, "ledger_dir", &to.to_string_lossy())) {
        Some(bytes) => rewrite::replace(&good.path(good::CONFIG), &bytes),
        None => Ok(()),
    }
}

/// Whether two paths lead to the same directory, or would if it existed.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

fn refused<T>(sentence: String) -> Result<T, CareError> {
    Err(CareError::Refused(sentence))
}
