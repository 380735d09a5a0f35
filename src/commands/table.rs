//! Every command, once: from this table come the parser's options and operands, the help, the man page and the completions.
//!
//! What a command of `ctl` does is said by the control socket's own table, [`request::COMMANDS`].

use posgate::desk::control::request;

use super::{Options, addresses, audit, cards, check, ledger, serve};

/// An option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt {
    /// Without its dashes.
    pub(super) name: &'static str,
    /// What its value is called; empty: it has none.
    pub(super) value: &'static str,
    pub(super) meaning: &'static str,
    /// The command cannot do without it.
    pub(super) is_needed: bool,
    /// It may be given several times.
    pub(super) is_many: bool,
}

const fn opt(name: &'static str, value: &'static str, meaning: &'static str) -> Opt {
    Opt { name, value, meaning, is_needed: false, is_many: false }
}

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    /// Its words: `serve`, `ledger show`, `ctl topup`.
    pub(super) name: &'static str,
    /// As they are written; one that ends with `…` may be many.
    pub(super) operands: &'static [&'static str],
    pub(super) options: &'static [Opt],
    /// In a few words; empty: the control socket's table says it.
    summary: &'static str,
    /// What the summary leaves out.
    pub(super) text: &'static str,
    /// Exit codes beside 0 and 64.
    pub(super) exits: &'static [(u8, &'static str)],
    /// Does it; `None`: `ctl` sends it to the server.
    pub(super) run: Option<fn(&Options) -> u8>,
}

impl Command {
    /// In a few words.
    pub(super) fn summary(&self) -> &'static str {
        let cmd = match self.of_ctl() {
            Some(name) if self.summary.is_empty() => name,
            Some(_) | None => return self.summary,
        };
        request::COMMANDS.iter().find(|spec| spec.name == cmd).map_or("", |spec| spec.meaning)
    }

    /// Its name behind `ctl`.
    pub(super) fn of_ctl(&self) -> Option<&'static str> {
        self.name.strip_prefix("ctl ")
    }

    pub(super) fn option(&self, name: &str) -> Option<&'static Opt> {
        self.options.iter().find(|option| option.name == name)
    }

    /// How many operands it takes at most.
    pub(super) fn operands_max(&self) -> usize {
        if self.operands.iter().any(|operand| operand.contains('…')) { usize::MAX } else { self.operands.len() }
    }
}

/// The command of these words.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The commands whose names begin with this word.
pub(super) fn group(first: &str) -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(move |command| command.name.split_once(' ').is_some_and(|(word, _)| word == first))
}

const CONFIG: Opt = opt("config", "FILE", "the configuration; $POSGATE_CONFIG, else /etc/config/posgate");
const CONTROL: Opt = opt("control", "PATH", "the server's control socket, instead of the configuration's");
const JSON: Opt = opt("json", "", "for scripts");
const ANSWER: Opt = opt("json", "", "the server's answer as it is");
const CARD: Opt = opt("card", "N", "of this card");
const ACCOUNT: Opt = opt("account", "A", "of this account");
const MACHINE: Opt = opt("machine", "N", "of this machine");
const KIND: Opt = opt("kind", "KIND,…", "of these kinds, such as topup,void; sales: all four kinds of sales");
const FROM: Opt = opt("from", "TIME", "2026-11-22, '2026-11-22 12:30', 12:30 (of today), today, yesterday");
const TO: Opt = opt("to", "TIME", "up to this time, written the same way");
const AFTER: Opt = opt(
    "after",
    "SEQ[:CRC]",
    "later than this one, which must be here; with its crc it must be the same. Exit code 1 if the ones after it were archived \
     (gap), if it is not there yet (ahead), if it is another one here (diverged)",
);
const PLACES: &str = "DIR is a ledger's directory, and SEGMENT one of its files; an archive's directory may stand beside it: all are \
                      read as one ledger. --config reads the ledger, zone and card table of that configuration.";

const KEY: Opt = opt(
    "key",
    "KEY",
    "the order's name: the same key again does nothing twice. One is drawn and printed if none is given",
);
const BY: Opt = opt("by", "NAME", "who orders it; else the variable POSGATE_BY, else the login name");
const NOTE: Opt = opt("note", "TEXT", "why, for the ledger");
const USES: Opt = opt("uses", "N", "uses of count mode, beside or instead of the amount");
const ABOUT: Opt = opt("about", "SEQ", "settles this stored sale, which was not booked");
const ORDERS: Opt = opt("file", "FILE", "a table of orders instead of CARD; - is stdin");
const FOR: Opt = opt(
    "for",
    "NAME",
    "what the file is for, such as 2026-12: under it each card's rows are done once, however the file is saved again",
);
const DRY: Opt = opt("dry-run", "", "adds up what the file comes to, and does nothing");

