use proptest::prelude::*;

use super::*;
use crate::engine::model::Date;
use crate::files::config;

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

/// The problem of one value in one column, with a card before it.
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
fn a_file_in_another_format_is_named() {
    let utf16: Vec<u8> = "card,name\n88,x\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let with_mark = [b"\xFF\xFE", &utf16[..]].concat();
    for (bytes, kind) in [
        (&b"PK\x03\x04\x14\x00"[..], "xlsx"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "xls"),
        (&with_mark, "UTF-16"),
        (&utf16, "UTF-16"),
        (b"\n<html><table>", "web page"),
        (b"card\n88\n99\n1\x00\n", "NUL bytes"),
        (b"PK\x03\x04\x14\0\0\0mimetypeapplication/vnd.oasis.opendocument.spreadsheetPK", "ods"),
        (b"PK\x05\x06\0\0", "zip"),
        (b"<?xml version=\"1.0\"?>\n<?mso-application progid=\"Excel.Sheet\"?><Workbook>", "XML"),
        (b"{\\rtf1\\ansi", "RTF"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x1F\x8B\x08\0", "gzip"),
        (b"[{\"card\":1}]", "JSON"),
    ] {
        let complaints = complaints(bytes);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("cards.csv: this is ") && complaints[0].contains(kind), "{complaints:?}");
        assert!(complaints[0].contains("CSV UTF-8"), "{complaints:?}");
    }
}

#[test]
fn a_line_in_another_encoding_is_named() {
    assert!(complaints(b"card\n1\n\x1A\n2\n")[0].contains("a DOS end-of-file mark (0x1A) within the file"));
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
        let spec = COLUMNS.iter().find(|spec| spec.english == column).expect("known");
        let begin = format!("cards.csv:2: column {}: ", spec.column.label());
        assert!(complaint.starts_with(&begin) && complaint.contains(part), "{complaint}");
    }
}

#[test]
fn a_code_may_be_as_long_as_its_limit_and_no_longer() {
    let code = "x".repeat(CODE_LEN_MAX);
    assert_eq!(parsed(&format!("card,code\n88,{code}\n")).records[0].code.as_deref(), Some(code.as_bytes()));
    assert!(complaint("code", &(code + "x")).contains("at most 128 characters of ASCII"));
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
    let found = warnings("card,籍贯,x_部门,\n1,x,y\n", &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("cards.csv:1: unknown column '籍贯' is ignored"));
}

#[test]
fn a_card_or_code_may_appear_once() {
    let complaints = complaints(b"card,code\n88,A\n99,B\n0088,\n7,A\n");
    assert_eq!(complaints.len(), 2);
    assert!(complaints[0].starts_with("cards.csv:4: column 卡号/card: card ****0088 is in line 2 already"));
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
    assert!(
        describe(&file).contains("2 accounts, opening with 5.50 yuan, 0.00 yuan of subsidy and 7 uses"),
        "{}",
        describe(&file)
    );
}

#[test]
fn spans_and_pins_must_make_sense() {
    assert!(complaint("valid_from,valid_until", "2026-02-01\",\"2026-01-01").contains("before valid_from"));
    assert_eq!(parsed("card,valid_from,valid_until\n1,2026-02-01,2026-02-01\n").records.len(), 1, "one day");
    assert!(complaint("pin,duress_pin", "1234\",\"1234").contains("it is the card's pin"));
    assert_eq!(parsed("card,pin,duress_pin\n1,1234,01234\n").records.len(), 1);
}

