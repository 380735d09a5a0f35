//! `posgate help`, `posgate help COMMAND` and `COMMAND --help`: all commands in short, or one command's page (design.md, section 3).
//!
//! A page says how the command is written, what it does, its options, and what its exit codes mean. A command without a page here shows its
//! lines of the overview.

use super::{HELP, ctl};

/// Which entries `ledger show` and `export` take.
const FILTER: &str = "\
    --card N, --account A, --machine N   of this card, account, machine
    --kind KIND,…                        of these kinds, such as topup,void; sales: all four kinds of sales
    --from TIME, --to TIME               TIME: 2026-11-22, '2026-11-22 12:30', 12:30 (of today), today, yesterday
    --after SEQ or --after SEQ:CRC       later than this one, which must be here; with its crc it must be the same. Exit code 1 if
                                         the ones after it were archived (gap), if it is not there yet (ahead), if it is another
                                         one here (diverged)";

/// Where ledger commands read.
const PLACES: &str = "\
    DIR | SEGMENT…                       a ledger's directory, or segments; an archive's directory beside it: all as one ledger
    --config FILE                        the ledger, zone and card table of this configuration";

/// The pages: the command's words, how it is written, and the rest.
const PAGES: &[(&str, &str, &str)] = &[
    (
        "serve",
        "posgate serve [--config FILE] [--listen ADDR[:PORT]]…",
        "Runs the server in the foreground. SIGTERM: sync and leave. SIGHUP: read configuration and cards again.

    --listen ADDR[:PORT]                 instead of the configuration's addresses; may be given several times

Exit codes: 0 stopped, 64 usage, 74 input/output (a new start goes on), 78 configuration, cards or ledger: a person must look.",
    ),
    (
        "check",
        "posgate check [--quick] [--config FILE]",
        "Reads configuration, cards and every line of the ledger as a start would, changes nothing, and prints what would be served and all
that is wrong. Warnings, such as an interface without an address yet, leave the exit code at 0.

    --quick                              reads of the ledger only what a start reads, and does not ask for room: what an init script wants

Exit codes: 0 it can be served, 74 no room or no access, 78 configuration, cards or ledger are wrong.",
    ),
    ("addresses", "posgate addresses", "Lists this machine's IPv4 addresses, numbered, with their interfaces: what to enter at a terminal."),
    (
        "cards check",
        "posgate cards check [--config FILE | FILE]",
        "Reads a card table as the server would, and names every error with file, line, column and remedy.

Exit codes: 0 it can be served, 78 it cannot.",
    ),
    (
        "cards diff",
        "posgate cards diff OLD NEW [--config FILE]",
        "Says what another card table would change. With --config it names what would be ignored as well: figures of accounts
that the ledger has opened, and accounts of cards that the ledger has on others.",
    ),
    ("cards template", "posgate cards template", "Prints a card table to begin with."),
    (
        "cards number",
        "posgate cards number TEXT [--config FILE]",
        "Says what a number may be that is printed on a card, or that a reader or another program shows: decimal (0005076483), hexadecimal
(4D7603, 4D:76:03, 0x004D7603), facility and number as by Wiegand 26 (077,30211), and each of these with its bytes reversed or only the
last three. A terminal sends one of them: swipe the card, `posgate ctl seen --unknown` shows which.

    --config FILE                        also says which card of the table it is, or may be

Exit codes: 0, 1 it is no number of a card, 78 configuration or cards are wrong.",
    ),
    (
        "ledger verify",
        "posgate ledger verify [--config FILE | DIR | SEGMENT…]",
        "Checks every line, also while the server runs. Given a ledger and its archive, copies of one segment are read as one; a partial copy
is named.

Exit codes: 0 clean, 1 torn tail only (the next start cuts it), 2 altered, 3 missing, 4 swapped, 5 header or snapshot, 74 input/output.",
    ),
    (
        "ledger show",
        "posgate ledger show [--raw] [FILTER…] [--last N] [--follow] [--durable] [--control PATH] [--config FILE | DIR | SEGMENT…]",
        "Prints entries.

    --raw                                the ledger's own lines instead of a table
    --last N                             only the last of them
    --follow                             and those to come, until nobody reads any more
    --durable                            only what the running server has synced, so that no power cut takes back what was printed;
                                         it is asked over the control socket (of --config, or --control PATH). Where no server runs,
                                         what the next start keeps; --follow then waits for a server",
    ),
    (
        "ledger report",
        "posgate ledger report [--day DAY | --from DAY --to DAY] [--balances] [--json] [--config FILE | DIR | SEGMENT…]",
        "The daily close: sales, desk, what a person should look at, and whether opening and movements make the closing total. A day that was
closed stays what it was, whatever zone and day_start are configured today.

    --day DAY                            2026-11-22, today or yesterday; the day of the newest entry if none is given
    --balances                           what every account held at the end of the last day
    --json                               for scripts

Exit codes: 0, 1 it does not balance, 78 the ledger is damaged.",
    ),
    (
        "ledger export",
        "posgate ledger export [--format csv|tsv] [--gbk] [--header en|zh] [FILTER…] [--config FILE | DIR | SEGMENT…]",
        "Prints entries as a table for a spreadsheet (csv, with the mark it wants) or for programs (tsv).",
    ),
    (
        "ledger explain",
        "posgate ledger explain SEQ | CARD TIME [--json] [--config FILE | DIR | SEGMENT…]",
        "Tells the story of one sale: what was asked, which rule decided, the balance before and after, what came of it.

Exit codes: 0, 1 there is no such entry here (an archived one is named with its archive), 78 the ledger is damaged.",
    ),
    (
        "ledger archive",
        "posgate ledger archive [--config FILE] DIR",
        "Copies the segments before the snapshot to DIR, verifies the copies, and removes the originals; also while the server runs. A stop
at any moment leaves every byte in one place at least: give the command again. Where they went stands in archived.txt.

Exit codes: 0, 74 input/output, 78 a segment or a copy is not as it was written, or there is no snapshot to begin with.",
    ),
    (
        "ledger repair",
        "posgate ledger repair --cut SEQ [--yes] [--config FILE | LEDGER]",
        "Keeps the entries before SEQ, and moves the rest into *.cut files; the server is stopped. SEQ is what `serve` or `check` names.

    --yes                                cut also where whole entries would be moved: before the damage, or where there is none

Exit codes: 0, 1 whole entries would be moved and --yes is missing, 74 input/output, 78 it cannot be cut there.",
    ),
];

