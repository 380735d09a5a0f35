//! The time zone: how far the wall clock here is from UTC (design.md, section 4, `timezone`).
//!
//! A zone is a POSIX TZ rule (`CST-8`, `EST5EDT,M3.2.0,M11.1.0`) or a zone file, read once at start
//! by tz-rs. What always holds: every time has an offset of whole minutes and less than a day;
//! looking it up allocates nothing. Each line of the ledger needs an offset, so the last one is
//! kept for its quarter of an hour (no zone changes twice in one): the rules are searched four
//! times per hour, not once per line.

use core::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use tz::timezone::{TimeZoneSettings, TransitionRule};
use tz::{LocalTimeType, TimeZone};

use crate::engine::model::{Civil, Stamp, Wall, ZoneChange, ZoneChanges};
use crate::lang::tr;

/// The days of summer time in the United States. glibc and the IANA code use them for a rule that
/// names a summer time without its days.
const SUMMER_TIME: &str = ",M3.2.0,M11.1.0";

/// An offset is kept for so many seconds: zones change on the quarter hour.
const QUARTER_S: i64 = 900;

/// Wall times outside years 1 to 9999 have the offset of the nearest one inside.
const SECONDS_MIN: i64 = -62_135_596_800;
/// See [`SECONDS_MIN`].
const SECONDS_MAX: i64 = 253_402_300_799;

/// [`Zone::changes`] covers the years 2000 to 2100.
const CHANGES_FROM_S: i64 = 946_684_800;
/// See [`CHANGES_FROM_S`].
const CHANGES_UNTIL_S: i64 = 4_102_444_800;
/// No zone of this century changes twice in three weeks: the shortest breaks of summer time, for a
/// month of Ramadan, are longer.
const CHANGES_STEP_S: i64 = 20 * 86_400;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    rules: TimeZone,
    /// The begin of the last quarter hour, and its offset, if the zone does not change within
    /// it.
    recent: Cell<Option<(i64, i32)>>,
}

