//! The judge: whether the server kept the protocol's promises to one device (protocol.md;
//! design.md, sections 1, 8, 10).
//!
//! It stands between the bad network and the server: it sees what really went out and what really
//! came back, also what the simulated network then loses. It reads bytes only and knows nothing of
//! the device's state, so neither can hide the other's mistakes. Each rule stands beside its words
//! in [`Judge::receive`] and [`Judge::end`].

use std::collections::VecDeque;
use std::time::Duration;

use posgate::engine::gbk;
use posgate::engine::limits::DATAGRAM_LEN_MAX;
use posgate::engine::model::{Civil, FrameSeq};
use posgate::engine::wire::{Body, Code, DeviceFrame, INVALID_TIME, Reply, ReplyCode, Request, parse};

use crate::clock::Moment;
use crate::device::Outcome;

/// Frames remembered: resends of a result end long before that many later ones.
const CASES_MAX: usize = 32;

/// How much later than its limit something may arrive on a busy machine.
const GRACE: Duration = Duration::from_millis(500);

/// So soon comes the 001 of a server that lives: a frame that is sent again later than that was not
/// heard. Two copies that a bad network makes of one are closer together.
pub const HEARD_WITHIN: Duration = Duration::from_millis(80);

/// What the judge must know of the server's settings and of the way to it.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// `resend_max`.
    pub resend_max: u32,
    /// `door_ttl_ms`.
    pub door_ttl: Duration,
    /// Whether datagrams keep their order on the way: on loopback.
    pub is_ordered: bool,
}

/// A frame that went out, and what came back.
#[derive(Debug)]
struct Case {
    frame: Vec<u8>,
    code: Code,
    seq: Vec<u8>,
    first_at: Moment,
    last_at: Moment,
    copies: u32,
    acks: u32,
    /// When the first 001 came.
    heard_at: Option<Moment>,
    result: Option<Vec<u8>>,
    /// Copies of results.
    results: u32,
    /// Whether a 109 for the result went out.
    is_confirmed: bool,
    /// When it did, if it cannot have been about anything else.
    confirmed_at: Option<Moment>,
    /// `result` is one that an earlier frame had already: this frame's own may still come.
    has_doubtful_result: bool,
}

impl Case {
    fn request(&self) -> DeviceFrame<'_> {
        match parse(&self.frame) {
            Ok(Request::Device(frame)) => frame,
            _ => unreachable!("only device frames become cases"),
        }
    }
}

/// How a reply stands to a frame.
#[derive(Debug, PartialEq, Eq)]
enum Fit {
    /// It may be its result.
    Result,
    /// It is of the right kind, but says something else than the frame.
    Contradiction(&'static str),
    /// It is about something else.
    Unrelated,
}

/// The judge of one device's traffic.
#[derive(Debug)]
pub struct Judge {
    terms: Terms,
    cases: VecDeque<Case>,
    confirms: VecDeque<Vec<u8>>,
    confirmed: u32,
    is_confirming: bool,
}

impl Judge {
    /// Nothing sent yet.
    pub fn new(terms: Terms) -> Self {
        Self { terms, cases: VecDeque::new(), confirms: VecDeque::new(), confirmed: 0, is_confirming: false }
    }

    /// A datagram went out to the server. Gives when the copy before it went out, if the server did
    /// not hear that one.
    pub fn sent(&mut self, now: Moment, datagram: &[u8]) -> Option<Moment> {
        if let Some(case) = self.cases.iter_mut().find(|case| case.frame == datagram) {
            case.copies += 1;
            let earlier_at = std::mem::replace(&mut case.last_at, now);
            return (case.acks == 0 && now >= earlier_at + HEARD_WITHIN).then_some(earlier_at);
        }
        let Ok(Request::Device(frame)) = parse(datagram) else {
            return None;
        };
        if let Body::Confirm { rest } = frame.body {
            self.confirm(now, frame.seq, rest);
            return None;
        }
        let case = Case {
            frame: datagram.to_vec(),
            code: frame.code,
            seq: frame.seq.as_bytes().to_vec(),
            first_at: now,
            last_at: now,
            copies: 1,
            acks: 0,
            heard_at: None,
            result: None,
            results: 0,
            is_confirmed: false,
            confirmed_at: None,
            has_doubtful_result: false,
        };
        remember(&mut self.cases, case);
        None
    }

