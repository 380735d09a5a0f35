//! The packages.

use super::*;

const EPOCH: &str = "1795351804";

/// What is packed where the program does not matter: an unoptimized one takes gzip ten seconds.
fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openwrt/rc.common")
}

fn make(dir: &Path, name: &str) -> PathBuf {
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

fn run(program: &str, arguments: &[&str], dir: &Path) -> String {
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
        ("-rw-------", "./etc/config/posgate"),
        ("-rwxr-xr-x", "./etc/hotplug.d/ntp/90-posgate"),
        ("-rwxr-xr-x", "./etc/init.d/posgate"),
        ("drwxr-x---", "./etc/posgate/"),
        ("-rw-------", "./etc/posgate/cards.csv"),
        ("-rw-r--r--", "./etc/sysctl.d/30-posgate.conf"),
        ("-rwxr-xr-x", "./etc/uci-defaults/90-posgate"),
        ("-rw-r--r--", "./lib/upgrade/keep.d/posgate"),
        ("-rw-r--r--", "./lib/upgrade/posgate.sh"),
        ("-rwxr-xr-x", "./usr/bin/posgate"),
    ];
    let expected: Vec<_> = expected.iter().map(|(mode, name)| (*mode, "0/0", *name)).collect();
    assert_eq!(members, expected);
    assert!(!listed.contains("ledger"), "a ledger in the package would be copied up on the first sale");
}

#[test]
fn a_package_says_who_it_is_and_what_the_operator_may_change() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "posgate.ipk");
    run("tar", &["xzf", "posgate.ipk"], dir.path());
    run("tar", &["xzf", "control.tar.gz"], dir.path());
    let control = fs::read_to_string(dir.path().join("control")).unwrap();
    for field in ["Package: posgate", "Version: 1.2.3-r1", "Architecture: mipsel_24kc", "Require-User: posgate:posgate"]
    {
        assert!(control.lines().any(|line| line == field), "{field} in {control}");
    }
    let conffiles = fs::read_to_string(dir.path().join("conffiles")).unwrap();
    assert_eq!(conffiles, "/etc/config/posgate\n/etc/posgate/cards.csv\n");
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
    let config = root.join("etc/config/posgate");
    let checked = Command::new(root.join("usr/bin/posgate")).args(["check", "--config"]).arg(&config).output().unwrap();
    // Only the table is not where a router has it.
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.lines().all(|line| line.contains("/etc/posgate/cards.csv")), "{said}");
}

/// A stand-in for apk of apk-tools 3: its package is a list of what it was given, with modes, times
/// and sums.
const APK: &str = r#"#!/bin/sh
[ "$1" = mkpkg ] || exit 1
[ "$2" != --help ] || exit 0
shift
while [ $# -gt 0 ]; do
    case $1 in
    --info) echo "info $2" ;;
    --script) echo "script ${2%%:*} $(sha256sum <"${2#*:}")" ;;
    --files) files=$2 ;;
    --output) output=$2 ;;
    esac
    shift 2
done >/tmp/apk.$$
cd "$files" && find . -printf '%M %TY-%Tm-%Td %TT %p\n' | LC_ALL=C sort >>/tmp/apk.$$
find . -type f -exec sha256sum {} + | LC_ALL=C sort >>/tmp/apk.$$
mv /tmp/apk.$$ "$output"
"#;

fn make_apk(dir: &Path, path: &str) -> Output {
    Command::new("/bin/sh")
        .arg(deploy("openwrt/mkapk.sh"))
        .args([stand_in(), PathBuf::from("mipsel_24kc"), dir.join("out/posgate.apk")])
        .envs([("VERSION", "1.2.3"), ("SOURCE_DATE_EPOCH", EPOCH), ("PATH", path)])
        .output()
        .unwrap()
}

#[test]
fn without_apk_no_apk_package_is_made_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for tool in ["dirname", "basename"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(tool), dir.path().join(tool)).unwrap();
    }
    let made = make_apk(dir.path(), dir.path().to_str().unwrap());
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
    assert!(said.starts_with("skipped posgate.apk: it needs apk of apk-tools 3"), "{said}");
    assert!(!dir.path().join("out").exists());
}

#[test]
fn apk_is_given_the_same_to_the_byte_and_what_enables_the_service() {
    let made = ["one", "another"].map(|_| {
        let dir = tempfile::tempdir().unwrap();
        let apk = dir.path().join("apk");
        write_script(&apk, &APK.replace("/tmp", dir.path().to_str().unwrap()));
        // As root there is no need of fakeroot; without being root it runs what it is given.
        write_script(dir.path().join("fakeroot"), "#!/bin/sh\nexec \"$@\"\n");
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
        let made = make_apk(dir.path(), &path);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::read_to_string(dir.path().join("out/posgate.apk")).unwrap()
    });
    assert_eq!(made[0], made[1]);
    for line in ["info name:posgate", "info version:1.2.3-r1", "info arch:mipsel_24kc"] {
        assert!(made[0].lines().any(|said| said == line), "{line} in {}", made[0]);
    }
    // Without these default_postinst neither makes the user nor enables the service.
    for name in ["list", "conffiles", "conffiles_static", "rusers"] {
        let path = format!(" ./lib/apk/packages/posgate.{name}");
        assert!(made[0].lines().any(|said| said.starts_with("-rw-r--r--") && said.ends_with(&path)), "{path}");
    }
    for script in ["post-install", "post-upgrade", "pre-deinstall"] {
        assert!(made[0].contains(&format!("script {script} ")));
    }
}

/// What these names are packed to, beside a copy of `deploy` with a stand-in for each binary: the
/// architectures, or the exit code.
fn packed(names: &[&str]) -> Result<Vec<String>, i32> {
    let dir = tempfile::tempdir().unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    run("cp", &["-R", deploy("").to_str().unwrap(), dir.path().to_str().unwrap()], manifest);
    fs::copy(manifest.join("Cargo.toml"), dir.path().join("Cargo.toml")).unwrap();
    fs::create_dir(dir.path().join("dist")).unwrap();
    for target in targets() {
        fs::copy(stand_in(), dir.path().join("dist").join(format!("posgate-{}", target[0]))).unwrap();
    }
    let script = dir.path().join("deploy/package.sh");
    let made = Command::new(script).args(names).env("SOURCE_DATE_EPOCH", EPOCH).output().unwrap();
    let packages = fs::read_dir(dir.path().join("dist")).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (_, architecture) = name.strip_suffix(".ipk")?.split_once("-r1_")?;
        Some(architecture.to_owned())
    });
    let mut packages: Vec<String> = packages.collect();
    packages.sort();
    if made.status.success() {
        return Ok(packages);
    }
    assert_eq!(packages.len(), 0, "a wrong name makes nothing");
    Err(made.status.code().unwrap())
}

/// The columns of each row of `deploy/targets`.
fn targets() -> Vec<Vec<String>> {
    let table = fs::read_to_string(deploy("targets")).unwrap();
    let rows = table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    rows.map(|row| row.split_whitespace().map(str::to_owned).collect()).collect()
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
