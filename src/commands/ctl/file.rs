//! `ctl topup|subsidy|adjust --file`: a file of orders, validated whole, then done in order.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use posgate::control::batch::{self, BatchRow};
use posgate::control::json::{Object, Value};
use posgate::model::Balance;
use posgate::problem::PROBLEMS_SHOWN_MAX;

use super::{Call, Ended, Options, Signature};
use crate::commands::{EXIT_IO, print_problems};

/// Lines on their way at once: the server commits as many in one turn as it takes, and its answers fit its buffer.
const WINDOW: usize = 32;

/// A file that was read, and the name of its batch.
pub(super) struct Batch {
    path: PathBuf,
    rows: Vec<BatchRow>,
    digest: String,
}

/// Reads and checks a file before anything is sent.
pub(super) fn read(command: &str, path: &Path, options: &Options) -> Result<Batch, Ended> {
    if options.value("uses").is_some() {
        return Err(Ended::Usage("--uses goes with CARD; in a file it is the column uses 次数".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(|error| {
        complain!("posgate: {}: {error}", path.display());
        Ended::Code(EXIT_IO)
    })?;
    let orders = batch::parse(&bytes, path, command == "adjust")
        .map_err(|problems| refused(path, "nothing was done", problems.iter().map(ToString::to_string).collect()))?;
    print_problems(&orders.warnings);
    // The same file with another --key is another batch: a subsidy that is the same every month.
    let digest = batch::digest(command, options.value("key").unwrap_or_default(), &bytes);
    Ok(Batch { path: path.to_owned(), rows: orders.rows, digest })
}

/// The answer where a file was not done, or not whole: a sentence, and what is wrong, line by line.
fn refused(path: &Path, sentence: &str, problems: Vec<String>) -> Ended {
    Ended::Refused(Value::Object(vec![
        ("ok".to_owned(), Value::Flag(false)),
        ("error".to_owned(), Value::Text(format!("{}: {sentence}", path.display()))),
        ("problems".to_owned(), Value::List(problems.into_iter().map(Value::Text).collect())),
    ]))
}

/// `--uses N`.
pub(super) fn uses(text: &str) -> Result<i32, Ended> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.parse().map_err(|_| Ended::Usage(format!("--uses {text:?} is no number of meals")))
}

/// What became of the lines of a file.
#[derive(Default)]
struct Tally {
    done: u64,
    again: u64,
    first: Option<u64>,
    last: Option<u64>,
    sum: Balance,
}

/// Has every line looked at, then all done, in order.
pub(super) fn apply(call: &mut Call, signature: &Signature, batch: &Batch) -> Result<(), Ended> {
    let mut problems = Vec::new();
    exchange(call, signature, batch, true, |row, answer| {
        if !answer.is("ok") {
            problems.push(complaint(batch, row, answer));
        }
        true
    })?;
    if !problems.is_empty() {
        let more = problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
        problems.truncate(PROBLEMS_SHOWN_MAX);
        problems.extend((more > 0).then(|| format!("and {more} more")));
        return Err(refused(&batch.path, "nothing was done", problems));
    }
    let mut tally = Tally::default();
    let mut stopped = None;
    exchange(call, signature, batch, false, |row, answer| {
        if answer.is("ok") {
            tally.count(row, answer);
        } else if stopped.is_none() {
            stopped = Some(complaint(batch, row, answer));
        }
        stopped.is_none()
    })?;
    if let Some(problem) = stopped {
        let sentence = format!(
            "stopped: {} lines were done, {} had been before; run the same file again, unchanged: it goes on from there",
            tally.done, tally.again
        );
        return Err(refused(&batch.path, &sentence, vec![problem]));
    }
    tally.tell(call);
    Ok(())
}

fn complaint(batch: &Batch, row: &BatchRow, answer: &Value) -> String {
    let error = answer.text("error").unwrap_or("the server answered what this program does not understand");
    format!("{}:{}: {error}", batch.path.display(), row.line)
}

/// Sends every line and takes the answers in order, some on their way at once, until `take` says that it is enough.
fn exchange(
    call: &mut Call,
    signature: &Signature,
    batch: &Batch,
    is_dry: bool,
    mut take: impl FnMut(&BatchRow, &Value) -> bool,
) -> Result<(), Ended> {
    let mut place = 0_u32;
    let mut under_way: VecDeque<&BatchRow> = VecDeque::new();
    let mut receive = |call: &mut Call, row: &BatchRow| -> Result<bool, Ended> {
        let answer = call.link.receive().map_err(|lost| if is_dry { lost } else { lost.of_file() })?;
        Ok(take(row, &answer))
    };
    for row in &batch.rows {
        let object = Object::new().text("cmd", call.name).text("card", row.card);
        let object = if row.amount == Balance::ZERO { object } else { object.text("amount", row.amount) };
        let object = if row.uses == 0 { object } else { object.number("uses", row.uses) };
        let object = match &row.key {
            Some(key) => object.text("key", key),
            None => {
                place += 1;
                object.text("batch", &batch.digest).number("line", place)
            }
        };
        let note = Some(row.note.as_str()).filter(|note| !note.is_empty()).or(call.options.value("note"));
        let object = object.text("by", &signature.by).text_if("note", note);
        call.link.send(&object.flag("dry", is_dry).end())?;
        under_way.push_back(row);
        if under_way.len() == WINDOW
            && let Some(row) = under_way.pop_front()
            && !receive(call, row)?
        {
            break;
        }
    }
    // Also after a stop: what was sent before it may still be done.
    while let Some(row) = under_way.pop_front() {
        receive(call, row)?;
    }
    Ok(())
}

impl Tally {
    fn count(&mut self, row: &BatchRow, answer: &Value) {
        let is_again = answer.is("again");
        if is_again {
            self.again += 1;
        } else {
            self.done += 1;
            self.sum += row.amount;
        }
        for seq in ["seq", "first", "last"].into_iter().filter_map(|name| answer.number::<u64>(name)) {
            self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
            self.last = Some(self.last.map_or(seq, |last| last.max(seq)));
        }
    }

    fn tell(&self, call: &Call) {
        let (first, last) = (self.first.unwrap_or_default(), self.last.unwrap_or_default());
        if call.options.has("json") {
            let object = Object::ok().number("done", self.done).number("again", self.again).text("sum", self.sum);
            say!("{}", object.number("first", first).number("last", last).end());
            return;
        }
        match (self.done, self.again) {
            (0, _) => say!("already applied, seq {first}–{last}"),
            (done, 0) => say!("{done} done, {} yuan, seq {first}–{last}", self.sum),
            (done, again) => {
                say!("{done} done now, {} yuan; {again} had been done before; seq {first}–{last}", self.sum);
            }
        }
    }
}
