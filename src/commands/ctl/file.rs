//! `ctl topup --file` and the like: a file of orders, checked as a whole, then given in order.
//! *Invariants:* the server checks every row before the first order is given, and says which rows
//! were done before under the same name (`--for`); the totals are printed before the first order.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use posgate::desk::control::batch::{self, OrderRow};
use posgate::desk::control::request::purpose_wanted;
use posgate::desk::json::{Object, Value};
use posgate::engine::model::Balance;
use posgate::engine::model::order::is_purpose;
use posgate::files::problem::{PROBLEMS_SHOWN_MAX, typed};
use posgate::lang::tr;

use super::{Call, Ended, Options, refusal};
use crate::commands::{EXIT_IO, print_problems};

/// Most lines without an answer: the server answers as many in one turn, and the answers fit its
/// buffer.
const WINDOW: usize = 32;

/// Most bytes of a file: 32,768 rows of 1,024.
const FILE_LEN_MAX: u64 = 32 * 1024 * 1024;

/// Most runs of lines to list that were done before; the rest are counted.
const RUNS_SHOWN_MAX: usize = 20;

/// The path that means stdin.
const STDIN: &str = "-";

/// A checked file, and its purpose.
pub(super) struct File {
    path: PathBuf,
    rows: Vec<OrderRow>,
    /// Empty if every row has its own key.
    purpose: String,
}

impl File {
    /// Its orders.
    pub(super) fn rows(&self) -> &[OrderRow] {
        &self.rows
    }
}

/// Reads and checks a file before anything is sent.
pub(super) fn read(command: &str, path: &Path, options: &Options) -> Result<File, Ended> {
    if options.value("uses").is_some() {
        return Err(Ended::Usage(
            tr(
                "--uses goes with CARD; in a file it is the column uses 次数",
                "--uses 只与 CARD 一起用；在文件里是“次数 uses”列",
            )
            .to_owned(),
        ));
    }
    if options.value("account").is_some() || options.has("all") {
        return Err(Ended::Usage(
            tr(
                "--account and --all stand for CARD: in a file the column account 工号 names accounts",
                "--account 和 --all 代替 CARD；在文件里用“工号 account”列",
            )
            .to_owned(),
        ));
    }
    if options.value("about").is_some() {
        return Err(Ended::Usage(
            tr("--about settles one stored sale: it goes with CARD", "--about 只补记一笔脱机消费：与 CARD 一起用")
                .to_owned(),
        ));
    }
    if options.value("key").is_some() {
        let sentence = tr(
            "--key names one order: say with --for NAME what the file is for, such as --for 2026-12",
            "--key 只给一次操作编号：请用 --for NAME 说明文件是做什么的，例如 --for 2026-12",
        );
        return Err(Ended::Usage(sentence.to_owned()));
    }
    let purpose = options.value("for").unwrap_or_default().to_owned();
    if options.value("for").is_some_and(|purpose| !is_purpose(purpose)) {
        return Err(Ended::Usage(format!("--for {} {}", typed(&purpose), purpose_wanted())));
    }
    let (path, bytes) = if path == Path::new(STDIN) {
        (PathBuf::from("stdin"), take(io::stdin().lock()))
    } else {
        (path.to_owned(), std::fs::File::open(path).and_then(take))
    };
    let bytes = bytes.map_err(|error| {
        complain!("posgate: {}: {error}", path.display());
        Ended::Code(EXIT_IO)
    })?;
    let shape = if options.has("clear") { batch::CLEAR } else { command };
    let orders = batch::parse(&bytes, &path, shape).map_err(|problems| {
        let problems = problems.iter().map(ToString::to_string).collect();
        refused(&path, tr("nothing was done", "什么也没做"), problems, &Before::default())
    })?;
    print_problems(&orders.warnings);
    let rows = orders.rows;
    if purpose.is_empty() && rows.iter().any(|row| row.key.is_none()) {
        let sentence = tr(
            "say what the file is for, such as --for 2026-12: under this name each of its rows is done once, however often the file is saved and given",
            "请说明文件是做什么的，例如 --for 2026-12：在这个名称下每一行只做一次，文件重存、重做多少遍都一样",
        );
        return Err(Ended::Usage(sentence.to_owned()));
    }
    Ok(File { path, rows, purpose })
}

fn take(file: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(io::Error::other(tr!(
            "larger than {FILE_LEN_MAX} bytes: this is no file of orders",
            "超过 {FILE_LEN_MAX} 字节：这不是批量文件"
        )));
    }
    Ok(bytes)
}

/// The rows that were done before this run.
#[derive(Default)]
struct Before {
    count: u64,
    sum: Balance,
    uses: i64,
    /// First and last lines of runs of such rows.
    runs: Vec<(u32, u32)>,
    /// Whether the last row was done before, so that the run may continue.
    is_open: bool,
}