#[test]
fn a_pin_or_code_is_in_no_message() {
    // A wrong value in its own column, and one that a missing comma shifts into another.
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
fn rows_that_may_move_money_unnoticed_get_a_warning() {
    let found = warnings("card,account,balance\n1,S,5.50\n2,S,5.50\n3,S,\n4,S,0\n5,T,5.50\n", &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("cards.csv:3: 1 rows state the opening figure") && found[0].contains("counts once"),
        "{found:?}"
    );
    let found = warnings("card,account\n11,1\n12,2\n13,3\n14,4\n15,5\n", &[]);
    assert!(found[0].starts_with("cards.csv:2: column 编号/account: the accounts are 1, 2, 3 …"), "{found:?}");
    assert_eq!(warnings("card,account\n11,1\n12,2\n13,3\n14,5\n15,4\n", &[]), [""; 0]);
    let found = warnings("card,account\n11,110101199003070000\n12,2\n", &[]);
    assert!(found[0].starts_with("cards.csv:2: 1 numbers have more than 15 digits"), "{found:?}");
    assert!(warnings("card,blance\n1,5\n", &[])[0].contains("(if it is 余额/balance, use that name)"));
}

#[test]
fn a_file_of_commas_is_soon_refused() {
    for text in ["x,".repeat(1_000_000), format!("card{}\n1\n", ",x".repeat(500_000))] {
        let found = complaints(text.as_bytes());
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("cards.csv:1: "), "{}", found[0]);
    }
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
    let rows: Vec<String> = (1..=crate::engine::limits::CARDS_MAX + 1).map(|card| format!("{card}\n")).collect();
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = config::load(&root.join("deploy/example/posgate")).expect("the example's configuration");
    // As committed: a person who follows the README's ten minutes edits the example's own table.
    let cards = root.join("tests/support/example-cards.csv");
    let file = load(&cards, &settings.rules.groups).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(file.warnings, []);
    assert_eq!(describe(&file).lines().next(), Some("20 cards: 17 active, 1 lost, 1 frozen, 1 closed"));
    crate::lang::speak(crate::lang::Lang::Zh);
    assert_eq!(describe(&file).lines().next(), Some("20 张卡：正常 17，挂失 1，冻结 1，注销 1"));
    crate::lang::speak(crate::lang::Lang::En);
}

#[test]
fn a_missing_file_says_what_to_do() {
    let problems = load(Path::new("/nonexistent/cards.csv"), &Names::default()).expect_err("there is none");
    assert!(problems[0].to_string().contains("posgate cards template"));
}

/// The only card of a table in any form that an office's programs write.
fn only(text: &str) -> CardRecord {
    let mut file = parsed(text);
    assert_eq!(file.records.len(), 1, "{text:?}");
    file.records.remove(0)
}

/// The number of the card in these tests.
const CARD: u64 = 8_888_888_801;