    /// When this frame was first sent, last sent, and first heard.
    pub fn times_of(&self, seq: &[u8]) -> Option<(Moment, Moment, Option<Moment>)> {
        let case = self.cases.iter().rev().find(|case| case.seq == seq)?;
        Some((case.first_at, case.last_at, case.heard_at))
    }

    /// A datagram came back.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub fn receive(&mut self, now: Moment, datagram: &[u8]) -> Result<(), String> {
        if datagram.len() > DATAGRAM_LEN_MAX {
            return Err(format!("a reply of {} bytes: devices hold {DATAGRAM_LEN_MAX}", datagram.len()));
        }
        let Some(reply) = Reply::parse(datagram) else {
            return Err("a reply that the protocol does not know".to_owned());
        };
        if let Some(text) = text_of(&reply)
            && gbk::decode(text).contains('\u{FFFD}')
        {
            return Err("a text that is not GBK".to_owned());
        }
        match &reply {
            Reply::Ack { seq } => self.ack(now, seq.as_bytes()),
            Reply::Discover => Ok(()),
            Reply::AskTime { machine } | Reply::SetClock { machine, .. } => {
                if self.cases.iter().any(|case| case.request().machine.as_bytes() == machine.as_bytes()) {
                    return Ok(());
                }
                Err(format!("{} for machine {machine}, which is not this device", reply.code()))
            }
            Reply::Decline { .. } | Reply::Approve { .. } | Reply::Show { .. } => self.result(now, &reply, datagram),
            Reply::Release { .. } | Reply::Admit { .. } | Reply::Refuse { .. } => self.result(now, &reply, datagram),
        }
    }

    /// The device has stopped waiting for this frame.
    ///
    /// # Errors
    /// The promise that was not kept.
    pub fn end(&mut self, seq: &[u8], outcome: &Outcome) -> Result<(), String> {
        // A frame that never really went out was promised nothing.
        let Some(case) = self.cases.iter().rev().find(|case| case.seq == seq) else {
            return Ok(());
        };
        match outcome {
            Outcome::Unheard | Outcome::NoResult | Outcome::Booked => (),
            Outcome::Heard | Outcome::Shown(_) | Outcome::Approved(_) | Outcome::Declined(_) => return Ok(()),
            Outcome::Admitted(_) | Outcome::Refused(_) | Outcome::Released => return Ok(()),
        }
        if case.acks == 0 {
            return Err(format!("no 001 for a {} that was sent {} times", case.code.number(), case.copies));
        }
        // A 105 may have to wait: a full ledger, a clash of machine numbers. The device keeps it.
        let wants_result = !matches!(case.code, Code::Boot | Code::Keys | Code::Offline);
        if wants_result && case.result.is_none() {
            return Err(format!("001 for a {}, but no result", case.code.number()));
        }
        Ok(())
    }

    /// Whether what the device took for a frame's result is what the server said of that frame.
    pub fn is_result_of(&self, seq: &[u8], outcome: &Outcome) -> bool {
        let Some(case) = self.cases.iter().rev().find(|case| case.seq == seq) else {
            return outcome.text().is_none();
        };
        let said = case.result.as_deref().and_then(Reply::parse);
        let said = said.as_ref().filter(|_| !case.has_doubtful_result).map(|reply| (reply.code(), text_of(reply)));
        match outcome {
            Outcome::Shown(text) => said == Some((ReplyCode::Show, Some(text))),
            Outcome::Approved(text) => said == Some((ReplyCode::Approve, Some(text))),
            Outcome::Declined(text) => said == Some((ReplyCode::Decline, Some(text))),
            Outcome::Admitted(text) => said == Some((ReplyCode::Admit, Some(text))),
            Outcome::Refused(text) => said == Some((ReplyCode::Refuse, Some(text))),
            Outcome::Heard | Outcome::Released | Outcome::Booked | Outcome::NoResult | Outcome::Unheard => true,
        }
    }

    /// Results for which a 109 really went out.
    pub fn confirmed(&self) -> u32 {
        self.confirmed
    }

    /// Whether a 109 for an approval really went out: from then on the server counts the device as
    /// confirming.
    pub fn is_confirming(&self) -> bool {
        self.is_confirming
    }

