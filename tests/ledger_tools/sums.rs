//! Sums by department, person and the like; a month; who owes whom; paper, page and spreadsheet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::naive::{Json, Row, Sum, fen, rows, taken, with, yuan};
use crate::{generate, ledger, text};

const CONFIG: &str = "config server 'main'\n option cards 'cards.csv'\n option ledger_dir 'ledger'\n option timezone 'CST-8'\n\
config device\n option machine '00001'\n list group 'staff'\n list group 'cook'\n";

/// A ledger that goes from one month into the next, and its card table.
struct Canteen {
    directory: tempfile::TempDir,
    rows: Vec<Row>,
    /// Department and groups of each account in the table.
    people: BTreeMap<String, [String; 2]>,
}

impl Canteen {
    fn new(entries: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("ledger");
        generate::write(&place, generate::Plan { entries, accounts: 60, days: 33, segment_bytes: 64 * 1024 });
        let mut people = BTreeMap::new();
        let mut table = "card,account,name,department,groups\n".to_owned();
        for number in (0..60).filter(|number| number % 7 != 0) {
            let department = ["食堂", "", "财务, \"三楼\"", "=1+1"][number % 4];
            let groups = ["", "staff", "staff;cook"][number % 3];
            let account = format!("S{number:05}");
            let quoted = department.replace('"', "\"\"");
            let row = format!("{},{account},张{number},\"{quoted}\",{groups}\n", 88_888_000 + number);
            table.push_str(&row);
            people.insert(account, [department.to_owned(), groups.to_owned()]);
        }
        fs::write(directory.path().join("cards.csv"), table).unwrap();
        fs::write(directory.path().join("posgate"), CONFIG).unwrap();
        let rows = rows(&[&place]);
        Self { directory, rows, people }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("posgate")
    }

    #[track_caller]
    fn told(&self, arguments: &[&str]) -> String {
        let config = self.config();
        ledger(&[&["report", "--config", text(&config)], arguments].concat()).expect(0, &[], &[]).out
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Json {
        Json::read(&self.told(&[&["--json"], arguments].concat()))
    }

    /// What a void undid, else the line itself.
    fn undone<'a>(&'a self, row: &'a Row) -> &'a Row {
        if row.kind() == "void" { &self.rows[row.column(18).parse::<usize>().unwrap() - 1] } else { row }
    }

    fn word(&self, by: &str, row: &Row) -> String {
        let person = |index: usize| self.people.get(row.column(9)).map_or("", |person| person[index].as_str());
        let word = match by {
            "department" => person(0),
            "group" => person(1),
            "person" => row.column(9),
            "machine" => self.undone(row).column(5),
            "period" => self.undone(row).word("period"),
            "month" => &row.day()[..7],
            "day" => row.day(),
            other => panic!("{other}"),
        };
        if word.is_empty() { "-".to_owned() } else { word.to_owned() }
    }

    fn flow(&self, row: &Row) -> Option<&'static str> {
        Some(match (row.kind(), self.undone(row).kind()) {
            _ if row.is_sale() => "sales",
            ("void", "topup") => "topup_voids",
            ("void", "subsidy") => "subsidy_voids",
            ("void", _) => "voids",
            ("topup", _) => "topups",
            ("subsidy", _) if row.word("clear") == "one" => "cleared",
            ("subsidy", _) => "subsidies",
            ("payout", _) => "payouts",
            ("adjust", _) => "adjusts",
            ("open", _) => "opened",
            _ => return None,
        })
    }

    /// The sums of the lines, by the words of a row and by flow.
    fn sums(&self, by: &[&str], days: impl Fn(&str) -> bool) -> BTreeMap<(Vec<String>, String), Sum> {
        let mut sums: BTreeMap<(Vec<String>, String), Sum> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| days(row.day())) {
            if let Some(flow) = self.flow(row) {
                let words = by.iter().map(|by| self.word(by, row)).collect();
                let sum = sums.entry((words, flow.to_owned())).or_default();
                *sum = with(*sum, row);
            }
        }
        sums.into_iter().map(|(key, sum)| if key.1 == "sales" { (key, taken(sum)) } else { (key, sum) }).collect()
    }
}