impl Before {
    fn take(&mut self, row: &OrderRow, is_one: bool) {
        match self.runs.last_mut().filter(|_| self.is_open && is_one) {
            Some((_, last)) => *last = row.line,
            None if is_one => self.runs.push((row.line, row.line)),
            None => (),
        }
        self.is_open = is_one;
        if is_one {
            let (amount, uses) = row.moves();
            self.count += 1;
            self.sum += amount;
            self.uses += i64::from(uses);
        }
    }

    /// `2–5, 7`
    fn lines(&self) -> String {
        let named =
            |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}–{last}") };
        let mut runs: Vec<String> = self.runs.iter().take(RUNS_SHOWN_MAX).map(named).collect();
        let more = self.runs.len().saturating_sub(RUNS_SHOWN_MAX);
        runs.extend((more > 0).then(|| tr!("and {more} more places", "还有 {more} 处")));
        runs.join(", ")
    }
}

/// The answer where a file was not done, or not whole: a sentence, what is wrong, line by line, and
/// which lines were done before.
fn refused(path: &Path, sentence: &str, mut problems: Vec<String>, before: &Before) -> Ended {
    let more = problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
    problems.truncate(PROBLEMS_SHOWN_MAX);
    problems.extend((more > 0).then(|| tr!("and {more} more", "还有 {more} 个")));
    let mut members = vec![
        ("ok".to_owned(), Value::Flag(false)),
        ("error".to_owned(), Value::Text(format!("{}: {sentence}", path.display()))),
        ("problems".to_owned(), Value::List(problems.into_iter().map(Value::Text).collect())),
    ];
    if before.count > 0 {
        members.push(("before".to_owned(), Value::Number(before.count.to_string())));
        members.push(("before_lines".to_owned(), Value::Text(before.lines())));
    }
    Ended::Refused(Value::Object(members))
}

/// `--uses N`.
pub(super) fn uses(text: &str) -> Result<i32, Ended> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.parse().map_err(|_| Ended::Usage(tr!("--uses {} is no number of meals", "--uses {} 不是次数", typed(text))))
}

/// Totals of rows: number, yuan, uses.
#[derive(Clone, Copy, Default)]
struct Sum {
    rows: u64,
    yuan: Balance,
    uses: i64,
}

impl Sum {
    fn of(rows: &[OrderRow]) -> Self {
        rows.iter().fold(Self::default(), |sum, row| {
            let (yuan, uses) = row.moves();
            Self { rows: sum.rows + 1, yuan: sum.yuan + yuan, uses: sum.uses + i64::from(uses) }
        })
    }

    /// The totals as text, such as `, 84.00 yuan, 5 uses`.
    fn moved(self, command: &str) -> String {
        let yuan = if batch::moves_money(command) { tr!(", {} yuan", "，{} 元", self.yuan) } else { String::new() };
        let uses = if self.uses == 0 { String::new() } else { tr!(", {} uses", "，{} 次", self.uses) };
        format!("{yuan}{uses}")
    }
}

/// The result of a file.
#[derive(Default)]
struct Tally {
    done: Sum,
    again: u64,
    first: Option<u64>,
    last: Option<u64>,
}

/// Lets the server check every row, then gives all orders in the file's order.
pub(super) fn apply(call: &mut Call, by: &str, file: &File) -> Result<(), Ended> {
    let (mut problems, mut before) = (Vec::new(), Before::default());
    exchange(call, by, file, true, |row, answer| {
        before.take(row, answer.is("again"));
        if !answer.is("ok") {
            problems.push(complaint(file, row, answer));
        }
        true
    })?;
    tell_sum(call, file, &before);
    if !problems.is_empty() {
        let sentence = match before.count {
            0 => tr("nothing was done", "什么也没做").to_owned(),
            1 => tr!(
                "nothing was done now; 1 row was done before, in line {0}: remove or correct the rows below, then give the file again for the same",
                "这次什么也没做；以前做过 1 行，在第 {0} 行：去掉或改好下面的行，用同一个名称再来一遍",
                before.lines()
            ),
            count => tr!(
                "nothing was done now; {count} rows were done before, in lines {}: remove or correct the rows below, then give the file again for the same",
                "这次什么也没做；以前做过 {count} 行，在第 {} 行：去掉或改好下面的行，用同一个名称再来一遍",
                before.lines()
            ),
        };
        return Err(refused(&file.path, &sentence, problems, &before));
    }
    if call.options.has("dry-run") {
        return Ok(());
    }
    let mut tally = Tally::default();
    let mut stopped = None;
    exchange(call, by, file, false, |row, answer| {
        if answer.is("ok") {
            tally.count(row, answer);
        } else if stopped.is_none() {
            stopped = Some(complaint(file, row, answer));
        }
        stopped.is_none()
    })?;
    if let Some(problem) = stopped {
        let sentence = tr!(
            "stopped: {} rows were done, {} had been before; run the same again: it goes on from there, and does nothing twice",
            "中途停下：做了 {} 行，以前做过 {} 行；同样再来一遍，会接着做，不会重做",
            tally.done.rows,
            tally.again
        );
        return Err(refused(&file.path, &sentence, vec![problem], &before));
    }
    tally.tell(call);
    Ok(())
}