/// What `ctl`'s options mean.
const OPTIONS: &[(&str, &str)] = &[
    ("key", "KEY: the order's name; the same key again does nothing twice. One is drawn and printed if none is given"),
    ("by", "NAME: who orders it; else the variable POSGATE_BY, else the login name"),
    ("note", "TEXT: why, for the ledger"),
    ("uses", "N: uses of count mode, beside or instead of the amount"),
    ("amount", "AMOUNT: only a part of the sale"),
    ("file", "FILE: a table of orders instead of CARD and AMOUNT; - is stdin"),
    (
        "for",
        "NAME: what the file is for, such as 2026-12: under it each card's rows are done once, however the file is saved again",
    ),
    ("dry-run", "adds up what the file comes to, and does nothing"),
    ("accept", "CRC: takes just the card table with this crc, which seems not whole"),
    ("search", "TEXT: in card number, account or name"),
    ("port", "N: the devices' port"),
    ("seconds", "N: how long to wait for answers"),
];

/// Prints all commands in short.
pub(super) fn overview() -> u8 {
    say!("{}", HELP.trim_end());
    0
}

/// Prints the page of a command; `None` if there is no such command.
pub(super) fn page(words: &[&str]) -> Option<u8> {
    let name = words.join(" ");
    if let Some((name, usage, text)) = PAGES.iter().find(|(page, ..)| *page == name) {
        say!("    {usage}\n\n{text}");
        match *name {
            "ledger show" | "ledger export" => say!("\nFILTER:\n{FILTER}\n\n{PLACES}"),
            name if name.starts_with("ledger ") && !matches!(name, "ledger archive" | "ledger repair") => {
                say!("\n{PLACES}");
            }
            _ => (),
        }
        say!("\nFILE defaults to $POSGATE_CONFIG, else /etc/config/posgate. `posgate --help` lists all commands.");
        return Some(0);
    }
    if let ["ctl", command] = words {
        return of_ctl(command);
    }
    let lines = lines_of(&name);
    if lines.is_empty() {
        return None;
    }
    say!("{}\n\n`posgate help {name} …` shows a command's own page, `posgate --help` all commands.", lines.join("\n"));
    Some(0)
}