#[test]
fn a_form_with_one_meaning_is_read() {
    for text in [
        // Around the headings.
        "一食堂发卡名单,,\n制表：王\n\n卡号,姓名,余额\n8888888801,张三,5.50\n",
        "卡 号,姓　名,余 额\n8888888801,张三,5.50\n",
        "*卡号:,姓名*,余额：\n8888888801,张三,5.50\n",
        "IC卡号,持卡人,账户余额\n8888888801,张三,5.50\n",
        "CARD_NO,Name,Account Balance\n8888888801,张三,5.50\n",
        "卡号（10位）,姓名(拼音),余额（元）\n8888888801,张三,5.50\n",
        "卡号(必填),姓名[可空],余额(剩余)\n8888888801,张三,5.50\n",
        "\"卡号\n(10位)\",姓名,\"余额\n(单位：元)\"\n8888888801,张三,5.50\n",
        "卡号(十进制),卡号(16进制),姓名,余额\n8888888801,211D1AE,张三,5.50\n",
        "卡号,姓名,余额元,剩余次数,,\n8888888801,张三,5.50,,,\n,,,,,\n\n",
        // Around the fields.
        "sep=;\n卡号;姓名;余额\n8888888801;张三;5.50\n",
        "\"sep=|\"\r\n卡号|姓名|余额\r\n8888888801|张三|5.50\r\n",
        "SEP=\t\n卡号\t姓名\t余额\n8888888801\t张三\t5.50\n",
        "卡号,姓名,余额\r8888888801,张三,5.50\r",
        "\u{FEFF}卡号,\u{FEFF}姓名,余额\n\u{FEFF}8888888801,张三,5.50\n",
        "卡号,姓名,余额\n8888888801,张三,5.50\n\x1A",
        "卡号,姓名,余额\n8888888801,张三,5.50\n\x1A\x1A\r\n",
        "卡号,姓名,余额,x_备注\n8888888801,张三,5.50,\"两\n行\"\n",
        // In the values.
        "卡号,姓名,余额\n８８８８８８８８０１,张三,５．５０\n",
        "卡号,姓名,余额\n'8888888801,张三,'5.50\n",
        "卡号,姓名,余额\n=\"8888888801\",=\"张三\",5.5\n",
        "卡号,姓名,余额\n\"=\"\"8888888801\"\"\",张三,5.50\n",
        "卡号,姓名,余额\n\u{A0}8888888801\u{A0},\u{3000}张三\u{3000},5.50\u{A0}\n",
        "卡号,姓名,余额\n\u{200B}88888\u{200B}88801\u{202C},张三,5.50\n",
        "卡号,姓名,余额,补贴,部门\n8888888801,张三,5.50,0.00,食堂\n",
        "卡号,姓名,余额,补贴\n8888888801,张三,5.50,\n",
    ] {
        let record = only(text);
        let name = gbk::decode(&record.name).into_owned();
        let read = (record.card.value(), name.as_str(), record.balance.map(Balance::fen));
        assert_eq!(read, (CARD, "张三", Some(550)), "{text:?}");
    }
    assert_eq!(only("卡号,余额\n8888888801,−5.50\n").balance, Some(Balance::from_fen(-550)));
    assert_eq!(only("卡号,余额\n8888888801,－5.50\n").balance, Some(Balance::from_fen(-550)));
    assert_eq!(only("卡号,密码,编号\n1,０１２３,Ｓ０１\n").terms.pin, Pin::parse(b"0123"));
    assert_eq!(only("卡号,编号\n1,Ｓ０１\n").account.as_str(), "S01");
    assert_eq!(only("卡号,人员编号\n1,'007\n").account.as_str(), "007");
    for text in ["+5.5", "“5.50”", "０5.50", "'+5.50"] {
        assert_eq!(only(&format!("卡号,余额\n1,{text}\n")).balance, Some(Balance::from_fen(550)), "{text}");
    }
    assert_eq!(only("卡号,日限额\n1,.50\n").terms.day_max, Money::from_fen(50));
    assert_eq!(only("卡号,部门\n1,食堂\n").department, "食堂");
    assert_eq!(only("卡号,次数（次）\n1,３\n").uses, Some(3));
}

