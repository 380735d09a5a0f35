use proptest::prelude::*;

use super::options::{Form, SECTIONS};
use super::*;
use crate::engine::gbk;
use crate::engine::model::rules::{ClockTrust, DeviceKind, UnknownDevices};
use crate::engine::model::{Date, DayKind, GroupSet, MachineNo, Money, Reason, TimeOfDay, Weekdays};

/// The text, with the section that every file must have.
fn whole(text: &str) -> String {
    if text.contains("config server") { text.to_owned() } else { format!("{text}\nconfig server\n") }
}

fn parsed(text: &str) -> Settings {
    parse(whole(text).as_bytes(), Path::new("/srv/posgate")).unwrap_or_else(|problems| panic!("{}", listed(&problems)))
}

fn complaints(text: &str) -> Vec<String> {
    let problems = parse(whole(text).as_bytes(), Path::new("posgate")).expect_err("this is wrong");
    problems.iter().map(ToString::to_string).collect()
}

fn warnings(text: &str) -> Vec<String> {
    parsed(text).warnings.iter().map(ToString::to_string).collect()
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_without_options_gives_the_designs_defaults() {
    let settings = defaults();
    assert!(settings.enabled);
    assert_eq!(settings.listen, ["0.0.0.0:39192".parse().expect("an endpoint")]);
    assert_eq!(settings.cards, Path::new("/etc/posgate/cards.csv"));
    assert_eq!(settings.ledger_dir, Path::new("/etc/posgate/ledger"));
    assert_eq!(settings.control.as_deref(), Some(Path::new("/var/run/posgate/ctl.sock")));
    assert_eq!(settings.status.as_deref(), Some(Path::new("/var/run/posgate/status.json")));
    assert_eq!((settings.metrics.as_deref(), settings.timezone.as_deref()), (None, None));
    assert_eq!((settings.site.as_str(), settings.log.as_str()), ("site1", "info"));
    assert_eq!((settings.segment_bytes, settings.reserve_bytes), (1_048_576, 262_144));
    assert!(
        (crate::engine::limits::ROOM_TRIED_LEN as u64) < settings.reserve_bytes,
        "a start may write below the reserve"
    );
    let rules = &settings.rules;
    assert_eq!((rules.unknown_devices, rules.clock), (UnknownDevices::Serve, ClockTrust::Trust));
    assert_eq!((rules.day_start, rules.clock_tolerance_s), (TimeOfDay(0), 30));
    assert_eq!((rules.resend_first_ms, rules.resend_max, rules.door_ttl_ms), (500, 4, 3000));
    assert_eq!((rules.ack_109, rules.same_sale_s, rules.offline_match_s), (false, 30, 120));
    assert_eq!((rules.offline_max, rules.clash_window_s), (Money::from_fen(100_000).expect("small"), 60));
    assert_eq!((rules.rate_source, rules.rate_total), (100, 0));
    assert!(rules.allow.is_empty() && rules.devices.is_empty() && rules.periods.is_empty() && rules.doors.is_empty());
    assert_eq!(rules.texts.display_ok, "20,0,1");
    assert_eq!(rules.texts.display_refused, "20,1,3");
    assert_eq!(rules.texts.reason(Reason::Lost), gbk::encode("此卡已挂失"));
    assert_eq!(rules.texts.card_ok, gbk::encode("卡可正常使用"));
    assert_eq!(rules.texts.charge_ok.0.len(), 5);
    assert!(settings.warnings.is_empty());
}

#[test]
fn every_option_of_the_table_is_read() {
    // A default, or an example of its form, is accepted as the option's value: the table and the
    // code agree.
    for spec in SECTIONS {
        let required = match spec.kind {
            "device" => "option machine 00001\n",
            "period" => "option name lunch\noption from 10:30\noption to 13:30\n",
            "door" => "option machine 00007\noption door 1\n",
            _ => "",
        };
        for option in spec.options.iter().filter(|option| !required.contains(&format!("option {} ", option.key))) {
            let example = match option.form {
                Form::Serial => "1234567890",
                Form::Address => "192.168.1.218",
                Form::Network => "192.168.1.0/24",
                Form::Interface => "br-lan",
                Form::Pin => "1234",
                Form::Zone => "CST-8",
                Form::Money => "12.00",
                Form::Dates => "2026-10-01..2026-10-07",
                Form::Word(words) => words[0],
                _ => option.default.unwrap_or("lan"),
            };
            let keyword = if option.is_list { "list" } else { "option" };
            let needs = if option.key == "price_next" { "option price '9.00'\n" } else { "" };
            let text = format!("config {}\n{required}{needs}{keyword} {} '{example}'\n", spec.kind, option.key);
            let result = parse(whole(&text).as_bytes(), Path::new("posgate"));
            assert!(result.is_ok(), "{text}{}", listed(&result.expect_err("it is wrong")));
        }
    }
}

#[test]
fn every_option_of_the_table_refuses_nonsense_with_its_remedy() {
    for spec in SECTIONS {
        for option in spec.options {
            let nonsense = match option.form {
                Form::Foreign | Form::Path | Form::PathOrNone => continue,
                Form::Label { .. } | Form::Name => "x".repeat(200),
                Form::Template | Form::Words => "a,b".into(),
                _ => "not; this".into(),
            };
            let keyword = if option.is_list { "list" } else { "option" };
            let text = format!("config {}\n{keyword} {} '{nonsense}'\n", spec.kind, option.key);
            let found =
                complaints(&text).into_iter().find(|line| line.starts_with("posgate:2: ") && line.contains(option.key));
            assert!(found.is_some_and(|line| line.contains("write ")), "{text}{:?}", complaints(&text));
        }
    }
}

#[test]
fn a_segment_may_be_as_short_as_a_line_and_a_resend_as_quick_as_a_reply() {
    let text =
        |bytes: u32, ms: u32| format!("config server\noption segment_bytes '{bytes}'\noption resend_first_ms '{ms}'\n");
    let settings = parsed(&text(1024, 10));
    assert_eq!((settings.segment_bytes, settings.rules.resend_first_ms), (1024, 10));
    assert_eq!(complaints(&text(1023, 9)).len(), 2);
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let settings = parsed(
        "config server\noption cards 'cards.csv'\noption ledger_dir 'data/ledger'\noption control ''\noption metrics '/tmp/m'",
    );
    assert_eq!(settings.cards, Path::new("/srv/cards.csv"));
    assert_eq!(settings.ledger_dir, Path::new("/srv/data/ledger"));
    assert_eq!(settings.control, None);
    assert_eq!(settings.metrics.as_deref(), Some(Path::new("/tmp/m")));
    let here = parse(b"config server\noption cards cards.csv", Path::new("posgate")).expect("valid");
    assert_eq!(here.cards, Path::new("cards.csv"));
}

#[test]
fn devices_periods_and_doors_are_read_with_their_names() {
    let settings = parsed(
        "config device\n option machine '00002'\n option name '一食堂 3 号窗'\n option serial '1234567890'\n \
         option address '192.168.1.218'\n list place 'canteen'\n list group 'staff'\n list group 'guest'\n\
         config device\n option machine '00007'\n option kind 'board'\n\
         config period\n option name 'late'\n option from '22:00'\n option to '02:00'\n list place 'canteen'\n \
         option uses_max '1'\n option price '12.00'\n option price_next '18.00'\n option days '6-7'\n\
         config door\n option machine '7'\n option door '1'\n list group 'staff'\n option days '1-5'\n \
         option pin 'card'\n option open_pin '2468'\n option passback_s '10'\n",
    );
    assert_eq!(settings.warnings, []);
    let rules = &settings.rules;
    let device = rules.device(MachineNo::from_value(2)).expect("registered");
    assert_eq!((device.name.as_str(), device.kind), ("一食堂 3 号窗", DeviceKind::Pos));
    assert_eq!(device.name_gbk, gbk::encode("一食堂 3 号窗"));
    assert_eq!(device.serial.as_deref(), Some("1234567890"));
    assert_eq!(device.groups, GroupSet(0b11));
    assert_eq!(rules.device(MachineNo::from_value(7)).expect("registered").kind, DeviceKind::Board);
    let period = &rules.periods[0];
    assert_eq!((period.name.as_str(), period.from, period.to), ("late", TimeOfDay(79_200), TimeOfDay(7200)));
    assert_eq!((period.places, period.groups, period.uses_max), (GroupSet(1), GroupSet(0), 1));
    assert_eq!((period.price, period.price_next), (Money::from_fen(1200), Money::from_fen(1800)));
    assert_eq!(period.days, Weekdays(0b110_0000));
    let door = &rules.doors[0];
    assert_eq!((door.machine, door.door, door.days), (MachineNo::from_value(7), 1, Weekdays(0b1_1111)));
    assert_eq!((door.groups, door.card_pin, door.passback_s), (GroupSet(1), true, 10));
    assert_eq!((door.from, door.to), (TimeOfDay(0), TimeOfDay(86_400)));
    assert!(door.open_pin.is_some());
    assert_eq!((door.relay_s, door.left_open_s), (5, 20));
}

#[test]
fn texts_and_reasons_are_replaced() {
    let settings = parsed(
        "config text\n option charge_ok '$name'\n option reason_not_yet_valid '太早'\n option card_ok '好'\n\
         config text\n option display_ok '10, 0, 2'\n",
    );
    let texts = &settings.rules.texts;
    assert_eq!(texts.charge_ok.0.len(), 1);
    assert_eq!(texts.reason(Reason::NotYetValid), gbk::encode("太早"));
    assert_eq!(texts.card_ok, gbk::encode("好"));
    assert_eq!(texts.display_ok, "10,0,2");
}

#[test]
fn all_problems_are_listed_at_once_in_the_files_order() {
    let complaints = complaints(
        "config server\n\
         option resend_frist_ms '500'\n\
         option resend_max '11'\n\
         option log 'info'\n\
         option log 'debug'\n\
         list day_start '00:00'\n\
         option listen '0.0.0.0'\n\
         config sever\n\
         config server\n\
         config text\n\
         option charge_ok 'a,b'\n\
         option reason_no_such 'x'\n",
    );
    let begins = [
        "posgate:2: config server has no 'resend_frist_ms': did you mean resend_first_ms?",
        "posgate:3: resend_max '11': write a whole number from 0 to 10",
        "posgate:5: log is in line 4 already",
        "posgate:6: day_start is not a list: write option day_start",
        "posgate:7: listen is a list: write list listen",
        "posgate:8: unknown section type 'sever': did you mean server?",
        "posgate:9: a second config server: put its options into the one in line 1",
        "posgate:11: charge_ok: a comma would divide the frame",
        "posgate:12: config text has no 'reason_no_such': write one of ",
    ];
    assert_eq!(complaints.len(), begins.len(), "{complaints:#?}");
    for (complaint, begin) in complaints.iter().zip(begins) {
        assert!(complaint.starts_with(begin), "{complaint} / {begin}");
    }
}

#[test]
fn missing_and_contradictory_options_are_named() {
    let complaints = complaints(
        "config device\n\
         option name 'x'\n\
         config device\n\
         option machine '00002'\n\
         config device\n\
         option machine '2'\n\
         config period 'p'\n\
         option name 'lunch'\n\
         option from '10:00'\n\
         option to '10:00'\n\
         config door 'p'\n\
         option machine '00007'\n",
    );
    let begins = [
        "posgate:1: config device needs option machine",
        "posgate:5: machine 2 is registered in line 3 already",
        "posgate:10: from and to are equal",
        "posgate:11: the section name 'p' is taken by line 7",
        "posgate:11: config door needs option door",
    ];
    assert_eq!(complaints.len(), begins.len(), "{complaints:#?}");
    for begin in begins {
        assert!(complaints.iter().any(|complaint| complaint.starts_with(begin)), "{begin}: {complaints:#?}");
    }
}

#[test]
fn a_line_break_lost_in_double_quotes_is_an_error() {
    let complaints = complaints("config text\noption charge_ok \"$name\\n\"\n");
    assert_eq!(complaints, [r"posgate:2: charge_ok: in double quotes UCI reads \n as n: write single quotes"]);
}

#[test]
fn names_that_begin_with_x_are_never_read() {
    let settings = parsed(
        "config x_mine 'a'\n option anything 'y'\n list anything 'z'\n\
         config server\n option x_note 'two\nlines'\n list x_note 'again'\n",
    );
    assert_eq!(settings.warnings, []);
}

#[test]
fn the_same_address_twice_is_refused() {
    let complaints = complaints("config server\nlist listen '127.0.0.1'\nlist listen '127.0.0.1:39192'\n");
    assert_eq!(complaints, ["posgate:3: listen is in line 2 already: remove one"]);
    for (one, other) in [("0.0.0.0", "192.168.1.1"), ("127.0.0.1:5000", "0.0.0.0:5000")] {
        let complaints = self::complaints(&format!("config server\nlist listen '{one}'\nlist listen '{other}'\n"));
        let begin = format!("posgate:3: listen '{other}' and '{one}' of line 2 exclude each other: ");
        assert!(complaints.len() == 1 && complaints[0].starts_with(&begin), "{complaints:?}");
    }
    for fine in [["0.0.0.0:5000", "192.168.1.1"], ["192.168.1.1", "192.168.1.2"], ["0.0.0.0:0", "127.0.0.1:0"]] {
        let [one, other] = fine;
        let settings = parsed(&format!("config server\nlist listen '{one}'\nlist listen '{other}'\n"));
        assert_eq!(settings.listen.len(), 2, "{fine:?}");
    }
}

#[test]
fn a_pin_is_in_no_message() {
    let text = "config door\noption machine 1\noption door 1\noption open_pin '123456789'\noption pin '12345678'\n\
                option opne_pin '12345678'\noption open_pin 1234 5678\n";
    for complaint in complaints(text) {
        assert!(!complaint.contains("1234"), "{complaint}");
    }
    let settings = parsed("config door\noption machine 1\noption door 1\noption open_pin 2468\n");
    assert!(!format!("{settings:?}").contains("2468"));
}

#[test]
fn doubtful_settings_are_warned_about_and_served() {
    let found = warnings(
        "config device\n option machine 1\n option serial aaaa111111\n\
         config device\n option machine 2\n option serial AAAA111111\n option kind board\n\
         config period\n option name lunch\n option from 10:00\n option to 11:00\n list place canten\n\
         config door\n option machine 1\n option door 1\n\
         config door\n option machine 70\n option door 1\n\
         config text\n option declined '😀'\n",
    );
    let parts = ["same serial", "no device is at place 'canten'", "is a pos by line 1", "mistyped", "lack '😀'"];
    assert_eq!(found.len(), parts.len(), "{found:#?}");
    for part in parts {
        assert!(found.iter().any(|warning| warning.contains(part)), "{part}: {found:#?}");
    }
}

#[test]
fn a_file_that_is_not_utf8_is_named() {
    let problems = parse(b"config server\noption site '\xD5\xC5'\nfoo\n", Path::new("posgate")).expect_err("GBK");
    assert!(problems[0].message.contains("not UTF-8") && problems[0].line == 2);
    assert_eq!(problems.last().expect("another").line, 3);
    assert!(parse(b"config server\r\n\toption log 'warn'\r\n", Path::new("posgate")).is_ok());
}

#[test]
fn a_file_without_its_server_section_or_with_a_mark_before_it_is_refused() {
    let first = |bytes: &[u8]| parse(bytes, Path::new("posgate")).expect_err("it is wrong")[0].to_string();
    for text in [
        "",
        "\n",
        "# config server\n",
        "config device\noption machine 3\n",
        "config x_server 'main'\n",
        "config text 'server'\n",
    ] {
        assert!(first(text.as_bytes()).starts_with("posgate: there is no section config server"), "{text:?}");
    }
    assert!(first(b"\xEF\xBB\xBFconfig server 'main'\n").starts_with("posgate:1: a byte order mark"));
    // Further marks are read as before.
    assert!(parse(b"package posgate\n\nconfig server\n", Path::new("posgate")).is_ok());
}

#[test]
fn a_last_line_without_its_end_is_warned_about() {
    let warnings = warnings("config server\noption rate_source 10");
    assert_eq!(
        warnings,
        ["posgate:2: the last line has no end: look whether the file was cut short, then end the line"]
            .map(|line| line.replace("posgate:", "/srv/posgate:"))
    );
    assert!(parsed("config server\noption rate_source 10\n").warnings.is_empty());
}

#[test]
fn a_missing_file_says_what_to_do() {
    let problems = load(Path::new("/nonexistent/posgate")).expect_err("there is none");
    assert!(problems[0].to_string().starts_with("/nonexistent/posgate: cannot read the configuration: "));
}

#[test]
fn too_many_groups_and_sections_are_refused() {
    let groups: Vec<String> = (0..65).map(|group| format!("list group g{group}\n")).collect();
    let text = format!("config device\noption machine 1\n{}", groups.concat());
    assert!(complaints(&text)[0].contains("more than 64 different group names"));
    let periods = "config period\noption name a\noption from 01:00\noption to 02:00\n".repeat(66);
    assert_eq!(complaints(&periods).len(), 1, "one problem, not one a section");
}

#[test]
fn the_example_is_read_without_a_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/example/posgate");
    let settings = load(&path).unwrap_or_else(|problems| panic!("{}", listed(&problems)));
    assert_eq!(listed(&settings.warnings), "");
    assert_eq!((settings.rules.devices.len(), settings.rules.periods.len(), settings.rules.doors.len()), (4, 2, 2));
    // `posgate-sim day` plays at any hour: the two periods leave no gap.
    let (lunch, dinner) = (&settings.rules.periods[0], &settings.rules.periods[1]);
    assert_eq!((lunch.to, dinner.to), (dinner.from, TimeOfDay(86_400)));
    assert_eq!(lunch.from, TimeOfDay(0));
}

