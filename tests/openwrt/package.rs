//! The packages.

use super::*;

const EPOCH: &str = "1795351804";

/// What is packed where the program does not matter: an unoptimized one takes gzip ten seconds.
fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openwrt/rc.common")
}

pub(super) fn make(dir: &Path, name: &str) -> PathBuf {
    make_of(&stand_in(), dir, name)
}

fn make_of(binary: &Path, dir: &Path, name: &str) -> PathBuf {
    let output = dir.join(name);
    let made = Command::new("sh")
        .arg(deploy("openwrt/mkipk.sh"))
        .args([binary, Path::new("mipsel_24kc"), &output])
        .env("VERSION", "1.2.3")
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    output
}

pub(super) fn run(program: &str, arguments: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(arguments).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_package_is_the_same_to_the_byte_whenever_and_wherever_it_is_made() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = make(one.path(), "a.ipk");
    // Another directory, another umask, later.
    let script = format!(
        "umask 077; VERSION=1.2.3 SOURCE_DATE_EPOCH={EPOCH} sh '{}' '{}' mipsel_24kc '{}'",
        deploy("openwrt/mkipk.sh").display(),
        stand_in().display(),
        other.path().join("b.ipk").display()
    );
    run("sh", &["-c", &script], other.path());
    assert_eq!(fs::read(first).unwrap(), fs::read(other.path().join("b.ipk")).unwrap());
}

#[test]
fn a_package_holds_these_members_with_these_modes_and_owners() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "posgate.ipk");
    run("tar", &["xzf", "posgate.ipk"], dir.path());
    assert_eq!(fs::read_to_string(dir.path().join("debian-binary")).unwrap(), "2.0\n");
    let listed = run("tar", &["tvzf", "data.tar.gz", "--numeric-owner"], dir.path());
    let members: Vec<(&str, &str, &str)> = listed
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0], words[1], *words.last().unwrap())
        })
        .filter(|(mode, _, name)| !mode.starts_with('d') || *name == "./etc/posgate/")
        .collect();
    let expected = [
        ("-rwxr-xr-x", "./etc/hotplug.d/ntp/90-posgate"),
        ("-rwxr-xr-x", "./etc/init.d/posgate"),
        ("drwxr-x---", "./etc/posgate/"),
        ("-rw-r--r--", "./etc/sysctl.d/30-posgate.conf"),
        ("-rwxr-xr-x", "./etc/uci-defaults/90-posgate"),
        ("-rw-r--r--", "./lib/upgrade/keep.d/posgate"),
        ("-rw-r--r--", "./lib/upgrade/posgate.sh"),
        ("-rwxr-xr-x", "./usr/bin/posgate"),
        ("-rw-r--r--", "./usr/share/posgate/cards.csv"),
        ("-rw-r--r--", "./usr/share/posgate/posgate.config"),
    ];
    let expected: Vec<_> = expected.iter().map(|(mode, name)| (*mode, "0/0", *name)).collect();
    assert_eq!(members, expected);
    assert!(!listed.contains("ledger"), "a ledger in the package would be copied up on the first sale");
}

#[test]
fn a_package_says_who_it_is_and_calls_nothing_its_own_that_an_operator_changes() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "posgate.ipk");
    run("tar", &["xzf", "posgate.ipk"], dir.path());
    run("tar", &["xzf", "control.tar.gz"], dir.path());
    let control = fs::read_to_string(dir.path().join("control")).unwrap();
    for field in ["Package: posgate", "Version: 1.2.3-r1", "Architecture: mipsel_24kc", "Require-User: posgate:posgate"]
    {
        assert!(control.lines().any(|line| line == field), "{field} in {control}");
    }
    // A file of the package that a person may change would lie beside theirs after each upgrade.
    assert!(!dir.path().join("conffiles").exists());
    for script in ["postinst", "prerm"] {
        let text = fs::read_to_string(dir.path().join(script)).unwrap();
        assert!(text.contains(&format!("default_{script}")));
        // In an image that is being built there is nothing to run: no functions.sh, no effect.
        let output = Command::new("sh").arg(dir.path().join(script)).env("IPKG_INSTROOT", dir.path()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
    }
}

