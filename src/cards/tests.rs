use proptest::prelude::*;

use super::*;
use crate::config;

fn names(known: &[&str]) -> Names {
    let mut names = Names::default();
    for name in known {
        names.intern(name);
    }
    names
}

fn read(bytes: &[u8]) -> Result<CardFile, Vec<Problem>> {
    parse(bytes, Path::new("cards.csv"), &Names::default())
}

fn parsed(text: &str) -> CardFile {
    read(text.as_bytes()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn complaints(bytes: &[u8]) -> Vec<String> {
    read(bytes).expect_err("this is wrong").iter().map(ToString::to_string).collect()
}

fn warnings(text: &str, known: &[&str]) -> Vec<String> {
    let file = parse(text.as_bytes(), Path::new("cards.csv"), &names(known)).expect("a table");
    file.warnings.iter().map(ToString::to_string).collect()
}

/// What is said of one value in one column, with a card before it.
fn complaint(column: &str, value: &str) -> String {
    let complaints = complaints(format!("card,{column}\n88,\"{value}\"\n").as_bytes());
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    complaints[0].clone()
}

const ALL: &str = "card,account,name,status,balance,uses,groups,pin,duress_pin,valid_from,valid_until,charge_max,day_max,\
                   credit,code\n\
                   88,S1,张三,Lost,-12.5,3,a;b；c,0123,4567,2026-11-22,2027/1/2,20,50.00,30.00,\"QR,1\"\n";

#[test]
fn every_column_is_read() {
    let file = parse(ALL.as_bytes(), Path::new("cards.csv"), &names(&["c", "a"])).expect("a table");
    let record = &file.records[0];
    assert_eq!((record.card.as_str(), record.account.as_str(), record.line), ("0000000088", "S1", 2));
    assert_eq!(record.name, gbk::encode("张三"));
    assert_eq!(record.terms.status, CardStatus::Lost);
    assert_eq!((record.balance, record.uses), (Balance::parse(b"-12.50"), Some(3)));
    assert_eq!(record.terms.groups, GroupSet(0b11));
    assert_eq!((record.terms.pin, record.terms.duress_pin), (Pin::parse(b"0123"), Pin::parse(b"4567")));
    assert_eq!(
        (record.terms.valid_from, record.terms.valid_until),
        (Date::parse(b"2026-11-22"), Date::parse(b"2027-01-02"))
    );
    assert_eq!((record.terms.charge_max, record.terms.day_max), (Money::from_fen(2000), Money::from_fen(5000)));
    assert_eq!(record.terms.credit, Money::from_fen(3000).expect("small"));
    assert_eq!(record.code.as_deref(), Some(&b"QR,1"[..]));
    assert_eq!((file.encoding, file.crc), ("UTF-8", crc32fast::hash(ALL.as_bytes())));
}

#[test]
fn a_chinese_header_in_any_order_reads_the_same() {
    let file = parsed("姓名,余额(元), 卡号 ,状态,学号\n李四,5.50,0000000007,冻结,2026001\n\n,,,,\n王五,,8,,\n");
    assert_eq!(file.records.len(), 2);
    let [first, second] = &file.records[..] else { panic!("two rows") };
    assert_eq!((first.card.value(), first.account.as_str(), first.terms.status), (7, "2026001", CardStatus::Frozen));
    assert_eq!(
        (second.card.value(), second.account.as_str(), second.terms.status),
        (8, "@0000000008", CardStatus::Active)
    );
    assert_eq!((second.balance, second.line), (None, 5));
}

#[test]
fn a_chinese_excels_table_is_recognized() {
    let text = "卡号,姓名\r\n88,张三\r\n99,李四\r\n";
    let (gbk, _, _) = encoding_rs::GBK.encode(text);
    let file = read(&gbk).expect("GBK");
    assert_eq!((file.encoding, file.records[1].name.clone()), ("GB18030", gbk::encode("李四")));
    let file = read(format!("\u{FEFF}{text}").as_bytes()).expect("UTF-8 with BOM");
    assert_eq!((file.encoding, file.records[1].name.clone()), ("UTF-8", gbk::encode("李四")));
    for text in [text.replace(',', ";"), text.replace(',', "\t")] {
        assert_eq!(parsed(&text).records.len(), 2, "{text}");
    }
}

#[test]
fn what_is_no_csv_is_named_as_what_it_is() {
    let utf16: Vec<u8> = "card,name\n88,x\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let with_mark = [b"\xFF\xFE", &utf16[..]].concat();
    for (bytes, kind) in [
        (&b"PK\x03\x04\x14\x00"[..], "xlsx"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "xls"),
        (&with_mark, "UTF-16"),
        (&utf16, "UTF-16"),
        (b"\n<html><table>", "web page"),
        (b"card\n88\n99\n1\x00\n", "NUL bytes"),
    ] {
        let complaints = complaints(bytes);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("cards.csv: this is ") && complaints[0].contains(kind), "{complaints:?}");
        assert!(complaints[0].contains("CSV UTF-8"), "{complaints:?}");
    }
}

#[test]
fn a_line_in_another_encoding_is_named() {
    assert!(complaints(b"card,name\n88,\xFF\xFF\n")[0].starts_with("cards.csv:2: this is neither UTF-8 nor GBK"));
    let marked = complaints(b"\xEF\xBB\xBFcard,name\n88,\xD5\xC5\xC8\xFD\n");
    assert!(marked[0].starts_with("cards.csv:2: this line is not UTF-8"), "{marked:?}");
    let pasted = complaints(&["card,name\n1,张三\n2,李四\n3,".as_bytes(), b"\xD5\xC5\xC8\xFD\n"].concat());
    assert!(pasted[0].starts_with("cards.csv:4: this line is not UTF-8"), "{pasted:?}");
}

#[test]
fn a_wrong_value_is_named_with_line_column_and_remedy() {
    for (column, value, part) in [
        ("account", "2.02612E+11", "format the column as text"),
        ("account", "长长长长长长长长长", "24 bytes"),
        ("account", "a\nb", "one line"),
        ("account", "@0000000088", "leave the field empty"),
        ("account", "＠88", "leave the field empty"),
        ("status", "ok", "lost 挂失"),
        ("balance", "1,234.50", "without separators of thousands"),
        ("balance", "¥5", "without a currency"),
        ("balance", "1.234", "at most two decimals"),
        ("balance", "10000000", "9999999.99"),
        ("uses", "1.5", "whole number"),
        ("uses", "99999999", "9999999"),
        ("valid_from", "2026-02-30", "2026-11-22"),
        ("valid_until", "22/11/2026", "2026-11-22"),
        ("charge_max", "-1", "12.50"),
        ("day_max", "1E+03", "number with two decimals"),
        ("credit", "x", "12.50"),
        ("code", "码", "ASCII"),
        ("code", "1.23457E+17", "format the column as text"),
    ] {
        let complaint = complaint(column, value);
        let begin = format!("cards.csv:2: column {}: ", Column::named(column).expect("known").label());
        assert!(complaint.starts_with(&begin) && complaint.contains(part), "{complaint}");
    }
}

#[test]
fn a_wrong_card_number_is_named_with_its_remedy() {
    for (value, part) in [
        ("8.88889E+09", "format the column as text"),
        ("8.88889e9", "format the column as text"),
        ("8888888888.0", "format the column as text"),
        ("88888888880", "10 digits"),
        ("8A2F", "10 digits"),
        ("-1", "10 digits"),
        ("0000000000", "no card has the number 0"),
        ("", "no card number"),
    ] {
        let complaints = complaints(format!("name,card\nx,{value}\n").as_bytes());
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("cards.csv:2: column 卡号/card: "), "{complaints:?}");
        assert!(complaints[0].contains(part), "{complaints:?}");
        assert!(!complaints[0].contains("88888888"), "{complaints:?}");
    }
}

