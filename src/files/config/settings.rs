//! From sections to [`Settings`]: reads every option by its form, then checks options against each
//! other.
//!
//! After a problem it goes on with the option's default, so that one run shows all problems.

use std::net::SocketAddrV4;
use std::path::Path;

use super::options::{
    CALENDAR, DEVICE, DOOR, FOREIGN_PREFIX, Form, OptionSpec, PERIOD, REASON_PREFIX, SECTIONS, SERVER, SectionSpec,
    TEXT,
};
use super::uci::{Section, Setting};
use super::{Settings, texts, values};
use crate::engine::gbk;
use crate::engine::limits::{CALENDAR_RANGES_MAX, GROUPS_MAX, NAME_LEN_MAX};
use crate::engine::model::rules::{
    ClockTrust, DeviceKind, DeviceRule, DoorRule, Names, Period, Rules, Template, Texts, UnknownDevices,
};
use crate::engine::model::{Calendar, Date, DayKind, DayRange, GroupSet, MachineNo, Reason, TimeOfDay, Weekdays};
use crate::files::problem::{Problems, did_you_mean, nearest, quoted};
use crate::lang::tr;

/// The build date that `build.rs` sets. An earlier clock is not believed (design.md, section 11).
const BUILT_ON: Option<&str> = option_env!("POSGATE_BUILT_ON");

/// The longest path that a socket can have on Linux, less its closing zero byte.
const SOCKET_PATH_LEN_MAX: usize = 107;

/// Days of one range of the calendar: a longer one likely has a mistyped year, and would close a
/// canteen, or a door, until somebody notices.
const CALENDAR_RANGE_DAYS_MAX: i64 = 366;

/// Reads the sections of one file. The settings are valid only if `problems` stays empty.
pub(super) fn assemble(
    sections: &[Section],
    file: &Path,
    crc: u32,
    problems: &mut Problems,
    warnings: &mut Problems,
) -> Settings {
    check_sections(sections, problems);
    let mut groups = Names::default();
    let mut places = Names::default();
    let texts = read_texts(&mut SectionReader::new(TEXT, 0, sections_of(sections, TEXT), problems), warnings);
    let mut server = SectionReader::new(SERVER, 0, sections_of(sections, SERVER).take(1), problems);
    let mut settings = read_server(&mut server, texts, file, crc);
    // The options of these sections have different names.
    let others = sections_of(sections, TEXT).chain(sections_of(sections, CALENDAR));
    let others = others.flat_map(|section| &section.settings);
    settings.lines.extend(others.map(|setting| (setting.key.clone(), setting.line)));
    let devices: Vec<(u32, DeviceRule)> = sections_of(sections, DEVICE)
        .filter_map(|section| {
            let mut reader = SectionReader::new(DEVICE, section.line, [section], problems);
            Some((section.line, read_device(&mut reader, &mut groups, &mut places, warnings)?))
        })
        .collect();
    let periods: Vec<(u32, Period)> = sections_of(sections, PERIOD)
        .filter_map(|section| {
            let mut reader = SectionReader::new(PERIOD, section.line, [section], problems);
            Some((section.line, read_period(&mut reader, &mut groups, &mut places)?))
        })
        .collect();
    let doors: Vec<(u32, DoorRule)> = sections_of(sections, DOOR)
        .filter_map(|section| {
            let mut reader = SectionReader::new(DOOR, section.line, [section], problems);
            Some((section.line, read_door(&mut reader, &mut groups)?))
        })
        .collect();
    let calendar = SectionReader::new(CALENDAR, 0, sections_of(sections, CALENDAR), problems).calendar();

    check_devices(&devices, problems, warnings);
    check_periods(&periods, &devices, &places, warnings);
    check_doors(&doors, &devices, warnings);
    let is_every_day = periods.iter().map(|(_, period)| period.days).chain(doors.iter().map(|(_, door)| door.days));
    if !calendar.is_empty() && is_every_day.into_iter().all(Weekdays::is_every) {
        let line = sections_of(sections, CALENDAR).next().map_or(0, |section| section.line);
        warnings.add(
            line,
            tr(
                "no period and no door has days other than 1-7, so the calendar changes nothing: write option days '1-5' where a holiday counts",
                "餐段和门的 days 都是 1-7，日历不起作用：放假要停的地方请写 option days '1-5'",
            ),
        );
    }
    if let Some(control) = &settings.control
        && control.as_os_str().len() > SOCKET_PATH_LEN_MAX
    {
        let message = tr!(
            "the path of control is too long for a socket: at most {SOCKET_PATH_LEN_MAX} bytes",
            "control 的路径太长，做不了套接字：至多 {SOCKET_PATH_LEN_MAX} 字节"
        );
        warnings.add(settings.line_of("control", 0), message);
    }

    settings.rules.devices = devices.into_iter().map(|(_, device)| device).collect();
    settings.rules.periods = periods.into_iter().map(|(_, period)| period).collect();
    settings.rules.doors = doors.into_iter().map(|(_, door)| door).collect();
    settings.rules.calendar = calendar;
    settings.rules.groups = groups;
    settings.rules.places = places;
    settings
}

