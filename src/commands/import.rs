//! `posgate import`: another system's export as a card table and the orders that pay its figures
//! in. *Invariants:* the sums that are printed were read back from the files' own bytes; nothing is
//! written unless all of it can be, and no other file of the same name is replaced without `--yes`.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use posgate::desk::control::batch::{self, OrderRow};
use posgate::desk::table::Table;
use posgate::engine::model::rules::Names;
use posgate::engine::model::{Balance, Figures};
use posgate::files::cards::import::{Dialect, Import, Sums, load};
use posgate::files::config::{self, Settings};
use posgate::files::problem::Problem;
use posgate::files::{cards, put};
use posgate::lang::{Text, tr};

use super::serve::holds_ledger;
use super::{EXIT_CONFIG, EXIT_IO, EXIT_NO, EXIT_USAGE, Options, audit, ctl, print_problems};

/// The name under which the orders are given. It is always the same: whichever export comes, no
/// account is paid twice.
const PURPOSE: &str = "import";

const CARDS: &str = "cards.csv";
/// The files of orders, by their commands.
const ORDERS: [(&str, &str); 2] = [("adjust", "adjust.csv"), ("subsidy", "subsidy.csv")];

/// Reads an export, and writes what posgate begins with.
pub(super) fn run(options: &Options) -> u8 {
    import(options).err().unwrap_or_default()
}

fn import(options: &Options) -> Result<(), u8> {
    let (source, dir) = match (options.operands.first().map(Path::new), options.value("to").map(Path::new)) {
        (Some(source), dir) if dir.is_some() || options.has("dry-run") => (source, dir.unwrap_or(Path::new(""))),
        _ => {
            complain!(
                "posgate: say what to import, and where the files go: `posgate import FILE --to DIR`",
                "posgate: 请写导入哪个文件、写到哪里：`posgate import FILE --to DIR`"
            );
            return Err(EXIT_USAGE);
        }
    };
    let mut dialect = Dialect::new(options.has("fen"));
    for word in options.values("status") {
        dialect.add_status(word).map_err(|sentence| {
            complain!("posgate: --status {sentence}");
            EXIT_USAGE
        })?;
    }
    let settings =
        options.config.as_ref().map(|path| config::load(path)).transpose().map_err(|problems| wrong(&problems))?;
    let groups = settings.as_ref().map_or_else(Names::default, |settings| settings.rules.groups.clone());
    let import = load(source, &groups, &dialect).map_err(|problems| {
        let code = wrong(&problems);
        complain!(
            "posgate: nothing was imported; --fen and --status tell how the other system writes: `posgate help import`",
            "posgate: 什么也没导入；别的系统怎么写，可以用 --fen 和 --status 说明：`posgate help import`"
        );
        code
    })?;
    print_problems(&import.source.warnings);
    let orders = read_back(&import, dir).map_err(|problems| wrong(&problems))?;
    say!("{}", cards::describe(&import.source));
    say_sums(source, &import, &orders);
    if let Some(settings) = &settings {
        say_held(settings, &import)?;
    }
    if options.has("dry-run") {
        say!("nothing was written", "什么也没写");
        return Ok(());
    }
    write(&import, dir, options.has("yes"))?;
    say_next(options, settings.as_ref(), dir, &import);
    Ok(())
}

fn wrong(problems: &[Problem]) -> u8 {
    print_problems(problems);
    EXIT_CONFIG
}