#[test]
fn a_header_must_name_the_card_once() {
    assert!(complaints(b"name,balance\nx,1\n")[0].starts_with("cards.csv:1: the first line must name the columns"));
    assert!(complaints(b"8888888888,x,5.50\n")[0].contains("card,account,name"));
    let doubled = complaints("card,姓名,name\n1,x,y\n".as_bytes());
    assert_eq!(doubled, ["cards.csv:1: column 姓名/name: columns 2 and 3 both say so: delete one, or rename it"]);
    let found = warnings("card,部门,x_部门,\n1,x,y\n", &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("cards.csv:1: unknown column '部门' is ignored"));
}

#[test]
fn a_card_or_code_may_stand_once() {
    let complaints = complaints(b"card,code\n88,A\n99,B\n0088,\n7,A\n");
    assert_eq!(complaints.len(), 2);
    assert!(complaints[0].starts_with("cards.csv:4: column 卡号/card: card ****0088 stands in line 2 already"));
    assert!(complaints[1].starts_with("cards.csv:5: column 二维码/code: line 2 has the same code"));
}

#[test]
fn rows_that_share_an_account_share_its_figures() {
    let file = parsed("card,account,balance,uses\n1,S,,\n2,S,5.50,0\n3,S,0,7\n4,S,5.5,\n5,T,0,\n");
    for record in &file.records[..4] {
        assert_eq!((record.balance, record.uses), (Balance::parse(b"5.50"), Some(7)), "line {}", record.line);
    }
    assert_eq!((file.records[4].balance, file.records[4].uses), (Some(Balance::ZERO), None));
    let complaints = complaints(b"card,account,balance,uses\n1,S,5.50,1\n2,S,6.00,2\n");
    assert!(complaints[0].starts_with("cards.csv:3: column 余额/balance: line 2 opens the same account"));
    assert!(complaints[1].starts_with("cards.csv:3: column 次数/uses: line 2 opens the same account"));
    assert!(describe(&file).contains("2 accounts, opening with 5.50 yuan and 7 uses"), "{}", describe(&file));
}