fn sections_of<'a>(sections: &'a [Section], spec: &'static SectionSpec) -> impl Iterator<Item = &'a Section> {
    sections.iter().filter(|section| section.kind == spec.kind)
}

/// Checks types, counts and names of sections.
fn check_sections(sections: &[Section], problems: &mut Problems) {
    for (index, section) in sections.iter().enumerate() {
        if section.kind.starts_with(FOREIGN_PREFIX) {
            continue;
        }
        let Some(spec) = SECTIONS.iter().find(|spec| spec.kind == section.kind) else {
            let known = SECTIONS.iter().map(|spec| spec.kind);
            let kind = quoted(&section.kind);
            problems.add(
                section.line,
                tr!("unknown section type {kind}: {}", "没有 {kind} 这种段：{}", advice(&section.kind, known)),
            );
            continue;
        };
        let before = &sections[..index];
        let count = before.iter().filter(|other| other.kind == section.kind).count();
        match spec.count_max {
            Some(1) if count > 0 => {
                let first = before.iter().find(|other| other.kind == section.kind).map_or(0, |first| first.line);
                let kind = spec.kind;
                problems.add(
                    section.line,
                    tr!(
                        "a second config {kind}: put its options into the one in line {first}",
                        "又一个 config {kind}：把它的选项写到第 {first} 行那一段里"
                    ),
                );
            }
            // Only the first section beyond the limit is reported.
            Some(count_max) if count == count_max => {
                problems.add(
                    section.line,
                    tr!(
                        "too many config {} sections: at most {count_max} fit",
                        "config {} 段太多：至多 {count_max} 段",
                        spec.kind
                    ),
                );
            }
            Some(_) | None => (),
        }
        if let Some(name) = &section.name
            && let Some(first) = before.iter().find(|other| other.name.as_ref() == Some(name))
        {
            let message = tr!(
                "the section name {} is taken by line {}: choose another",
                "段名 {} 已经在第 {} 行用了：换一个",
                quoted(name),
                first.line
            );
            problems.add(section.line, message);
        }
    }
}

