//! `posgate cards`: card tables as files.

use posgate::desk::table::line;
use posgate::lang::tr;
use std::collections::HashMap;
use std::path::PathBuf;

use posgate::engine::model::forms;
use posgate::engine::model::rules::Names;
use posgate::engine::model::{CardNo, CardRecord};
use posgate::engine::server::{Origin, Server, Tables};
use posgate::files::cards::CardFile;
use posgate::files::cards::diff::{Difference, Table};
use posgate::files::cards::number::{Candidate, candidates, form_words};
use posgate::files::cards::whole::{self, Before, NoHistory};
use posgate::files::config::Settings;
use posgate::files::problem::typed;
use posgate::files::{cards, config};
use posgate::ledger::{HeldFiles, OpenError, replay};

use super::{EXIT_CONFIG, EXIT_IO, EXIT_NO, EXIT_USAGE, Options, audit, print_problems};

/// Reads a table as the server would, and says what it holds or everything that is wrong with it.
pub(super) fn check(options: &Options) -> u8 {
    let (path, groups) = match options.operands.first() {
        Some(path) => (PathBuf::from(path), Names::default()),
        None => match config::load(&options.config()) {
            Ok(settings) => (settings.cards, settings.rules.groups),
            Err(problems) => {
                print_problems(&problems);
                return EXIT_CONFIG;
            }
        },
    };
    match cards::load(&path, &groups) {
        Ok(file) => {
            print_problems(&file.warnings);
            say!("{}", cards::describe(&file));
            0
        }
        Err(problems) => {
            print_problems(&problems);
            EXIT_CONFIG
        }
    }
}

/// Says what another table would change; with `--config` also which figures and accounts would be
/// ignored, for the ledger's stand.
pub(super) fn diff(options: &Options) -> u8 {
    let [old, new] = options.operands.as_slice() else {
        complain!(
            "posgate: name two card tables: `posgate cards diff OLD NEW`",
            "posgate: 请写两份卡表：`posgate cards diff OLD NEW`"
        );
        return EXIT_USAGE;
    };
    let tables = (Table::load(old.as_ref()), Table::load(new.as_ref()));
    let (old, new) = match tables {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            print_problems(&[old.err(), new.err()].into_iter().flatten().flatten().collect::<Vec<_>>());
            return EXIT_CONFIG;
        }
    };
    print_problems(&[old.file.warnings.as_slice(), new.file.warnings.as_slice()].concat());
    let by_ledger = match options.config.as_ref().map(|path| config::load(path)) {
        None => Ok((HashMap::new(), Vec::new())),
        Some(Ok(settings)) if !settings.ledger_dir.exists() => Ok((HashMap::new(), Vec::new())),
        Some(Ok(settings)) => audit::opened(&settings.ledger_dir)
            .and_then(|opened| Ok((opened, elsewhere(&settings, &new.file.records)?))),
        Some(Err(problems)) => {
            print_problems(&problems);
            Err(EXIT_CONFIG)
        }
    };
    let (opened, elsewhere) = match by_ledger {
        Ok(told) => told,
        Err(code) => return code,
    };
    say!("{}", Difference { elsewhere, ..Difference::between(&old, &new, &opened) });
    say_whole(options);
    0
}

/// The cards of a table that the ledger has on other accounts, as a server that serves the table
/// says it.
fn elsewhere(settings: &Settings, records: &[CardRecord]) -> Result<Vec<(CardNo, String)>, u8> {
    let files = HeldFiles::of_dir(&settings.ledger_dir).map_err(|error| {
        complain!("posgate: {error}");
        EXIT_IO
    })?;
    let mut tables = super::serve::tables();
    let tables: &mut Tables = &mut tables;
    let mut server = Server::new(tables, settings.rules.clone());
    replay(&files, server.book_to_replay()).map_err(|error| {
        complain!("posgate: {error}");
        if matches!(error, OpenError::Io(_)) { EXIT_IO } else { EXIT_CONFIG }
    })?;
    server.install(settings.rules.clone(), records, Origin::default()).map_err(|error| {
        complain!("posgate: {error}");
        EXIT_CONFIG
    })?;
    Ok(server.ignored_accounts().map(|ignored| (ignored.card, ignored.to_string())).collect())
}