/// The zone to use, and how it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The zone.
    pub zone: Zone,
    /// The source of the zone, for the log: `timezone 'CST-8'`, `TZ=:Asia/Shanghai`, `/etc/TZ`,
    /// `/etc/localtime`, `UTC (no zone found)`.
    pub source: String,
    /// Lines for the log: errors of sources that were ignored, and surprises of this one.
    pub warnings: Vec<String>,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { rules: TimeZone::utc(), recent: Cell::new(None) }
    }

    /// Reads a POSIX TZ rule. A summer time without its two days gets those of the United States,
    /// as in glibc.
    ///
    /// # Errors
    /// What is wrong with it, in words that may follow a colon.
    pub fn from_posix(text: &str) -> Result<Self, String> {
        // Without directories, and with a reader that finds nothing, tz-rs reads no file.
        let rules_only = TimeZoneSettings::new(&[], |_| Err(tr("not a file", "不是文件").into()));
        let parse = |text: &str| rules_only.parse_posix_tz(text);
        match text {
            // POSIX requires an offset, but it is often left out: OpenWrt's default is `UTC`.
            "UTC" | "GMT" => return Ok(Self::utc()),
            // tz-rs would take these for files.
            "" | "localtime" => return Err(tr("not a POSIX time zone", "不是 POSIX 时区").to_owned()),
            _ if text.starts_with(':') => return Err(tr("not a POSIX time zone", "不是 POSIX 时区").to_owned()),
            _ => (),
        }
        let rules = parse(text)
            .or_else(|error| parse(&format!("{text}{SUMMER_TIME}")).map_err(|_| error))
            .or_else(|error| TimeZone::from_tz_data(&file_of(text)).map_err(|_| error))
            .map_err(|error| tr!("not a POSIX time zone ({error})", "不是 POSIX 时区（{error}）"))?;
        Self::from_rules(rules)
    }

    /// Whether a text is a zone on this machine, a rule or a zone file: [`Zone::find`] accepts the
    /// same.
    ///
    /// # Errors
    /// What is wrong with it, in words that may follow a colon.
    pub fn check(text: &str) -> Result<(), String> {
        named(text.trim(), Path::new("/")).map(|_| ())
    }

    /// Reads a zone file's contents.
    ///
    /// # Errors
    /// What is wrong with it, in words that may follow a colon.
    pub(crate) fn from_file(contents: &[u8]) -> Result<Self, String> {
        let rules = TimeZone::from_tz_data(contents)
            .map_err(|error| tr!("not a zone file ({error})", "不是时区文件（{error}）"))?;
        Self::from_rules(rules)
    }

    /// The machine's zone: the configured one, else the variable TZ, else /etc/TZ, else
    /// /etc/localtime, else UTC.
    ///
    /// Each of the first three is a POSIX rule, else a name under /usr/share/zoneinfo; after a `:`
    /// only a name (or a path). An empty source counts as absent.
    ///
    /// # Errors
    /// Only if the configured zone is invalid: a message that says what to write instead. An error
    /// of another source is a warning, and the next source is tried.
    pub fn find(configured: Option<&str>) -> Result<Found, String> {
        find(configured, std::env::var_os("TZ").as_deref(), Path::new("/"))
    }

    /// Seconds east of UTC at this time: whole minutes, less than a day.
    pub(crate) fn offset_at(&self, wall: Wall) -> i32 {
        let seconds = wall.seconds();
        if let Some((begin, offset_s)) = self.recent.get()
            && (begin..begin + QUARTER_S).contains(&seconds)
        {
            return offset_s;
        }
        let offset_s = self.search(seconds);
        let begin = seconds.div_euclid(QUARTER_S) * QUARTER_S;
        // Some zones once changed at other times: nothing is kept for such a quarter hour.
        if self.search(begin) == offset_s && self.search(begin + QUARTER_S - 1) == offset_s {
            self.recent.set(Some((begin, offset_s)));
        }
        offset_s
    }

    /// The zone's changes from 2000 to 2100, for reading the times that devices' clocks show. It
    /// searches a century, so only a start and a reload call it.
    pub fn changes(&self) -> ZoneChanges {
        let is_fixed = self.rules.as_ref().transitions().is_empty()
            && !matches!(self.rules.as_ref().extra_rule(), Some(TransitionRule::Alternate(_)));
        if is_fixed {
            return ZoneChanges::default();
        }
        let mut changes = Vec::new();
        let (mut begin_s, mut before_s) = (CHANGES_FROM_S, self.search(CHANGES_FROM_S));
        while begin_s < CHANGES_UNTIL_S {
            let end_s = begin_s + CHANGES_STEP_S;
            let after_s = self.search(end_s);
            if after_s != before_s {
                // The first second with the new offset.
                let (mut early, mut late) = (begin_s, end_s);
                while early + 1 < late {
                    let middle = early.midpoint(late);
                    if self.search(middle) == before_s { early = middle } else { late = middle }
                }
                changes.push(ZoneChange { at_s: late, before_s, after_s });
            }
            (begin_s, before_s) = (end_s, after_s);
        }
        ZoneChanges::new(changes)
    }

    /// The time with its offset.
    pub fn stamp(&self, wall: Wall) -> Stamp {
        Stamp { wall, offset_s: self.offset_at(wall) }
    }

    /// The instant at which a clock on the wall here shows `civil`.
    ///
    /// If clocks go back, a clock shows it twice, and this is the earlier instant. If clocks go
    /// forward, no clock shows it, and this is the instant at which an unchanged clock would: 02:30
    /// is then the instant of 03:30.
    pub fn to_wall(&self, civil: Civil) -> Wall {
        // No zone changes by a day or more, or twice in two days.
        let before = self.search(civil.0.saturating_sub(86_400));
        let after = self.search(civil.0.saturating_add(86_400));
        let at = |offset_s: i32| civil.0.saturating_sub(i64::from(offset_s));
        let shows = |offset_s: &i32| self.search(at(*offset_s)) == *offset_s;
        // The larger offset gives the earlier instant.
        let offset_s = [before.max(after), before.min(after)].into_iter().find(shows).unwrap_or(before);
        Wall(at(offset_s).saturating_mul(1000))
    }

    fn from_rules(rules: TimeZone) -> Result<Self, String> {
        let of_rule: Vec<LocalTimeType> = match rules.as_ref().extra_rule() {
            Some(TransitionRule::Fixed(kind)) => vec![*kind],
            Some(TransitionRule::Alternate(rule)) => vec![*rule.std(), *rule.dst()],
            None => Vec::new(),
        };
        let mut kinds = rules.as_ref().local_time_types().iter().chain(&of_rule);
        if kinds.any(|kind| kind.ut_offset().unsigned_abs() >= 86_400) {
            return Err(tr("a time zone is less than 24 hours from UTC", "时区与 UTC 相差不到 24 小时").to_owned());
        }
        Ok(Self { rules, recent: Cell::new(None) })
    }

    /// The offset, from the rules.
    fn search(&self, seconds: i64) -> i32 {
        let rules = self.rules.as_ref();
        let found = rules.find_local_time_type(seconds.clamp(SECONDS_MIN, SECONDS_MAX));
        // An old zone file ends with its last change, which still holds.
        let last =
            || rules.transitions().last().map(|change| &rules.local_time_types()[change.local_time_type_index()]);
        let offset_s = found.ok().or_else(last).map_or(0, LocalTimeType::ut_offset);
        // Offsets of the nineteenth century have seconds, from solar time, which no stamp can
        // write.
        offset_s / 60 * 60
    }
}