const FLOWS: [&str; 10] = [
    "sales",
    "voids",
    "topups",
    "topup_voids",
    "subsidies",
    "subsidy_voids",
    "cleared",
    "payouts",
    "adjusts",
    "opened",
];

fn has(json: &Json, key: &str) -> bool {
    matches!(json, Json::Object(members) if members.contains_key(key))
}

fn of_november(day: &str) -> bool {
    day.starts_with("2026-11")
}

#[test]
fn every_table_is_the_sum_of_its_lines_and_of_the_close() {
    let canteen = Canteen::new(5_000);
    let close = canteen.json(&["--month", "2026-11"]);
    assert_eq!((close.text("from"), close.text("to")), ("2026-11-01", "2026-11-30"));
    let words = ["department", "person", "machine", "period", "group", "month", "day"];
    let mut tables: Vec<Vec<&str>> = words.iter().map(|word| vec![*word]).collect();
    tables.extend(words.iter().flat_map(|one| words.iter().map(move |two| vec![*one, *two])));
    for by in tables.iter().filter(|by| by.len() < 2 || by[0] != by[1]) {
        let told = canteen.json(&["--month", "2026-11", "--by", &by.join(",")]);
        let mut sums = BTreeMap::new();
        let mut rows = BTreeSet::new();
        let mut moved = (0, 0, 0);
        for row in told.list("rows") {
            let key: Vec<String> = by.iter().map(|by| row.text(by).to_owned()).collect();
            for flow in FLOWS.iter().filter(|flow| has(row, flow)) {
                sums.insert((key.clone(), (*flow).to_owned()), row.sum(flow));
            }
            let (_, cash, subsidy, uses) = row.sum("moved");
            moved = (moved.0 + cash, moved.1 + subsidy, moved.2 + uses);
            assert!(rows.insert(key), "{by:?}: one row each");
            assert!(!has(row, "other"), "{by:?}: nothing is of no kind");
        }
        assert_eq!(sums, canteen.sums(by, of_november), "{by:?}");
        let wanted = (fen(close.text("moved.amount")), fen(close.text("moved.subsidy")), close.number("moved.uses"));
        assert_eq!(moved, wanted, "{by:?}: the rows make the close's movements");
        let (_, cash, subsidy, uses) = told.sum("all.moved");
        assert_eq!((cash, subsidy, uses), wanted, "{by:?}");
        for total in ["opening", "moved", "closing", "balanced"] {
            assert_eq!(told.get(total), close.get(total), "{by:?}");
        }
    }
    // Everything that is told apart occurs.
    let all = canteen.sums(&[], of_november);
    for flow in FLOWS {
        assert!(all.contains_key(&(Vec::new(), flow.to_owned())), "{flow}");
    }
    let (_, cash, subsidy, _) = all[&(Vec::new(), "sales".to_owned())];
    assert!(cash > 0 && subsidy > 0, "both purses pay");
    assert!(canteen.rows.iter().any(|row| row.day().starts_with("2026-12")), "another month follows");
}

#[test]
fn a_person_has_a_name_and_who_is_in_no_table_a_dash() {
    let canteen = Canteen::new(4_000);
    let told = canteen.json(&["--month", "2026-11", "--by", "person,department"]);
    for row in told.list("rows") {
        let number: usize = row.text("person")[1..].parse().unwrap();
        let (name, is_known) = (format!("张{number}"), !number.is_multiple_of(7));
        assert_eq!(row.text("name"), if is_known { name.as_str() } else { "" });
        let department = if is_known { ["食堂", "-", "财务, \"三楼\"", "=1+1"][number % 4] } else { "-" };
        assert_eq!(row.text("department"), department);
    }
    // Without a table the account stands, and it is said.
    let place = canteen.directory.path().join("ledger");
    let place = text(&place);
    let words = "no card table: names and departments are unknown";
    ledger(&["report", "--by", "person", "--month", "2026-11", place]).expect(0, &[words, "S00001"], &[]);
    let json =
        ledger(&["report", "--by", "department", "--json", "--month", "2026-11", place]).expect(0, &[words], &[]);
    let rows = Json::read(&json.out);
    assert_eq!(rows.list("rows").iter().map(|row| row.text("department")).collect::<Vec<_>>(), ["-"]);
    ledger(&["report", "--by", "period", place]).expect(0, &[], &[]);
    let ended = ledger(&["report", "--by", "period", place]);
    assert!(!ended.out.contains(words), "nobody is asked for");
    // With one that cannot be read the sums are made all the same.
    fs::write(canteen.directory.path().join("cards.csv"), "card\nx\n").unwrap();
    let config = canteen.config();
    ledger(&["report", "--by", "department", "--config", text(&config)]).expect(0, &[words], &["cards.csv:2"]);
}

