//! `posgate ledger explain`: the whole story of one sale, for the question "why was I charged?"
//! (design.md, sections 6 to 8).
//!
//! It reads the ledger twice: to find the entry, and to collect the entries about it. How often an
//! answer was sent again is in the entries that end its retransmission.

use super::filter::{Written, is_of_card};
use super::source::{Item, Source};
use super::{AuditError, Calendar};
use crate::engine::book::CLEAR_END;
use crate::engine::model::text::Unnumbered;
use crate::engine::model::{AccountId, CardNo, Civil, ClockState, Entry, EntrySeq, Figures, Kind, Stamp, TimeOfDay};
use crate::lang::tr;
use crate::ledger::{Head, line};

mod print;

/// Most entries about a sale to list; more are counted.
const ABOUT_MAX: usize = 20;

/// Most other sales of the card to list.
const OTHERS_MAX: usize = 8;

/// Largest distance of a sale from the time in question, in seconds.
const OFF_MAX_S: u64 = 86_400;

/// The entry in question.
#[derive(Clone, Copy, Debug)]
pub enum Question {
    /// The entry with this number.
    Entry(EntrySeq),
    /// The card's sale that is nearest to a time, at most a day from it; without a date, on the
    /// last day on which the card was used.
    Card(CardNo, Written),
}

/// An entry with its crc and the previous one.
#[derive(Clone, Debug)]
pub struct Found {
    /// The columns, without the crc.
    pub entry: Entry,
    /// The crc column.
    pub crc: u32,
    /// The crc column of the line before.
    pub chain: u32,
    /// Its file and line.
    pub place: String,
    /// The crc, computed from the line's bytes.
    pub computed: u32,
}

impl Found {
    fn new(item: &Item) -> Self {
        let covered = &item.text[..item.text.len().saturating_sub(8)];
        Self {
            entry: item.entry,
            crc: item.crc,
            chain: item.chain,
            place: format!("{}:{}", item.piece.path, item.line),
            computed: line::continue_crc(item.chain, covered),
        }
    }
}

/// A sale of the card that may be the one in question.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The entry's number.
    pub seq: EntrySeq,
    /// The entry's kind.
    pub kind: Kind,
    /// Its time: the device's for an offline sale, else ours.
    pub at: Civil,
    /// What it moved.
    pub effect: Option<Figures>,
    /// The device.
    pub machine: Option<crate::engine::model::MachineNo>,
    /// The time in question.
    wanted: Civil,
}

impl Candidate {
    fn distance_s(&self) -> u64 {
        self.wanted.distance_s(self.at)
    }

    /// The distance in words, such as `3 min 5 s later than 2026-11-22 12:30:00`.
    fn off(&self) -> String {
        let (seconds, wanted) = (self.distance_s(), self.wanted);
        let span = match seconds {
            0 => return tr!("at {wanted}", "正是 {wanted}"),
            1..60 => tr!("{seconds} s", "{seconds} 秒"),
            60..3600 => tr!("{} min {} s", "{} 分 {} 秒", seconds / 60, seconds % 60),
            3600..=OFF_MAX_S => tr!("{} h {} min", "{} 小时 {} 分", seconds / 3600, seconds % 3600 / 60),
            _ if seconds < 2 * OFF_MAX_S => tr("more than a day", "一天多").to_owned(),
            _ => tr!("{} days", "{} 天", seconds / OFF_MAX_S),
        };
        if self.at < wanted {
            tr!("{span} earlier than {wanted}", "比 {wanted} 早 {span}")
        } else {
            tr!("{span} later than {wanted}", "比 {wanted} 晚 {span}")
        }
    }
}

/// The story of a sale.
#[derive(Clone, Debug)]
pub struct Story {
    /// The site's label.
    pub site: String,
    /// The ledger's number.
    pub ledger: u64,
    /// A warning that the source is not the whole ledger.
    pub note: Option<String>,
    /// The entry in question, if the story is that of the sale that it refers to.
    pub asked_about: Option<Found>,
    /// The story's entry.
    pub found: Found,
    /// The account's `open`, if it is the entry just before.
    pub opening: Option<Found>,
    /// The account's last entry before it.
    pub before: Option<Found>,
    /// The next entry.
    pub after: Option<Head>,
    /// Entries that refer to it: 109s, repeats, matches, voids.
    pub about: Vec<Found>,
    /// Number of further entries that refer to it.
    pub more: u64,
    /// How far the sale is from the time in question, in words; `None` if its number was given.
    pub off: Option<String>,
    /// Other sales of the card near that time.
    pub others: Vec<Candidate>,
    /// What the account holds now.
    pub now: Option<Figures>,
    /// Meals of the same card, day and period that stood when it was booked.
    pub meals: i32,
    /// Whether the device ever confirmed a sale.
    pub is_confirming: bool,
    /// The last entry that was read.
    pub head: Head,
    /// Converts times to local time.
    pub calendar: Calendar,
}