    /// A 109 went out: it is about the newest result, unless it was overtaken on the way or names
    /// another one.
    fn confirm(&mut self, now: Moment, seq: FrameSeq, rest: &[u8]) {
        if self.confirms.iter().any(|confirm| confirm == seq.as_bytes()) {
            return;
        }
        remember(&mut self.confirms, seq.as_bytes().to_vec());
        let decided = |case: &Case| case.result.is_some() && case.code != Code::Offline;
        let Some(newest) = self.cases.iter().rposition(decided) else {
            return;
        };
        // A board has a command for each reader: the 109 may be about another one's.
        let since = now.saturating_sub(self.terms.door_ttl + GRACE);
        let is_open = |case: &Case| case.code == Code::Access && !case.is_confirmed && case.first_at >= since;
        let is_alone = self.cases.iter().filter(|case| is_open(case)).count() <= 1;
        let case = &mut self.cases[newest];
        let result = case.result.clone().unwrap_or_default();
        if case.is_confirmed || seq.is_behind(&case.request().seq) || !names(rest, &result) {
            return;
        }
        case.is_confirmed = true;
        if is_alone && !case.has_doubtful_result {
            case.confirmed_at = Some(now);
        }
        self.confirmed += 1;
        self.is_confirming |= result.starts_with(b"008");
    }

    fn ack(&mut self, now: Moment, seq: &[u8]) -> Result<(), String> {
        let shown = String::from_utf8_lossy(seq);
        // The setting ack_109 may be on.
        let is_confirm = self.confirms.iter().any(|confirm| confirm == seq);
        let Some(case) = self.cases.iter_mut().rev().find(|case| case.seq == seq) else {
            return if is_confirm { Ok(()) } else { Err(format!("001 for frame {shown}, which was not sent")) };
        };
        case.acks += 1;
        case.heard_at.get_or_insert(now);
        if case.acks > case.copies && !is_confirm {
            return Err(format!("001 for frame {shown} came {} times, it was sent {} times", case.acks, case.copies));
        }
        Ok(())
    }

    fn result(&mut self, now: Moment, reply: &Reply<'_>, datagram: &[u8]) -> Result<(), String> {
        let code = reply.code();
        let fits: Vec<_> = self.cases.iter().map(|case| fit(&case.request(), reply)).collect();
        let Some(newest) = fits.iter().rposition(|fit| *fit == Fit::Result) else {
            let contradiction = fits.iter().rev().find_map(|fit| match fit {
                Fit::Contradiction(what) => Some(*what),
                Fit::Result | Fit::Unrelated => None,
            });
            let why = contradiction.unwrap_or("nothing that was sent wants it");
            return Err(format!("a {code} that answers nothing: {why}"));
        };
        // Nothing in a result names its frame: a copy of an earlier one may be meant for either.
        let has_it =
            |index: &usize| fits[*index] == Fit::Result && self.cases[*index].result.as_deref() == Some(datagram);
        let holder = (0..self.cases.len()).rev().find(has_it);
        let is_undecided = self.cases[newest].result.is_none();
        let index = if is_undecided { newest } else { holder.unwrap_or(newest) };
        let is_doubtful = is_undecided && holder.is_some();
        let (terms, cases_len) = (self.terms, self.cases.len());
        let case = &mut self.cases[index];
        let age = now.saturating_sub(case.first_at);
        if terms.is_ordered && case.acks == 0 && !is_doubtful {
            return Err(format!("a {code} before the 001"));
        }
        if code == ReplyCode::Admit && age > terms.door_ttl + GRACE {
            return Err(format!("a 050 that came {} ms after the request", age.as_millis()));
        }
        case.results += 1;
        match &case.result {
            None => {
                case.result = Some(datagram.to_vec());
                case.has_doubtful_result = is_doubtful;
                return Ok(());
            }
            Some(first) if first != datagram && case.has_doubtful_result => {
                case.result = Some(datagram.to_vec());
                case.has_doubtful_result = false;
                return Ok(());
            }
            Some(first) if first != datagram => {
                // A repeated 150 may be refused once its door must not open any more.
                let was_admitted = first.starts_with(b"050");
                if was_admitted && code == ReplyCode::Refuse && age + GRACE >= terms.door_ttl {
                    case.result = Some(datagram.to_vec());
                    return Ok(());
                }
                let first = gbk::decode(first).into_owned();
                return Err(format!("a second, different result for one frame; the first was {first}"));
            }
            Some(_) => (),
        }
        let results_max = case.copies * (1 + terms.resend_max);
        if case.results > results_max {
            return Err(format!("{} copies of one result: at most {results_max} are due", case.results));
        }
        if let Some(confirmed_at) = case.confirmed_at
            && index + 1 == cases_len
            && case.copies == 1
            && now > confirmed_at + 2 * GRACE
        {
            let late = now.saturating_sub(confirmed_at).as_millis();
            return Err(format!("a {code} sent again {late} ms after its 109"));
        }
        Ok(())
    }
}