/// The files' bytes, by name; empty for one that is not needed.
fn files(import: &Import) -> [(&'static str, &str); 3] {
    [(CARDS, &import.cards), (ORDERS[0].1, &import.adjust), (ORDERS[1].1, &import.subsidy)]
}

/// Reads the files as the server and `ctl` will, and returns the orders.
fn read_back(import: &Import, dir: &Path) -> Result<[Vec<OrderRow>; 2], Vec<Problem>> {
    cards::parse(import.cards.as_bytes(), &dir.join(CARDS), &Names::default())?;
    let orders = |(command, name): (&str, &str), text: &str| match text {
        "" => Ok(Vec::new()),
        text => batch::parse(text.as_bytes(), &dir.join(name), command).map(|orders| orders.rows),
    };
    Ok([orders(ORDERS[0], &import.adjust)?, orders(ORDERS[1], &import.subsidy)?])
}

/// Prints the figures of the export and those of the orders, to be compared.
fn say_sums(source: &Path, import: &Import, [adjust, subsidy]: &[Vec<OrderRow>; 2]) {
    let sum = |rows: &[OrderRow]| {
        rows.iter()
            .map(OrderRow::moves)
            .fold((Balance::ZERO, 0), |(yuan, uses), (amount, more)| (yuan + amount, uses + i64::from(more)))
    };
    let ((balance, uses), (granted, _)) = (sum(adjust), sum(subsidy));
    let ordered = Sums { balance, subsidy: granted, uses };
    let stated = import.stated;
    let mut table = Table::of([
        Text::new("sums", "合计"),
        Text::new("balance", "余额"),
        Text::new("subsidy", "补贴"),
        Text::new("uses", "次数"),
        Text::new("rows", "行数"),
    ]);
    let mut row = |name: &str, sums: Sums, rows: usize| {
        let Sums { balance, subsidy, uses } = sums;
        table.row([name.to_owned(), balance.to_string(), subsidy.to_string(), uses.to_string(), rows.to_string()]);
    };
    row(&source.display().to_string(), stated, import.source.records.len());
    row(tr("orders", "补入"), ordered, adjust.len() + subsidy.len());
    say!("{table}");
    if stated != ordered {
        complain!(
            "the sums differ: cards that share an account state its figures again, which count once; if each of them has money of its own, give each an account of its own",
            "合计不同：共用账户的几张卡重复写了同样的数，只算一次；如果每张卡各有各的钱，请给它们不同的编号"
        );
    }
}

/// Warns of accounts that have money in the ledger already.
fn say_held(settings: &Settings, import: &Import) -> Result<(), u8> {
    // Without a ledger nobody has anything yet.
    if !matches!(holds_ledger(&settings.ledger_dir), Ok(true)) {
        return Ok(());
    }
    let mut opened = audit::opened(&settings.ledger_dir)?;
    let mut held = (0, Figures::ZERO);
    for record in &import.source.records {
        // Each account counts once.
        if let Some(account) = opened.remove(&record.account) {
            held = (held.0 + 1, held.1 + account);
        }
    }
    if let (count @ 1.., Figures { balance, subsidy, uses }) = held {
        complain!(
            "{count} of these accounts are in the ledger already, with {balance} yuan, {subsidy} yuan of subsidy and {uses} uses: the orders add to that, except those that were given before",
            "其中 {count} 个账户在账本里已经有了，共 {balance} 元、补贴 {subsidy} 元、{uses} 次：会加在上面，以前补过的不再补"
        );
    }
    Ok(())
}

/// Writes the files that are not there as they should be.
fn write(import: &Import, dir: &Path, may_replace: bool) -> Result<(), u8> {
    let failed = |error: io::Error| {
        complain!("posgate: {error}");
        EXIT_IO
    };
    let mut left = Vec::new();
    for (name, text) in files(import) {
        let path = dir.join(name);
        match fs::read(&path) {
            Ok(bytes) if bytes == text.as_bytes() => continue,
            // A file of an earlier export would be given with these.
            Ok(_) if may_replace => (),
            Ok(_) => {
                complain!(
                    "posgate: {}: another file is here: name another directory, or replace it by --yes; nothing was written",
                    "posgate: {}：已有不同的文件：请换个目录，或者加 --yes 替换；什么也没写",
                    path.display()
                );
                return Err(EXIT_NO);
            }
            Err(error) if error.kind() == ErrorKind::NotFound && text.is_empty() => continue,
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            Err(error) => {
                return Err(failed(io::Error::new(error.kind(), format!("read {}: {error}", path.display()))));
            }
        }
        left.push((path, text));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        failed(io::Error::new(error.kind(), format!("make the directory {}: {error}", dir.display())))
    })?;
    for (path, text) in left {
        if text.is_empty() {
            fs::remove_file(&path).and_then(|()| put::sync(dir)).map_err(failed)?;
        } else {
            put::put(&path, text.as_bytes()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Prints the commands to go on with.
fn say_next(options: &Options, settings: Option<&Settings>, dir: &Path, import: &Import) {
    let config = options.config.as_ref().map_or_else(String::new, |path| format!(" --config {}", path.display()));
    let by = if ctl::knows_operator() { "" } else { " --by NAME" };
    let table = settings.map_or_else(|| PathBuf::from("/etc/posgate/cards.csv"), |settings| settings.cards.clone());
    say!(
        "written to {}; go on with the server running, in this order:",
        "已写到 {}；接下来让服务器运行着，依次：",
        dir.display()
    );
    say!("cp {} {}", dir.join(CARDS).display(), table.display());
    say!("posgate ctl reload{config}");
    for ((command, name), (_, text)) in ORDERS.iter().zip(&files(import)[1..]) {
        if !text.is_empty() {
            say!("posgate ctl {command} --file {} --for {PURPOSE}{by}{config}", dir.join(name).display());
        }
    }
    say!("posgate ledger report{config}");
}
