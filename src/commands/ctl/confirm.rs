//! Asks a person at a terminal to confirm orders in which a slip is expensive, unless `--yes` is
//! given. Nothing of such an order is sent before the answer. Scripts are not asked, and the
//! control socket does not ask: programs make no slips, and a script's orders must not begin to
//! fail.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use posgate::desk::control::batch::{OrderRow, moves_money};
use posgate::engine::model::Balance;
use posgate::lang::tr;

use super::{Ended, Options};
use crate::commands::EXIT_NO;

/// Larger amounts must be confirmed: they are rare at a canteen's desk.
const ASKED_ABOVE: Balance = Balance::from_fen(100_000);

/// Asks to confirm an order if necessary.
pub(super) fn of_order(name: &str, options: &Options) -> Result<(), Ended> {
    let amount = match name {
        "void" => options.value("amount"),
        "topup" | "subsidy" | "payout" | "adjust" => {
            options.operands.get(usize::from(!super::names_no_card(options))).map(String::as_str)
        }
        _ => None,
    };
    let is_large = amount.and_then(read).is_some_and(is_large);
    let Some(why) = reason(name, is_large) else { return Ok(()) };
    asked(options, &format!("{name} {}", options.operands.join(" ")), why)
}

/// Asks to confirm that every subsidy purse is emptied.
pub(super) fn of_clear(options: &Options, accounts: u64, sum: &str) -> Result<(), Ended> {
    let orders =
        tr!("subsidy --clear --all, {accounts} accounts, {sum} yuan", "补贴全部清零，{accounts} 个账户，{sum} 元");
    asked(options, &orders, tr("this, which nothing takes back,", "清零不能恢复，"))
}

/// Asks to confirm a file of orders if one of its rows requires it.
pub(super) fn of_file(name: &str, rows: &[OrderRow], options: &Options) -> Result<(), Ended> {
    let is_row_large = |row: &&OrderRow| is_large(row.moves().0);
    let large = rows.iter().filter(is_row_large).count();
    let Some(why) = reason(name, large > 0) else { return Ok(()) };
    let sum = rows.iter().fold(Balance::ZERO, |sum, row| sum + row.moves().0);
    let sum = if moves_money(name) {
        tr!(", {sum} yuan, {large} above {ASKED_ABOVE}", "，{sum} 元，{large} 行超过 {ASKED_ABOVE}")
    } else {
        String::new()
    };
    asked(options, &tr!("{name} of {} rows{sum}", "{name} {} 行{sum}", rows.len()), why)
}

/// Why the order must be confirmed; `None` if it need not be.
fn reason(name: &str, is_large: bool) -> Option<&'static str> {
    match name {
        "payout" => Some(tr("a payout", "这是退款，")),
        "close" => Some(tr("close, which nothing takes back,", "注销不能恢复，")),
        _ if is_large => Some(tr("an amount above 1,000.00", "金额超过 1,000.00，")),
        _ => None,
    }
}

fn is_large(amount: Balance) -> bool {
    amount > ASKED_ABOVE || amount < -ASKED_ABOVE
}

/// Parses an amount of the command line; `None` for an invalid one, which is refused elsewhere.
fn read(text: &str) -> Option<Balance> {
    let text = text.trim();
    Balance::parse(text.strip_prefix('+').unwrap_or(text).as_bytes())
}

/// Asks the person at the terminal, unless `--yes` is given.
fn asked(options: &Options, orders: &str, why: &str) -> Result<(), Ended> {
    let has_person = io::stdin().is_terminal() && io::stderr().is_terminal();
    if options.has("yes") || !has_person {
        return Ok(());
    }
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{}", tr!("{orders}: {why} is asked about. Do it? [y/N] ", "{orders}：{why}做吗？[y/N] "));
    let _ = stderr.flush();
    let mut line = String::new();
    // An answer that cannot be read is not a yes.
    let _ = io::stdin().lock().read_line(&mut line);
    if matches!(line.trim(), "y" | "Y" | "yes" | "是") {
        return Ok(());
    }
    complain!("posgate: nothing was ordered", "posgate: 什么也没做");
    Err(Ended::Code(EXIT_NO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_asked_about_above_the_limit_of_either_sign() {
        for (text, wanted) in [
            ("1000", false),
            ("1000.00", false),
            ("+1000.00", false),
            ("-1000.00", false),
            ("all", false),
            ("x", false),
            ("1000.01", true),
            ("+1000.01", true),
            ("-1000.01", true),
            (" 5000", true),
            ("9999999.99", true),
        ] {
            assert_eq!(read(text).is_some_and(is_large), wanted, "{text}");
        }
    }
}
