//! Packages that come, go and are replaced while posgate runs: the maintainer scripts of the real
//! packages in a scratch root, with the steps of opkg (OpenWrt 24.10) and of apk-tools 3.0.6, as
//! both do them when tried by hand.

use std::collections::BTreeMap;

use super::package::{make, make_apk, run, stand_in_apk};
use super::program::copy_program;
use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Manager {
    Opkg,
    Apk,
}

/// A router with a manager of packages. A server that is left at the end is ended.
struct Site {
    router: Router,
    manager: Manager,
    /// The files of the package that is installed, as they were packed.
    packed: BTreeMap<String, Vec<u8>>,
    /// The directory of the package's scripts.
    scripts: TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ended = Command::new("kill").args(["-KILL", &pid]).output();
        }
    }
}

impl Site {
    /// A router on which nothing of posgate is installed.
    fn new(manager: Manager) -> Self {
        let router = Router::new(&shells()[0]);
        for path in ["etc/init.d", "etc/posgate", "etc/hotplug.d", "etc/uci-defaults", "lib/upgrade", "usr"] {
            fs::remove_dir_all(router.path(path)).unwrap();
        }
        fs::create_dir_all(router.path("lib/upgrade/keep.d")).unwrap();
        Self { router, manager, packed: BTreeMap::new(), scripts: tempfile::tempdir().unwrap() }
    }

    /// Packs for the manager; the files, and the scripts in `scripts`.
    fn pack(&mut self) -> BTreeMap<String, Vec<u8>> {
        self.scripts = tempfile::tempdir().unwrap();
        let dir = self.scripts.path();
        match self.manager {
            Manager::Opkg => {
                make(dir, "posgate.ipk");
                run("tar", &["xzf", "posgate.ipk"], dir);
                run("tar", &["xzf", "control.tar.gz"], dir);
                fs::create_dir(dir.join("data")).unwrap();
                run("tar", &["xzf", "data.tar.gz", "-C", "data", "--no-same-owner"], dir);
            }
            Manager::Apk => {
                let made = make_apk(dir, &stand_in_apk(dir), None);
                assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
                run("cp", &["-R", "out/posgate.apk.files", "data"], dir);
                run("sh", &["-c", "for s in out/posgate.apk.*-*; do cp $s ${s##*.}; done"], dir);
            }
        }
        let listed = run("find", &["data", "-type", "f"], dir);
        let files = listed.lines().map(|path| (path["data/".len()..].to_owned(), fs::read(dir.join(path)).unwrap()));
        files.collect()
    }

    /// Puts the package's files in place as both managers do: a file under `/etc` that was changed
    /// stays, and the package's lies beside it, unless both are the same; else it is replaced, the
    /// old one unlinked.
    fn put(&mut self, files: BTreeMap<String, Vec<u8>>) {
        let suffix = if self.manager == Manager::Opkg { "-opkg" } else { ".apk-new" };
        let root = self.router.dir.path().to_owned();
        for (path, bytes) in &files {
            let to = self.router.path_made(path);
            if path == "usr/bin/posgate" {
                let new = to.with_extension("new");
                copy_program(env!("CARGO_BIN_EXE_posgate"), &new);
                fs::rename(&new, &to).unwrap();
                continue;
            }
            // The list names its paths as they are on a router.
            let rooted = |bytes: &[u8]| {
                let text = std::str::from_utf8(bytes).unwrap();
                if path == "lib/apk/packages/posgate.list" { text.to_owned() } else { self.router.rooted(text) }
            };
            let text = rooted(bytes);
            let was = self.packed.get(path).map(|bytes| rooted(bytes));
            let found = fs::read_to_string(&to).ok();
            let is_kept = path.starts_with("etc/")
                && !path.starts_with("etc/init.d/")
                && found.as_ref().is_some_and(|found| Some(found) != was.as_ref() && *found != text);
            let to = if is_kept { PathBuf::from(format!("{}{suffix}", to.display())) } else { to };
            if path.starts_with("etc/init.d/") || text.starts_with("#!") {
                write_script(&to, &text);
            } else {
                fs::write(&to, text).unwrap();
            }
        }
        for path in self.packed.keys().filter(|path| !files.contains_key(*path)) {
            fs::remove_file(root.join(path)).unwrap();
        }
        if self.manager == Manager::Opkg {
            let list: String = files.keys().map(|path| format!("/{path}\n")).collect();
            self.router.write("usr/lib/opkg/info/posgate.list", &list);
        }
        self.packed = files;
    }