const YES: Opt = opt("yes", "", "does it without asking: payouts, close and amounts above 1,000.00 are asked about");

const ORDER: &[Opt] = &[KEY, BY, NOTE, CONFIG, CONTROL, ANSWER];
const MARK: &[Opt] = &[KEY, BY, NOTE, ORDERS, FOR, DRY, CONFIG, CONTROL, ANSWER];
const CREDIT: &[Opt] = &[USES, YES, KEY, BY, NOTE, ORDERS, FOR, DRY, CONFIG, CONTROL, ANSWER];
const ASK: &[Opt] = &[CONFIG, CONTROL, ANSWER];
/// Of commands that say who gave them and are no orders: done twice they do no harm.
const SIGNED: &[Opt] = &[BY, NOTE, CONFIG, CONTROL, ANSWER];

/// The columns that a file of orders may have.
const COLUMNS: &str = "A file has the columns card 卡号, amount 金额, uses 次数, name 姓名, note 备注 and key 操作编号, as far as the order takes them.";

/// What `ctl` ends with.
pub(super) const CTL_EXITS: &[(u8, &str)] = &[
    (1, "the server said no"),
    (74, "it could not be asked, or did not answer in 10 s: the same key again does an order once"),
    (78, "the configuration is wrong"),
];
const LEDGER_DAMAGED: (u8, &str) = (78, "the ledger is damaged");