/// What is wrong with a calendar whose first setting stands in line 3.
fn calendar_complaints(settings: &str) -> Vec<String> {
    complaints(&format!("config server\nconfig calendar\n{settings}\n"))
}

#[test]
fn the_ranges_of_all_calendars_add_up() {
    let settings = parsed(
        "config calendar\n list off '2026-10-01..2026-10-07'\n list work '2026-10-10'\n\
         config calendar 'next'\n list off '2027-01-01'\n\
         config period\n option name a\n option from 10:00\n option to 11:00\n option days '1-5'\n",
    );
    assert_eq!(settings.warnings, []);
    let kind = |day: &str| settings.rules.calendar.kind(Date::parse(day.as_bytes()).expect("a date"));
    let kinds = ["2026-09-30", "2026-10-01", "2026-10-07", "2026-10-08", "2026-10-10", "2027-01-01"].map(kind);
    assert_eq!(kinds, [None, Some(DayKind::Off), Some(DayKind::Off), None, Some(DayKind::Work), Some(DayKind::Off)]);
    assert!(parsed("config calendar\n").rules.calendar.is_empty());
}

#[test]
fn a_calendar_day_that_is_no_date_is_refused_with_what_to_write() {
    let wanted =
        "write a date that exists, such as 2026-10-10, or the first and the last one, such as 2026-10-01..2026-10-07";
    for wrong in ["2026-02-30", "2026-10-01-07", "2026-10-01..", "tomorrow", "20261001"] {
        let complaints = calendar_complaints(&format!("list off '{wrong}'"));
        assert_eq!(complaints, [format!("posgate:3: off '{wrong}': {wanted}")]);
    }
    assert_eq!(calendar_complaints("option off '2026-10-01'"), ["posgate:3: off is a list: write list off 'VALUE'"]);
}