#[test]
fn who_owes_whom_is_what_each_purse_moved_less_what_was_undone() {
    let canteen = Canteen::new(12_000);
    let close = canteen.json(&["--month", "2026-11"]);
    let sums = canteen.sums(&[], of_november);
    let sum = |flow: &str| sums[&(Vec::new(), flow.to_owned())];
    let told: BTreeMap<&str, [i64; 3]> = close
        .list("owed")
        .iter()
        .map(|row| (row.text("item"), ["gross", "undone", "net"].map(|figure| fen(row.text(figure)))))
        .collect();
    let (sales, voids) = (sum("sales"), sum("voids"));
    let less = |gross: i64, undone: i64| [gross, undone, gross - undone];
    let wanted: BTreeMap<&str, [i64; 3]> = BTreeMap::from([
        ("cash_sales", less(sales.1, voids.1)),
        ("subsidy_sales", less(sales.2, voids.2)),
        ("topups", less(sum("topups").1, -sum("topup_voids").1)),
        ("subsidies", less(sum("subsidies").2, -sum("subsidy_voids").2)),
        ("cleared", less(-sum("cleared").2, 0)),
        ("payouts", less(-sum("payouts").1, 0)),
        ("cash_adjusts", less(sum("adjusts").1, 0)),
        ("cash_opened", less(sum("opened").1, 0)),
        ("subsidy_opened", less(sum("opened").2, 0)),
    ]);
    assert_eq!(told, wanted);
    assert!(wanted.values().all(|[gross, ..]| *gross > 0 || wanted["cash_adjusts"][0] == *gross), "{wanted:?}");
    assert!(wanted["subsidy_sales"][1] > 0 && wanted["topups"][1] > 0 && wanted["subsidies"][1] > 0, "{wanted:?}");
    // What holders are owed grows by what came in less what was spent, in each purse.
    let net = |items: &[&str]| items.iter().map(|item| wanted[item][2]).sum::<i64>();
    let cash = net(&["topups", "cash_adjusts", "cash_opened"]) - net(&["cash_sales", "payouts"]);
    let subsidy = net(&["subsidies", "subsidy_opened"]) - net(&["subsidy_sales", "cleared"]);
    assert_eq!((cash, subsidy), (fen(close.text("moved.amount")), fen(close.text("moved.subsidy"))));
    let ways: BTreeMap<&str, (&Json, &Json)> =
        close.list("owed").iter().map(|row| (row.text("item"), (row.get("from"), row.get("to")))).collect();
    let is = |text: &str| Json::Text(text.to_owned());
    assert_eq!(ways["cash_sales"], (&is("holder"), &is("canteen")));
    assert_eq!(ways["subsidy_sales"], (&is("employer"), &is("canteen")));
    assert_eq!(ways["payouts"], (&is("canteen"), &is("holder")));
    assert_eq!(ways["cleared"], (&is("holder"), &is("employer")));
    assert_eq!(ways["cash_adjusts"], (&Json::Null, &Json::Null));
    let paper = canteen.told(&["--month", "2026-11"]);
    assert!(paper.starts_with("月结 monthly close\n"), "{paper}");
    let line = paper.lines().find(|line| line.contains("补贴消费")).unwrap();
    let figures: Vec<String> = wanted["subsidy_sales"].map(yuan).to_vec();
    assert!(
        line.split_whitespace().collect::<Vec<_>>().ends_with(&figures.iter().map(String::as_str).collect::<Vec<_>>())
    );
}