const fn ctl(name: &'static str, operands: &'static [&'static str], options: &'static [Opt]) -> Command {
    Command { name, operands, options, summary: "", text: "", exits: CTL_EXITS, run: None }
}

/// Every command.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "serve",
        operands: &[],
        options: &[
            CONFIG,
            Opt {
                is_many: true,
                ..opt("listen", "ADDR[:PORT]", "instead of the configuration's addresses; may be given several times")
            },
        ],
        summary: "run in the foreground",
        text: "SIGTERM: sync and leave. SIGHUP: read configuration and cards again.",
        exits: &[
            (74, "input/output (a new start goes on)"),
            (78, "configuration, cards or ledger: a person must look"),
        ],
        run: Some(serve::run),
    },
    Command {
        name: "check",
        operands: &[],
        options: &[
            CONFIG,
            opt(
                "quick",
                "",
                "reads of the ledger only what a start reads, and does not ask for room: what an init script wants",
            ),
        ],
        summary: "read config, cards and ledger; say what would be served",
        text: "Reads configuration, cards and every line of the ledger as a start would, changes nothing, and prints what would be served \
               and all that is wrong. Warnings, such as an interface without an address yet, leave the exit code at 0.",
        exits: &[(74, "no room or no access"), (78, "configuration, cards or ledger are wrong")],
        run: Some(check::run),
    },
    Command {
        name: "addresses",
        operands: &[],
        options: &[],
        summary: "this machine's IPv4 addresses",
        text: "Numbered, with their interfaces: what to enter at a terminal.",
        exits: &[],
        run: Some(|_| addresses::run()),
    },
    Command {
        name: "cards check",
        operands: &["[FILE]"],
        options: &[CONFIG],
        summary: "read a card table, name every error",
        text: "As the server would: every error with file, line, column and remedy.",
        exits: &[(78, "it cannot be served")],
        run: Some(cards::check),
    },
    Command {
        name: "cards diff",
        operands: &["OLD", "NEW"],
        options: &[CONFIG],
        summary: "what another card table would change",
        text: "With --config it names what would be ignored as well: figures of accounts that the ledger has opened, and accounts of \
               cards that the ledger has on others.",
        exits: &[(78, "a table cannot be read")],
        run: Some(cards::diff),
    },
    Command {
        name: "cards template",
        operands: &[],
        options: &[],
        summary: "a card table to begin with",
        text: "",
        exits: &[],
        run: Some(|_| cards::template()),
    },
    Command {
        name: "cards number",
        operands: &["TEXT"],
        options: &[CONFIG],
        summary: "what a number printed on a card may be",
        text: "Says what a number may be that is printed on a card, or that a reader or another program shows: decimal (0005076483), \
               hexadecimal (4D7603, 4D:76:03, 0x004D7603), facility and number as by Wiegand 26 (077,30211), and each of these with its \
               bytes reversed or only the last three. A terminal sends one of them: swipe the card, `posgate ctl seen --unknown` shows \
               which. With --config it also says which card of the table it is, or may be.",
        exits: &[(1, "it is no number of a card"), (78, "configuration or cards are wrong")],
        run: Some(cards::number),
    },
    Command {
        name: "ledger verify",
        operands: &["[DIR | SEGMENT…]"],
        options: &[CONFIG],
        summary: "check every line of a ledger",
        text: "Also while the server runs. Given a ledger and its archive, copies of one segment are read as one; a partial copy is named.",
        exits: &[
            (1, "torn tail only (the next start cuts it)"),
            (2, "a line was altered"),
            (3, "entries are missing"),
            (4, "entries are swapped"),
            (5, "a header or the snapshot is wrong"),
            (74, "input/output"),
        ],
        run: Some(ledger::verify),
    },
    Command {
        name: "ledger show",
        operands: &["[DIR | SEGMENT…]"],
        options: &[
            opt("raw", "", "the ledger's own lines instead of a table"),
            opt("wide", "", "all columns also on a terminal, which gets those that fit 80"),
            opt("last", "N", "only the last of them"),
            opt("follow", "", "and those to come, until nobody reads any more"),
            opt(
                "durable",
                "",
                "only what the running server has synced, so that no power cut takes back what was printed; it is asked over the \
                 control socket. Where no server runs, what the next start keeps; --follow then waits for a server",
            ),
            CARD,
            ACCOUNT,
            MACHINE,
            KIND,
            FROM,
            TO,
            AFTER,
            CONTROL,
            CONFIG,
        ],
        summary: "print entries",
        text: PLACES,
        exits: &[(1, "--after is not here"), LEDGER_DAMAGED],
        run: Some(audit::show),
    },
    Command {
        name: "ledger report",
        operands: &["[DIR | SEGMENT…]"],
        options: &[
            opt("day", "DAY", "2026-11-22, today or yesterday; the day of the newest entry if none is given"),
            opt("from", "DAY", "the first day of several"),
            opt("to", "DAY", "the last day of several"),
            opt("balances", "", "what every account held at the end of the last day"),
            JSON,
            CONFIG,
        ],
        summary: "the daily close",
        text: "Sales, desk, what a person should look at, and whether opening and movements make the closing total. A day that was closed \
               stays what it was, whatever zone and day_start are configured today.",
        exits: &[(1, "it does not balance"), LEDGER_DAMAGED],
        run: Some(audit::report),
    },
    Command {
        name: "ledger export",
        operands: &["[DIR | SEGMENT…]"],
        options: &[
            opt("format", "csv|tsv", "for a spreadsheet (csv, with the mark it wants) or for programs (tsv); csv"),
            opt("gbk", "", "in GBK instead of UTF-8"),
            opt("header", "en|zh", "the language of the titles; en"),
            CARD,
            ACCOUNT,
            MACHINE,
            KIND,
            FROM,
            TO,
            AFTER,
            CONFIG,
        ],
        summary: "print entries as a table for a spreadsheet",
        text: PLACES,
        exits: &[(1, "--after is not here"), LEDGER_DAMAGED],
        run: Some(audit::export),
    },
    Command {
        name: "ledger explain",
        operands: &["SEQ | CARD TIME", "[DIR | SEGMENT…]"],
        options: &[JSON, CONFIG],
        summary: "tell the story of one sale",
        text: "What was asked, which rule decided, the balance before and after, what came of it. TIME is 12:30 of any day, or \
               '2026-11-22 12:30': the card's sale nearest to it.",
        exits: &[(1, "there is no such entry here (an archived one is named with its archive)"), LEDGER_DAMAGED],
        run: Some(audit::explain),
    },
    Command {
        name: "ledger archive",
        operands: &["DIR"],
        options: &[CONFIG],
        summary: "move the segments before the snapshot to DIR",
        text: "Copies them, verifies the copies, and removes the originals; also while the server runs. A stop at any moment leaves every \
               byte in one place at least: give the command again. Where they went stands in archived.txt.",
        exits: &[
            (74, "input/output"),
            (78, "a segment or a copy is not as it was written, or there is no snapshot to begin with"),
        ],
        run: Some(ledger::archive),
    },
    Command {
        name: "ledger repair",
        operands: &["[LEDGER]"],
        options: &[
            Opt { is_needed: true, ..opt("cut", "SEQ", "what `serve` or `check` names") },
            opt("yes", "", "cut also where whole entries would be moved: before the damage, or where there is none"),
            CONFIG,
        ],
        summary: "keep the entries before SEQ; server stopped",
        text: "Moves the rest into *.cut files.",
        exits: &[
            (1, "whole entries would be moved and --yes is missing"),
            (74, "input/output"),
            (78, "it cannot be cut there"),
        ],
        run: Some(ledger::repair),
    },
    Command {
        name: "ledger new",
        operands: &[],
        options: &[opt("yes", "", "begin one also where a ledger lies"), CONFIG],
        summary: "begin a new ledger; server stopped",
        text: "Everybody's opening figures count again. What lies there is kept as *.old.",
        exits: &[(1, "a ledger lies there and --yes is missing"), (74, "input/output"), (78, "a person must look")],
        run: Some(ledger::new),
    },
    Command {
        name: "ledger move",
        operands: &[],
        options: &[CONFIG],
        summary: "go on with the ledger in ledger_dir; server stopped",
        text: "Takes it for this machine's; the next start goes on with it on a branch.",
        exits: &[(74, "input/output"), (78, "a person must look")],
        run: Some(ledger::take),
    },
    Command { text: COLUMNS, ..ctl("ctl topup", &["CARD", "AMOUNT"], CREDIT) },
    Command { text: COLUMNS, ..ctl("ctl subsidy", &["CARD", "AMOUNT"], CREDIT) },
    Command {
        summary: "credit paid back",
        text: "AMOUNT may be all.",
        ..ctl("ctl payout", &["CARD", "AMOUNT"], &[USES, YES, KEY, BY, NOTE, CONFIG, CONTROL, ANSWER])
    },
    Command {
        summary: "a correction, of either sign",
        text: COLUMNS,
        ..ctl(
            "ctl adjust",
            &["CARD", "AMOUNT"],
            &[USES, ABOUT, YES, KEY, BY, NOTE, ORDERS, FOR, DRY, CONFIG, CONTROL, ANSWER],
        )
    },
    Command {
        summary: "undo a sale",
        ..ctl(
            "ctl void",
            &["SEQ"],
            &[opt("amount", "AMOUNT", "only a part of the sale"), YES, KEY, BY, NOTE, CONFIG, CONTROL, ANSWER],
        )
    },
    Command { text: COLUMNS, ..ctl("ctl lost", &["CARD"], MARK) },
    Command { text: COLUMNS, summary: "take lost back", ..ctl("ctl found", &["CARD"], MARK) },
    Command { text: COLUMNS, ..ctl("ctl freeze", &["CARD"], MARK) },
    Command { text: COLUMNS, summary: "take freeze back", ..ctl("ctl unfreeze", &["CARD"], MARK) },
    Command {
        text: COLUMNS,
        ..ctl("ctl close", &["CARD"], &[YES, KEY, BY, NOTE, ORDERS, FOR, DRY, CONFIG, CONTROL, ANSWER])
    },
    Command { summary: "NEW carries on the account of OLD", ..ctl("ctl replace", &["OLD", "NEW"], ORDER) },
    ctl("ctl account", &["CARD", "ACCOUNT"], ORDER),
    ctl("ctl rename", &["OLD", "NEW"], ORDER),
    ctl("ctl reissue", &["CARD"], ORDER),
    ctl("ctl open", &["MACHINE", "DOOR"], ORDER),
    ctl("ctl card", &["CARD"], ASK),
    ctl("ctl cards", &[], &[opt("search", "TEXT", "in card number, account or name"), CONFIG, CONTROL, ANSWER]),
    Command {
        summary: "cards that were swiped and are in no table",
        text: "Prints them as rows for the card table in service.",
        ..ctl(
            "ctl seen",
            &[],
            &[Opt { is_needed: true, ..opt("unknown", "", "those in no table") }, CONFIG, CONTROL, ANSWER],
        )
    },
    ctl("ctl devices", &[], &[opt("uci", "", "as sections of the configuration"), CONFIG, CONTROL, ANSWER]),
    ctl(
        "ctl discover",
        &[],
        &[
            opt("port", "N", "the devices' port"),
            opt("seconds", "N", "how long to wait for answers; 3"),
            CONFIG,
            CONTROL,
            ANSWER,
        ],
    ),
    Command { summary: "set a device's clock, or with all every one's", ..ctl("ctl clock", &["MACHINE"], ASK) },
    ctl("ctl show", &["MACHINE", "TEXT"], ASK),
    ctl("ctl status", &[], ASK),
    ctl(
        "ctl reload",
        &[],
        &[
            opt("accept", "CRC", "takes just the card table with this crc, which seems not whole"),
            CONFIG,
            CONTROL,
            ANSWER,
        ],
    ),
    ctl("ctl clock-accept", &[], &[BY, CONFIG, CONTROL, ANSWER]),
    Command { summary: "an older copy of the ledger was seen", ..ctl("ctl acknowledge", &[], SIGNED) },
    ctl("ctl branch", &[], SIGNED),
    ctl("ctl sync", &[], ASK),
    Command {
        name: "help",
        operands: &["[COMMAND…]"],
        options: &[
            opt("man", "", "the man page, of all commands"),
            opt("completion", "bash|zsh|fish", "completions for this shell"),
        ],
        summary: "all commands, or one command's page",
        text: "Also as COMMAND --help.",
        exits: &[],
        run: None,
    },
];
