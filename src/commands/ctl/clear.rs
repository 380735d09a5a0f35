//! `ctl subsidy --clear --all`: begins to empty every subsidy purse, and follows the server until it
//! is done. The same order under the same name does nothing twice, so to follow is to ask again.

use std::io::{self, IsTerminal as _};
use std::thread::sleep;
use std::time::Duration;

use posgate::desk::control::request::purpose_wanted;
use posgate::desk::json::{Object, Value};
use posgate::engine::model::order::is_purpose;
use posgate::files::problem::typed;
use posgate::lang::tr;

use super::{Call, Ended, Options, check, confirm};
use crate::commands::EXIT_IO;

/// How often the server is asked how far it is.
const ASKED_EVERY: Duration = Duration::from_millis(50);

/// After so many answers without progress, some 10 s, the command ends; the server goes on.
const STANDSTILL_MAX: u32 = 200;

/// A person is told how far it is each so many answers, about once a second.
const TOLD_EVERY: u32 = 20;

/// Whether the command line orders it.
pub(super) fn is_ordered(name: &str, options: &Options) -> bool {
    name == "subsidy" && options.has("all")
}

/// The order's line, checked before anything is sent.
pub(super) fn line(options: &Options, by: &str) -> Result<Object, Ended> {
    let Some(purpose) = options.value("for") else {
        return Err(Ended::Usage(
            tr(
                "say which clear this is, such as --for 2026-11: under this name it is done once, however often it is given",
                "请说明是哪一次清零，例如 --for 2026-11：在这个名称下只做一次，来几遍都一样",
            )
            .to_owned(),
        ));
    };
    if !is_purpose(purpose) {
        return Err(Ended::Usage(format!("--for {} {}", typed(purpose), purpose_wanted())));
    }
    for (option, is_there) in [
        ("clear", !options.has("clear")),
        ("account", options.value("account").is_some()),
        ("uses", options.value("uses").is_some()),
        ("key", options.value("key").is_some()),
    ] {
        if is_there && option == "clear" {
            return Err(Ended::Usage(tr("--all goes with --clear", "--all 与 --clear 一起写").to_owned()));
        }
        if is_there {
            return Err(Ended::Usage(tr!(
                "--all means every purse: leave --{option} out",
                "--all 是所有人：不要写 --{option}"
            )));
        }
    }
    let object = Object::new().text("cmd", "subsidy").flag("clear", true).flag("all", true).text("for", purpose);
    let object = object.text("by", by).text_if("note", options.value("note"));
    check(&object.clone().end())?;
    Ok(object)
}

/// Asks how much there is, gives the order, and waits until it is done.
pub(super) fn give(call: &mut Call, order: &Object) -> Result<(), Ended> {
    let options = call.options;
    let first = call.ask(&order.clone().flag("dry", true).end())?;
    let (accounts, sum) = (first.number::<u64>("accounts").unwrap_or_default(), first.text("sum").unwrap_or_default());
    if !options.has("json") && !first.is("again") {
        let hold = if accounts == 1 { "account holds" } else { "accounts hold" };
        say!("{accounts} {hold} {sum} yuan of subsidy", "{accounts} 个账户共有补贴 {sum} 元");
    }
    if options.has("dry-run") {
        call.tell(&first, |_| say!("nothing was done", "什么也没做"));
        return Ok(());
    }
    if !first.is("again") {
        confirm::of_clear(options, accounts, sum)?;
    }
    let shows_progress = io::stderr().is_terminal() && !options.has("json");
    let (mut before, mut unmoved) = (0, 0);
    for asked in 1_u32.. {
        let answer = call.ask(&order.clone().end())?;
        let cleared = answer.number::<u64>("accounts");
        let is_going_on = cleared.is_some() && !answer.is("done");
        if !is_going_on {
            call.tell(&answer, |answer| tell_end(answer, first.is("again")));
            return Ok(());
        }
        let cleared = cleared.unwrap_or_default();
        unmoved = if cleared == before { unmoved + 1 } else { 0 };
        before = cleared;
        if unmoved == STANDSTILL_MAX {
            complain!(
                "posgate: {cleared} accounts are cleared, and it stands still: is the disk full? The server goes on by itself; give the same order again to see",
                "posgate: 已清零 {cleared} 个账户，停住了：磁盘满了吗？服务器会自己接着做；同样再来一遍可以看进度"
            );
            return Err(Ended::Code(EXIT_IO));
        }
        if shows_progress && asked.is_multiple_of(TOLD_EVERY) {
            complain!("{cleared} of {accounts} accounts", "{cleared} / {accounts} 个账户");
        }
        sleep(ASKED_EVERY);
    }
    Ok(())
}

/// `was_done`: before this command was given.
fn tell_end(answer: &Value, was_done: bool) {
    let seq = answer.number::<u64>("seq").unwrap_or_default();
    match (answer.number::<u64>("accounts"), answer.text("sum")) {
        (Some(accounts), Some(sum)) if was_done => say!(
            "subsidy --clear --all: was done before, entry {seq}; {accounts} accounts, {sum} yuan",
            "补贴全部清零：以前做过，流水号 {seq}；{accounts} 个账户，{sum} 元"
        ),
        (Some(accounts), Some(sum)) => say!(
            "subsidy --clear --all: done, entry {seq}; {accounts} accounts, {sum} yuan",
            "补贴全部清零：完成，流水号 {seq}；{accounts} 个账户，{sum} 元"
        ),
        _ => say!("subsidy --clear --all: was done before, entry {seq}", "补贴全部清零：以前做过，流水号 {seq}"),
    }
}