    /// Runs a script of the package; what it said.
    fn script(&self, name: &str, arguments: &[&str], is_upgrade: bool) -> String {
        let text = fs::read_to_string(self.scripts.path().join(name)).unwrap();
        let root = self.router.dir.path().display().to_string();
        let text = self.router.rooted(&text).replace("${IPKG_INSTROOT}/lib", &format!("{root}/lib"));
        let file = self.scripts.path().join("running");
        fs::write(&file, text).unwrap();
        let mut command = self.router.command(file.to_str().unwrap());
        if self.manager == Manager::Opkg {
            command.env("PKG_UPGRADE", if is_upgrade { "1" } else { "0" });
        }
        let output = command.args(arguments).env("RUNS", "1").env("pkgname", "posgate").output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}: {said}");
        said
    }

    fn install(&mut self) {
        let files = self.pack();
        self.put(files);
        match self.manager {
            Manager::Opkg => self.script("postinst", &["configure"], false),
            Manager::Apk => self.script("post-install", &["1.2.3-r1"], false),
        };
    }

    fn upgrade(&mut self) {
        if self.manager == Manager::Opkg {
            self.script("prerm", &["upgrade", "1.2.4-r1"], true);
        }
        let files = self.pack();
        self.put(files);
        match self.manager {
            Manager::Opkg => self.script("postinst", &["configure"], true),
            Manager::Apk => self.script("post-upgrade", &["1.2.4-r1", "1.2.3-r1"], true),
        };
    }

    fn remove(&mut self) -> String {
        let said = match self.manager {
            Manager::Opkg => self.script("prerm", &["remove"], false),
            Manager::Apk => self.script("pre-deinstall", &["1.2.3-r1"], false),
        };
        for path in self.packed.keys() {
            let _ = fs::remove_file(self.router.path(path));
        }
        said
    }

    fn service(&self, action: &str) {
        let mut command = self.router.command(self.router.path("etc/rc.common").to_str().unwrap());
        let output = command.arg(self.router.path("etc/init.d/posgate")).arg(action).env("RUNS", "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Enables the service with its package's configuration, as a person does, and starts it.
    fn enable(&self) {
        let text = self.router.read("etc/config/posgate");
        let text = text
            .replace("option enabled '0' ", "option enabled '1' ")
            .replace("0.0.0.0:39192", "127.0.0.1:0")
            .replace("\tlist interface 'lan'", "#\tlist interface 'lan'");
        let places = "\toption control '/var/run/posgate/ctl.sock'\n\toption status '/var/run/posgate/status.json'\n";
        let places = self.router.rooted(places);
        let text = text.replacen("\n# config device", &format!("{places}\n# config device"), 1);
        fs::write(self.router.path("etc/config/posgate"), text).unwrap();
        self.service("start");
        self.until_it_serves(1);
    }

    /// Waits for as many starts.
    #[track_caller]
    fn until_it_serves(&self, starts: usize) {
        let serves = || self.router.read("log").matches("serving site=").count() >= starts;
        for _ in 0..600 {
            if serves() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{starts} starts: {}\n{}", self.router.read("log"), self.router.read("record"));
    }

    fn pid(&self) -> Option<String> {
        let pid = fs::read_to_string(self.router.path("procd.pid")).ok()?;
        Some(pid.trim().to_owned())
    }

    /// The program that runs, as the kernel names it.
    fn program(&self) -> String {
        let link = Path::new("/proc").join(self.pid().unwrap()).join("exe");
        fs::read_link(link).unwrap().display().to_string()
    }

    /// What sysupgrade would keep.
    fn kept(&self) -> String {
        let script = "cat \"$1\"/lib/upgrade/keep.d/* | while read -r path; do find \"$path\" -type f; done 2>/dev/null | sort -u";
        run("sh", &["-c", script, "sh", self.router.dir.path().to_str().unwrap()], self.router.dir.path())
    }
}

fn on_each_manager(test: impl Fn(&mut Site)) {
    for manager in [Manager::Opkg, Manager::Apk] {
        test(&mut Site::new(manager));
    }
}

#[test]
fn an_upgrade_leaves_the_new_program_running_and_the_configuration_as_it_was() {
    on_each_manager(|site| {
        site.install();
        assert_eq!(site.pid(), None, "it starts nothing by itself");
        site.enable();
        let installed = site.router.path("usr/bin/posgate").display().to_string();
        assert_eq!(site.program(), installed);
        let (config, first) = (site.router.read("etc/config/posgate"), site.pid());
        for upgrade in 2..4 {
            site.upgrade();
            site.until_it_serves(upgrade);
            assert_eq!(site.program(), installed, "{:?}: the old one would be (deleted)", site.manager);
            assert_ne!(site.pid(), first, "{:?}", site.manager);
            assert_eq!(site.router.read("etc/config/posgate"), config);
            assert!(config.contains("# this router has no battery clock"), "comments stay: {config}");
            let files = run("find", &["etc", "-type", "f"], site.router.dir.path());
            assert!(!files.contains("-opkg") && !files.contains(".apk-new"), "{files}");
        }
        assert_eq!(site.router.read("record").lines().filter(|line| *line == "exec").count(), 3, "one start each");
        let ledger = site.router.read("etc/posgate/ledger/ledger-0000000001.tsv");
        assert_eq!(ledger.matches("\tstop\t").count(), 2, "{:?}: each went with its last word", site.manager);
        // What was not replaced is not started anew.
        site.service("start");
        assert_eq!(site.router.read("record").lines().filter(|line| *line == "exec").count(), 3);
    });
}

#[test]
fn what_was_stopped_by_its_configuration_is_not_started_by_an_upgrade() {
    on_each_manager(|site| {
        site.install();
        site.upgrade();
        assert_eq!(site.pid(), None);
    });
}

#[test]
fn a_removal_leaves_the_ledger_where_it_says_and_the_next_sysupgrade_keeps_it() {
    on_each_manager(|site| {
        site.install();
        site.enable();
        let before = site.kept();
        let said = site.remove();
        let root = site.router.dir.path().display().to_string();
        assert!(said.contains(&format!("The ledger stays in {root}/etc/posgate/ledger")), "{said}");
        let kept = site.kept();
        for path in ["etc/posgate/ledger/ledger-0000000001.tsv", "etc/posgate/cards.csv", "etc/config/posgate"] {
            let path = format!("{root}/{path}");
            assert!(before.contains(&path) && kept.contains(&path), "{path}: {before} and then {kept}");
        }
        // Kept by the sysupgrade after that one too; which ledger it was is in no backup.
        assert!(kept.contains("keep.d/posgate-removed") && !kept.contains("/state/identity"), "{kept}");
        assert!(before.contains("keep.d/posgate\n"), "{before}");
        // Installed again, the package's own list is enough.
        site.packed.clear();
        site.install();
        assert!(!site.router.path("lib/upgrade/keep.d/posgate-removed").exists());
        assert!(site.kept().contains("ledger-0000000001.tsv"));
    });
}

#[test]
fn a_restored_backup_is_an_older_copy_and_goes_on_as_a_branch() {
    let mut site = Site::new(Manager::Opkg);
    site.install();
    site.enable();
    let run_script = |text: &str| {
        site.router.write("script", text);
        let output = site.router.command(site.router.path("script").to_str().unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let stop = || {
        let process = Path::new("/proc").join(site.pid().unwrap()).join("exe");
        site.service("stop");
        until("it has stopped", || !process.exists());
    };
    // As sysupgrade packs: what keep.d names, less what the hook takes out of the list.
    fs::write(site.router.path("list"), site.kept()).unwrap();
    let root = site.router.dir.path().display().to_string();
    run_script(&format!(
        ". '{root}/lib/functions.sh'\n. '{root}/lib/upgrade/posgate.sh'\nposgate_leave_identity '{root}/list'\n\
         tar -czf '{root}/backup.tgz' -C / -T '{root}/list' 2>/dev/null\n"
    ));
    stop();
    site.service("start");
    site.until_it_serves(2);
    stop();
    // Newer than the copy: laid over it, that would end in the midst of this one's entries.
    site.router.write("etc/posgate/ledger/ledger-0000000002.tsv", "of a newer segment\n");
    run_script(&format!(
        ". '{root}/lib/functions.sh'\nubus() {{ echo; }}\nCONF_RESTORE='{root}/backup.tgz'\n. '{root}/lib/upgrade/posgate.sh'\n\
         tar -xzf '{root}/backup.tgz' -C /\n"
    ));
    site.service("start");
    site.until_it_serves(3);
    let log = site.router.read("log");
    assert!(log.contains("it is an older copy: entries 2-4 are missing"), "{log}");
    let aside = run("sh", &["-c", "cat etc/posgate/ledger.before-restore-*/*.tsv"], site.router.dir.path());
    assert!(aside.contains("of a newer segment") && aside.contains("\tstop\t"), "nothing is thrown away: {aside}");
    let ledger = run("sh", &["-c", "cat etc/posgate/ledger/ledger-*.tsv"], site.router.dir.path());
    assert!(ledger.contains("parent=") && ledger.contains("rolled_back="), "{ledger}");
}