/// Finds the entry and collects its story.
///
/// # Errors
/// If a file cannot be read, the ledger is damaged, or there is no such entry.
pub fn explain(source: &Source, calendar: &Calendar, question: Question) -> Result<Story, AuditError> {
    let (asked, others, off) = match question {
        Question::Entry(seq) => (find(source, seq)?, Vec::new(), None),
        Question::Card(card, written) => {
            let (mut candidates, beyond) = candidates(source, calendar, card, written)?;
            if let (true, Some(beyond)) = (candidates.is_empty(), beyond) {
                return Err(AuditError::Nothing(tr!(
                    "card {} has no sale within a day of {}: the nearest was {}; `posgate ledger explain {}` tells it",
                    "卡 {} 在 {} 前后一天内没有消费：最近的是 {}；`posgate ledger explain {}` 说明它",
                    card.masked(),
                    beyond.wanted,
                    beyond.off(),
                    beyond.seq
                )));
            }
            if candidates.is_empty() {
                let wanted = if written.date.is_some() { "" } else { tr(" at all", "任何") };
                let older = if source.is_whole() {
                    String::new()
                } else {
                    tr!(
                        "; older ones are not here: {}",
                        "；更早的不在这里：{}",
                        source.archived(EntrySeq(source.first().0 - 1))
                    )
                };
                return Err(AuditError::Nothing(tr!(
                    "card {} has no sale{wanted} in this ledger, nor a refusal: `posgate ledger show --card CARD` shows what it has{older}",
                    "卡 {} 在这本账里没有{wanted}消费，也没有拒绝：`posgate ledger show --card CARD` 显示它有什么{older}",
                    card.masked()
                )));
            }
            let nearest = candidates.remove(0);
            candidates.sort_by_key(|candidate| candidate.seq);
            (find(source, nearest.seq)?, candidates, Some(nearest.off()))
        }
    };
    // The story of a 109, a repeat or a void is that of its sale.
    let referred = match asked.entry.kind {
        Kind::Confirm | Kind::Unconfirmed | Kind::Repeat | Kind::Matched | Kind::Void => asked.entry.about,
        _ => None,
    };
    let sale = referred.filter(|seq| *seq >= source.first() && *seq < asked.entry.seq);
    let (found, asked_about) = match sale {
        Some(sale) => (find(source, sale)?, Some(asked)),
        None => (asked, None),
    };
    let story = Story {
        site: source.site().to_owned(),
        ledger: source.ledger(),
        note: source.note(),
        asked_about,
        found,
        opening: None,
        before: None,
        after: None,
        about: Vec::new(),
        more: 0,
        off,
        others,
        now: None,
        meals: 0,
        is_confirming: false,
        head: Head::default(),
        calendar: calendar.clone(),
    };
    collect(source, story)
}

fn find(source: &Source, seq: EntrySeq) -> Result<Found, AuditError> {
    if EntrySeq(0) < seq && seq < source.first() {
        return Err(AuditError::Nothing(source.archived(seq)));
    }
    let mut walk = source.walk();
    while let Some(item) = walk.entry()? {
        if item.entry.seq == seq {
            return Ok(Found::new(&item));
        }
    }
    let (first, last) = (source.first(), walk.head().seq);
    let card = if seq.0 > last.0 {
        tr(
            "; for a card say the time too: `posgate ledger explain CARD 12:30`",
            "；查卡请同时写时刻：`posgate ledger explain CARD 12:30`",
        )
    } else {
        ""
    };
    Err(AuditError::Nothing(tr!(
        "there is no entry {} here: they go from {first} to {last}{card}",
        "这里没有流水 {}：有的是 {first} 到 {last}{card}",
        Unnumbered(&seq.to_string())
    )))
}

/// The time of a sale as its holder remembers it.
fn moment(entry: &Entry, calendar: &Calendar) -> Civil {
    let at_device = entry.believed_at();
    let own = calendar.civil(entry.time);
    let is_device_right = entry.kind == Kind::Offline || entry.clock == ClockState::Unset;
    at_device.filter(|_| is_device_right).unwrap_or(own)
}

