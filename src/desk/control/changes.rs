//! What a reload changes, for the operator who asked for it: cards new, gone and changed, figures
//! that do not count.

use crate::desk::json::{Object, string};
use crate::engine::model::{AccountId, CardNo, CardRecord};
use crate::engine::server::{IgnoredAccount, Server};

/// Cards, accounts and sentences that an answer names of each sort; the rest is counted.
const SHOWN_MAX: usize = 20;

/// Bytes that the sentences of an answer take together.
const SENTENCES_LEN_MAX: usize = 3000;

/// The same for the warnings of a reload that was done: its answer lists cards and accounts, too.
const WARNINGS_LEN_MAX: usize = 2000;

/// The cards of a new table beside those in service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Both files are those in service, byte for byte: no entry is written.
    pub is_unchanged: bool,
    /// In the new table only.
    pub new: Vec<CardNo>,
    /// In service only.
    pub gone: Vec<CardNo>,
    /// In both, and not the same: account, name, code, terms, or what its account will be opened
    /// with.
    pub changed: Vec<CardNo>,
}

impl Changes {
    /// Compares, before the new table is installed.
    pub fn of(server: &Server, records: &[CardRecord]) -> Self {
        let mut changes = Self::default();
        let cards = server.cards();
        for record in records {
            let Some(row) = cards.find(record.card) else {
                changes.new.push(record.card);
                continue;
            };
            let account = server.book().account(row.account);
            // Figures of an account that is open do not count, and are told as ignored; a card that
            // is on another's account has none.
            let opening = account.unopened().filter(|_| server.book().account_conflict(row).is_none());
            let figures = (record.balance.unwrap_or_default(), record.uses.unwrap_or_default());
            let is_same = account.id == record.account
                && cards.name(row) == record.name.as_slice()
                && cards.code(row) == record.code.as_deref().unwrap_or_default()
                && row.terms == record.terms
                && opening.is_none_or(|opening| opening == figures);
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

    /// The answer once the table of so many cards was installed. `ignored`: accounts whose new
    /// figures do not count; the server knows the cards whose accounts do not. `at_start`: options
    /// that take effect at the next start. `warnings`: what is doubtful in the files, all of it or
    /// as much as fits.
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

/// As many sentences as fit so many bytes, as JSON.
fn fitting(sentences: &[impl core::fmt::Display], len_max: usize) -> Vec<String> {
    let mut len = 0;
    let fitting = sentences.iter().map(string).take_while(|sentence| {
        len += sentence.len() + 1;
        len < len_max
    });
    fitting.take(SHOWN_MAX).collect()
}

/// The answer where a table was not taken after the one in service: `reload` with `"accept"` and
/// this crc takes it.
pub fn refused_table(sentence: impl core::fmt::Display, crc: u32) -> String {
    Object::error(sentence).text("crc", format_args!("{crc:08x}")).end()
}

/// The answer where a reload was refused: the sentence, and what is wrong with the files.
pub fn refused(sentence: impl core::fmt::Display, problems: &[impl core::fmt::Display]) -> String {
    let fitting = fitting(problems, SENTENCES_LEN_MAX);
    let left_out = problems.len() - fitting.len();
    let object = Object::error(sentence).list("problems", fitting);
    if left_out > 0 { object.number("problems_left_out", left_out).end() } else { object.end() }
}
