//! Tables for spreadsheets.

use std::process::Output;

use posgate::engine::model::{AccountId, Balance, CardNo, ClockState, Detail, Entry, Kind, Stamp, Text};

use crate::harness::posgate;
use crate::naive::rows;
use crate::{days, generate, text};

fn export(arguments: &[&str]) -> Output {
    let output = posgate().args(["ledger", "export"]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The cells of a CSV text, read by its rules alone.
fn cells(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut characters = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(character) = characters.next() {
        let row = rows.last_mut().unwrap();
        match (character, is_quoted) {
            ('"', true) if characters.peek() == Some(&'"') => {
                characters.next();
                row.last_mut().unwrap().push('"');
            }
            ('"', _) => is_quoted = !is_quoted,
            (',', false) => row.push(String::new()),
            ('\r', false) => {
                assert_eq!(characters.next(), Some('\n'));
                rows.push(vec![String::new()]);
            }
            (other, _) => row.last_mut().unwrap().push(other),
        }
    }
    assert_eq!(rows.pop(), Some(vec![String::new()]), "the last row ends");
    rows
}

/// Two entries with all that a spreadsheet could misread.
fn nasty() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let stamp = Stamp::parse("2026-11-22T12:00:00.250+08:00").unwrap();
    let entry = |account: &str, slot: &str| {
        let mut entry = Entry::new(Kind::Adjust, stamp, ClockState::Ok);
        entry.card = CardNo::parse(b"0088888801");
        entry.account = Some(AccountId::try_from(account).unwrap());
        entry.amount = Some(Balance::from_fen(-550));
        entry.slot = Text::try_from(slot).ok();
        entry.detail = Detail::default().with("note", "a,\"b\";\t张三");
        entry
    };
    let entries =
        vec![entry("=cmd|'/c calc'!A1", "1-2"), entry("+86", "12e4"), entry("@SUM(1)", "x"), entry("-1", "007")];
    generate::write_entries(&directory.path().join("ledger"), "=1+1,一食堂", entries);
    directory
}

#[test]
fn a_csv_has_a_mark_titles_and_a_row_an_entry_that_begins_with_site_and_ledger() {
    let directory = days(2_000);
    let place = directory.path().join("ledger");
    let all = rows(&[&place]);
    let bytes = export(&[text(&place)]).stdout;
    let table = cells(std::str::from_utf8(bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap()).unwrap());
    assert_eq!(table.len(), all.len() + 1);
    assert_eq!(
        table[0].join(" "),
        "site ledger day seq time clock kind machine serial frame card account amount subsidy uses balance subsidy_left uses_left device_time slot ref detail crc name department groups"
    );
    for (cells, row) in table[1..].iter().zip(&all) {
        assert_eq!(
            (cells[0].as_str(), cells[1].as_str(), cells[2].as_str()),
            ("一食堂", "00a1b2c3d4e5f607", row.day())
        );
        assert_eq!(cells[4], row.column(2)[..19].replace('T', " "));
        for column in (1..=20).filter(|column| ![2, 6].contains(column)) {
            assert_eq!(cells[column + 2], row.column(column), "entry {} column {column}", row.seq());
        }
    }
    let sales = export(&["--kind", "sales", "--card", "88888007", text(&place)]).stdout;
    let wanted = all.iter().filter(|row| row.is_sale() && row.column(8) == "0088888007").count();
    assert_eq!(cells(std::str::from_utf8(&sales).unwrap()).len(), wanted + 1);
}

#[test]
fn a_csv_runs_no_formula_and_leaves_numbers_as_they_are() {
    let directory = nasty();
    let text = String::from_utf8(export(&[text(&directory.path().join("ledger"))]).stdout).unwrap();
    let table = cells(text.trim_start_matches('\u{FEFF}'));
    assert_eq!(table.len(), 5);
    for row in &table {
        assert_eq!(row.len(), 26, "{row:?}");
        for (index, cell) in row.iter().enumerate() {
            assert!(
                [12, 13, 15].contains(&index) || !cell.starts_with(['=', '+', '-', '@', '\t']),
                "{cell:?} would be run"
            );
        }
    }
    assert_eq!((table[1][0].as_str(), table[1][11].as_str()), ("'=1+1,一食堂", "'=cmd|'/c calc'!A1"));
    for (row, column, digits) in [
        (1, 1, "00000000000000a1"),
        (1, 3, "1"),
        (1, 10, "0088888801"),
        (1, 12, "-5.50"),
        (1, 19, "1-2"),
        (2, 19, "12e4"),
        (4, 19, "007"),
    ] {
        assert_eq!(table[row][column], digits);
    }
}

#[test]
fn a_tsv_has_nothing_but_the_values() {
    let directory = nasty();
    let text = String::from_utf8(export(&["--format", "tsv", text(&directory.path().join("ledger"))]).stdout).unwrap();
    let table: Vec<Vec<&str>> =
        text.strip_suffix('\n').unwrap().split('\n').map(|line| line.split('\t').collect()).collect();
    assert_eq!(table.len(), 5);
    assert!(table.iter().all(|row| row.len() == 26), "{table:?}");
    assert_eq!(table[0][..4], ["site", "ledger", "day", "seq"]);
    assert_eq!(table[1][..4], ["=1+1,一食堂", "00000000000000a1", "2026-11-22", "1"]);
    assert_eq!(table[1][10..13], ["0088888801", "=cmd|'/c calc'!A1", "-5.50"]);
    assert_eq!(
        table.iter().skip(1).map(|row| row[11]).collect::<Vec<_>>(),
        ["=cmd|'/c calc'!A1", "+86", "@SUM(1)", "-1"]
    );
    assert_eq!(table.iter().skip(1).map(|row| row[19]).collect::<Vec<_>>(), ["1-2", "12e4", "x", "007"]);
}

#[test]
fn gbk_has_no_mark_and_chinese_titles_name_the_same_columns() {
    let directory = nasty();
    let place = directory.path().join("ledger");
    let bytes = export(&["--gbk", "--header", "zh", text(&place)]).stdout;
    let (decoded, _, is_wrong) = encoding_rs::GBK.decode(&bytes);
    assert!(!is_wrong && !decoded.starts_with('\u{FEFF}'));
    let table = cells(&decoded);
    assert_eq!(table[0][..4], ["站点", "账本", "营业日", "流水号"]);
    assert_eq!((table[0].len(), table[1].len()), (26, 26));
    assert_eq!(table[1][6], "调整");
    assert!(std::str::from_utf8(&bytes).is_err(), "GBK it is");
}

#[test]
fn a_row_says_whose_it_is_by_the_card_table_and_a_new_holder_gets_no_old_entry() {
    let directory = nasty();
    std::fs::write(
        directory.path().join("posgate"),
        "config server 'main'\n option cards 'cards.csv'\n option ledger_dir 'ledger'\nconfig device\n option machine '1'\n list group 'a'\n list group 'b'\n",
    )
    .unwrap();
    // The card of all entries is another person's today; one of the accounts has two holders.
    let table =
        "card,account,name,department,groups\n88888801,NEW,新人,\"=x\",a\n1,+86,张三,\"=cmd\",b;a\n2,+86,李四,,\n";
    std::fs::write(directory.path().join("cards.csv"), table).unwrap();
    let config = directory.path().join("posgate");
    let text = String::from_utf8(export(&["--config", text(&config)]).stdout).unwrap();
    let table = cells(text.trim_start_matches('\u{FEFF}'));
    let whose: Vec<&[String]> = table.iter().map(|row| &row[23..]).collect();
    assert_eq!(
        whose,
        [["name", "department", "groups"], ["", "", ""], ["张三", "'=cmd", "a;b"], ["", "", ""], ["", "", ""]]
    );
}