#[test]
fn a_restriction_keeps_its_meaning_whatever_its_column_is_called() {
    for heading in ["卡状态", "卡片状态", "状 态", "Card Status", "*状态：", "状态(正常/挂失/冻结/注销)", "status 状态"]
    {
        assert_eq!(only(&format!("卡号,{heading}\n1,挂失\n")).terms.status, CardStatus::Lost, "{heading}");
    }
    for heading in ["卡状况", "卡片状况", "使用状态", "卡使用状态", "使用状态(正常/挂失)"] {
        assert_eq!(only(&format!("卡号,{heading}\n1,挂失\n")).terms.status, CardStatus::Lost, "{heading}");
    }
    assert_eq!(only("卡号,状态\n1,已挂失\n").terms.status, CardStatus::Lost);
    // A heading that restricts nobody is only a warning.
    for heading in ["可用余额", "部门编码", "联系电话", "班级", "班组", "餐次", "卡类型", "capacity", "Indoor"]
    {
        assert!(warnings(&format!("卡号,{heading}\n1,x\n"), &[])[0].contains("is ignored"), "{heading}");
    }
    let until = Date::parse(b"2026-11-29");
    for heading in ["有效期至", "有效期止", "有效期(止)", "Valid To", "valid until", "到期日期"] {
        assert_eq!(only(&format!("卡号,{heading}\n1,2026-11-29\n")).terms.valid_until, until, "{heading}");
    }
    for heading in ["日限", "每日限额", "日限额(元/日)", "Daily Limit"] {
        assert_eq!(only(&format!("卡号,{heading}\n1,20\n")).terms.day_max, Money::from_fen(2000), "{heading}");
    }
    for (heading, named) in [
        ("人员状态", "状态/status"),
        ("是否挂失", "状态/status"),
        ("状况", "状态/status"),
        ("人员状况", "状态/status"),
        ("停用", "状态/status"),
        ("冻结", "状态/status"),
        ("是否禁用", "状态/status"),
        ("已锁定", "状态/status"),
        ("作废标志", "状态/status"),
        ("封禁", "状态/status"),
        ("黑名单", "状态/status"),
        ("Is Locked", "状态/status"),
        ("是否启用", "状态/status or 有效期起/valid_from"),
        ("是否可用", "状态/status or 有效期起/valid_from"),
        ("失效", "有效期起/valid_from or 有效期止/valid_until"),
        ("到期", "有效期起/valid_from or 有效期止/valid_until"),
        ("staus", "状态/status"),
        ("Card-Status-2", "状态/status"),
        ("有效期", "有效期起/valid_from or 有效期止/valid_until"),
        ("vaild_until", "有效期止/valid_until"),
        ("限额", "单笔限额/charge_max or 日限额/day_max"),
        ("月限额", "日限额/day_max"),
        ("day_limit_2", "日限额/day_max"),
        ("透支", "透支额度/credit"),
        ("credits", "透支额度/credit"),
        ("查询密码", "密码/pin"),
        ("PIN2", "密码/pin"),
        ("退卡", "状态/status"),
        ("Lost", "状态/status"),
        ("Is Active", "状态/status"),
        ("Banned", "状态/status"),
        ("终止日", "有效期起/valid_from or 有效期止/valid_until"),
        ("Until", "有效期起/valid_from or 有效期止/valid_until"),
        ("Daily Cap", "单笔限额/charge_max or 日限额/day_max"),
        ("Quota", "单笔限额/charge_max or 日限额/day_max"),
        ("MAX", "单笔限额/charge_max or 日限额/day_max"),
        ("门禁权限", "分组/groups"),
        ("使用范围", "分组/groups"),
        ("时段", "分组/groups"),
        ("消费时段", "分组/groups"),
        ("通行时区", "分组/groups"),
        ("可开门", "分组/groups"),
        ("适用食堂", "分组/groups"),
        ("允许消费", "分组/groups"),
        ("可用餐次", "分组/groups"),
        ("白名单", "分组/groups"),
        ("Access Level", "分组/groups"),
        ("Permissions", "分组/groups"),
        ("Time Zone", "分组/groups"),
        ("Doors", "分组/groups"),
        ("Period", "分组/groups"),
    ] {
        let found = complaints(format!("卡号,{heading}\n1,\n").as_bytes());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("cards.csv:1: ") && found[0].contains(named) && found[0].contains("x_"),
            "{found:?}"
        );
        let own = parsed(&format!("卡号,x_{heading}\n1,\n"));
        assert_eq!(own.warnings, [], "{heading}");
    }
    assert!(warnings("卡号,姓名pinyin\n1,x\n", &[])[0].contains("unknown column"));
}

