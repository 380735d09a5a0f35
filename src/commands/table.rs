//! Every command, once: from this table come the parser's options and operands, the help, the man
//! page and the completions.
//!
//! What a command of `ctl` does is said by the control socket's own table, [`request::COMMANDS`].

use posgate::desk::control::request;
use posgate::lang::Text;

use super::{Options, addresses, audit, cards, check, import, ledger, link, serve};

/// An option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt {
    /// Without its dashes.
    pub(super) name: &'static str,
    /// What its value is called; empty: it has none.
    pub(super) value: &'static str,
    pub(super) meaning: Text,
    /// The command cannot do without it.
    pub(super) is_needed: bool,
    /// It may be given several times.
    pub(super) is_many: bool,
}

const fn opt(name: &'static str, value: &'static str, en: &'static str, zh: &'static str) -> Opt {
    Opt { name, value, meaning: Text::new(en, zh), is_needed: false, is_many: false }
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
    summary: Text,
    /// What the summary leaves out.
    pub(super) text: Text,
    /// Exit codes beside 0 and 64.
    pub(super) exits: &'static [(u8, Text)],
    /// Does it; `None`: `ctl` sends it to the server.
    pub(super) run: Option<fn(&Options) -> u8>,
}

impl Command {
    /// In a few words.
    pub(super) fn summary(&self) -> Text {
        let cmd = match self.of_ctl() {
            Some(name) if self.summary == Text::NONE => name,
            Some(_) | None => return self.summary,
        };
        request::COMMANDS.iter().find(|spec| spec.name == cmd).map_or(Text::NONE, |spec| spec.meaning)
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

/// Whether an option of this name takes a value: the same in every command.
pub(super) fn takes_value(name: &str) -> bool {
    COMMANDS.iter().find_map(|command| command.option(name)).is_some_and(|option| !option.value.is_empty())
}

/// The commands whose names begin with this word.
pub(super) fn group(first: &str) -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(move |command| command.name.split_once(' ').is_some_and(|(word, _)| word == first))
}

const CONFIG: Opt = opt(
    "config",
    "FILE",
    "the configuration; $POSGATE_CONFIG, else /etc/config/posgate",
    "配置文件；不写取 $POSGATE_CONFIG，再没有就是 /etc/config/posgate",
);
const CONTROL: Opt = opt(
    "control",
    "PATH",
    "the server's control socket, instead of the configuration's",
    "服务器的控制接口，代替配置里写的",
);
const HEADER: Opt = opt("header", "en|zh", "the language of the titles; en", "列名的语言；不写是 en");
const JSON: Opt = opt("json", "", "for scripts", "给脚本用");
const ANSWER: Opt = opt("json", "", "the server's answer as it is", "原样输出服务器的应答");
const CARD: Opt = opt("card", "N", "of this card", "只要这张卡的");
const ACCOUNT: Opt = opt("account", "A", "of this account", "只要这个账户的");
const MACHINE: Opt = opt("machine", "N", "of this machine", "只要这个机号的");
const KIND: Opt = opt(
    "kind",
    "KIND,…",
    "of these kinds, such as topup,void; sales: all four kinds of sales",
    "只要这些类型的，例如 topup,void；sales 指全部四种消费",
);
const FROM: Opt = opt(
    "from",
    "TIME",
    "2026-11-22, '2026-11-22 12:30', 12:30 (of today), today, yesterday",
    "从何时起：2026-11-22、'2026-11-22 12:30'、12:30（今天）、today、yesterday",
);
const TO: Opt = opt("to", "TIME", "up to this time, written the same way", "到何时止，写法相同");
const AFTER: Opt = opt(
    "after",
    "SEQ[:CRC]",
    "later than this one, which must be here; with its crc it must be the same. Exit code 1 if the ones after it were archived \
     (gap), if it is not there yet (ahead), if it is another one here (diverged)",
    "只要这一条之后的，这一条必须在；写了 crc，还必须是同一条。之后的已归档（gap）、这一条还没有（ahead）、这里的是另一条（diverged），退出码都是 1",
);
const PLACES: Text = Text::new(
    "DIR is a ledger's directory, and SEGMENT one of its files; an archive's directory may stand beside it: all are \
                      read as one ledger. --config reads the ledger, zone and card table of that configuration.",
    "DIR 是账本目录，SEGMENT 是其中的一个文件；归档目录可以一起写上：全部当作一本账来读。--config 按那份配置取账本、时区和卡表。",
);

const KEY: Opt = opt(
    "key",
    "KEY",
    "the order's name: the same key again does nothing twice. One is drawn and printed if none is given",
    "操作编号：同一个编号再来一遍，不会做第二次。不写就随机生成一个并打印出来",
);
const BY: Opt = opt(
    "by",
    "NAME",
    "who orders it; else the variable POSGATE_BY, else the login name",
    "谁办的；不写看变量 POSGATE_BY，再没有就用登录名",
);
const NOTE: Opt = opt("note", "TEXT", "why, for the ledger", "事由，记进账本");
const USES: Opt =
    opt("uses", "N", "uses of count mode, beside or instead of the amount", "计次的次数，可与金额一起，也可代替金额");
const ABOUT: Opt = opt("about", "SEQ", "settles this stored sale, which was not booked", "补记这笔没有入账的脱机消费");
const ORDERS: Opt =
    opt("file", "FILE", "a table of orders instead of CARD; - is stdin", "批量文件，代替 CARD；- 是标准输入");
const FOR: Opt = opt(
    "for",
    "NAME",
    "what the file is for, such as 2026-12: under it each card's rows are done once, however the file is saved again",
    "这份文件是做什么的，例如 2026-12：在这个名称下每张卡的每一行只做一次，文件怎么重存都一样",
);
const DRY: Opt = opt("dry-run", "", "adds up what the file comes to, and does nothing", "只合计文件里的数，什么也不做");

const YES: Opt = opt(
    "yes",
    "",
    "does it without asking: payouts, close and amounts above 1,000.00 are asked about",
    "不问就做：退款、close 和超过 1,000.00 的金额平时要问",
);

const ORDER: &[Opt] = &[KEY, BY, NOTE, CONFIG, CONTROL, ANSWER];
const MARK: &[Opt] = &[KEY, BY, NOTE, ORDERS, FOR, DRY, CONFIG, CONTROL, ANSWER];
/// Orders that move money may name the account instead of a card.
const BY_ACCOUNT: Opt = opt("account", "NAME", "by account 工号 instead of CARD", "按工号办理，代替 CARD");
const CREDIT: &[Opt] = &[BY_ACCOUNT, USES, YES, KEY, BY, NOTE, ORDERS, FOR, DRY, CONFIG, CONTROL, ANSWER];
const BY_WHOM: &[Opt] = &[BY, CONFIG, CONTROL, ANSWER];
const ASK: &[Opt] = &[CONFIG, CONTROL, ANSWER];
/// Of commands that say who gave them and are no orders: done twice they do no harm.
const SIGNED: &[Opt] = &[BY, NOTE, CONFIG, CONTROL, ANSWER];

/// The columns that a file of orders may have.
const COLUMNS: Text = Text::new(
    "A file has the columns card 卡号 (or account 工号), amount 金额, uses 次数, name 姓名, note 备注 and key 操作编号, as far as the order takes them.",
    "批量文件可有这些列：卡号 card（或工号 account）、金额 amount、次数 uses、姓名 name、备注 note、操作编号 key，以该命令用得到的为限。",
);

/// The same of a file of marks.
const CARD_COLUMNS: Text = Text::new(
    "A file has the column card 卡号, and may have name 姓名, note 备注 and key 操作编号.",
    "批量文件有卡号 card 一列，还可以有姓名 name、备注 note、操作编号 key。",
);

/// What `ctl` ends with.
pub(super) const CTL_EXITS: &[(u8, Text)] = &[
    (1, Text::new("the server said no", "服务器拒绝了")),
    (
        74,
        Text::new(
            "it could not be asked, or did not answer in 10 s: the same key again does an order once",
            "问不到服务器，或者 10 秒没有应答：用同一个操作编号再来一遍，只做一次",
        ),
    ),
    (78, Text::new("the configuration is wrong", "配置有错")),
];
const LEDGER_DAMAGED: (u8, Text) = (78, Text::new("the ledger is damaged", "账本损坏"));

const fn ctl(name: &'static str, operands: &'static [&'static str], options: &'static [Opt]) -> Command {
    Command { name, operands, options, summary: Text::NONE, text: Text::NONE, exits: CTL_EXITS, run: None }
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
                ..opt(
                    "listen",
                    "ADDR[:PORT]",
                    "instead of the configuration's addresses; may be given several times",
                    "代替配置里的监听地址；可以写多个",
                )
            },
        ],
        summary: Text::new("run in the foreground", "前台运行"),
        text: Text::new(
            "SIGTERM: sync and leave. SIGHUP: read configuration and cards again.",
            "SIGTERM：落盘后退出。SIGHUP：重读配置和卡表。",
        ),
        exits: &[
            (74, Text::new("input/output (a new start goes on)", "读写失败（再次启动会接着做）")),
            (78, Text::new("configuration, cards or ledger: a person must look", "配置、卡表或账本有错：要人来看")),
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
                "账本只读启动要用的部分，不查空间：供启动脚本用",
            ),
            opt(
                "enabled",
                "",
                "only whether the configuration says `enabled`: exit code 0 yes, 1 no, 78 it cannot be read",
                "只看配置里的 `enabled`：退出码 0 启用，1 停用，78 配置读不了",
            ),
        ],
        summary: Text::new(
            "read config, cards and ledger; say what would be served",
            "读配置、卡表和账本，说明会服务什么",
        ),
        text: Text::new(
            "Reads configuration, cards and every line of the ledger as a start would, changes nothing, and prints what would be served \
               and all that is wrong. Warnings, such as an interface without an address yet, leave the exit code at 0.",
            "像启动时那样读配置、卡表和账本的每一行，什么也不改，打印会服务什么和全部错误。只有警告（例如网卡还没有地址）时退出码仍是 0。",
        ),
        exits: &[
            (74, Text::new("no room or no access", "没有空间或没有权限")),
            (78, Text::new("configuration, cards or ledger are wrong", "配置、卡表或账本有错")),
        ],
        run: Some(check::run),
    },
    Command {
        name: "addresses",
        operands: &[],
        options: &[],
        summary: Text::new("this machine's IPv4 addresses", "本机的 IPv4 地址"),
        text: Text::new(
            "Numbered, with their interfaces: what to enter at a terminal.",
            "编了号，带网卡名：在终端上要填的就是它。",
        ),
        exits: &[],
        run: Some(|_| addresses::run()),
    },
    Command {
        name: "cards check",
        operands: &["[FILE]"],
        options: &[CONFIG],
        summary: Text::new("read a card table, name every error", "读卡表，列出全部错误"),
        text: Text::new(
            "As the server would: every error with file, line, column and remedy.",
            "像服务器那样读：每个错误都说明文件、行、列和怎么改。",
        ),
        exits: &[(78, Text::new("it cannot be served", "不能采用"))],
        run: Some(cards::check),
    },
    Command {
        name: "cards diff",
        operands: &["OLD", "NEW"],
        options: &[CONFIG],
        summary: Text::new("what another card table would change", "换一份卡表会改变什么"),
        text: Text::new(
            "With --config it names what would be ignored as well: figures of accounts that the ledger has opened, and accounts of \
               cards that the ledger has on others.",
            "加 --config 还列出不起作用的：账本里已开户的账户的余额和次数，以及账本里属于别的账户的卡的编号。",
        ),
        exits: &[(78, Text::new("a table cannot be read", "有一份卡表读不了"))],
        run: Some(cards::diff),
    },
    Command {
        name: "cards template",
        operands: &[],
        options: &[],
        summary: Text::new("a card table to begin with", "输出一份卡表样板"),
        text: Text::NONE,
        exits: &[],
        run: Some(|_| cards::template()),
    },
    Command {
        name: "cards number",
        operands: &["TEXT"],
        options: &[CONFIG],
        summary: Text::new("what a number printed on a card may be", "卡面上印的号码可能是什么"),
        text: Text::new(
            "Says what a number may be that is printed on a card, or that a reader or another program shows: decimal (0005076483), \
               hexadecimal (4D7603, 4D:76:03, 0x004D7603), facility and number as by Wiegand 26 (077,30211), and each of these with its \
               bytes reversed or only the last three. A terminal sends one of them: swipe the card, `posgate ctl seen --unknown` shows \
               which. With --config it also says which card of the table it is, or may be.",
            "说明卡面上印的、读卡器或别的软件显示的号码可能是什么：十进制（0005076483）、十六进制（4D7603、4D:76:03、0x004D7603）、Wiegand 26 的区号和号码（077,30211），以及它们字节倒序或只取后三个字节的样子。终端发的是其中一种：刷一下卡，用 `posgate ctl seen --unknown` 看是哪一种。加 --config 还说明它是、或者可能是卡表里的哪张卡。",
        ),
        exits: &[
            (1, Text::new("it is no number of a card", "不是卡号")),
            (78, Text::new("configuration or cards are wrong", "配置或卡表有错")),
        ],
        run: Some(cards::number),
    },
    Command {
        name: "import",
        operands: &["FILE"],
        options: &[
            Opt {
                is_needed: true,
                ..opt(
                    "to",
                    "DIR",
                    "where cards.csv, adjust.csv and subsidy.csv go; not needed with --dry-run",
                    "cards.csv、adjust.csv、subsidy.csv 写到哪个目录；加 --dry-run 时可以不写",
                )
            },
            opt("fen", "", "its amounts are whole numbers of fen", "金额是整数的分"),
            Opt {
                is_many: true,
                ..opt(
                    "status",
                    "WORD=STATUS",
                    "what a word for a card's state means, such as 停用=frozen; may be given several times",
                    "卡状态里的一个词是什么意思，例如 停用=冻结；可以写多个",
                )
            },
            opt("yes", "", "replaces other files of these names", "目录里这几个文件与此不同也替换"),
            opt("dry-run", "", "adds it up, and writes nothing", "只合计，什么也不写"),
            CONFIG,
        ],
        summary: Text::new("move in from another system's export", "从别的系统导出的表迁入"),
        text: Text::new(
            "Reads another system's cards with their balances, in any form that a card table has, and writes a card table without \
               figures and files of orders that pay them in, once. Prints the sums to compare, and the commands to go on with. With --config it \
               also says which of the accounts hold money in the ledger already.",
            "读别的系统导出的卡和余额（卡表认的写法都可以），写成一份不带余额的卡表和补入余额的批量文件，每笔只补一次。打印供核对的合计，以及接下来的命令。加 --config 还说明哪些账户在账本里已经有钱。",
        ),
        exits: &[
            (1, Text::new("other files are there and --yes is missing", "目录里有别的文件，而没有 --yes")),
            (74, Text::new("input/output", "读写失败")),
            (78, Text::new("it cannot be imported", "不能导入")),
        ],
        run: Some(import::run),
    },
    Command {
        name: "link",
        operands: &[],
        options: &[
            Opt {
                is_needed: true,
                ..opt(
                    "office",
                    "NAME",
                    "the office: 1 to 25 letters, digits, - and _; its orders are by office:NAME",
                    "总部的名称：1 到 25 个字母、数字、- 和 _；它办的事记为 office:NAME",
                )
            },
            CONTROL,
            CONFIG,
        ],
        summary: Text::new("one office's stream over stdin and stdout", "一个总部的连接，经标准输入和输出"),
        text: Text::new(
            "It ends when the server does, after 30 s of silence, and when a new one of the same office begins.",
            "服务器停了、30 秒没有动静、同一总部另有连接，都会结束。",
        ),
        exits: &[(
            74,
            Text::new("the server is not there, or ended; the other side was silent", "服务器不在或停了；对方没有动静"),
        )],
        run: Some(link::run),
    },
    Command {
        name: "ledger verify",
        operands: &["[DIR | SEGMENT…]"],
        options: &[CONFIG],
        summary: Text::new("check every line of a ledger", "逐行校验账本"),
        text: Text::new(
            "Also while the server runs. Given a ledger and its archive, copies of one segment are read as one; a partial copy is named.",
            "服务器运行时也可以。账本和归档一起给出时，同一个文件的几份副本当作一份；不完整的副本会指出来。",
        ),
        exits: &[
            (1, Text::new("torn tail only (the next start cuts it)", "只有末尾残缺（下次启动会截掉）")),
            (2, Text::new("a line was altered", "有行被改动")),
            (3, Text::new("entries are missing", "缺流水")),
            (4, Text::new("entries are swapped", "流水次序不对")),
            (5, Text::new("a header or the snapshot is wrong", "文件头或快照不对")),
            (74, Text::new("input/output", "读写失败")),
        ],
        run: Some(ledger::verify),
    },
    Command {
        name: "ledger show",
        operands: &["[DIR | SEGMENT…]"],
        options: &[
            opt("raw", "", "the ledger's own lines instead of a table", "打印文件里的原样，不排成表格"),
            opt(
                "wide",
                "",
                "all columns also on a terminal, which gets those that fit 80",
                "终端上也打印全部列；平时只打印 80 列放得下的",
            ),
            opt("last", "N", "only the last of them", "只要最后几条"),
            opt("follow", "", "and those to come, until nobody reads any more", "继续打印新写入的，直到没有人读"),
            opt(
                "durable",
                "",
                "only what the running server has synced, so that no power cut takes back what was printed; it is asked over the \
                 control socket. Where no server runs, what the next start keeps; --follow then waits for a server",
                "只打印运行中的服务器已落盘的，断电也不会丢；通过控制接口询问。没有服务器在运行时，打印下次启动会保留的；加 --follow 就等服务器启动",
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
        summary: Text::new("print entries", "打印流水"),
        text: PLACES,
        exits: &[(1, Text::new("--after is not here", "--after 所指的流水不在这里")), LEDGER_DAMAGED],
        run: Some(audit::show),
    },
    Command {
        name: "ledger report",
        operands: &["[DIR | SEGMENT…]"],
        options: &[
            opt(
                "day",
                "DAY",
                "2026-11-22, today or yesterday; the day of the newest entry if none is given",
                "2026-11-22、today 或 yesterday；不写就是最新一条流水的那天",
            ),
            opt("month", "MONTH", "all days of a month, such as 2026-11", "一个月的全部日子，例如 2026-11"),
            opt("from", "DAY", "the first day of several", "几天里的第一天"),
            opt("to", "DAY", "the last day of several", "几天里的最后一天"),
            opt(
                "by",
                "WHAT[,WHAT]",
                "sums by department, person, machine, period, group, month or day, or by two of them such as department,period; \
                 a card's groups together are one row",
                "按部门 department、人员 person、机号 machine、餐段 period、分组 group、月份 month 或营业日 day 汇总，也可以两个交叉，例如 department,period；一张卡的几个分组合成一行",
            ),
            opt("balances", "", "what every account held at the end of the last day", "最后一天结束时各账户的余额"),
            opt(
                "attendance",
                "",
                "each card's first and last passage of each day, corrections marked",
                "每张卡每天的首次和末次开门，补登的有标注",
            ),
            opt("print", "", "for paper, in 80 columns", "供打印，每行 80 列"),
            opt("html", "", "one page for a browser or for A4 paper", "一个网页，供浏览或打印成 A4"),
            opt(
                "csv",
                "",
                "for a spreadsheet: of --by, --balances or --attendance",
                "给电子表格：用于 --by、--balances 或 --attendance",
            ),
            HEADER,
            JSON,
            CONFIG,
        ],
        summary: Text::new("the daily close", "日结"),
        text: Text::new(
            "Sales, desk, what a person should look at, and whether opening and movements make the closing total. A day that was closed \
               stays what it was, whatever zone and day_start are configured today.",
            "消费、柜台、需要人看的事，以及期初加变动是否等于期末。结过的日子不会变，不管现在配置的时区和 day_start 是什么。",
        ),
        exits: &[(1, Text::new("it does not balance", "不平")), LEDGER_DAMAGED],
        run: Some(audit::report),
    },
    Command {
        name: "ledger export",
        operands: &["[DIR | SEGMENT…]"],
        options: &[
            opt(
                "format",
                "csv|tsv",
                "for a spreadsheet (csv, with the mark it wants) or for programs (tsv); csv",
                "给电子表格（csv，带它要的标记）或给程序（tsv）；不写是 csv",
            ),
            opt("gbk", "", "in GBK instead of UTF-8", "用 GBK，不用 UTF-8"),
            HEADER,
            CARD,
            ACCOUNT,
            MACHINE,
            KIND,
            FROM,
            TO,
            AFTER,
            CONFIG,
        ],
        summary: Text::new("print entries as a table for a spreadsheet", "导出成电子表格"),
        text: PLACES,
        exits: &[(1, Text::new("--after is not here", "--after 所指的流水不在这里")), LEDGER_DAMAGED],
        run: Some(audit::export),
    },
    Command {
        name: "ledger explain",
        operands: &["SEQ | CARD TIME", "[DIR | SEGMENT…]"],
        options: &[JSON, CONFIG],
        summary: Text::new("tell the story of one sale", "说明一笔消费的来龙去脉"),
        text: Text::new(
            "What was asked, which rule decided, the balance before and after, what came of it. TIME is 12:30 of any day, or \
               '2026-11-22 12:30': the card's sale nearest to it.",
            "请求了什么，哪条规则决定的，前后余额，后来怎样。TIME 是 12:30（不限哪天）或 '2026-11-22 12:30'：取该卡离它最近的一笔。",
        ),
        exits: &[
            (
                1,
                Text::new(
                    "there is no such entry here (an archived one is named with its archive)",
                    "这里没有这条流水（已归档的会说明在哪份归档里）",
                ),
            ),
            LEDGER_DAMAGED,
        ],
        run: Some(audit::explain),
    },
    Command {
        name: "ledger archive",
        operands: &["DIR"],
        options: &[CONFIG],
        summary: Text::new("move the segments before the snapshot to DIR", "把快照以前的流水文件移到 DIR"),
        text: Text::new(
            "Copies them, verifies the copies, and removes the originals; also while the server runs. A stop at any moment leaves every \
               byte in one place at least: give the command again. Where they went stands in archived.txt.",
            "先复制，校验副本，再删除原件；服务器运行时也可以。随时中断，每个字节都至少还在一处：重新执行即可。移到了哪里，记在 archived.txt 里。",
        ),
        exits: &[
            (74, Text::new("input/output", "读写失败")),
            (
                78,
                Text::new(
                    "a segment or a copy is not as it was written, or there is no snapshot to begin with",
                    "流水文件或副本与写入时不同，或者还没有快照",
                ),
            ),
        ],
        run: Some(ledger::archive),
    },
    Command {
        name: "ledger repair",
        operands: &["[LEDGER]"],
        options: &[
            Opt {
                is_needed: true,
                ..opt("cut", "SEQ", "what `serve` or `check` names", "`serve` 或 `check` 给出的流水号")
            },
            opt(
                "yes",
                "",
                "cut even if whole entries before the damage would be moved, or there is none",
                "会移走损坏处之前的完整流水、或者没有损坏时也截",
            ),
            CONFIG,
        ],
        summary: Text::new("keep the entries before SEQ; server stopped", "保留 SEQ 之前的流水；须先停服务器"),
        text: Text::new("Moves the rest into *.cut files.", "其余移到 *.cut 文件。"),
        exits: &[
            (1, Text::new("whole entries would be moved and --yes is missing", "会移走完整的流水，而没有 --yes")),
            (74, Text::new("input/output", "读写失败")),
            (78, Text::new("it cannot be cut there", "不能在那里截")),
        ],
        run: Some(ledger::repair),
    },
    Command {
        name: "ledger new",
        operands: &[],
        options: &[opt("yes", "", "begin one also where a ledger lies", "目录里已有账本也新建"), CONFIG],
        summary: Text::new("begin a new ledger; server stopped", "新建账本；须先停服务器"),
        text: Text::new(
            "Everybody's opening figures count again. What lies there is kept as *.old.",
            "所有人的开户数重新计。原有的文件改名为 *.old 保留。",
        ),
        exits: &[
            (1, Text::new("a ledger lies there and --yes is missing", "目录里已有账本，而没有 --yes")),
            (74, Text::new("input/output", "读写失败")),
            (78, Text::new("a person must look", "要人来看")),
        ],
        run: Some(ledger::new),
    },
    Command {
        name: "ledger move",
        operands: &["[DIR]"],
        options: &[
            opt("remove-old", "", "remove the old ledger, now or later", "删除原处的账本，可以以后再做"),
            CONFIG,
        ],
        summary: Text::new("move the ledger to DIR; server stopped", "把账本移到 DIR；须先停服务器"),
        text: Text::new(
            "Copies it, verifies and syncs the copy, and lets the configuration name DIR, a new directory. The old one is kept, marked so that \
               no server starts on it, until --remove-old. A stop at any moment harms nothing: give the command again. Without DIR it \
               takes the ledger that lies in ledger_dir, which is another's, for this machine's: the next start goes on with it on a \
               branch.",
            "先复制，校验副本并落盘，再把配置改成 DIR（一个新目录）。原处的保留，并做上标记，服务器不会用它启动，直到 --remove-old。随时中断都无妨：重新执行即可。不写 DIR 时，把 ledger_dir 里别处来的账本认作本机的；下次启动作为分支接着记。",
        ),
        exits: &[(74, Text::new("input/output", "读写失败")), (78, Text::new("a person must look", "要人来看"))],
        run: Some(ledger::move_or_take),
    },
    Command { text: COLUMNS, ..ctl("ctl topup", &["CARD", "AMOUNT"], CREDIT) },
    Command {
        summary: Text::new("subsidy paid in by the employer, or cleared", "补贴：发放或清零"),
        text: Text::new(
            "It goes into the subsidy purse, which pays first where it may. --clear empties the purse: of CARD, of an account, of every row \
               of a file, or with --all of everybody, which takes the same --for NAME if it is given again and goes on where it stopped. A \
               file has the columns card 卡号 (or account 工号), amount 金额, uses 次数, name 姓名, note 备注 and key 操作编号.",
            "进补贴钱包，允许用补贴的地方先扣它。--clear 清零：CARD 一张卡、一个工号、文件里的每一行，或用 --all 全部清零；--all 用同一个 --for NAME 再来一遍，会接着做，不会重做。批量文件可有这些列：卡号 card（或工号 account）、金额 amount、次数 uses、姓名 name、备注 note、操作编号 key。",
        ),
        ..ctl(
            "ctl subsidy",
            &["CARD", "AMOUNT"],
            &[
                BY_ACCOUNT,
                opt("clear", "", "empties the subsidy purse: without AMOUNT", "补贴清零：不写 AMOUNT"),
                opt(
                    "all",
                    "",
                    "with --clear: the purses of all accounts, in place of CARD",
                    "与 --clear 一起：全部账户，代替 CARD",
                ),
                USES,
                YES,
                KEY,
                BY,
                NOTE,
                ORDERS,
                FOR,
                DRY,
                CONFIG,
                CONTROL,
                ANSWER,
            ],
        )
    },
    Command {
        summary: Text::new("credit paid back", "退款"),
        text: Text::new(
            "Of the cash: subsidy is never paid out. AMOUNT may be all.",
            "只退现金，补贴不退。AMOUNT 可以写 all。",
        ),
        ..ctl("ctl payout", &["CARD", "AMOUNT"], &[BY_ACCOUNT, USES, YES, KEY, BY, NOTE, CONFIG, CONTROL, ANSWER])
    },
    Command {
        summary: Text::new("a correction, of either sign", "调整，可正可负"),
        text: Text::new(
            "AMOUNT is added to the cash: 5.00 or +5.00 raises it, -5.00 lowers it, below zero, too. So with --uses. With --about, \
               AMOUNT is what the sale did to the balance: -5.00 for a sale of 5.00. A file has the columns card 卡号 (or account 工号), amount \
               金额, uses 次数, name 姓名, note 备注 and key 操作编号.",
            "AMOUNT 加到现金上：5.00 或 +5.00 增加，-5.00 减少，可以减到负数；--uses 也一样。用 --about 时，AMOUNT 是那笔消费对余额的影响：5.00 的消费写 -5.00。批量文件可有这些列：卡号 card（或工号 account）、金额 amount、次数 uses、姓名 name、备注 note、操作编号 key。",
        ),
        ..ctl(
            "ctl adjust",
            &["CARD", "AMOUNT"],
            &[BY_ACCOUNT, USES, ABOUT, YES, KEY, BY, NOTE, ORDERS, FOR, DRY, CONFIG, CONTROL, ANSWER],
        )
    },
    Command {
        summary: Text::new("undo a sale, a top-up or a subsidy", "撤销消费、充值或补贴"),
        text: Text::new(
            "A sale goes back to the purses that paid it, cash first; subsidy that was cleared since is not given back. A top-up or a subsidy is \
               taken back as far as its purse holds it; the rest is named.",
            "消费退回原来的钱包，先退现金；之后已清零的补贴不退。充值和补贴按钱包里现有的收回，收不回的部分会说明。",
        ),
        ..ctl(
            "ctl void",
            &["SEQ"],
            &[
                opt("amount", "AMOUNT", "only a part of it", "只撤销其中一部分"),
                opt("card", "CARD", "refuse if the entry is not of this card", "如果流水不是这张卡的，就拒绝"),
                YES,
                KEY,
                BY,
                NOTE,
                CONFIG,
                CONTROL,
                ANSWER,
            ],
        )
    },
    Command { text: CARD_COLUMNS, ..ctl("ctl lost", &["CARD"], MARK) },
    Command { text: CARD_COLUMNS, summary: Text::new("take lost back", "解挂"), ..ctl("ctl found", &["CARD"], MARK) },
    Command { text: CARD_COLUMNS, ..ctl("ctl freeze", &["CARD"], MARK) },
    Command {
        text: CARD_COLUMNS,
        summary: Text::new("take freeze back", "解冻"),
        ..ctl("ctl unfreeze", &["CARD"], MARK)
    },
    Command {
        summary: Text::new("end a card for ever", "注销，不能恢复"),
        text: Text::new(
            "A closed card cannot be reopened; `reissue` gives its number to another holder. Pay out the balance first, or later \
               with `payout`. A file has the column card 卡号, and may have name 姓名, note 备注 and key 操作编号.",
            "注销后不能恢复；`reissue` 把卡号给另一个人。余额可以先退，也可以以后用 `payout` 退。批量文件有卡号 card 一列，还可以有姓名 name、备注 note、操作编号 key。",
        ),
        ..ctl("ctl close", &["CARD"], &[YES, KEY, BY, NOTE, ORDERS, FOR, DRY, CONFIG, CONTROL, ANSWER])
    },
    Command {
        summary: Text::new("NEW carries on the account of OLD", "补卡：NEW 接着用 OLD 的账户"),
        text: Text::new(
            "Closes OLD for ever. NEW must be a card that nobody has used; until the card table has a row for it, OLD's row counts.",
            "OLD 随即注销，不能恢复。NEW 必须是没人用过的卡；卡表里还没有它的行时，用 OLD 的行。",
        ),
        ..ctl("ctl replace", &["OLD", "NEW"], ORDER)
    },
    Command {
        text: Text::new(
            "A file has the columns card 卡号 and account 编号, and may have note 备注 and key 操作编号.",
            "批量文件有卡号 card、编号 account 两列，还可以有备注 note、操作编号 key。",
        ),
        ..ctl("ctl account", &["CARD", "ACCOUNT"], MARK)
    },
    Command {
        text: Text::new(
            "A file has the columns old 原编号 and new 新编号, and may have note 备注 and key 操作编号.",
            "批量文件有原编号 old、新编号 new 两列，还可以有备注 note、操作编号 key。",
        ),
        ..ctl("ctl rename", &["OLD", "NEW"], MARK)
    },
    Command {
        text: Text::new(
            "In this order: give the card's row in the card table the new holder and an account that nobody uses, `reload`, then \
               `reissue`. The card's marks (lost, frozen, closed) end; the former holder's account keeps what it holds.",
            "依次：在卡表里把这张卡的行改成新的持卡人和没有人用的编号；`reload`；再 `reissue`。挂失、冻结、注销都就此取消；原持卡人的钱留在原来的账户里。",
        ),
        ..ctl("ctl reissue", &["CARD"], ORDER)
    },
    ctl("ctl open", &["MACHINE", "DOOR"], ORDER),
    ctl("ctl card", &["CARD"], ASK),
    ctl(
        "ctl cards",
        &[],
        &[opt("search", "TEXT", "in card number, account or name", "在卡号、编号或姓名里找"), CONFIG, CONTROL, ANSWER],
    ),
    Command {
        summary: Text::new("cards that were swiped and are in no table", "刷过、但卡表里没有的卡"),
        text: Text::new("Prints them as rows for the card table in service.", "按在用的卡表打印成可以粘贴的行。"),
        ..ctl(
            "ctl seen",
            &[],
            &[
                Opt { is_needed: true, ..opt("unknown", "", "those in no table", "卡表里没有的") },
                CONFIG,
                CONTROL,
                ANSWER,
            ],
        )
    },
    ctl(
        "ctl devices",
        &[],
        &[opt("uci", "", "as sections of the configuration", "打印成配置的段"), CONFIG, CONTROL, ANSWER],
    ),
    ctl(
        "ctl discover",
        &[],
        &[
            opt("port", "N", "the devices' port; 39190", "设备的端口；不写是 39190"),
            opt("seconds", "N", "how long to wait for answers; 3", "等应答多少秒；不写是 3"),
            CONFIG,
            CONTROL,
            ANSWER,
        ],
    ),
    Command {
        summary: Text::new("set a device's clock, or with all every one's", "给一台设备校时，写 all 则全部"),
        text: Text::new(
            "MACHINE is a machine number, such as 1 or 00001, or all. The device must have sent a frame since the start, and the server's \
               own clock must be believed.",
            "MACHINE 是机号，例如 1 或 00001，也可以写 all。设备要在启动以来发过报文，服务器自己的时钟要可信。",
        ),
        ..ctl("ctl clock", &["MACHINE"], ASK)
    },
    ctl("ctl show", &["MACHINE", "TEXT"], ASK),
    ctl("ctl status", &[], ASK),
    ctl(
        "ctl reload",
        &[],
        &[
            opt(
                "accept",
                "CRC",
                "takes just the card table with this crc, which seems not whole",
                "只采用 crc 是这个数、看来不完整的卡表",
            ),
            CONFIG,
            CONTROL,
            ANSWER,
        ],
    ),
    ctl("ctl clock-accept", &[], BY_WHOM),
    Command {
        summary: Text::new("an older copy of the ledger was seen", "确认已看到账本是旧副本"),
        ..ctl("ctl acknowledge", &[], SIGNED)
    },
    ctl("ctl branch", &[], SIGNED),
    Command {
        summary: Text::new("forget what an office has, once it is gone for good", "总部不再用了：不再记它收到了哪里"),
        ..ctl("ctl office", &["forget", "NAME"], &[BY, CONFIG, CONTROL, ANSWER])
    },
    ctl("ctl sync", &[], ASK),
    Command {
        name: "help",
        operands: &["[COMMAND…]"],
        options: &[
            #[cfg(feature = "manual")]
            opt("man", "", "the man page, of all commands", "全部命令的 man 手册页（英文）"),
            #[cfg(feature = "manual")]
            opt("completion", "bash|zsh|fish", "completions for this shell", "这种 shell 的补全脚本"),
        ],
        summary: Text::new("all commands, or one command's page", "全部命令，或一个命令的说明"),
        text: Text::new("Also as COMMAND --help.", "也可以写成 COMMAND --help。"),
        exits: &[],
        run: None,
    },
];