#[test]
fn spans_and_pins_must_make_sense() {
    assert!(complaint("valid_from,valid_until", "2026-02-01\",\"2026-01-01").contains("before valid_from"));
    assert!(complaint("pin,duress_pin", "1234\",\"1234").contains("it is the card's pin"));
    assert_eq!(parsed("card,pin,duress_pin\n1,1234,01234\n").records.len(), 1);
}

#[test]
fn a_pin_or_code_is_in_no_message() {
    // Wrong in its own column, and where a missing comma shifts it into another.
    let text = "card,status,balance,pin,duress_pin,valid_from,code\n\
                1,,,4711x,,,\n\
                2,,,471147114711,,,\n\
                3,4711,,,,,\n\
                4,,,,,4711,\n\
                5,,,4711,4711,,码4711\n\
                6,,,,,,S4711\n\
                7,,,,,,S4711\n";
    let complaints = complaints(text.as_bytes());
    assert_eq!(complaints.len(), 7);
    for complaint in complaints {
        assert!(!complaint.contains("4711"), "{complaint}");
    }
    assert!(!format!("{:?}", parsed("card,pin\n1,4711\n").records).contains("4711"));
}

#[test]
fn a_quote_that_swallows_rows_is_an_error() {
    let complaints = complaints(b"card,name\n1,\"A\n2,B\n3,\"C\n4,D\n");
    assert_eq!(complaints.len(), 1);
    assert!(complaints[0].starts_with("cards.csv:2: a quote that opens here swallows the next lines"));
    let file = parsed("card,name\n1,\"A\nB\"\n2,C\n");
    assert_eq!((file.records[0].name.as_slice(), file.records[1].line), (&b"AB"[..], 4));
}

#[test]
fn a_row_with_a_comma_too_many_is_an_error() {
    let complaints = complaints(b"card,name\n1,Smith, J\n2,x,,\n");
    assert_eq!(
        complaints,
        ["cards.csv:2: more fields than the header has: put quotes around a value that holds a comma"]
    );
}

