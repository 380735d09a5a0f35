//! The answer to a reload: new, removed and changed cards, and figures of the table that do not
//! count.

use core::ops::Range;

use crate::desk::json::{Object, string};
use crate::engine::model::{AccountId, CardNo, IncomingTable};
use crate::engine::server::{IgnoredAccount, Server};

/// Cards, accounts and sentences to list of each kind; the rest are counted.
const SHOWN_MAX: usize = 20;

/// Most bytes for the sentences of a refusal.
const SENTENCES_LEN_MAX: usize = 3000;

/// Most bytes for the warnings of an accepted reload, whose answer also lists cards and accounts.
const WARNINGS_LEN_MAX: usize = 2000;

/// The differences between a new card table and the one in service, found in steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Whether both files are the same as those in service, byte for byte, so that no entry is
    /// written.
    pub is_unchanged: bool,
    /// Cards in the new table only.
    pub new: Listed,
    /// Cards in the old table only.
    pub gone: Listed,
    /// Cards in both that differ in account, name, code, terms, or in the opening figures of an
    /// account that no entry has opened yet.
    pub changed: Listed,
}

/// Cards, of which the first are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// How many.
    pub count: usize,
    /// The first ones.
    pub shown: Vec<CardNo>,
}

impl Listed {
    fn add(&mut self, card: CardNo) {
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(card);
        }
    }
}

/// Cards that the ledger has on another account than the table in service, found in steps.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// Rows of the table that were looked at.
    looked_at: usize,
    /// How many.
    pub count: usize,
    /// The first ones.
    pub shown: Vec<IgnoredAccount>,
}

impl Elsewhere {
    /// Looks at no more than `count` further rows; `false` if it has looked at all.
    pub fn step(&mut self, server: &Server, count: usize) -> bool {
        for ignored in server.ignored_accounts_of(self.looked_at, count) {
            self.count += 1;
            if self.shown.len() < SHOWN_MAX {
                self.shown.push(ignored);
            }
        }
        self.looked_at = self.looked_at.saturating_add(count);
        self.looked_at < server.cards().len()
    }
}

impl Changes {
    /// Compares rows of a new table with the table in service, before it is installed.
    pub fn compare(&mut self, server: &Server, new: &IncomingTable, rows: Range<usize>) {
        let cards = server.cards();
        for place in rows {
            let card = new.card(place);
            let Some(row) = cards.find(card) else {
                self.new.add(card);
                continue;
            };
            let account = server.book().account(row.account);
            let stated = new.account(place);
            // The figures of an open account do not count and are reported as ignored; a card that
            // the ledger has on another account has none.
            let is_elsewhere = || server.book().account_conflict(card, row.account).is_some();
            let opening = account.unopened().filter(|_| !is_elsewhere());
            let is_same = account.id == stated.id
                && new.is_as(place, cards, &row)
                && opening.is_none_or(|opening| opening == stated.figures());
            if !is_same {
                self.changed.add(card);
            }
        }
    }

    /// The answer after the new table of `cards` cards is installed. `ignored` are the accounts
    /// whose new figures do not count, `elsewhere` the cards whose accounts do not. `at_start` are
    /// changed options that take effect at the next start. `warnings` are listed as far as they
    /// fit.
    pub fn answer(
        &self,
        cards: usize,
        ignored: &[AccountId],
        elsewhere: &Elsewhere,
        at_start: &[&str],
        warnings: &[impl core::fmt::Display],
    ) -> String {
        let mut shown = fitting(warnings, WARNINGS_LEN_MAX);
        let left_out = warnings.len() - shown.len();
        if left_out > 0 {
            shown.push(string(format_args!("and {left_out} more: `posgate check` lists them")));
        }
        let named_of = |ignored: &IgnoredAccount| string(ignored.card);
        let named = |cards: &Listed| cards.shown.iter().map(string).collect::<Vec<_>>();
        Object::ok()
            .number("cards", cards)
            .number("new", self.new.count)
            .number("gone", self.gone.count)
            .number("changed", self.changed.count)
            .number("ignored", ignored.len() + elsewhere.count)
            .number("ignored_figures", ignored.len())
            .number("elsewhere", elsewhere.count)
            .list("new_cards", named(&self.new))
            .list("gone_cards", named(&self.gone))
            .list("changed_cards", named(&self.changed))
            .list("ignored_accounts", ignored.iter().take(SHOWN_MAX).map(string))
            .list("ignored_cards", elsewhere.shown.iter().map(named_of))
            .list("at_next_start", at_start.iter().map(string))
            .flag("unchanged", self.is_unchanged)
            .list("warnings", shown)
            .end()
    }
}

/// The first sentences that fit into `len_max` bytes, as JSON.
fn fitting(sentences: &[impl core::fmt::Display], len_max: usize) -> Vec<String> {
    let mut len = 0;
    let fitting = sentences.iter().map(string).take_while(|sentence| {
        len += sentence.len() + 1;
        len < len_max
    });
    fitting.take(SHOWN_MAX).collect()
}

/// The answer to a reload whose card table seems incomplete: `reload` with `"accept"` and this
/// CRC-32 takes it.
pub fn refused_table(sentence: impl core::fmt::Display, crc: u32) -> String {
    Object::error(sentence).text("crc", format_args!("{crc:08x}")).end()
}

/// The answer to a refused reload: the sentence, and the problems of the files.
pub fn refused(sentence: impl core::fmt::Display, problems: &[impl core::fmt::Display]) -> String {
    let fitting = fitting(problems, SENTENCES_LEN_MAX);
    let left_out = problems.len() - fitting.len();
    let object = Object::error(sentence).list("problems", fitting);
    if left_out > 0 { object.number("problems_left_out", left_out).end() } else { object.end() }
}
