//! The form for a feed: what OpenWrt's build system makes of it, by make itself and stand-ins for
//! the files that it includes.

use super::package::run;
use super::*;

const RULES: &str = "\
INCLUDE_DIR:=$(TOPDIR)/include
PKG_INSTALL_DIR:=$(TOPDIR)/built
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
";

/// As the packages feed's: cargo's words are these, in this order.
const RUST_PACKAGE: &str = "\
RUST_ARCH_DEPENDS:=@(aarch64||arm||mips||mipsel||x86_64)
CARGO_PKG_PROFILE:=release
define Build/Compile/Cargo
\t@echo cargo install --profile $(CARGO_PKG_PROFILE) --path \"$(if $(strip $(1)),$(strip $(1)),.)\" --locked $(2)
endef
define RustBinPackage
endef
Build/Compile=$(call Build/Compile/Cargo)
";

const PACKAGE: &str = "\
define BuildPackage
$(eval $(Package/$(1)))
.PHONY: compile install
compile:
\t$(Build/Compile)
install:
\t$(call Package/$(1)/install,$(ROOT))
say:
\t@echo 'TITLE=$(TITLE)' ; echo 'URL=$(URL)'; echo 'DEPENDS=$(DEPENDS)'; echo 'USERID=$(USERID)'
\t@echo 'SOURCE=$(PKG_SOURCE_URL)/$(PKG_SOURCE)'; echo 'HASH=$(PKG_HASH)'; echo 'MAINTAINER=$(PKG_MAINTAINER)'
endef
";

/// `make TARGET` of the feed form below `dir`.
fn make(dir: &Path, target: &str) -> String {
    let top = format!("TOPDIR={}", dir.display());
    run("make", &["-s", "--no-print-directory", &top, "ROOT=installed", target], &dir.join("net/posgate"))
}

#[test]
fn a_feed_installs_what_the_packages_do_from_an_archive_with_its_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let has = |tool: &str| Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !["make", "xz", "git"].iter().all(|tool| has(tool)) || !deploy("../.git").exists() {
        return not_run("the form for a feed: it takes make, xz, git and a checkout");
    }
    let said = run("bash", &[deploy("openwrt/feed.sh").to_str().unwrap(), dir.to_str().unwrap()], dir);
    for (path, text) in [
        ("rules.mk", RULES),
        ("include/package.mk", PACKAGE),
        ("lang/rust/rust-package.mk", RUST_PACKAGE),
        ("built/bin/posgate", "#!/bin/sh\n"),
    ] {
        fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs::write(dir.join(path), text).unwrap();
    }
    let compiled = make(dir, "compile");
    assert_eq!(compiled.trim(), "cargo install --profile router --path . --locked --no-default-features --bin posgate");
    make(dir, "install");
    let layout = |root: &Path| run("sh", &["-c", "find . -mindepth 1 -printf '%M %p\\n' | sort"], root);
    let staged = dir.join("staged");
    run("sh", &[deploy("openwrt/stage.sh").to_str().unwrap(), "built/bin/posgate", "staged"], dir);
    assert_eq!(layout(&dir.join("net/posgate/installed")), layout(&staged));

    let conf = fs::read_to_string(deploy("openwrt/package.conf")).unwrap();
    let of_conf = |key: &str| {
        let line = conf.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap();
        line.trim_matches('\'').to_owned()
    };
    let fields = make(dir, "say");
    let field = |key: &str| fields.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap().to_owned();
    for (key, of) in [("TITLE", "TITLE"), ("URL", "URL"), ("MAINTAINER", "MAINTAINER"), ("USERID", "USER_ID")] {
        assert_eq!(field(key), of_conf(of));
    }
    assert!(field("MAINTAINER").ends_with('>'), "a name and an address: {fields}");
    assert!(field("SOURCE").starts_with(&field("URL")), "{fields}");
    let archive = dir.join(field("SOURCE").rsplit('/').next().unwrap());
    let sum = run("sha256sum", &[archive.to_str().unwrap()], dir);
    assert_eq!(field("HASH"), sum.split(' ').next().unwrap());
    assert!(said.contains(&field("HASH")), "{said}");
    let packed = run("tar", &["tJf", archive.to_str().unwrap()], dir);
    let top = format!("posgate-{}/", env!("CARGO_PKG_VERSION"));
    assert!(packed.lines().all(|path| path.starts_with(&top)), "{packed}");
    for file in ["Cargo.lock", "LICENSE-MIT", "LICENSE-APACHE", "src/main.rs"] {
        assert!(packed.lines().any(|path| path == format!("{top}{file}")), "{file}");
    }
}

#[test]
fn the_feeds_own_test_passes_with_this_version_alone() {
    let router = Router::new(&shells()[0]);
    let script = router.path("test.sh");
    fs::write(&script, router.rooted(&fs::read_to_string(deploy("openwrt/test.sh")).unwrap())).unwrap();
    let path = format!("{}:{}", router.path("usr/bin").display(), std::env::var("PATH").unwrap());
    let code = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = router.command(script.to_str().unwrap());
        command.args(arguments).envs(environment.iter().copied()).env("PATH", &path).output().unwrap().status.code()
    };
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(code(&["posgate", version], &[]), Some(0));
    assert_eq!(code(&[], &[("PKG_NAME", "posgate"), ("PKG_VERSION", version)]), Some(0));
    assert_eq!(code(&["posgate", "9.9.9"], &[]), Some(1));
    assert_eq!(code(&["another", version], &[]), Some(1));
    fs::write(router.path("usr/share/posgate/posgate.config"), "config serber\n").unwrap();
    assert_eq!(code(&["posgate", version], &[]), Some(1));
}