/// The titles and the rows of a CSV, by its rules alone.
fn csv(text: &str) -> Vec<Vec<String>> {
    let text = text.strip_prefix('\u{FEFF}').expect("a mark");
    let mut rows = Vec::new();
    for line in text.split_terminator("\r\n") {
        let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '"' if is_quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => cells.push(std::mem::take(&mut cell)),
                other => cell.push(other),
            }
        }
        cells.push(cell);
        rows.push(cells);
    }
    rows
}

#[test]
fn a_spreadsheet_gets_the_same_sums_with_one_line_of_titles() {
    let canteen = Canteen::new(6_000);
    let table = csv(&canteen.told(&["--month", "2026-11", "--by", "department,period", "--csv"]));
    let titles: Vec<&str> = table[0].iter().map(String::as_str).collect();
    assert_eq!(titles[..4], ["department", "period", "sales n", "sales cash"]);
    assert_eq!(titles.iter().collect::<BTreeSet<_>>().len(), titles.len(), "each title once: {titles:?}");
    let sums = canteen.sums(&["department", "period"], of_november);
    let figure = |row: &[String], title: &str| fen(&row[titles.iter().position(|known| *known == title).unwrap()]);
    let keys: BTreeSet<&Vec<String>> = sums.keys().map(|(key, _)| key).collect();
    assert_eq!(table.len(), keys.len() + 1, "no row of all: a spreadsheet adds up itself");
    for row in &table[1..] {
        assert_eq!(row.len(), titles.len());
        // Nothing is run as a formula.
        let key: Vec<String> = row[..2].iter().map(|cell| cell.trim_start_matches('\'').to_owned()).collect();
        assert!(row[0] != "=1+1");
        let sum = |flow: &str| sums.get(&(key.clone(), flow.to_owned())).copied().unwrap_or_default();
        let (sales, voids) = (sum("sales"), sum("voids"));
        assert_eq!((figure(row, "sales cash"), figure(row, "sales subs.")), (sales.1, sales.2), "{key:?}");
        let net = (sales.1 - voids.1, sales.2 - voids.2, sales.3 - voids.3);
        assert_eq!((figure(row, "net cash"), figure(row, "net subs."), figure(row, "net uses")), net, "{key:?}");
        assert_eq!(figure(row, "grants subs."), sum("subsidies").2, "{key:?}");
        assert_eq!(figure(row, "cleared subs."), sum("cleared").2, "{key:?}");
    }
    let chinese = csv(&canteen.told(&["--by", "person", "--csv", "--header", "zh"]));
    assert_eq!(chinese[0][..4], ["人员", "姓名", "消费笔数", "消费现金"]);
    // Balances are a table, too.
    let balances = csv(&canteen.told(&["--balances", "--csv"]));
    assert_eq!(balances[0][..5], ["account", "name", "cards", "balance", "subsidy"]);
}

fn width(text: &str) -> usize {
    text.chars().map(|character| if character >= '\u{2E80}' { 2 } else { 1 }).sum()
}

#[test]
fn printed_reports_fit_80_columns_and_have_every_figure() {
    let canteen = Canteen::new(6_000);
    for view in [&["--balances"] as &[&str], &[], &["--by", "person,period"], &["--by", "group"], &["--attendance"]] {
        let arguments = [&["--month", "2026-11"], view].concat();
        let paper = canteen.told(&[&["--print"], arguments.as_slice()].concat());
        for line in paper.lines() {
            assert!(width(line) <= 80, "{view:?}: {} columns: {line}", width(line));
        }
        assert!(paper.contains("制表 prepared by ___"), "{view:?}");
        // No figure of the text for a terminal is missing, but of columns of zeros.
        let words = |text: &str| -> BTreeSet<String> { text.split_whitespace().map(str::to_owned).collect() };
        let printed = words(&paper);
        let is_figure = |word: &String| word.contains('.') && fen(word) != 0;
        let missing: Vec<String> = words(&canteen.told(&arguments))
            .into_iter()
            .filter(|word| is_figure(word) && !printed.contains(word))
            .collect();
        assert_eq!(missing, Vec::<String>::new(), "{view:?}");
    }
}