fn read_server(server: &mut SectionReader<'_>, texts: Texts, file: &Path, crc: u32) -> Settings {
    let directory = file.parent().unwrap_or_else(|| Path::new(""));
    let path = |server: &mut SectionReader<'_>, key| {
        server.read(key, |value| (!value.is_empty()).then(|| directory.join(value)))
    };
    let path_or_none = |server: &mut SectionReader<'_>, key| {
        let value = server.read(key, |value| Some(value.to_owned()))?;
        (!value.is_empty()).then(|| directory.join(value))
    };
    let rules = Rules {
        allow: server.read_list("allow", values::network),
        unknown_devices: server
            .word("unknown_devices", &[("serve", UnknownDevices::Serve), ("quarantine", UnknownDevices::Quarantine)]),
        clock: server.word("clock", &[("trust", ClockTrust::Trust), ("ntp", ClockTrust::Ntp)]),
        day_start: server.read("day_start", values::time).unwrap_or_default(),
        clock_tolerance_s: server.number("clock_tolerance_s"),
        resend_first_ms: server.number("resend_first_ms"),
        resend_max: u8::try_from(server.number("resend_max")).unwrap_or(u8::MAX),
        door_ttl_ms: server.number("door_ttl_ms"),
        ack_109: server.flag("ack_109"),
        same_sale_s: server.number("same_sale_s"),
        offline_match_s: server.number("offline_match_s"),
        offline_max: server.read("offline_max", values::money).unwrap_or_default(),
        clash_window_s: server.number("clash_window_s"),
        pin_tries: server.number("pin_tries"),
        rate_source: server.number("rate_source"),
        rate_total: server.number("rate_total"),
        devices: Vec::new(),
        periods: Vec::new(),
        doors: Vec::new(),
        calendar: Calendar::default(),
        texts,
        groups: Names::default(),
        places: Names::default(),
        built_on: built_on(),
    };
    let cards = path(server, "cards").unwrap_or_default();
    let identity = path(server, "identity").unwrap_or_else(|| cards.with_file_name("identity"));
    let listen = server.read_list("listen", values::endpoint);
    server.refuse_repeated("listen", &listen);
    server.refuse_clashing_listen(&listen);
    let bind_devices = server.read_list("bind_device", values::interface);
    server.refuse_repeated("bind_device", &bind_devices);
    Settings {
        file: file.to_owned(),
        lines: server.settings.iter().map(|setting| (setting.key.clone(), setting.line)).collect(),
        crc,
        enabled: server.flag("enabled"),
        listen,
        bind_devices,
        cards,
        identity,
        ledger_dir: path(server, "ledger_dir").unwrap_or_default(),
        site: server.label("site").unwrap_or_default(),
        timezone: server.read("timezone", values::zone),
        segment_bytes: server.number("segment_bytes").into(),
        reserve_bytes: server.number("reserve_bytes").into(),
        keep_days: server.number("keep_days"),
        may_offices_order: !server.read_list("office_may", |word| (word == "orders").then_some(())).is_empty(),
        control: path_or_none(server, "control"),
        status: path_or_none(server, "status"),
        metrics: path_or_none(server, "metrics"),
        log: server.word("log", &["error", "warn", "info", "debug", "trace"].map(|word| (word, word))).to_owned(),
        rules,
        warnings: Vec::new(),
    }
}

/// `None` without a machine number: then nothing can be checked against the device.
fn read_device(
    reader: &mut SectionReader<'_>,
    groups: &mut Names,
    places: &mut Names,
    warnings: &mut Problems,
) -> Option<DeviceRule> {
    let name = reader.label("name").unwrap_or_default();
    let name_gbk = gbk::encode_data(&name, NAME_LEN_MAX);
    if gbk::decode(&name_gbk) != name.trim() {
        let line = reader.line_of("name");
        let shown = gbk::decode(&name_gbk);
        warnings.add(
            line,
            tr!("displays will show the name {} as {}", "名称 {} 在显示屏上会显示成 {}", quoted(&name), quoted(&shown)),
        );
    }
    let rule = DeviceRule {
        machine: MachineNo::from_value(0),
        name,
        name_gbk,
        serial: reader.read("serial", values::serial),
        address: reader.read("address", |value| value.parse().ok()),
        kind: reader.word("kind", &[("pos", DeviceKind::Pos), ("board", DeviceKind::Board)]),
        places: reader.names("place", places),
        groups: reader.names("group", groups),
        subsidy: reader.flag("subsidy"),
    };
    let machine = reader.required("machine", |value| MachineNo::parse(value.as_bytes()))?;
    Some(DeviceRule { machine, ..rule })
}