#[test]
fn a_calendar_range_that_runs_backwards_or_over_a_year_is_refused() {
    assert_eq!(
        calendar_complaints("list off '2026-10-07..2026-10-01'"),
        ["posgate:3: off '2026-10-07..2026-10-01': the last day is before the first: write 2026-10-01..2026-10-07"]
    );
    assert_eq!(
        calendar_complaints("list off '2026-10-01..2027-10-02'"),
        [
            "posgate:3: off '2026-10-01..2027-10-02': 367 days, more than a year: is a year mistyped? for so many days write several ranges"
        ]
    );
    let year = "config calendar\n list off '2026-10-01..2027-10-01'\n\
                config period\n option name a\n option from 10:00\n option to 11:00\n option days '1-5'\n";
    assert!(parsed(year).warnings.is_empty());
}

#[test]
fn calendar_days_that_overlap_are_refused() {
    assert_eq!(
        calendar_complaints("list off '2026-10-01..2026-10-07'\nlist work '2026-10-07..2026-10-10'"),
        [
            "posgate:4: work '2026-10-07..2026-10-10': 2026-10-07 is off by line 3: a day is off or worked, so remove it from one of the two"
        ]
    );
    assert_eq!(
        calendar_complaints("list work '2026-10-10'\nconfig calendar\nlist work '2026-10-01..2026-10-10'"),
        [
            "posgate:5: work '2026-10-01..2026-10-10': 2026-10-10 is in line 3 already: is one of the two mistyped? write each day once"
        ]
    );
    // Neighbours have no day in common; a wrong range makes no second complaint.
    let neighbours = "list off '2026-10-01..2026-10-07'\nlist work '2026-10-08'\nlist off '2026-10-09..2026-10-08'\nlist work '2026-10-09'";
    assert_eq!(calendar_complaints(neighbours).len(), 1);
}