#[test]
fn a_page_holds_the_same_figures_and_needs_nothing_else() {
    let canteen = Canteen::new(6_000);
    for view in [&[] as &[&str], &["--by", "department,period"], &["--balances"], &["--attendance"]] {
        let arguments = [&["--month", "2026-11"], view].concat();
        let page = canteen.told(&[&["--html"], arguments.as_slice()].concat());
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</body></html>\n"), "{view:?}");
        for unwanted in ["<script", "src=", "href", "http", "url(", "@import"] {
            assert!(!page.contains(unwanted), "{view:?}: {unwanted}");
        }
        let mut plain = String::new();
        let mut is_tag = false;
        for character in page.chars() {
            match character {
                '<' => (is_tag, plain) = (true, plain + " "),
                '>' => is_tag = false,
                other if !is_tag => plain.push(other),
                _ => (),
            }
        }
        let words: BTreeSet<&str> = plain.split_whitespace().collect();
        for word in canteen.told(&arguments).split_whitespace().filter(|word| word.contains('.') && fen(word) != 0) {
            assert!(words.contains(word.replace('"', "&quot;").as_str()), "{view:?}: {word}");
        }
    }
}

#[test]
fn a_wrong_question_about_sums_is_64_with_what_to_write() {
    let canteen = Canteen::new(300);
    let place = canteen.directory.path().join("ledger");
    let place = text(&place);
    for (arguments, words) in [
        (&["--by", "colour"] as &[&str], "write one of department person machine period group month day"),
        (&["--by", "period,period"], "department,period"),
        (&["--by", "day,period,person"], "department,period"),
        (&["--by", ""], "department,period"),
        (&["--by", "day", "--balances"], "only one of --by, --balances, --attendance"),
        (&["--by", "day", "--json", "--csv"], "only one of --json, --csv, --print, --html"),
        (&["--csv"], "give --by, --balances or --attendance too"),
        (&["--month", "2026-13"], "write 2026-11"),
        (&["--month", "2026-11-01"], "write 2026-11"),
        (&["--month", "11"], "write 2026-11"),
        (&["--month", "2026-11", "--day", "2026-11-01"], "not both"),
        (&["--month", "2026-11", "--from", "2026-11-01"], "not both"),
        (&["--by", "day", "--csv", "--header", "fr"], "en or zh"),
    ] {
        let ended = ledger(&[&["report"], arguments, &[place]].concat()).expect(64, &[], &[words]);
        assert_eq!((ended.out.as_str(), ended.err.lines().count()), ("", 1), "{arguments:?}: {}", ended.err);
    }
    for (month, last) in [("2026-02", "2026-02-28"), ("2028/02", "2028-02-29"), ("2026-12", "2026-12-31")] {
        let told = canteen.json(&["--month", month]);
        assert_eq!(told.text("to"), last, "{month}");
    }
}

/// What a void undid may be archived: then it is told by its signs, and the sums are the same.
#[test]
fn a_void_of_what_is_archived_is_told_by_what_it_did() {
    let canteen = Canteen::new(6_000);
    let place = canteen.directory.path().join("ledger");
    let paths = crate::naive::segments(&[&place]);
    let whole = canteen.json(&["--by", "month", "--from", "2026-11-20"]);
    let late: Vec<&Path> = paths[paths.len() / 3..].iter().map(PathBuf::as_path).collect();
    let arguments: Vec<&str> = late.iter().map(|path| text(path)).collect();
    let part = ledger(&[&["report", "--json", "--by", "month", "--from", "2026-11-20"], arguments.as_slice()].concat());
    let part = Json::read(&part.expect(0, &[], &[]).out);
    assert_eq!(part.get("rows"), whole.get("rows"));
}