/// `None` without a name or times.
fn read_period(reader: &mut SectionReader<'_>, groups: &mut Names, places: &mut Names) -> Option<Period> {
    let name = reader.required("name", values::account_id);
    let from = reader.required("from", values::time);
    let to = reader.required("to", values::time_end);
    reader.refuse_empty_span(from, to);
    let days = reader.read("days", values::days);
    let places = reader.names("place", places);
    let groups = reader.names("group", groups);
    let uses_max = reader.number("uses_max");
    let price = reader.read("price", values::money);
    let price_next = reader.read("price_next", values::money);
    reader.refuse_next_without_price();
    let subsidy = reader.flag("subsidy");
    let (name, from, to, days) = (name?, from?, to?, days?);
    Some(Period { name, from, to, days, places, groups, uses_max, price, price_next, subsidy })
}

/// `None` without a board or a door.
fn read_door(reader: &mut SectionReader<'_>, groups: &mut Names) -> Option<DoorRule> {
    let machine = reader.required("machine", |value| MachineNo::parse(value.as_bytes()));
    let (min, max) = reader.bounds("door");
    let door = reader.required("door", |value| values::number(value, min, max));
    let from = reader.read("from", values::time);
    let to = reader.read("to", values::time_end);
    reader.refuse_empty_span(from, to);
    let groups = reader.names("group", groups);
    let days = reader.read("days", values::days);
    let card_pin = reader.word("pin", &[("none", false), ("card", true)]);
    let open_pin = reader.read("open_pin", values::pin);
    let (passback_s, relay_s) = (reader.number("passback_s"), reader.number("relay_s"));
    let left_open_s = reader.number("left_open_s");
    Some(DoorRule {
        machine: machine?,
        door: door?,
        groups,
        from: from?,
        to: to?,
        days: days?,
        card_pin,
        open_pin,
        passback_s,
        relay_s,
        left_open_s,
    })
}

fn read_texts(reader: &mut SectionReader<'_>, warnings: &mut Problems) -> Texts {
    reader.warn_of_texts(warnings);
    Texts {
        charge_ok: reader.template("charge_ok"),
        meal_ok: reader.template("meal_ok"),
        scan_ok: reader.template("scan_ok"),
        inquiry: reader.template("inquiry"),
        declined: reader.template("declined"),
        admitted: reader.template("admitted"),
        refused: reader.template("refused"),
        display_ok: reader.read("display_ok", values::trailer).unwrap_or_default(),
        display_declined: reader.read("display_declined", values::trailer).unwrap_or_default(),
        display_inquiry: reader.read("display_inquiry", values::trailer).unwrap_or_default(),
        display_admitted: reader.read("display_admitted", values::trailer).unwrap_or_default(),
        display_refused: reader.read("display_refused", values::trailer).unwrap_or_default(),
        reasons: Reason::ALL.iter().map(|reason| reader.words(&reason_key(*reason), reason.text())).collect(),
        card_ok: reader.words("card_ok", crate::engine::model::reason::CARD_OK_TEXT),
    }
}

fn reason_key(reason: Reason) -> String {
    format!("{REASON_PREFIX}{}", reason.word().replace('-', "_"))
}

fn check_devices(devices: &[(u32, DeviceRule)], problems: &mut Problems, warnings: &mut Problems) {
    for (index, (line, device)) in devices.iter().enumerate() {
        let before = &devices[..index];
        if let Some((first, _)) = before.iter().find(|(_, other)| other.machine == device.machine) {
            let machine = device.machine;
            let message = tr!(
                "machine {machine} is registered in line {first} already: remove one of the two",
                "机号 {machine} 已在第 {first} 行登记：去掉其中一个"
            );
            problems.add(*line, message);
        } else if let Some((first, other)) =
            before.iter().find(|(_, other)| device.serial.is_some() && other.serial == device.serial)
        {
            let (machine, other) = (device.machine, other.machine);
            let message = tr!(
                "machines {other} (line {first}) and {machine} have the same serial: is one mistyped?",
                "机号 {other}（第 {first} 行）与 {machine} 的硬件号相同：是不是写错了一个？"
            );
            warnings.add(*line, message);
        }
    }
}