/// A zone file of version 3 that ends with this rule: only there may a rule have hours below 0 and
/// above 24 (RFC 8536, section 3.3.1).
fn file_of(rule: &str) -> Vec<u8> {
    // One kind of local time, UTC, and no change, both in the block for old readers and in the one
    // for new readers.
    let mut block = b"TZif3".to_vec();
    block.extend([0; 15]);
    for count in [0_u32, 0, 0, 0, 1, 4] {
        block.extend(count.to_be_bytes());
    }
    block.extend([0; 6]);
    block.extend(b"UTC\0");
    [block.as_slice(), &block, b"\n", rule.as_bytes(), b"\n"].concat()
}

/// [`Zone::find`] on a machine whose files are under `root`.
fn find(configured: Option<&str>, variable: Option<&OsStr>, root: &Path) -> Result<Found, String> {
    let mut warnings = Vec::new();
    if let Some(text) = configured.map(str::trim).filter(|text| !text.is_empty()) {
        let source = format!("timezone '{text}'");
        let zone = named(text, root).map_err(|error| {
            tr!(
                "{source}: {error}; write a POSIX time zone, such as 'CST-8' for China, or the name of a zone file here", "{source}：{error}；请写 POSIX 时区，例如中国是 'CST-8'，或者本机有其文件的时区名"
            )
        })?;
        surprises(text, &source, &mut warnings);
        return Ok(Found { zone, source, warnings });
    }
    if let Some(text) = variable.map(OsStr::to_string_lossy).filter(|text| !text.trim().is_empty()) {
        let source = format!("TZ={}", text.trim());
        match named(text.trim(), root) {
            Ok(zone) => {
                surprises(text.trim(), &source, &mut warnings);
                return Ok(Found { zone, source, warnings });
            }
            Err(error) => warnings.push(tr!("{source}: {error}; ignored", "{source}：{error}；不用它")),
        }
    }
    match read(root, "etc/TZ") {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let line = text.lines().next().unwrap_or_default().trim();
            let source = "/etc/TZ".to_owned();
            match named(line, root) {
                Ok(zone) => {
                    surprises(line, &source, &mut warnings);
                    return Ok(Found { zone, source, warnings });
                }
                Err(_) if line.is_empty() => (),
                Err(error) => {
                    warnings.push(tr!("{source}: '{line}': {error}; ignored", "{source}：'{line}'：{error}；不用它"));
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => warnings.push(tr!("/etc/TZ: {error}; ignored", "/etc/TZ：{error}；不用它")),
    }
    match read(root, "etc/localtime").map(|bytes| Zone::from_file(&bytes)) {
        Ok(Ok(zone)) => return Ok(Found { zone, source: "/etc/localtime".to_owned(), warnings }),
        Ok(Err(error)) => warnings.push(tr!("/etc/localtime: {error}; ignored", "/etc/localtime：{error}；不用它")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => warnings.push(tr!("/etc/localtime: {error}; ignored", "/etc/localtime：{error}；不用它")),
    }
    Ok(Found { zone: Zone::utc(), source: "UTC (no zone found)".to_owned(), warnings })
}

/// A POSIX rule, or the name of a zone file.
fn named(text: &str, root: &Path) -> Result<Zone, String> {
    let (name, error) = match text.strip_prefix(':') {
        Some(name) => (name, String::new()),
        None => match Zone::from_posix(text) {
            Ok(zone) => return Ok(zone),
            Err(error) => (text, error + tr(", and ", "；")),
        },
    };
    // A name may be a path: `TZ=:/etc/localtime` is common.
    let path = name.strip_prefix('/').map_or_else(|| format!("usr/share/zoneinfo/{name}"), str::to_owned);
    match read(root, &path) {
        Ok(bytes) => Zone::from_file(&bytes).map_err(|what| tr!("{error}/{path} is {what}", "{error}/{path} {what}")),
        Err(_) if matches!(name, "UTC" | "Etc/UTC" | "GMT") => Ok(Zone::utc()),
        Err(what) => {
            Err(error + &tr!("the zone file /{path} cannot be read: {what}", "时区文件 /{path} 读不了：{what}"))
        }
    }
}

fn read(root: &Path, path: &str) -> io::Result<Vec<u8>> {
    std::fs::read(root.join(path))
}

/// Warns of a sign that is probably wrong. POSIX counts westwards: `UTC+8`, written for China, is a
/// zone of the American west coast, sixteen hours off.
fn surprises(text: &str, source: &str, warnings: &mut Vec<String>) {
    for name in ["UTC", "GMT"] {
        if let Some(hours) = text.strip_prefix(name)
            && hours.starts_with(|first: char| first == '+' || ('1'..='9').contains(&first))
        {
            let hours = hours.trim_start_matches('+');
            warnings.push(tr!(
                "{source}: in a POSIX time zone this is {hours} hours WEST of Greenwich; east of it is written {name}-{hours}", "{source}：在 POSIX 时区里这是格林尼治以西 {hours} 小时；以东写作 {name}-{hours}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wall(text: &str) -> Wall {
        Stamp::parse(text).expect(text).wall
    }

    fn civil(text: &str) -> Civil {
        Civil::parse(text.as_bytes()).expect(text)
    }

    fn posix(text: &str) -> Zone {
        Zone::from_posix(text).expect(text)
    }

    /// Berlin from the zone file if the machine has it, so that both readers are tested.
    fn berlin() -> Zone {
        match std::fs::read("/usr/share/zoneinfo/Europe/Berlin") {
            Ok(bytes) => Zone::from_file(&bytes).expect("a zone file"),
            Err(_) => posix("CET-1CEST,M3.5.0,M10.5.0/3"),
        }
    }

    #[test]
    fn china_is_eight_hours_east_all_year() {
        let zone = posix("CST-8");
        for text in ["1970-01-01T00:00:00.000+00:00", "2026-07-01T00:00:00.000+00:00", "2026-12-01T00:00:00.000+00:00"]
        {
            assert_eq!(zone.offset_at(wall(text)), 8 * 3600);
        }
        assert_eq!(zone.stamp(wall("2026-11-22T04:00:01.234+00:00")).to_string(), "2026-11-22T12:00:01.234+08:00");
        assert_eq!(posix("<+0330>-3:30").offset_at(Wall(0)), 12_600);
    }

    #[test]
    fn summer_time_begins_and_ends_to_the_millisecond() {
        // The north, without its days; the south, where summer crosses the year; a file.
        for (zone, begin, end, before, within) in [
            (posix("EST5EDT"), "2026-03-08T07:00:00.000+00:00", "2026-11-01T06:00:00.000+00:00", -5, -4),
            (
                posix("NZST-12NZDT,M9.5.0,M4.1.0/3"),
                "2026-09-26T14:00:00.000+00:00",
                "2027-04-03T14:00:00.000+00:00",
                12,
                13,
            ),
            (berlin(), "2026-03-29T01:00:00.000+00:00", "2026-10-25T01:00:00.000+00:00", 1, 2),
        ] {
            let (begin, end) = (wall(begin), wall(end));
            assert_eq!(zone.offset_at(Wall(begin.0 - 1)), before * 3600);
            assert_eq!(zone.offset_at(begin), within * 3600);
            assert_eq!(zone.offset_at(Wall(end.0 - 1)), within * 3600);
            assert_eq!(zone.offset_at(end), before * 3600);
        }
    }

    #[test]
    fn a_change_within_a_quarter_hour_is_not_missed() {
        let zone = posix("AAA0BBB,M3.2.0/2:07,M11.1.0/2");
        let change = wall("2026-03-08T02:07:00.000+00:00");
        assert_eq!(zone.offset_at(Wall(change.0 - 1)), 0);
        assert_eq!(zone.offset_at(change), 3600);
        assert_eq!(zone.offset_at(Wall(change.0 - 1)), 0);
    }

    #[test]
    fn a_wall_time_leads_back_to_its_instant() {
        let zone = berlin();
        assert_eq!(zone.to_wall(civil("2026-07-01 12:00:00")), wall("2026-07-01T12:00:00.000+02:00"));
        assert_eq!(zone.to_wall(civil("2026-01-01 12:00:00")), wall("2026-01-01T12:00:00.000+01:00"));
        assert_eq!(posix("CST-8").to_wall(civil("2026-11-22 12:00:00")), wall("2026-11-22T12:00:00.000+08:00"));
    }

    #[test]
    fn an_hour_that_is_shown_twice_means_the_first() {
        assert_eq!(berlin().to_wall(civil("2026-10-25 02:30:00")), wall("2026-10-25T02:30:00.000+02:00"));
        assert_eq!(posix("EST5EDT").to_wall(civil("2026-11-01 01:30:00")), wall("2026-11-01T01:30:00.000-04:00"));
    }

    #[test]
    fn an_hour_that_is_never_shown_is_read_by_the_unchanged_clock() {
        assert_eq!(berlin().to_wall(civil("2026-03-29 02:30:00")), wall("2026-03-29T02:30:00.000+01:00"));
        assert_eq!(posix("EST5EDT").to_wall(civil("2026-03-08 02:30:00")), wall("2026-03-08T02:30:00.000-05:00"));
    }

    #[test]
    fn the_changes_give_the_same_instants_as_the_zone() {
        assert_eq!(posix("CST-8").changes(), ZoneChanges::default());
        for zone in
            [posix("EST5EDT"), posix("AAA0BBB,M3.2.0/2:07,M11.1.0/2"), posix("NZST-12NZDT,M9.5.0,M4.1.0/3"), berlin()]
        {
            let changes = zone.changes();
            for step in 0..60_000 {
                let civil = Civil(1_767_225_600 + step * 1201);
                let now = zone.offset_at(Wall(civil.0 * 1000));
                assert_eq!(changes.readings(civil, now).0, zone.to_wall(civil).seconds(), "{civil}");
            }
        }
    }

    #[test]
    fn every_time_has_an_offset() {
        for zone in [Zone::utc(), posix("CST-8"), posix("EST5EDT"), berlin()] {
            for ms in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
                assert!(zone.offset_at(Wall(ms)).abs() < 86_400);
                let _ = zone.to_wall(Civil(ms));
            }
        }
    }

    #[test]
    fn hours_beyond_a_day_are_read_as_rfc_8536_says() {
        // Greenland: summer time begins the evening before.
        let nuuk = posix("<-02>2<-01>,M3.5.0/-1,M10.5.0/0");
        let begin = wall("2026-03-29T01:00:00.000+00:00");
        assert_eq!([Wall(begin.0 - 1), begin].map(|at| nuuk.offset_at(at) / 3600), [-2, -1]);
        // Gaza: on the Saturday 50 hours after a Thursday began.
        let gaza = posix("EET-2EEST,M3.4.4/50,M10.4.4/50");
        let begin = wall("2026-03-28T00:00:00.000+00:00");
        assert_eq!([Wall(begin.0 - 1), begin].map(|at| gaza.offset_at(at) / 3600), [2, 3]);
        for text in ["EET-2EEST,M3.4.4/168,M10.4.4/50", "EET-25EEST,M3.4.4/50,M10.4.4/50"] {
            assert!(Zone::from_posix(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_invalid_zone_is_refused() {
        for text in [
            "",
            ":",
            "localtime",
            "8",
            "CST",
            "Asia/Shanghai",
            "CST-8:99",
            "CST-25",
            "AAA-24:30",
            "CST-8EDT,M13.1.0,M1.1.0",
            "中国",
            "CST-8 x",
        ] {
            assert!(Zone::from_posix(text).is_err(), "{text:?}");
        }
        assert!(Zone::from_file(b"").is_err());
        assert!(Zone::from_file(b"TZif2").is_err());
    }

    proptest! {
        #![proptest_config(crate::proptest_config())]

        #[test]
        fn no_text_panics(text in ".{0,40}", rule in "[A-Z<]{3}[-+0-9:]{0,9}[A-Z]{0,4}(,[MJ]?[0-9.]{1,8}(/[-0-9:]{1,9})?){0,2}") {
            let _ = Zone::from_posix(&text);
            if let Ok(zone) = Zone::from_posix(&rule) {
                prop_assert!(zone.offset_at(Wall(1_800_000_000_000)).abs() < 86_400);
            }
        }

        #[test]
        fn no_zone_file_panics(version in 0..4_u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut file = b"TZif".to_vec();
            file.push(if version == 0 { 0 } else { b'0' + version });
            file.extend(bytes);
            let _ = Zone::from_file(&file);
        }

        /// A time that a clock shows is shown at the instant that `to_wall` returns.
        #[test]
        fn to_wall_is_the_inverse(ms in -5_000_000_000_000_i64..10_000_000_000_000) {
            for zone in [posix("EST5EDT"), berlin()] {
                let shown = zone.stamp(Wall(ms)).civil();
                prop_assert_eq!(zone.stamp(zone.to_wall(shown)).civil(), shown);
            }
        }
    }

    /// A machine with these files.
    fn machine(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (path, contents) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a file")).expect("a directory");
            std::fs::write(path, contents).expect("a file");
        }
        root
    }

    /// A zone file of version 1 with one offset.
    fn zone_file(offset_s: i32) -> Vec<u8> {
        let mut file = b"TZif\0".to_vec();
        file.extend([0; 15]);
        for count in [0_u32, 0, 0, 0, 1, 4] {
            file.extend(count.to_be_bytes());
        }
        file.extend(offset_s.to_be_bytes());
        file.extend([0, 0]);
        file.extend(b"XYZ\0");
        file
    }

    #[test]
    fn sources_are_tried_in_their_order() {
        let localtime = zone_file(3600);
        let shanghai = zone_file(8 * 3600);
        let full = machine(&[
            ("etc/TZ", b"EET-2\n"),
            ("etc/localtime", &localtime),
            ("usr/share/zoneinfo/Asia/Shanghai", &shanghai),
        ]);
        let offset = |configured, variable: Option<&str>, root: &tempfile::TempDir| {
            let found = find(configured, variable.map(OsStr::new), root.path()).expect("a zone");
            assert_eq!(found.warnings, [""; 0]);
            (found.zone.offset_at(Wall(0)) / 3600, found.source)
        };
        assert_eq!(offset(Some("CST-8"), Some("JST-9"), &full), (8, "timezone 'CST-8'".to_owned()));
        assert_eq!(offset(Some("Asia/Shanghai"), None, &full), (8, "timezone 'Asia/Shanghai'".to_owned()));
        assert_eq!(offset(Some(" "), Some("JST-9"), &full), (9, "TZ=JST-9".to_owned()));
        assert_eq!(offset(None, Some(":Asia/Shanghai"), &full), (8, "TZ=:Asia/Shanghai".to_owned()));
        assert_eq!(offset(None, Some(":/etc/localtime"), &full), (1, "TZ=:/etc/localtime".to_owned()));
        assert_eq!(offset(None, Some(":UTC"), &full), (0, "TZ=:UTC".to_owned()));
        assert_eq!(offset(None, Some(""), &full), (2, "/etc/TZ".to_owned()));
        assert_eq!(offset(None, None, &machine(&[("etc/TZ", b"UTC\n")])), (0, "/etc/TZ".to_owned()));
        assert_eq!(offset(None, None, &machine(&[("etc/localtime", &localtime)])), (1, "/etc/localtime".to_owned()));
        assert_eq!(offset(None, None, &machine(&[])), (0, "UTC (no zone found)".to_owned()));
    }

    #[test]
    fn a_bad_source_is_an_error_if_configured_and_ignored_otherwise() {
        let root = machine(&[("etc/TZ", b"what\n"), ("etc/localtime", b"nothing")]);
        let error = find(Some("Mars/Olympus"), None, root.path()).expect_err("no zone");
        assert!(error.starts_with("timezone 'Mars/Olympus': not a POSIX time zone"), "{error}");
        assert!(
            error.contains("/usr/share/zoneinfo/Mars/Olympus") && error.ends_with("or the name of a zone file here"),
            "{error}"
        );
        let found = find(None, Some(OsStr::new("Mars")), root.path()).expect("a zone");
        assert_eq!(found.source, "UTC (no zone found)");
        for (warning, begin) in found.warnings.iter().zip(["TZ=Mars: ", "/etc/TZ: 'what': ", "/etc/localtime: "]) {
            assert!(warning.starts_with(begin) && warning.ends_with("ignored"), "{warning}");
        }
        assert_eq!(found.warnings.len(), 3);
    }

    #[test]
    fn a_zone_with_east_and_west_exchanged_gets_a_warning() {
        let root = machine(&[]);
        let found = find(Some("UTC+8"), None, root.path()).expect("a zone");
        assert_eq!(found.zone.offset_at(Wall(0)), -8 * 3600);
        assert!(found.warnings[0].contains("8 hours WEST"), "{:?}", found.warnings);
        for plain in ["UTC", "UTC0", "GMT0", "UTC-8", "CST-8"] {
            assert_eq!(find(Some(plain), None, root.path()).expect("a zone").warnings, [""; 0], "{plain}");
        }
    }
}
