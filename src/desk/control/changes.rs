//! The answer to a reload: new, removed and changed cards, and figures of the table that do not
//! count.

use crate::desk::json::{Object, string};
use crate::engine::model::{AccountId, CardNo, CardRecord};
use crate::engine::server::{IgnoredAccount, Server};

/// Cards, accounts and sentences to list of each kind; the rest are counted.
const SHOWN_MAX: usize = 20;

/// Most bytes for the sentences of a refusal.
const SENTENCES_LEN_MAX: usize = 3000;

/// Most bytes for the warnings of an accepted reload, whose answer also lists cards and accounts.
const WARNINGS_LEN_MAX: usize = 2000;

/// The differences between a new card table and the one in service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Whether both files are the same as those in service, byte for byte, so that no entry is
    /// written.
    pub is_unchanged: bool,
    /// Cards in the new table only.
    pub new: Vec<CardNo>,
    /// Cards in the old table only.
    pub gone: Vec<CardNo>,
    /// Cards in both that differ in account, name, code, terms, or in the opening figures of an
    /// account that no entry has opened yet.
    pub changed: Vec<CardNo>,
}

impl Changes {
    /// Compares a new table's records with the table in service, before they are installed.
    pub fn of(server: &Server, records: &[CardRecord]) -> Self {
        let mut changes = Self::default();
        let cards = server.cards();
        for record in records {
            let Some(row) = cards.find(record.card) else {
                changes.new.push(record.card);
                continue;
            };
            let account = server.book().account(row.account);
            // The figures of an open account do not count and are reported as ignored; a card that
            // the ledger has on another account has none.
            let opening = account.unopened().filter(|_| server.book().account_conflict(row).is_none());
            let is_same = account.id == record.account
                && cards.name(row) == record.name.as_slice()
                && cards.code(row) == record.code.as_deref().unwrap_or_default()
                && row.terms == record.terms
                && opening.is_none_or(|opening| opening == record.figures());
            if !is_same {
                changes.changed.push(record.card);
            }
        }
        let mut numbers: Vec<u64> = records.iter().map(|record| record.card.value()).collect();
        numbers.sort_unstable();
        let gone = cards.rows().iter().filter(|row| numbers.binary_search(&row.card).is_err());
        changes.gone = gone.map(|row| CardNo::from_value(row.card)).collect();
        changes
    }

    /// The answer after the new table of `cards` cards is installed. `ignored` are the accounts
    /// whose new figures do not count; the server has the cards whose accounts do not. `at_start`
    /// are changed options that take effect at the next start. `warnings` are listed as far as they
    /// fit.
    pub fn answer(
        &self,
        cards: usize,
        ignored: &[AccountId],
        server: &Server,
        at_start: &[&str],
        warnings: &[impl core::fmt::Display],
    ) -> String {
        let mut shown = fitting(warnings, WARNINGS_LEN_MAX);
        let left_out = warnings.len() - shown.len();
        if left_out > 0 {
            shown.push(string(format_args!("and {left_out} more: `posgate check` lists them")));
        }
        let elsewhere = || server.ignored_accounts();
        let named_of = |ignored: IgnoredAccount| string(ignored.card);
        let named = |cards: &[CardNo]| cards.iter().take(SHOWN_MAX).map(string).collect::<Vec<_>>();
        Object::ok()
            .number("cards", cards)
            .number("new", self.new.len())
            .number("gone", self.gone.len())
            .number("changed", self.changed.len())
            .number("ignored", ignored.len() + elsewhere().count())
            .number("ignored_figures", ignored.len())
            .number("elsewhere", elsewhere().count())
            .list("new_cards", named(&self.new))
            .list("gone_cards", named(&self.gone))
            .list("changed_cards", named(&self.changed))
            .list("ignored_accounts", ignored.iter().take(SHOWN_MAX).map(string))
            .list("ignored_cards", elsewhere().take(SHOWN_MAX).map(named_of))
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