fn remember<T>(queue: &mut VecDeque<T>, value: T) {
    if queue.len() == CASES_MAX {
        queue.pop_front();
    }
    queue.push_back(value);
}

/// Whether a 109's fields may be about this result: it names no code, or this one and no other card
/// or number.
fn names(rest: &[u8], result: &[u8]) -> bool {
    let subject: &[u8] = match Reply::parse(result) {
        Some(Reply::Decline { subject, .. } | Reply::Approve { subject, .. }) => subject,
        Some(Reply::Admit { card, .. } | Reply::Refuse { card, .. }) => card,
        _ => b"",
    };
    let mut fields = rest.split(|byte| *byte == b',');
    let code = fields.next().unwrap_or_default();
    code.is_empty() || (result.starts_with(code) && fields.next().unwrap_or_default() == subject)
}

fn text_of<'a>(reply: &Reply<'a>) -> Option<&'a [u8]> {
    match reply {
        Reply::Decline { text, .. } | Reply::Approve { text, .. } | Reply::Show { text, .. } => Some(text),
        Reply::Admit { text, .. } | Reply::Refuse { text, .. } => Some(text),
        Reply::Discover | Reply::Ack { .. } | Reply::AskTime { .. } => None,
        Reply::SetClock { .. } | Reply::Release { .. } => None,
    }
}