fn check_periods(periods: &[(u32, Period)], devices: &[(u32, DeviceRule)], places: &Names, warnings: &mut Problems) {
    let with_devices = values::union(devices.iter().map(|(_, device)| device.places));
    for (line, period) in periods {
        for place in places.names(GroupSet(period.places.0 & !with_devices.0)) {
            let message = tr!(
                "no device is at place {}: give one list place {}",
                "没有设备在 {} 这个地方：给一台设备写 list place {}",
                quoted(place),
                quoted(place)
            );
            warnings.add(*line, message);
        }
    }
}

fn check_doors(doors: &[(u32, DoorRule)], devices: &[(u32, DeviceRule)], warnings: &mut Problems) {
    let any_board = devices.iter().any(|(_, device)| device.kind == DeviceKind::Board);
    for (line, door) in doors {
        let machine = door.machine;
        match devices.iter().find(|(_, device)| device.machine == machine) {
            Some((_, device)) if device.kind == DeviceKind::Board => (),
            Some((device_line, _)) => {
                let message = tr!(
                    "machine {machine} is a pos by line {device_line}: write option kind 'board' there",
                    "按第 {device_line} 行，机号 {machine} 是 pos：请在那里写 option kind 'board'"
                );
                warnings.add(*line, message);
            }
            None if any_board => {
                let message = tr!(
                    "no config device registers board {machine}, though others are: is it mistyped?",
                    "没有 config device 登记门禁板 {machine}，别的都登记了：是不是写错了？"
                );
                warnings.add(*line, message);
            }
            None => (),
        }
    }
}

/// Whether a range of the calendar runs forward, is no slip, and has no day of one before it, which
/// stands in that line.
fn check_range(range: DayRange, known: &[(u32, DayRange)]) -> Result<(), String> {
    let DayRange { first, last, kind } = range;
    if last < first {
        return Err(tr!(
            "the last day is before the first: write {last}..{first}",
            "末日在首日之前：请写 {last}..{first}"
        ));
    }
    let days = i64::from(last.0) - i64::from(first.0) + 1;
    if days > CALENDAR_RANGE_DAYS_MAX {
        return Err(tr!(
            "{days} days, more than a year: is a year mistyped? for so many days write several ranges",
            "有 {days} 天，超过一年：是不是年份写错了？真有这么多天，请分成几段写"
        ));
    }
    let Some((line, other)) = known.iter().find(|(_, other)| first <= other.last && other.first <= last) else {
        return Ok(());
    };
    let day = first.max(other.first);
    if other.kind == kind {
        return Err(tr!(
            "{day} is in line {line} already: is one of the two mistyped? write each day once",
            "{day} 在第 {line} 行已经写了：是不是有一处写错了？每一天只写一次"
        ));
    }
    let word = other.kind.word();
    Err(tr!(
        "{day} is {word} by line {line}: a day is off or worked, so remove it from one of the two",
        "按第 {line} 行，{day} 是 {word}：一天不能又休又班，请在其中一处去掉"
    ))
}

/// The program's build date; 1970 if the build did not set it.
fn built_on() -> Date {
    BUILT_ON.and_then(|text| Date::parse(text.as_bytes())).unwrap_or(Date(0))
}

/// "did you mean", or all known names.
fn advice<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(candidate) => did_you_mean(candidate),
        None => tr!(
            "write one of {}, or begin your own names with x_",
            "请写 {} 之一；自己用的名称以 x_ 开头",
            known.collect::<Vec<_>>().join(", ")
        ),
    }
}

/// One section's settings (those of all `text` sections together), checked against its table.
struct SectionReader<'a> {
    spec: &'static SectionSpec,
    line: u32,
    settings: Vec<&'a Setting>,
    problems: &'a mut Problems,
}