#[test]
fn doubtful_rows_are_warned_about_and_served() {
    assert!(warnings("card,name\n", &[])[0].contains("holds no cards"));
    let found = warnings("card,account,groups\n1,,staf\n2,1,staf;staff\n", &["staff", "guest"]);
    let parts = ["no card is in group 'guest'", "no group 'staf' (2 rows)", "looks like the card of line 2"];
    assert_eq!(found.len(), parts.len(), "{found:#?}");
    for part in parts {
        assert!(found.iter().any(|warning| warning.contains(part)), "{part}: {found:#?}");
    }
    assert_eq!(warnings("card,groups\n1,x\n", &[]), [""; 0], "groups that nobody mentions are somebody else's");
    let found = warnings("card,name,charge_max\n1,李😀,0\n", &[]);
    assert!(found[0].contains("1 names") && found[1].contains("allows no sale"), "{found:#?}");
}

#[test]
fn all_problems_are_listed_up_to_fifty() {
    let rows: String = (0..80).map(|_| "x,y\n").collect();
    let complaints = complaints(format!("card,balance\n{rows}").as_bytes());
    assert_eq!(complaints.len(), 51);
    assert_eq!(complaints[50], "cards.csv: and 110 more: correct these first, then check again");
}

#[test]
fn a_table_too_large_is_refused_with_the_number_that_fits() {
    let rows: Vec<String> = (1..=crate::limits::CARDS_MAX + 1).map(|card| format!("{card}\n")).collect();
    let complaints = complaints(format!("card\n{}", rows.concat()).as_bytes());
    assert_eq!(complaints, ["cards.csv: 65537 cards are too many: at most 65536 fit: remove cards that have ended"]);
}

#[test]
fn the_template_is_a_table_with_every_column() {
    let file = parsed(&template());
    assert!(template().starts_with("\u{FEFF}card 卡号,account 编号,"));
    assert_eq!((file.records.len(), file.warnings.as_slice()), (3, &[][..]));
    for line in template().lines() {
        assert_eq!(line.split(',').count(), COLUMNS.len(), "{line}");
    }
    assert_eq!(file.records[2].code.as_deref(), Some(&b"MEMBER-0003"[..]));
}

#[test]
fn the_example_is_read_without_a_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/posgate");
    let settings = config::load(&path).expect("the example's configuration");
    let file = load(&settings.cards, &settings.rules.groups).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(file.warnings, []);
    assert_eq!(describe(&file).lines().next(), Some("20 cards: 17 active, 1 lost, 1 frozen, 1 closed"));
}

#[test]
fn a_missing_file_says_what_to_do() {
    let problems = load(Path::new("/nonexistent/cards.csv"), &Names::default()).expect_err("there is none");
    assert!(problems[0].to_string().contains("posgate cards template"));
}

proptest! {
    #[test]
    fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        let _ = read(&[b"card,name,pin,groups\n", &bytes[..]].concat());
    }

    #[test]
    fn no_text_of_our_own_words_panics_the_reader(text in words()) {
        if let Ok(file) = read(text.as_bytes()) {
            describe(&file);
        }
    }
}

/// Texts that come near to being a table.
fn words() -> impl Strategy<Value = String> {
    let columns = COLUMNS.iter().flat_map(|spec| [spec.english, spec.chinese[0]]);
    let words: Vec<&str> =
        [",", ",", ",", "\n", "\n", "\r", "\r\n", "\"", ";", "\t", " ", "\u{FEFF}", "-", ".", "E+", "/"]
            .into_iter()
            .chain(["0", "1", "88", "99999999999", "5.50", "2026-11-22", "正常", "张三", "¥", "card,name\n"])
            .chain(columns)
            .collect();
    proptest::collection::vec(proptest::sample::select(words), 0..60)
        .prop_map(|words| format!("card,{}", words.concat()))
}