/// Whether a reply may be a frame's result: its kind, and everything that it echoes, byte for byte.
fn fit(frame: &DeviceFrame<'_>, reply: &Reply<'_>) -> Fit {
    let (subject, amount): (&[u8], &[u8]) = match &frame.body {
        Body::Inquiry { card } => (card.as_bytes(), b""),
        Body::Charge { card, amount, .. } => (card.as_bytes(), amount.raw),
        Body::Meal { card, .. } => (card.as_bytes(), b"0.00"),
        Body::Scan { command, amount, .. } => (command.as_bytes(), amount.raw),
        Body::Access(access) => (access.card_raw, b""),
        Body::Malformed(malformed) => (malformed.subject, b""),
        Body::Offline(sale) => (sale.card_raw, sale.amount_raw),
        Body::Boot { .. } | Body::Keys { .. } | Body::Confirm { .. } => return Fit::Unrelated,
    };
    let is_sale = matches!(frame.code, Code::Charge | Code::Meal | Code::Scan);
    let (is_wanted, machine, echoes) = match reply {
        Reply::Approve { machine, subject: card, amount: echo, .. } => {
            (is_sale, machine, [(*card == subject, "another card"), (*echo == amount, "another amount")])
        }
        Reply::Decline { machine, subject: card, .. } => {
            (is_sale || frame.code == Code::Inquiry, machine, [(*card == subject, "another card"), (true, "")])
        }
        Reply::Show { machine, .. } => (frame.code == Code::Inquiry, machine, [(true, ""), (true, "")]),
        Reply::Admit { machine, card, reader, door, .. } => {
            let Body::Access(access) = &frame.body else { return Fit::Unrelated };
            let is_place = (reader.as_bytes(), door.as_bytes()) == (access.reader.as_bytes(), access.door.as_bytes());
            (true, machine, [(*card == subject, "another card"), (is_place, "another reader or door")])
        }
        Reply::Refuse { machine, card, .. } => {
            (frame.code == Code::Access, machine, [(*card == subject, "another card"), (true, "")])
        }
        Reply::Release { machine, card, amount: echo, time, record } => {
            let Body::Offline(sale) = &frame.body else { return Fit::Unrelated };
            let due = if Civil::parse(sale.time_raw).is_some() { sale.time_raw } else { INVALID_TIME };
            let is_record = *card == subject && *echo == amount && *record == sale.record_raw;
            (true, machine, [(is_record, "another record"), (*time == due, "another time")])
        }
        Reply::Discover | Reply::Ack { .. } | Reply::AskTime { .. } | Reply::SetClock { .. } => {
            return Fit::Unrelated;
        }
    };
    if !is_wanted {
        return Fit::Unrelated;
    }
    if machine.as_bytes() != frame.machine.as_bytes() {
        return Fit::Contradiction("another machine");
    }
    match echoes.into_iter().find(|(is_equal, _)| !is_equal) {
        Some((_, what)) => Fit::Contradiction(what),
        None => Fit::Result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHARGE: &str = "103,00001,127.1.0.2,127.0.0.1,00002,8888888888,5.50,2026-11-22 12:00:00,1234567890";
    const DOOR: &str = "150,00001,127.1.0.7,127.0.0.1,00007,8888888888,1,1,0,0,,2026-11-22 12:00:00,1234567890";
    const SWIPE: &str = "102,00001,127.1.0.2,127.0.0.1,00002,8888888888,1234567890";
    const UPLOAD: &str =
        "105,00001,127.1.0.2,127.0.0.1,00002,8888888888,5.50,2026-11-22 12:00:00,0,00000009,1,1234567890";
    const BAD_TIME: &str =
        "105,00001,127.1.0.2,127.0.0.1,00002,8888888888,5.50,2026-13-22 12:00:00,0,00000009,1,1234567890";
    const CONFIRM: &str = "109,00002,127.1.0.2,127.0.0.1,00002";
    const OVERTAKEN: &str = "109,00000,127.1.0.2,127.0.0.1,00002";
    const ACK: &str = "< 001,00001";
    const OK: &str = "< 008,00002,8888888888,5.50,ok,20,0,1";
    const NO: &str = "< 006,00002,8888888888,no,20,0,6";
    const OPEN: &str = "< 050,00007,8888888888,ok,20,1,0,1,1,5,20";
    const SHUT: &str = "< 051,00007,8888888888,no,20,1,3";
    const RELEASE: &str = "< 011,00002,8888888888,5.50,2026-11-22 12:00:00,00000009";

    /// Runs a story: a frame, a reply after `<`, or a number of milliseconds that pass. Gives the
    /// first breach.
    fn verdict(steps: &[&str]) -> Result<(), String> {
        let terms = Terms { resend_max: 4, door_ttl: Duration::from_secs(3), is_ordered: true };
        let mut judge = Judge::new(terms);
        let mut now = Moment::ZERO;
        for step in steps {
            if let Some(reply) = step.strip_prefix("< ") {
                judge.receive(now, reply.as_bytes())?;
            } else if let Ok(ms) = step.parse() {
                now += Duration::from_millis(ms);
            } else if let Some(outcome) = step.strip_prefix("end ") {
                let outcome = if outcome == "unheard" { Outcome::Unheard } else { Outcome::NoResult };
                judge.end(b"00001", &outcome)?;
            } else {
                judge.sent(now, step.as_bytes());
            }
        }
        Ok(())
    }

    #[test]
    fn an_honest_server_breaks_no_promise() {
        let other_door = DOOR.replace("00001", "00003").replace(",1,1,0,0,", ",2,2,0,0,");
        for story in [
            &[CHARGE, ACK, OK, CONFIRM][..],
            &[CHARGE, ACK, NO, "500", NO, "1000", NO, "2000", NO, "4000", NO],
            &[CHARGE, CHARGE, ACK, ACK, OK, OK],
            &[CHARGE, ACK, OK, CONFIRM, "900", OK],
            &[SWIPE, ACK, "< 009,00002,text,20,1,0"],
            &[SWIPE, ACK, NO],
            &[DOOR, ACK, OPEN, "3000", OPEN],
            &[CHARGE, ACK, OK, OVERTAKEN, "1500", OK],
            &[CHARGE, ACK, OK, &format!("{CONFIRM},009"), "1500", OK],
            &[CHARGE, ACK, OK, &format!("{CONFIRM},008,8888888880"), "1500", OK],
            &[DOOR, ACK, OPEN, &other_door, "< 001,00003", SHUT, CONFIRM, "1500", SHUT],
            &[DOOR, ACK, OPEN, "3000", DOOR, ACK, SHUT],
            &[UPLOAD, ACK, RELEASE],
            &[UPLOAD, ACK, "end no result"],
            &[BAD_TIME, ACK, "< 011,00002,8888888888,5.50,9999-99-99 99:99:99,00000009"],
            &[CHARGE, CONFIRM, ACK, OK, "< 001,00002", "< 003,00002,2026-11-22 12:00:00"],
            &["< 000"],
        ] {
            assert_eq!(verdict(story), Ok(()), "{story:?}");
        }
    }

    #[test]
    fn every_broken_promise_is_named() {
        for (promise, story) in [
            ("no 001", &[CHARGE, CHARGE, CHARGE, "end unheard"][..]),
            ("but no result", &[CHARGE, ACK, "end no result"]),
            ("which was not sent", &[CHARGE, "< 001,00003"]),
            ("came 2 times", &[CHARGE, ACK, ACK]),
            ("before the 001", &[CHARGE, OK]),
            ("another amount", &[CHARGE, ACK, "< 008,00002,8888888888,5.5,ok,20,0,1"]),
            ("another card", &[CHARGE, ACK, "< 008,00002,888888888,5.50,ok,20,0,1"]),
            ("another machine", &[CHARGE, ACK, "< 008,2,8888888888,5.50,ok,20,0,1"]),
            ("another card", &[CHARGE, ACK, "< 006,00002,8888888880,no,20,0,6"]),
            ("nothing that was sent wants it", &[CHARGE, ACK, "< 009,00002,text,20,1,0"]),
            ("nothing that was sent wants it", &[SWIPE, ACK, OK]),
            ("nothing that was sent wants it", &[OK]),
            ("a second, different result", &[CHARGE, ACK, OK, NO]),
            ("a second, different result", &[CHARGE, ACK, NO, OK]),
            ("a second, different result", &[CHARGE, CHARGE, ACK, OK, "< 008,00002,8888888888,5.50,k,20,0,1"]),
            ("a second, different result", &[DOOR, ACK, SHUT, OPEN]),
            ("a second, different result", &[DOOR, ACK, OPEN, SHUT]),
            ("6 copies of one result", &[CHARGE, ACK, OK, OK, OK, OK, OK, OK]),
            ("after its 109", &[CHARGE, ACK, OK, CONFIRM, "1500", OK]),
            ("after its 109", &[CHARGE, ACK, OK, &format!("{CONFIRM},008,8888888888"), "1500", OK]),
            ("after its 109", &[DOOR, ACK, OPEN, CONFIRM, "1500", OPEN]),
            ("3501 ms after the request", &[DOOR, ACK, "3501", OPEN]),
            ("another reader or door", &[DOOR, ACK, "< 050,00007,8888888888,ok,20,1,0,1,2,5,20"]),
            ("another record", &[UPLOAD, ACK, "< 011,00002,8888888888,5.50,2026-11-22 12:00:00,00000008"]),
            ("another time", &[UPLOAD, ACK, "< 011,00002,8888888888,5.50,9999-99-99 99:99:99,00000009"]),
            ("another time", &[BAD_TIME, ACK, "< 011,00002,8888888888,5.50,2026-13-22 12:00:00,00000009"]),
            ("does not know", &[CHARGE, "< 102,00001"]),
            ("is not this device", &[CHARGE, "< 003,00003,2026-11-22 12:00:00"]),
        ] {
            let broken = verdict(story).expect_err(promise);
            assert!(broken.contains(promise), "{broken:?} names {promise:?}");
        }
    }

    #[test]
    fn a_text_that_is_not_gbk_and_a_reply_that_no_device_can_hold_are_broken_promises() {
        let terms = Terms { resend_max: 4, door_ttl: Duration::from_secs(3), is_ordered: true };
        let mut judge = Judge::new(terms);
        assert!(judge.receive(Moment::ZERO, b"009,00002,\x80\xFF,20,1,0").is_err());
        assert!(judge.receive(Moment::ZERO, &[b'0'; DATAGRAM_LEN_MAX + 1]).is_err());
    }

    #[test]
    fn a_late_copy_of_an_earlier_result_is_not_held_against_the_next_frame() {
        let again = CHARGE.replace("00001", "00003");
        let late = "< 008,00002,8888888888,5.50,{10.00},20,0,1";
        let next = "< 008,00002,8888888888,5.50,{4.50},20,0,1";
        assert_eq!(verdict(&[CHARGE, ACK, late, &again, late, "< 001,00003", next, next]), Ok(()));
        let third = "< 008,00002,8888888888,5.50,{1.00},20,0,1";
        assert!(verdict(&[CHARGE, ACK, late, &again, late, "< 001,00003", next, third]).is_err());
    }

    #[test]
    fn equal_results_of_many_frames_are_no_resends() {
        let swipes: Vec<_> = (1..20).map(|seq| SWIPE.replace("00001", &format!("{seq:05}"))).collect();
        let acks: Vec<_> = (1..20).map(|seq| format!("< 001,{seq:05}")).collect();
        let story = swipes.iter().zip(&acks).flat_map(|(swipe, ack)| [swipe, ack.as_str(), "< 009,00002,text,20,1,0"]);
        assert_eq!(verdict(&story.collect::<Vec<_>>()), Ok(()));
    }
}