#[test]
fn an_installed_binary_answers_with_the_version() {
    let dir = tempfile::tempdir().unwrap();
    make_of(Path::new(env!("CARGO_BIN_EXE_posgate")), dir.path(), "posgate.ipk");
    run("tar", &["xzf", "posgate.ipk"], dir.path());
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    run("tar", &["xzf", "data.tar.gz", "-C", "root", "--no-same-owner"], dir.path());
    let version = run(root.join("usr/bin/posgate").to_str().unwrap(), &["--version"], dir.path());
    assert_eq!(version, format!("posgate {}\n", env!("CARGO_PKG_VERSION")));
    let config = root.join("usr/share/posgate/posgate.config");
    let checked = Command::new(root.join("usr/bin/posgate")).args(["check", "--config"]).arg(&config).output().unwrap();
    // Only the table is not where a router has it.
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.lines().all(|line| line.contains("/etc/posgate/cards.csv")), "{said}");
}

/// A stand-in for apk: its package is a list of what it was given, with modes, times and sums;
/// files and scripts lie beside one in a directory `out`. What it takes, what it refuses and its
/// exit codes are those of apk-tools 3.0.6, tried by hand; no registry of ours has that version.
/// Where a real one is in PATH, tests below use it too.
const APK: &str = r#"#!/bin/sh
fail() { echo "ERROR: $2" >&2; exit "$1"; }
case $1 in
--version) echo 'apk-tools 3.0.6, compiled for x86_64.'; exit 0 ;;
mkpkg) shift ;;
*) fail 1 "'$1' is not an apk command. See 'apk --help'." ;;
esac
name= version= files=. output= key= scripts=
while [ $# -gt 0 ]; do
    case $1 in
    # It prints its help, and ends like this.
    --help) exit 1 ;;
    --info)
        echo "info $2"
        case $2 in name:*) name=${2#*:} ;; version:*) version=${2#*:} ;; esac
        ;;
    --script)
        case ${2%%:*} in
        trigger | pre-install | post-install | pre-deinstall | post-deinstall | pre-upgrade | post-upgrade) ;;
        *) fail 1 "command line: invalid argument for option 'script': '$2'" ;;
        esac
        [ -f "${2#*:}" ] || fail 99 "failed to load script: ${2#*:}: No such file or directory"
        echo "script ${2%%:*} $(sha256sum <"${2#*:}")"
        scripts="$scripts $2"
        ;;
    --files) files=$2 ;;
    --output) output=$2 ;;
    --sign-key) key=$2 ;;
    *) fail 1 "command line: unrecognized option '$1'" ;;
    esac
    shift 2