#[test]
fn a_calendar_has_at_most_128_ranges() {
    let day = |number: usize| format!("list off '{}'\n", Date(20_000 + 2 * i32::try_from(number).expect("few")));
    let lines = |count: usize| (0..count).map(day).collect::<String>();
    assert_eq!(
        calendar_complaints(&lines(130)),
        ["posgate:131: too many dates in the calendar: at most 128 fit; remove those of past years"]
    );
    parsed(&format!("config calendar\n{}", lines(128)));
}

#[test]
fn a_calendar_that_moves_nothing_is_warned_about() {
    let text = "config calendar\n list off '2026-10-01'\n\
                config period\n option name a\n option from 10:00\n option to 11:00\n";
    assert_eq!(
        warnings(text),
        [
            "/srv/posgate:1: no period and no door has days other than 1-7, so the calendar changes nothing: write option days '1-5' where a holiday counts"
        ]
    );
    assert!(warnings(&format!("{text} option days '1-6'\n")).is_empty());
    let door = "config door\n option machine 7\n option door 1\n option days '1-5'\n";
    assert!(warnings(&format!("{text}{door}")).is_empty());
}

#[test]
fn a_calendar_of_past_years_only_is_warned_about() {
    let settings = parsed(
        "config calendar\n list work '2026-10-10'\n list off '2026-10-01..2026-10-07'\n\
         config period\n option name a\n option from 10:00\n option to 11:00\n option days '1-5'\n",
    );
    let warning = |today: &str| {
        let today = Date::parse(today.as_bytes()).expect("a date");
        settings.calendar_ended(today).map(|problem| problem.to_string())
    };
    assert_eq!([warning("2025-01-01"), warning("2026-12-31")], [None, None]);
    assert_eq!(
        warning("2027-01-01").as_deref(),
        Some(
            "/srv/posgate:3: the calendar ends with 2026-10-10: from then on every day is what its weekday says; add this year's holidays and the days worked instead, or remove it"
        )
    );
    assert_eq!(defaults().calendar_ended(Date(20_000)), None);
}