/// Says why a reload would ask for a person's word before it takes the second table after the
/// first.
fn say_whole(options: &Options) {
    let [old, new] = options.operands.as_slice() else { return };
    let read = |path: &std::ffi::OsString| cards::load(path.as_ref(), &Names::default());
    let (Ok(old), Ok(new)) = (read(old), read(new)) else { return };
    let sentences = whole::compare(Before::File(&old.table, &old.columns()), &new, &NoHistory);
    if !sentences.is_empty() {
        say!("not whole: {}", "不完整：{}", whole::refusal(&sentences, new.crc));
    }
}

/// Prints a template of a card table.
pub(super) fn template() -> u8 {
    say!("{}", cards::template().trim_end_matches('\n'));
    0
}

/// Says what a text may be that is printed on a card or that a reader showed; with `--config` also
/// which card of the table it is.
pub(super) fn number(options: &Options) -> u8 {
    let Some(text) = options.operands.first().and_then(|text| text.to_str()) else {
        complain!(
            "posgate: write the number as it is printed: `posgate cards number 077,30211`",
            "posgate: 请照卡面上印的写：`posgate cards number 077,30211`"
        );
        return EXIT_USAGE;
    };
    let candidates = candidates(text);
    let table = match options.config.as_ref().map(|path| config::load(path)) {
        None => None,
        Some(Ok(settings)) => match cards::load(&settings.cards, &settings.rules.groups) {
            Ok(file) => Some(file),
            Err(problems) => {
                print_problems(&problems);
                return EXIT_CONFIG;
            }
        },
        Some(Err(problems)) => {
            print_problems(&problems);
            return EXIT_CONFIG;
        }
    };
    if candidates.is_empty() {
        complain!(
            "posgate: {} is no card's number: write it as it is printed, such as 0005076483, 077,30211 or 4D7603",
            "posgate: {} 不是卡号：请照卡面上印的写，如 0005076483、077,30211 或 4D7603",
            typed(text)
        );
        return EXIT_NO;
    }
    let row = |cells: [&str; 4]| {
        let cells = cells.into_iter().zip([10, 11, 9, 0]);
        say!("{}", line(cells.map(|(cell, places)| (cell, places, false))));
    };
    row([tr("card", "卡号"), tr("hexadecimal", "十六进制"), "Wiegand", tr("how", "怎么读的")]);
    for candidate in &candidates {
        row([&candidate.card.to_string(), &candidate.hexadecimal(), &candidate.wiegand(), &candidate.how]);
    }
    if let Some(file) = table {
        say_known(&candidates, &file);
    }
    0
}

/// Prints the cards of the table that may have the number.
fn say_known(candidates: &[Candidate], file: &CardFile) {
    let how = |record: &CardRecord| -> Option<String> {
        if let Some(candidate) = candidates.iter().find(|candidate| candidate.card == record.card) {
            return Some(candidate.how.clone());
        }
        // A card may have more bytes than are printed.
        let first: CardNo = candidates.first()?.card;
        let words = form_words(forms::alike(record.card, first)?);
        Some(tr!("{}; of the table's number {words}", "{}；对卡表里的号码：{words}", candidates[0].how))
    };
    let mut is_known = false;
    for record in &file.records {
        if let Some(how) = how(record) {
            is_known = true;
            let name = posgate::engine::gbk::decode(&record.name);
            say!(
                "in the table, line {}: {} {} {name}: {how}",
                "卡表第 {} 行：{} {} {name}：{how}",
                record.line,
                record.card,
                record.account
            );
        }
    }
    if !is_known {
        say!("in the table: none of these", "卡表里：一个也没有");
    }
}