/// Prints the totals before the first order.
fn tell_sum(call: &Call, file: &File, before: &Before) {
    let all = Sum::of(&file.rows);
    let is_dry = call.options.has("dry-run");
    if call.options.has("json") {
        if is_dry {
            let object = Object::ok().flag("dry", true).number("rows", all.rows).text("sum", all.yuan);
            let object = object.number("uses", all.uses).number("again", before.count);
            say!("{}", object.text("sum_again", before.sum).end());
        }
        return;
    }
    let purpose = if file.purpose.is_empty() { String::new() } else { tr!(" for {}", "，用于 {}", file.purpose) };
    let done = Sum { rows: before.count, yuan: before.sum, uses: before.uses };
    let again = match before.count {
        0 => String::new(),
        1 => tr!("; 1 of them was done before{}", "；其中 1 行以前做过{}", done.moved(call.name)),
        count => tr!("; {count} of them were done before{}", "；其中 {count} 行以前做过{}", done.moved(call.name)),
    };
    let not = if is_dry { tr("; nothing was done", "；什么也没做") } else { "" };
    say!("{} rows{}{purpose}{again}{not}", "{} 行{}{purpose}{again}{not}", all.rows, all.moved(call.name));
}

fn complaint(file: &File, row: &OrderRow, answer: &Value) -> String {
    format!("{}:{}: {}", file.path.display(), row.line, refusal(answer))
}

/// Sends every row and takes the answers in order, some on their way at once, until `take` says
/// that it is enough.
fn exchange(
    call: &mut Call,
    by: &str,
    file: &File,
    is_dry: bool,
    mut take: impl FnMut(&OrderRow, &Value) -> bool,
) -> Result<(), Ended> {
    let mut under_way: VecDeque<&OrderRow> = VecDeque::new();
    let mut receive = |call: &mut Call, row: &OrderRow| -> Result<bool, Ended> {
        let answer = call.link.receive().map_err(|lost| if is_dry { lost } else { lost.of_file() })?;
        Ok(take(row, &answer))
    };
    for row in &file.rows {
        let object = row.members(Object::new().text("cmd", call.name));
        let object = match &row.key {
            Some(_) => object,
            None => object.text("for", &file.purpose).number("nth", row.nth),
        };
        let note = Some(row.note.as_str()).filter(|note| !note.is_empty()).or(call.options.value("note"));
        let object = object.text("by", by).text_if("note", note);
        call.link.send(&object.flag("dry", is_dry).end())?;
        under_way.push_back(row);
        if under_way.len() == WINDOW
            && let Some(row) = under_way.pop_front()
            && !receive(call, row)?
        {
            break;
        }
    }
    // Even after a stop: a line that was sent before may still be done.
    while let Some(row) = under_way.pop_front() {
        receive(call, row)?;
    }
    Ok(())
}

impl Tally {
    fn count(&mut self, row: &OrderRow, answer: &Value) {
        if answer.is("again") {
            self.again += 1;
        } else {
            let (yuan, uses) = row.moves();
            self.done.rows += 1;
            self.done.yuan += yuan;
            self.done.uses += i64::from(uses);
        }
        if let Some(seq) = answer.number::<u64>("seq") {
            self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
            self.last = Some(self.last.map_or(seq, |last| last.max(seq)));
        }
    }

    fn tell(&self, call: &Call) {
        let (first, last) = (self.first.unwrap_or_default(), self.last.unwrap_or_default());
        let Sum { rows: done, yuan, uses } = self.done;
        if call.options.has("json") {
            let object = Object::ok().number("done", done).number("again", self.again).text("sum", yuan);
            let object = object.number("uses", uses);
            say!("{}", object.number("first", first).number("last", last).end());
            return;
        }
        let moved = self.done.moved(call.name);
        match (done, self.again) {
            (0, _) => say!("already applied, seq {first}–{last}", "以前都做过，流水号 {first}–{last}"),
            (done, 0) => say!("{done} done{moved}, seq {first}–{last}", "做了 {done} 行{moved}，流水号 {first}–{last}"),
            (done, again) => say!(
                "{done} done now{moved}; {again} had been done before; seq {first}–{last}",
                "这次做了 {done} 行{moved}；以前做过 {again} 行；流水号 {first}–{last}"
            ),
        }
    }
}