#[test]
fn a_heading_with_a_unit_that_is_not_ours_is_refused() {
    for (heading, column, words) in [
        ("余额(分)", "余额/balance", "fen: divide them by 100"),
        ("余额（单位：分）", "余额/balance", "fen"),
        ("余额分", "余额/balance", "fen"),
        ("balance (fen)", "余额/balance", "fen"),
        ("balance_cents", "余额/balance", "fen"),
        ("余额(角)", "余额/balance", "tenths"),
        ("余额[万元]", "余额/balance", "multiply"),
        ("日限额(百元)", "日限额/day_max", "multiply"),
        ("余额(美元)", "余额/balance", "not yuan"),
        ("余额(昨日)", "余额/balance", "may change what the column means"),
        ("次数(已用)", "次数/uses", "something else"),
        ("有效期止(不含)", "有效期止/valid_until", "another kind"),
        ("有效期止(dd/mm/yyyy)", "有效期止/valid_until", "another kind"),
        ("密码(MD5)", "密码/pin", "encrypted"),
        ("状态(0正常1挂失)", "状态/status", "may change what the column means"),
    ] {
        let found = complaints(format!("卡号,{heading}\n1,\n").as_bytes());
        assert!(
            found[0].starts_with(&format!("cards.csv:1: column {column}: ")) && found[0].contains(words),
            "{found:?}"
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }
    for (heading, words) in [
        ("卡号(16进制)", "hexadecimal"),
        ("卡号（十六进制）", "hexadecimal"),
        ("card (hex)", "hexadecimal"),
        ("卡号HEX", "hexadecimal"),
        ("16进制卡号", "hexadecimal"),
        ("卡号(8位)", "posgate cards number"),
        ("卡号(韦根26)", "posgate cards number"),
        ("卡号(倒序)", "posgate cards number"),
        ("卡号(旧)", "may change what the column means"),
    ] {
        let found = complaints(format!("{heading}\n12345678\n").as_bytes());
        assert!(found[0].starts_with("cards.csv:1: column 卡号/card: ") && found[0].contains(words), "{found:?}");
    }
    // A column in another unit is ignored beside the same column in ours.
    let file = parsed("卡号,余额(元),余额(分)\n1,5.50,550\n");
    assert_eq!((file.records[0].balance, file.warnings.len()), (Some(Balance::from_fen(550)), 1));
}

#[test]
fn a_value_that_is_not_under_its_heading_is_an_error() {
    for (text, line, words) in [
        // An amount with a comma, also if Excel's empty last column takes the rest.
        ("card,name,balance\n1,A,1,234.50\n", 2, "comma for the thousands"),
        ("card,name,balance,\n1,A,1,234.50\n", 2, "comma for the thousands"),
        ("card,name,balance,\n1,A,12,345,678\n", 2, "comma for the thousands"),
        ("card,balance,name\n1,1,234.50\n", 2, "comma for the thousands"),
        ("card,balance,x_note\n1,￥1,234\n", 2, "comma for the thousands"),
        ("card,balance,uses\n1,1,234,\n", 2, "comma for the thousands"),
        ("card,uses,name\n1,1,000,A\n", 2, "comma for the thousands"),
        ("card,balance,groups\n1,1,234\n", 2, "comma for the thousands"),
        // Others.
        ("card,name,\n1,Smith, J\n", 2, "column 3 has no heading"),
        ("card,,name\n1,x,A\n", 2, "column 2 has no heading"),
        ("card,name\n1,A\n2,B,,x\n", 3, "more fields than the header has"),
        ("card;groups\n1;a;b\n", 2, "a value that holds a ';'"),
        // A number as it is printed on cards.
        ("card,name,status\n077,30211,张三\n", 2, "077,30211, without quotes"),
    ] {
        let found = complaints(text.as_bytes());
        let at = format!("cards.csv:{line}: ");
        assert!(found.iter().any(|found| found.starts_with(&at) && found.contains(words)), "{text:?}: {found:?}");
    }
    let found = complaints(b"card,balance,name,\n1,5,301,x\n");
    assert!(found.iter().any(|found| found.contains("column 4 has no heading")), "{found:?}");
    // Values that are correct as they are.
    assert_eq!(only("card,balance,name\n1,1.00,234\n").balance, Some(Balance::from_fen(100)));
    assert_eq!(only("card,balance,name\n1,1,\"234\"\n").balance, Some(Balance::from_fen(100)));
    assert_eq!(only("card,balance,charge_max\n1,5,100\n").terms.charge_max, Money::from_fen(10_000));
    assert_eq!(only("card,uses,x_room\n1,20,301\n").uses, Some(20));
    // If most rows have a value there, it is a column of rooms; if one row has, it is the rest of
    // its amount.
    let rows = |room: &str| (1..=20).map(|card| format!("{card},{card},{room}\n")).collect::<String>();
    assert_eq!(parsed(&format!("card,balance,班级\n{}21,5,301\n", rows("1302"))).records.len(), 21);
    assert_eq!(parsed(&format!("card,balance,班级\n{}", rows("302"))).records.len(), 20);
    let found = complaints(format!("card,balance,班级\n{}21,1,234\n", rows("")).as_bytes());
    assert!(found[0].starts_with("cards.csv:22: column 余额/balance: with what follows"), "{found:?}");
    assert_eq!(only("card,account,name\n077,30211,A\n").account.as_str(), "30211");
}

#[test]
fn a_quote_in_an_ignored_column_is_read_as_strictly() {
    for (text, line, words) in [
        ("card,x_note\n1,\"open\n2,B\n3,\"C\"\n", 2, "swallows the next lines"),
        ("card,x_note\n1,A\n2,\"open\n", 3, "never closed"),
        ("card,x_note,balance\n1,a\"b,5\n", 2, "a quote within a value"),
        ("card,x_note,balance\n1,\"a\"b,5\n", 2, "text follows the closing quote"),
        ("card\n\"1\n2\n\"\n", 2, "swallows the next lines"),
    ] {
        let found = complaints(text.as_bytes());
        assert!(
            found[0].starts_with(&format!("cards.csv:{line}: ")) && found[0].contains(words),
            "{text:?}: {found:?}"
        );
    }
    let file = parsed("card,x_note,status\n1,\"two\nlines\",lost\n2,,lost\n");
    assert_eq!((file.records.len(), file.records[1].line), (2, 4));
    assert!(file.records.iter().all(|record| record.terms.status == CardStatus::Lost));
    // Lines after it are counted correctly.
    assert!(complaints(b"card,x_note\n1,\"two\r\nlines\"\nx,\n")[0].starts_with("cards.csv:4: "));
}

#[test]
fn a_date_with_one_meaning_is_read_and_any_other_is_named() {
    let day = Date::parse(b"2026-11-09");
    for text in [
        "2026-11-09",
        "2026/11/9",
        "2026.11.09",
        "2026年11月9日",
        "2026年11月09号",
        "20261109",
        "２０２６－１１－０９",
        "2026-11-09 00:00:00",
        "2026/11/9 0:00",
        "2026-11-09T00:00:00",
        "2026-11-09 00:00:00.000",
        "2026年11月9日 0:00:00",
        "'2026-11-09",
        "2026 年 11 月 9 日",
    ] {
        let read = only(&format!("card,valid_until\n1,{text}\n")).terms.valid_until;
        assert_eq!(read, day, "{text}");
    }
    for (text, words) in [
        ("46355", "a spreadsheet's date number, perhaps 2026-11-29"),
        ("46355.0", "perhaps 2026-11-29"),
        ("29/11/2026", "the day comes first: write the year first, as 2026-11-22"),
        ("29.11.2026", "the day comes first"),
        ("11/29/2026", "the month comes first"),
        ("05/06/2026", "may be the day or the month"),
        ("26-11-29", "two digits"),
        ("2026-11", "the day is missing"),
        ("2026年11月", "the day is missing"),
        ("29-Nov-2026", "the month is a word"),
        ("2026-11-29 18:30", "time of day"),
        ("长期", "leave it empty"),
        ("2026-02-30", "a date of the calendar"),
        ("20260230", "a date of the calendar"),
        ("####", "too narrow"),
        ("=TODAY()", "a formula"),
        ("2026", "a date of the calendar"),
    ] {
        let complaint = complaint("valid_until", text);
        assert!(
            complaint.starts_with("cards.csv:2: column 有效期止/valid_until: ") && complaint.contains(words),
            "{complaint}"
        );
    }
}

#[test]
fn an_amount_that_may_mean_two_things_is_named() {
    for (text, words) in [
        ("1,234", "separators of thousands"),
        ("1 234.50", "separators of thousands"),
        ("1\u{A0}234,50", "decimal comma"),
        ("1234,50", "decimal comma"),
        ("1.234,50", "decimal comma"),
        ("1'234.50", "separators of thousands"),
        ("￥5.50", "without a currency"),
        ("5.50元", "without a currency"),
        ("RMB 5", "without a currency"),
        ("550分", "without a unit"),
        ("(5.50)", "brackets mean below zero"),
        ("（5.50）", "brackets mean below zero"),
        ("5.50-", "the minus in front"),
        ("-", "a dash"),
        ("1.5E+03", "a number with two decimals"),
        ("15%", "percentage"),
        ("#VALUE!", "mark of a mistake"),
        ("=A1*2", "a formula"),
        ("5.505", "two decimals"),
        ("12。50", "write a point"),
        ("12.", "write a point"),
    ] {
        for column in ["balance", "charge_max"] {
            let complaint = complaint(column, text);
            assert!(complaint.contains(words), "{text}: {complaint}");
        }
    }
    assert!(complaint("subsidy", "-5.00").contains("0.00"), "{}", complaint("subsidy", "-5.00"));
    assert!(complaint("uses", "1,000").contains("whole number"));
}

#[test]
fn a_card_number_in_another_form_is_named() {
    for (text, words) in [
        ("077,30211", "as it is printed on a card"),
        ("77:30211", "as it is printed on a card"),
        ("077 30211", "as it is printed on a card"),
        ("8A2F00D1", "looks hexadecimal"),
        ("0x8A2F00D1", "looks hexadecimal"),
        ("8a:2f:00:d1", "looks hexadecimal"),
        ("8A2F00D1H", "looks hexadecimal"),
        ("8888 8888 01", "other characters between its digits"),
        ("8888-888-801", "other characters between its digits"),
        ("8.88889E+09", "format the column as text"),
        ("8888888801.00", "format the column as text"),
        ("#N/A", "mark of a mistake"),
        ("No.88", "posgate cards number"),
        ("-88", "write the number as a terminal sends it"),
        ("88;张三", "another delimiter than the headings"),
        ("合计", "adds up the others"),
        ("8888888801，张三，5.50", "full-width commas"),
        ("8888888801，5.50", "full-width commas"),
        ("077，30211", "printed on a card"),
    ] {
        let complaint = complaints(format!("card\n\"{text}\"\n").as_bytes()).remove(0);
        assert!(
            complaint.contains(words) && complaint.starts_with("cards.csv:2: column 卡号/card: "),
            "{text}: {complaint}"
        );
    }
}

#[test]
fn no_message_shows_more_than_four_digits_of_a_card() {
    for text in [
        "card\n卡8888888801\n",
        "card\nx8888888801x\n",
        "card,status\n1,卡8888888801\n",
        "card,balance\n1,x8888888801\n",
        "card,valid_until\n1,x8888888801\n",
        "card,8888888801x\n1,\n",
        "card,状态8888888801\n1,\n",
        "card,余额(8888888801)\n1,\n",
        "8888888801,张三\n",
        "card,status\n1,=\"8888888801\"\n",
        "card,uses\n1,'8888888801x\n",
        "card,groups,account\n1,a8888888801;b,\n",
    ] {
        let shown = match parse(text.as_bytes(), Path::new("cards.csv"), &names(&["a"])) {
            Ok(file) => file.warnings,
            Err(problems) => problems,
        };
        assert!(!shown.is_empty(), "{text}");
        for problem in shown {
            assert!(!problem.to_string().contains("88801"), "{text:?}: {problem}");
        }
    }
}

#[test]
fn a_last_line_without_its_end_is_warned_about() {
    for (text, line) in [("card\n1\n2", 3), ("card\r\n1\r\n2", 3), ("card\r1\r2", 3), ("card", 1)] {
        let found = warnings(text, &[]);
        assert!(
            found.iter().any(|warning| warning.starts_with(&format!("cards.csv:{line}: the last line has no end"))),
            "{found:?}"
        );
    }
    assert_eq!(warnings("card\n1\n", &[]), [""; 0]);
    assert_eq!(warnings("card\n1\r", &[]), [""; 0]);
    assert_eq!(warnings("card\n1\n\x1A", &[]), [""; 0]);
}

#[test]
fn rows_above_the_headings_are_titles_or_an_error() {
    let found = warnings("发卡名单,,\ncard,name\n1,A\n", &[]);
    assert!(
        found[0].starts_with("cards.csv:1: ")
            && found[0].contains("read as a title, because the headings come later: '发卡名单'"),
        "{found:?}"
    );
    let found = warnings("2026年11月29日名单\ncard,name\n1,A\n", &[]);
    assert!(found[0].starts_with("cards.csv:1: ") && found[0].contains("read as a title"), "{found:?}");
    // A year is not a card's number; with one more digit it may be.
    let found = warnings("名单,2026\ncard,name\n1,A\n", &[]);
    assert!(found[0].starts_with("cards.csv:1: ") && found[0].contains("read as a title"), "{found:?}");
    assert!(complaints("名单,20261\ncard,name\n1,A\n".as_bytes())[0].starts_with("cards.csv:1: the first line must"));
    // If the headings are sorted into the middle, or missing, rows are not titles.
    for text in ["8888888801,A\ncard,name\n2,B\n", "name,balance\ncard,name\n1,A\n"] {
        assert!(
            complaints(text.as_bytes())[0].starts_with("cards.csv:1: the first line must name the columns"),
            "{text}"
        );
    }
    let many = format!("{}card\n1\n", "标题\n".repeat(20));
    assert!(complaints(many.as_bytes())[0].starts_with("cards.csv:1: the first line must name the columns"));
    for (text, words) in [
        ("卡号，姓名\n1，A\n", "full-width commas"),
        ("sep=ab\ncard\n1\n", "sep= names one character"),
        ("sep=;\ncard,name\n1,A\n", "not divided by what the line sep= says"),
        ("card|name\n1|A\n", "divide it by commas"),
        ("卡号 姓名\n1 A\n", "divide it by commas"),
    ] {
        let found = complaints(text.as_bytes());
        assert!(found[0].contains(words), "{text:?}: {found:?}");
    }
}

proptest! {
    #![proptest_config(crate::proptest_config())]

    #[test]
    fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        let _ = read(&[b"card,name,pin,groups\n", &bytes[..]].concat());
    }

    #[test]
    fn no_text_of_known_words_panics_the_reader(text in words()) {
        if let Ok(file) = read(text.as_bytes()) {
            describe(&file);
        }
    }
}