impl<'a> SectionReader<'a> {
    /// Reports settings that the section cannot have, and keeps the others.
    fn new(
        spec: &'static SectionSpec,
        line: u32,
        sections: impl IntoIterator<Item = &'a Section>,
        problems: &'a mut Problems,
    ) -> Self {
        let mut reader = Self { spec, line, settings: Vec::new(), problems };
        for setting in sections.into_iter().flat_map(|section| &section.settings) {
            if !setting.key.starts_with(FOREIGN_PREFIX) {
                match reader.check(setting) {
                    Ok(()) => reader.settings.push(setting),
                    Err(message) => reader.problems.add(setting.line, message),
                }
            }
        }
        reader
    }

    fn check(&self, setting: &Setting) -> Result<(), String> {
        let key = &setting.key;
        let spec = self.option(key).ok_or_else(|| self.unknown(key))?;
        match (spec.is_list, setting.is_list) {
            (true, false) => {
                return Err(tr!("{key} is a list: write list {key} 'VALUE'", "{key} 是列表：请写 list {key} '值'"));
            }
            (false, true) => {
                return Err(tr!(
                    "{key} is not a list: write option {key} 'VALUE'",
                    "{key} 不是列表：请写 option {key} '值'"
                ));
            }
            (true, true) | (false, false) => (),
        }
        if spec.form != Form::Foreign && setting.value.chars().any(char::is_control) {
            return Err(tr!(
                "the value of {key} holds a line end or control character: is a quote missing?",
                "{key} 的值里有换行或控制字符：是不是少了引号？"
            ));
        }
        if spec.form == Form::Template && setting.lost_line_break {
            return Err(tr!(
                r"{key}: in double quotes UCI reads \n as n: write single quotes",
                r"{key}：UCI 把双引号里的 \n 读成 n：请用单引号"
            ));
        }
        let first = self.settings.iter().find(|first| !spec.is_list && first.key == *key);
        first.map_or(Ok(()), |first| {
            Err(tr!(
                "{key} is in line {} already: remove one of the two",
                "{key} 在第 {} 行已经写了：去掉其中一个",
                first.line
            ))
        })
    }

    fn unknown(&self, key: &str) -> String {
        let reasons: Vec<String> = if self.spec.kind == TEXT.kind {
            Reason::ALL.iter().map(|reason| reason_key(*reason)).collect()
        } else {
            Vec::new()
        };
        let known = self.spec.options.iter().map(|option| option.key).chain(reasons.iter().map(String::as_str));
        tr!("config {} has no {}: {}", "config {} 里没有 {}：{}", self.spec.kind, quoted(key), advice(key, known))
    }