fn of_ctl(command: &str) -> Option<u8> {
    let (operands, options) = ctl::usage(command)?;
    let options: Vec<&&str> = options.iter().filter(|option| !option.is_empty()).collect();
    let written: String =
        options.iter().map(|option| format!(" [--{option}…]").replace('…', value_of(option))).collect();
    say!(
        "    posgate ctl {command}{}{written}",
        operands.iter().map(|operand| format!(" {operand}")).collect::<String>()
    );
    let of_overview: Vec<&str> =
        HELP.lines().filter(|line| line.starts_with("      ") && has_word(line, command)).collect();
    if !of_overview.is_empty() {
        say!("\n{}", of_overview.join("\n"));
    }
    say!("");
    for (name, meaning) in OPTIONS.iter().filter(|(name, _)| options.iter().any(|option| **option == *name)) {
        say!("    --{name} {meaning}");
    }
    say!("    --config FILE, --control PATH: the server's configuration, or its control socket");
    say!("    --json: the server's answer as it is");
    say!(
        "\nExit codes: 0 done and durable, 1 the server said no, 64 usage, 74 it could not be asked or did not answer in 10 s (the same key\n\
         again does an order once), 78 configuration."
    );
    Some(0)
}

fn value_of(option: &str) -> &'static str {
    let meaning = OPTIONS.iter().find(|(name, _)| *name == option).map(|(_, meaning)| *meaning);
    match meaning.and_then(|meaning| meaning.split_once(':')) {
        Some((value, _)) => match value {
            "KEY" => " KEY",
            "NAME" => " NAME",
            "TEXT" => " TEXT",
            "AMOUNT" => " AMOUNT",
            "FILE" => " FILE",
            "CRC" => " CRC",
            _ => " N",
        },
        None => "",
    }
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|character: char| !character.is_ascii_lowercase() && character != '-').any(|part| part == word)
}

/// The overview's lines about a command, those that go on below it included.
fn lines_of(name: &str) -> Vec<&'static str> {
    let name = name.split(' ').collect::<Vec<_>>();
    let mut lines = Vec::new();
    let mut is_of_it = false;
    for line in HELP.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with("    posgate ") {
            is_of_it = words[1..].starts_with(&name);
        } else if !line.starts_with("      ") {
            is_of_it = false;
        }
        if is_of_it {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_overview_belongs_to_a_command_that_has_a_page() {
        for line in HELP.lines().filter(|line| line.starts_with("    posgate ") && !line.contains(" ctl ")) {
            let words: Vec<&str> = line.split_whitespace().skip(1).take_while(|word| word.is_ascii()).collect();
            let is_known = (1..=2).any(|count| words.len() >= count && page(&words[..count]).is_some());
            assert!(is_known, "{line}");
        }
        for (name, usage, _) in PAGES {
            assert!(!lines_of(name).is_empty(), "{name} stands in no line of the overview");
            assert!(usage.contains(name));
        }
        assert!(page(&["sell"]).is_none() && page(&["ctl", "sell"]).is_none());
    }
}