/// Texts that resemble a table.
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

#[test]
fn another_systems_word_for_a_state_is_answered_with_the_one_that_it_may_mean() {
    let complaint = |word: &str| {
        let text = format!("card,status\n1,{word}\n");
        parse(text.as_bytes(), Path::new("t"), &Names::default()).unwrap_err()[0].message.clone()
    };
    for (word, meant) in [
        ("退卡", "closed"),
        ("已停用", "frozen"),
        ("停止使用", "frozen"),
        ("Blocked", "frozen"),
        ("卡丢失", "lost"),
        ("使用中", "active"),
    ] {
        assert!(complaint(word).contains(&format!("({meant}?): write active")), "{}", complaint(word));
    }
    for word in ["未启用", "不可用", "1", "ok"] {
        assert!(!complaint(word).contains("?)"), "{}", complaint(word));
    }
    // That a word can be given a meaning is told only where it can.
    assert!(!complaint("退卡").contains("--status"));
}

#[test]
fn every_card_of_an_account_has_the_figures_that_one_row_states() {
    for rows in ["1,A,5.00,2.00,3\n2,A,,,\n", "1,A,,,\n2,A,5.00,2.00,3\n"] {
        let text = format!("card,account,balance,subsidy,uses\n{rows}");
        let file = parse(text.as_bytes(), Path::new("t"), &Names::default()).unwrap();
        for record in &file.records {
            assert_eq!(record.figures().to_string(), "5.00+2.00/3", "{rows:?}");
        }
    }
}

#[test]
fn blank_lines_that_fill_the_window_change_nothing_of_the_rows_around_them() {
    const BLANK_LEN: usize = 90_000;
    for end in ["\n", "\r\n", "\r"] {
        let blank = end.repeat(BLANK_LEN / end.len());
        let row = format!("89;\"a{end}b\";2.00{end}");
        // Windows end at multiples of 16 KiB: one ends at each place of the row.
        let head = |name: &str| format!("{blank}card;name;balance{end}88;{name};1.00{end}{blank}");
        let to_spare = 16_384 - head("").len() % 16_384;
        for before in 0..=row.len() {
            let text = format!("{}{row}{blank}x{end}", head(&"x".repeat(to_spare - before)));
            let line = 3 * (BLANK_LEN / end.len()) + 5;
            let complaints = complaints(text.as_bytes());
            assert_eq!(complaints.len(), 1, "{before}: {complaints:#?}");
            assert!(complaints[0].starts_with(&format!("cards.csv:{line}: ")), "{before}: {complaints:#?}");
        }
    }
}