    /// The option's row in the table; every reason has one too.
    fn option(&self, key: &str) -> Option<&'static OptionSpec> {
        const REASON: &OptionSpec = &OptionSpec {
            key: REASON_PREFIX,
            is_list: false,
            default: None,
            form: Form::Words,
            meaning: "the words on a display for this reason",
        };
        let is_reason = self.spec.kind == TEXT.kind && Reason::ALL.iter().any(|reason| reason_key(*reason) == key);
        if is_reason { Some(REASON) } else { self.spec.option(key) }
    }

    fn known(&self, key: &str) -> &'static OptionSpec {
        self.option(key).expect("the table lists every option that is read")
    }

    /// Reports what to write instead of this setting's value. PINs are not repeated.
    fn refuse(&mut self, setting: &Setting) {
        let key = &setting.key;
        let wanted = self.known(key).form.wanted();
        let value = if key.contains("pin") { String::new() } else { format!(" {}", quoted(&setting.value)) };
        self.problems.add(setting.line, tr!("{key}{value}: write {wanted}", "{key}{value}：请写{wanted}"));
    }

    fn given(&self, key: &str) -> Option<&'a Setting> {
        self.settings.iter().find(|setting| setting.key == key).copied()
    }

    fn items(&self, key: &str) -> Vec<&'a Setting> {
        self.settings.iter().copied().filter(|setting| setting.key == key).collect()
    }

    fn line_of(&self, key: &str) -> u32 {
        self.given(key).map_or(self.line, |setting| setting.line)
    }

    /// The value, or the default if it is not given or wrong. Without a default an empty option is
    /// `None`.
    fn read<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let default = self.known(key).default;
        if let Some(setting) = self.given(key)
            && (default.is_some() || !setting.value.is_empty())
        {
            if let Some(value) = parse(&setting.value) {
                return Some(value);
            }
            self.refuse(setting);
        }
        default.and_then(parse)
    }

    /// As [`SectionReader::read`], with a problem if there is no value.
    fn required<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        if self.given(key).is_none_or(|setting| setting.value.is_empty()) {
            let (kind, wanted) = (self.spec.kind, self.known(key).form.wanted());
            self.problems.add(
                self.line_of(key),
                tr!(
                    "config {kind} needs option {key}: write {wanted}",
                    "config {kind} 要有 option {key}：请写{wanted}"
                ),
            );
            return None;
        }
        self.read(key, parse)
    }

    /// All values of a list, or its default.
    fn read_list<T>(&mut self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let given = self.items(key);
        if given.is_empty() {
            return self.known(key).default.and_then(parse).into_iter().collect();
        }
        let mut values = Vec::with_capacity(given.len());
        for setting in given {
            match parse(&setting.value) {
                Some(value) => values.push(value),
                None => self.refuse(setting),
            }
        }
        values
    }

    /// Reports a repeated value. Binding it twice would fail at start, with a worse message.
    fn refuse_repeated<T: PartialEq>(&mut self, key: &str, values: &[T]) {
        let given = self.items(key);
        if given.len() != values.len() {
            return;
        }
        for (index, value) in values.iter().enumerate() {
            if let Some(first) = values[..index].iter().position(|other| other == value) {
                let first = given[first].line;
                self.problems.add(
                    given[index].line,
                    tr!("{key} is in line {first} already: remove one", "{key} 在第 {first} 行已经写了：去掉一个"),
                );
            }
        }
    }

    /// Reports an address that another one includes: if a socket listens on all addresses of a
    /// port, no other can listen on that port.
    fn refuse_clashing_listen(&mut self, values: &[SocketAddrV4]) {
        let given = self.items("listen");
        if given.len() != values.len() {
            return;
        }
        for (index, value) in values.iter().enumerate() {
            if let Some(first) = values[..index].iter().position(|other| values::excludes(*other, *value)) {
                let (value, other) = (&given[index].value, &given[first].value);
                let message = tr!(
                    "listen {} and {} of line {} exclude each other: 0.0.0.0 is every address of this machine; remove one",
                    "listen {} 与第 {2} 行的 {1} 不能并存：0.0.0.0 是本机的全部地址；去掉一个",
                    quoted(value),
                    quoted(other),
                    given[first].line
                );
                self.problems.add(given[index].line, message);
            }
        }
    }

    /// Reports a span of a day that begins when it ends: it may mean never or always.
    fn refuse_empty_span(&mut self, from: Option<TimeOfDay>, to: Option<TimeOfDay>) {
        if from.is_some() && from == to {
            let message = tr(
                "from and to are equal: for the whole day write from '00:00' and to '24:00'",
                "from 和 to 相等：整天请写 from '00:00'、to '24:00'",
            );
            self.problems.add(self.line_of("to"), message);
        }
    }

    /// Reports a price of second meals where the first takes one of the card's uses.
    fn refuse_next_without_price(&mut self) {
        let is_given = |key| self.given(key).is_some_and(|setting| !setting.value.is_empty());
        if is_given("price_next") && !is_given("price") {
            let message = tr(
                "price_next without price: the first meal would take one of the card's uses; write option price too, such as '12.00', or remove price_next",
                "只有 price_next，没有 price：第一餐会扣一次，而不是扣钱；请同时写 option price，例如 '12.00'，或者去掉 price_next",
            );
            self.problems.add(self.line_of("price_next"), message);
        }
    }

    /// The ranges of `off` and `work`, in the file's order; wrong ones are reported and left out.
    fn calendar(mut self) -> Calendar {
        let mut known: Vec<(u32, DayRange)> = Vec::new();
        for setting in core::mem::take(&mut self.settings) {
            let kind = if setting.key == DayKind::Off.word() { DayKind::Off } else { DayKind::Work };
            let Some((first, last)) = values::dates(&setting.value) else {
                self.refuse(setting);
                continue;
            };
            let range = DayRange { first, last, kind };
            match check_range(range, &known) {
                Ok(()) => known.push((setting.line, range)),
                Err(why) => {
                    let (key, value) = (&setting.key, quoted(&setting.value));
                    self.problems.add(setting.line, tr!("{key} {value}: {why}", "{key} {value}：{why}"));
                }
            }
            if known.len() > CALENDAR_RANGES_MAX {
                self.problems.add(
                    setting.line,
                    tr!(
                        "too many dates in the calendar: at most {CALENDAR_RANGES_MAX} fit; remove those of past years",
                        "日历里的日期太多：至多 {CALENDAR_RANGES_MAX} 条；请去掉往年的"
                    ),
                );
                break;
            }
        }
        Calendar::new(known.into_iter().map(|(_, range)| range).collect())
    }

    fn bounds(&self, key: &str) -> (u32, u32) {
        match self.known(key).form {
            Form::Number { min, max } => (min, max),
            _ => unreachable!("the table says that {key} is a number"),
        }
    }

    fn number(&mut self, key: &str) -> u32 {
        let (min, max) = self.bounds(key);
        self.read(key, |value| values::number(value, min, max)).expect("every number has a default")
    }

    fn flag(&mut self, key: &str) -> bool {
        self.read(key, values::flag).expect("every flag has a default")
    }

    fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> T {
        let meaning = |value: &str| words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
        self.read(key, meaning).expect("every word has a default")
    }

    fn label(&mut self, key: &str) -> Option<String> {
        let Form::Label { len_max } = self.known(key).form else {
            unreachable!("the table says that {key} is a label");
        };
        self.read(key, |value| values::label(value, len_max).map(|value| value.trim().to_owned()))
    }

    /// The set of a list's names.
    fn names(&mut self, key: &str, known: &mut Names) -> GroupSet {
        let mut sets = Vec::new();
        for setting in self.items(key) {
            let Some(name) = values::name(&setting.value) else {
                self.refuse(setting);
                continue;
            };
            let set = known.intern(name);
            if set.is_none() {
                self.problems.add(
                    setting.line,
                    tr!(
                        "more than {GROUPS_MAX} different {key} names: use fewer",
                        "{key} 的名称超过 {GROUPS_MAX} 个：请少用几个"
                    ),
                );
            }
            sets.extend(set);
        }
        values::union(sets)
    }

    fn template(&mut self, key: &str) -> Template {
        let default = self.known(key).default.unwrap_or_default();
        let text = self.given(key).map_or(default, |setting| setting.value.as_str());
        texts::template(text).unwrap_or_else(|message| {
            self.problems.add(self.line_of(key), tr!("{key}: {message}", "{key}：{message}"));
            Template::default()
        })
    }

    fn words(&mut self, key: &str, default: &str) -> Vec<u8> {
        let text = self.given(key).map_or(default, |setting| setting.value.as_str());
        texts::words(text).unwrap_or_else(|message| {
            self.problems.add(self.line_of(key), tr!("{key}: {message}", "{key}：{message}"));
            Vec::new()
        })
    }

    /// Warns of characters that displays cannot show.
    fn warn_of_texts(&self, warnings: &mut Problems) {
        for setting in &self.settings {
            let key = &setting.key;
            let missing = texts::missing_characters(&setting.value);
            if !missing.is_empty() {
                warnings.add(
                    setting.line,
                    tr!("{key}: displays lack {} and will show ?", "{key}：显示屏没有 {}，会显示 ?", quoted(&missing)),
                );
            }
        }
    }
}