done >/tmp/apk.$$
[ -z "$key" ] || [ -f "$key" ] || fail 99 "Failed to load signing key: $key: No such file or directory"
[ -z "$key" ] || grep -q 'PRIVATE KEY' "$key" || fail 99 "Failed to load signing key: $key: cryptographic key format not recognized"
[ -n "$name" ] || fail 99 "required info field 'name' not provided"
case $version in [0-9]*-r[0-9]*) ;; *) fail 99 "info field 'version' has invalid value: package version is invalid" ;; esac
[ -d "$files" ] || fail 99 "file directory '$files': No such file or directory"
[ -d "$(dirname "$output")" ] || fail 99 "failed to create package: No such file or directory"
[ -z "$key" ] || echo "signed $(sha256sum <"$key")" >>/tmp/apk.$$
(
    cd "$files"
    find . -printf '%M %TY-%Tm-%Td %TT %p\n' | LC_ALL=C sort
    find . -type f -exec sha256sum {} + | LC_ALL=C sort
) >>/tmp/apk.$$
mv /tmp/apk.$$ "$output"
case $output in
*/out/*)
    rm -rf "$output.files" && cp -R "$files" "$output.files"
    for script in $scripts; do cp "${script#*:}" "$output.${script%%:*}"; done
    ;;
esac
"#;

/// The stand-in in a directory of its own; a PATH that finds it.
pub(super) fn stand_in_apk(dir: &Path) -> String {
    write_script(dir.join("apk"), &APK.replace("/tmp", dir.to_str().unwrap()));
    // As root there is no need of fakeroot; without being root it runs what it is given.
    write_script(dir.join("fakeroot"), "#!/bin/sh\nexec \"$@\"\n");
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

/// A PATH in which there is no apk.
fn without_apk(dir: &Path) -> String {
    let found = [
        "dirname", "basename", "sed", "head", "grep", "git", "tr", "sh", "mktemp", "mkdir", "rm", "install", "bash",
        "awk",
    ];
    let also =
        ["chmod", "tar", "gzip", "find", "cat", "wc", "cp", "cut", "sha256sum", "id", "touch", "sort", "realpath"];
    for tool in found.into_iter().chain(also) {
        let output = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
        let Ok(path) = String::from_utf8(output.stdout) else { continue };
        let _ = symlink(path.trim(), dir.join(tool));
    }
    dir.to_str().unwrap().to_owned()
}

pub(super) fn make_apk(dir: &Path, path: &str, key: Option<&Path>) -> Output {
    Command::new("/bin/sh")
        .arg(deploy("openwrt/mkapk.sh"))
        .args([stand_in(), PathBuf::from("mipsel_24kc"), dir.join("out/posgate.apk")])
        .envs([("VERSION", "1.2.3"), ("SOURCE_DATE_EPOCH", EPOCH), ("PATH", path)])
        .env("POSGATE_KEY", key.unwrap_or(Path::new("")))
        .output()
        .unwrap()
}

/// A copy of what `deploy/package.sh` reads, with a stand-in for each binary.
fn tree(dir: &Path) {
    fs::create_dir(dir.join("dist")).unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    run("cp", &["-R", deploy("").to_str().unwrap(), dir.to_str().unwrap()], manifest);
    fs::copy(manifest.join("Cargo.toml"), dir.join("Cargo.toml")).unwrap();
    for target in targets() {
        fs::copy(stand_in(), dir.join("dist").join(format!("posgate-{}", target[0]))).unwrap();
    }
}

/// The columns of each row of `deploy/targets`.
fn targets() -> Vec<Vec<String>> {
    let table = fs::read_to_string(deploy("targets")).unwrap();
    let rows = table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    rows.map(|row| row.split_whitespace().map(str::to_owned).collect()).collect()
}

fn package(dir: &Path, path: &str, arguments: &[&str]) -> Output {
    Command::new("bash")
        .arg(dir.join("deploy/package.sh"))
        .args(arguments)
        .envs([("SOURCE_DATE_EPOCH", EPOCH), ("PATH", path)])
        .output()
        .unwrap()
}

fn packages(dir: &Path, kind: &str) -> Vec<String> {
    let names = fs::read_dir(dir.join("dist")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(kind)).collect();
    names.sort();
    names
}

#[test]
fn without_apk_no_apk_package_is_made_and_that_is_said_once() {
    let (dir, tools) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = without_apk(tools.path());
    let made = make_apk(dir.path(), &path, None);
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert_eq!(made.status.code(), Some(1));
    assert!(said.starts_with("mkapk.sh: posgate.apk needs apk of apk-tools 3"), "{said}");
    assert!(!dir.path().join("out").exists());
    tree(dir.path());
    let made = package(dir.path(), &path, &[]);
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
    assert_eq!(said.matches("no .apk packages").count(), 1, "{said}");
    assert!(packages(dir.path(), ".apk").is_empty());
    // apk-tools 2 makes none that OpenWrt takes.
    fs::remove_file(tools.path().join("apk")).ok();
    write_script(tools.path().join("apk"), "#!/bin/sh\necho apk-tools 2.14.4, compiled for x86_64.\n");
    assert!(String::from_utf8_lossy(&package(dir.path(), &path, &[]).stderr).contains("no .apk packages"));
}

#[test]
fn a_package_of_each_kind_is_made_for_each_architecture() {
    let (dir, tools) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(dir.path());
    let path = stand_in_apk(tools.path());
    let made = package(dir.path(), &path, &[]);
    assert!(made.status.success() && made.stderr.is_empty(), "{}", String::from_utf8_lossy(&made.stderr));
    let architectures: Vec<String> = targets().iter().flat_map(|row| row[1].split(',').map(str::to_owned)).collect();
    assert_eq!(architectures.len(), 12);
    let version = env!("CARGO_PKG_VERSION");
    for (kind, sign) in [(".apk", '-'), (".ipk", '_')] {
        let mut expected: Vec<String> =
            architectures.iter().map(|name| format!("posgate{sign}{version}-r1_{name}{kind}")).collect();
        expected.sort();
        assert_eq!(packages(dir.path(), kind), expected);
    }
}

#[test]
fn a_key_signs_and_without_one_nothing_is_signed_by_mistake() {
    let (dir, tools, none) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(dir.path());
    let path = stand_in_apk(tools.path());
    let target = "mips-unknown-linux-musl";
    let (private, public) = (dir.path().join("private.pem"), dir.path().join("public.pem"));
    fs::write(&private, "-----BEGIN EC PRIVATE KEY-----\n").unwrap();
    fs::write(&public, "-----BEGIN PUBLIC KEY-----\n").unwrap();
    let [private, public] = [&private, &public].map(|key| key.to_str().unwrap());
    // Whoever asks for signed packages gets no others.
    for (path, key, word) in [
        (path.as_str(), public, "is no private key"),
        (path.as_str(), "/nowhere/key.pem", "nowhere"),
        (without_apk(none.path()).as_str(), private, "there is no apk of apk-tools 3"),
    ] {
        let made = package(dir.path(), path, &["--key", key, target]);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert_eq!(made.status.code(), Some(1), "{said}");
        assert!(said.contains(word), "{word} in {said}");
        assert!(packages(dir.path(), "pk").is_empty());
    }
    assert_eq!(package(dir.path(), &path, &["--key"]).status.code(), Some(64));
    let name = format!("dist/posgate-{}-r1_mips_24kc.apk", env!("CARGO_PKG_VERSION"));
    let is_signed = |arguments: &[&str]| {
        let made = package(dir.path(), &path, arguments);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::read_to_string(dir.path().join(&name)).unwrap().contains("\nsigned ")
    };
    assert!(is_signed(&["--key", private, target]));
    assert!(!is_signed(&[target]));
}

#[test]
fn what_apk_refuses_ends_the_packaging_with_its_words() {
    let (dir, tools) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(dir.path());
    let path = stand_in_apk(tools.path());
    let manifest = dir.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen(env!("CARGO_PKG_VERSION"), "next", 1)).unwrap();
    let made = package(dir.path(), &path, &["mips-unknown-linux-musl"]);
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(!made.status.success() && said.contains("package version is invalid"), "{said}");
}

#[test]
fn apk_is_given_the_same_to_the_byte_and_what_enables_the_service() {
    let made = ["one", "another"].map(|_| {
        let dir = tempfile::tempdir().unwrap();
        let made = make_apk(dir.path(), &stand_in_apk(dir.path()), None);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::read_to_string(dir.path().join("out/posgate.apk")).unwrap()
    });
    assert_eq!(made[0], made[1]);
    for line in ["info name:posgate", "info version:1.2.3-r1", "info arch:mipsel_24kc"] {
        assert!(made[0].lines().any(|said| said == line), "{line} in {}", made[0]);
    }
    // Without these default_postinst neither makes the user nor enables the service.
    for name in ["list", "rusers"] {
        let path = format!(" ./lib/apk/packages/posgate.{name}");
        assert!(made[0].lines().any(|said| said.starts_with("-rw-r--r--") && said.ends_with(&path)), "{path}");
    }
    for script in ["post-install", "post-upgrade", "pre-deinstall"] {
        assert!(made[0].contains(&format!("script {script} ")));
    }
}

/// Whether the apk in PATH is one of apk-tools 3.
fn has_real_apk() -> bool {
    let version = Command::new("apk").arg("--version").output();
    version.is_ok_and(|output| output.stdout.starts_with(b"apk-tools 3"))
}

#[test]
fn a_real_apk_makes_signs_and_installs_the_package() {
    if !has_real_apk() {
        // None can be installed where our tests run: this is not held against them.
        println!("NOT RUN: apk itself: no apk-tools 3 in PATH");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    let install = |root: &str, also: &[&str]| {
        let fixed =
            ["add", "--initdb", "--no-network", "--no-scripts", "--no-interactive", "--arch", "mipsel_24kc", "--root"];
        Command::new("apk")
            .args(fixed)
            .arg(root)
            .args(also)
            .arg("out/posgate.apk")
            .current_dir(dir.path())
            .output()
            .unwrap()
    };
    let made = [0, 1].map(|_| {
        let made = make_apk(dir.path(), &path, None);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::read(dir.path().join("out/posgate.apk")).unwrap()
    });
    assert_eq!(made[0], made[1], "the same to the byte");
    assert!(!install("unsigned", &[]).status.success(), "unsigned, it is not trusted");
    let installed = install("unsigned", &["--allow-untrusted"]);
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stdout));
    let root = dir.path().join("unsigned");
    for (path, mode) in [
        ("usr/bin/posgate", 0o755),
        ("etc/init.d/posgate", 0o755),
        ("usr/share/posgate/posgate.config", 0o644),
        ("etc/posgate", 0o750),
        ("lib/apk/packages/posgate.rusers", 0o644),
    ] {
        let found = fs::metadata(root.join(path)).unwrap_or_else(|_| panic!("{path}")).permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{path}: {found:o}");
    }
    let key = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem && mkdir keys && openssl ec -in key.pem -pubout -out keys/posgate.pem";
    if !Command::new("sh").args(["-c", key]).current_dir(dir.path()).output().unwrap().status.success() {
        return not_run("a signed package: no openssl");
    }
    let made = make_apk(dir.path(), &path, Some(&dir.path().join("key.pem")));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let keys = dir.path().join("keys");
    let installed = install("signed", &["--keys-dir", keys.to_str().unwrap()]);
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stdout));
    assert!(dir.path().join("signed/usr/bin/posgate").exists());
}

/// What these names are packed to: the architectures, or the exit code.
fn packed(names: &[&str]) -> Result<Vec<String>, i32> {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let made = package(dir.path(), &std::env::var("PATH").unwrap(), names);
    let packages = packages(dir.path(), ".ipk");
    if !made.status.success() {
        assert_eq!(packages.len(), 0, "a wrong name makes nothing");
        return Err(made.status.code().unwrap());
    }
    let architecture = |name: &String| name.strip_suffix(".ipk").unwrap().split_once("-r1_").unwrap().1.to_owned();
    Ok(packages.iter().map(architecture).collect())
}

#[test]
fn packages_are_made_by_the_names_that_binaries_are_built_by() {
    assert_eq!(packed(&["x86_64"]), Ok(vec!["x86_64".to_owned()]));
    let mipsel = Ok(vec!["mipsel_24kc".to_owned(), "mipsel_74kc".to_owned()]);
    // The first word of a target, the target, an architecture of it; named twice it is made once.
    assert_eq!(packed(&["mipsel"]), mipsel);
    assert_eq!(packed(&["mipsel-unknown-linux-musl"]), mipsel);
    assert_eq!(packed(&["mipsel_74kc", "mipsel"]), mipsel);
    let all: usize = targets().iter().map(|row| row[1].split(',').count()).sum();
    assert_eq!(packed(&[]).unwrap().len(), all);
    // A wrong name among right ones.
    assert_eq!(packed(&["x86_64", "mips64"]), Err(64));
    let built = Command::new(deploy("build.sh")).args(["x86_64", "mips64"]).output().unwrap();
    assert_eq!(built.status.code(), Some(64));
    let said = String::from_utf8(built.stderr).unwrap();
    assert_eq!(said, "build.sh: mips64 is neither a Rust target nor an OpenWrt architecture of deploy/targets\n");
}

#[test]
fn cross_knows_the_targets_of_the_table_and_builds_a_standard_library_where_rust_ships_none() {
    let text = fs::read_to_string(deploy("../cross.toml")).unwrap();
    let mut known: Vec<(String, bool)> = Vec::new();
    for line in text.lines() {
        if let Some(target) = line.strip_prefix("[target.").and_then(|rest| rest.strip_suffix(']')) {
            match target.strip_suffix(".env") {
                Some(target) => assert_eq!(known.last().unwrap().0, target, "cross.toml: {line}"),
                None => known.push((target.to_owned(), false)),
            }
        } else if line.starts_with("build-std") {
            assert_eq!(line, "build-std = true");
            known.last_mut().unwrap().1 = true;
        }
    }
    let wanted: Vec<(String, bool)> =
        targets().iter().map(|row| (row[0].clone(), row[0].starts_with("mips"))).collect();
    assert_eq!(known, wanted, "cross.toml and deploy/targets");
}

#[test]
fn the_manual_names_the_targets_of_the_table() {
    let mut rows = Vec::new();
    for columns in targets() {
        assert_eq!(columns.len(), 8, "{columns:?}");
        rows.push(format!("| `{}` | `{}` |", columns[0], columns[1].replace(',', "`, `")));
    }
    for readme in ["docs/router.md", "docs/zh/router.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(readme)).unwrap();
        let named: Vec<&str> =
            text.lines().filter(|line| line.contains("-unknown-linux-musl") && line.starts_with('|')).collect();
        assert_eq!(named.len(), rows.len(), "{readme}");
        for (line, row) in named.iter().zip(&rows) {
            assert!(line.replace("`、`", "`, `").starts_with(row.as_str()), "{readme}: write {row}");
        }
    }
}

#[test]
fn versions_agree() {
    let makefile = fs::read_to_string(deploy("openwrt/Makefile")).unwrap();
    let version = format!("PKG_VERSION:={}", env!("CARGO_PKG_VERSION"));
    assert!(makefile.lines().any(|line| line == version), "deploy/openwrt/Makefile: write {version}");
}