/// The card's sales and refusals within a day of a time, sales before refusals, the nearest first;
/// and the nearest one beyond a day.
fn candidates(
    source: &Source,
    calendar: &Calendar,
    card: CardNo,
    written: Written,
) -> Result<(Vec<Candidate>, Option<Candidate>), AuditError> {
    let mut near: Vec<Candidate> = Vec::new();
    let mut beyond: Option<Candidate> = None;
    let mut newest = None;
    let mut walk = source.walk();
    while let Some(item) = walk.entry()? {
        let entry = &item.entry;
        let is_asked = entry.kind.is_sale() || matches!(entry.kind, Kind::Decline | Kind::Repeat | Kind::Matched);
        if !is_asked || !is_of_card(entry, card) {
            continue;
        }
        let at = moment(entry, calendar);
        if written.date.is_none() {
            // A time alone means the last day on which the card was used.
            if newest.is_some_and(|newest| newest < at.date()) {
                near.clear();
            }
            if newest.is_some_and(|newest| at.date() < newest) {
                continue;
            }
            newest = Some(at.date());
        }
        let date = written.date.unwrap_or(at.date());
        // A date alone means noon.
        let wanted = date.at(written.time.unwrap_or(TimeOfDay(12 * 3600)));
        let (seq, kind) = (entry.seq, entry.kind);
        let found =
            Candidate { seq, kind, at, effect: entry.amount.map(|_| entry.effect()), machine: entry.machine, wanted };
        if found.distance_s() > OFF_MAX_S {
            if beyond.as_ref().is_none_or(|beyond| found.distance_s() < beyond.distance_s()) {
                beyond = Some(found);
            }
            continue;
        }
        near.push(found);
        near.sort_by_key(|candidate| (!candidate.kind.is_sale(), candidate.distance_s(), candidate.seq));
        near.truncate(OTHERS_MAX + 1);
    }
    Ok((near, beyond))
}

/// Collects the entries around the sale and about it.
fn collect(source: &Source, mut story: Story) -> Result<Story, AuditError> {
    let seq = story.found.entry.seq;
    let machine = story.found.entry.machine;
    let account: Option<AccountId> = story.found.entry.account;
    let mut walk = source.walk();
    while let Some(item) = walk.entry()? {
        let entry = &item.entry;
        if entry.seq == seq.next() {
            story.after = Some(item.head());
        }
        if entry.about == Some(seq) && entry.seq != seq {
            // How a clear of all ended is told, however many purses it emptied.
            if story.about.len() < ABOUT_MAX || entry.detail.get("clear").is_some_and(|clear| clear.is(CLEAR_END)) {
                story.about.push(Found::new(&item));
            } else {
                story.more += 1;
            }
        }
        story.is_confirming |= entry.kind == Kind::Confirm && entry.machine.is_some() && entry.machine == machine;
        if account.is_some() && entry.account == account {
            if entry.seq < seq {
                if entry.kind == Kind::Open && entry.seq.next() == seq {
                    story.opening = Some(Found::new(&item));
                } else if entry.is_lasting() {
                    story.before = Some(Found::new(&item));
                }
            }
            story.now = entry.after().or(story.now);
        }
        if entry.seq < seq && is_meal_beside(entry, &story.found.entry) {
            story.meals += i32::from(entry.sales());
        }
    }
    story.head = walk.head();
    Ok(story)
}

/// Whether an entry is a meal, or the void of one, of a sale's card, day and period: these decide
/// which price a second meal has.
fn is_meal_beside(entry: &Entry, sale: &Entry) -> bool {
    let is_meal = |entry: &Entry| entry.is_count_mode() && entry.is_counted() && entry.detail.get("former").is_none();
    let at = |entry: &Entry| Some((entry.card?, entry.detail.day()?, entry.detail.get("period")?.0.to_owned()));
    is_meal(entry) && is_meal(sale) && at(entry).is_some_and(|beside| at(sale) == Some(beside))
}

/// Milliseconds from one entry to a later one; `None` if a clock was not believed or went back.
fn later_ms(from: &Entry, to: &Entry) -> Option<u64> {
    let is_known = from.clock == ClockState::Ok && to.clock == ClockState::Ok;
    let Stamp { wall: first, .. } = from.time;
    u64::try_from(to.time.wall.0.saturating_sub(first.0)).ok().filter(|_| is_known)
}