#[test]
fn a_price_of_second_meals_without_a_price_is_refused() {
    let period = "config server\nconfig period\noption name a\noption from 10:00\noption to 11:00\n";
    assert_eq!(
        complaints(&format!("{period}option price_next '18.00'\n")),
        [
            "posgate:6: price_next without price: the first meal would take one of the card's uses; write option price too, such as '12.00', or remove price_next"
        ]
    );
    parsed(&format!("{period}option price_next '18.00'\noption price '12.00'\n"));
    // LuCI leaves an empty option behind.
    parsed(&format!("{period}option price_next ''\n"));
    // A wrong price is one problem.
    assert_eq!(complaints(&format!("{period}option price '12,00'\noption price_next '18.00'\n")).len(), 1);
}

proptest! {
    #![proptest_config(crate::proptest_config())]

    #[test]
    fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, Path::new("posgate"));
    }

    #[test]
    fn no_text_of_known_words_panics_the_reader(text in words()) {
        let _ = parse(text.as_bytes(), Path::new("posgate"));
    }

    #[test]
    fn what_uci_quotes_is_read_back(value in "\\PC{0,40}") {
        let text = format!("config x_a\n\toption b '{}'\n", value.replace('\'', r"'\''"));
        let mut problems = Problems::new(Path::new("posgate"));
        let sections = uci::read(&text, &mut problems);
        prop_assert!(problems.is_empty());
        prop_assert_eq!(&sections[0].settings[0].value, &value);
    }
}

/// Texts that resemble a configuration.
fn words() -> impl Strategy<Value = String> {
    let keys = SECTIONS.iter().flat_map(|spec| spec.options.iter().map(|option| option.key));
    let words: Vec<&str> =
        ["config ", "option ", "list ", "\n", "\n", "'", "\"", "\\", "#", ";", " ", "$", ",", "x_", "reason_lost"]
            .into_iter()
            .chain(["0", "1", "24:00", "00:00", "1-7", "0.0.0.0", "/33", "食堂", "$name", "\u{1}", "99999999999"])
            .chain(SECTIONS.iter().map(|spec| spec.kind))
            .chain(keys)
            .collect();
    proptest::collection::vec(proptest::sample::select(words), 0..60).prop_map(|words| words.concat())
}
