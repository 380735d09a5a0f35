//! Reads tables of steps into [`Case`]s. The crate's documentation explains the language.

use std::fmt::Write as _;

/// A table of steps, with its first configuration and cards.
#[derive(Clone, Debug)]
pub struct Case {
    /// The number of the line `steps`.
    pub line: usize,
    /// Its claim, from the `steps` line.
    pub title: String,
    /// A configuration, as the operator writes it.
    pub config: String,
    /// A card table, as the operator writes it.
    pub cards: String,
    /// In order.
    pub steps: Vec<Step>,
}

/// A step: an action and all its effects.
#[derive(Clone, Debug)]
pub struct Step {
    /// The file's line.
    pub line: usize,
    /// The line.
    pub text: String,
    /// The action.
    pub action: Action,
    /// In order.
    pub expected: Vec<Expected>,
}

/// The action of a step.
#[derive(Clone, Debug)]
pub enum Action {
    /// `at 2026-11-22 12:00:00`: begins there, or waits until then.
    At(String),
    /// `wait 500ms`.
    Wait(u64),
    /// `clock 2026-11-22 12:00:00`: somebody sets the wall clock; no time passes.
    SetClock(String),
    /// `kernel synchronized`, `kernel unsynchronized`: what adjtimex reports from now on.
    Kernel(bool),
    /// `NAME > frame`; `late 6s NAME > frame`: it arrived 6 s before it is read.
    Send {
        device: String,
        frame: String,
        late_ms: u64,
    },
    /// `device NAME 192.168.1.50 00002`: the address and the machine number of NAME.
    Device {
        name: String,
        address: String,
        machine: String,
    },
    /// `let NAME = text`.
    Let {
        name: String,
        value: String,
    },
    /// The program is killed and started again.
    Restart,
    /// The program is killed.
    Kill,
    /// The power fails: data that was not synced is lost.
    PowerCut,
    /// SIGTERM.
    Stop,
    /// The program is started.
    Start,
    /// SIGHUP: the newest `config` and `cards` blocks are read; `reload refused`: they must be
    /// refused.
    Reload {
        is_refused: bool,
    },
    /// A `config` block: what the next start or reload reads.
    Config(String),
    /// A `cards` block: what the next start or reload reads.
    Cards(String),
    /// `built 2026-01-01`: the build date of the program that starts next.
    Built(String),
    /// `operator void card=… amount=…`: an entry that is written while the server is down.
    Operator(Vec<String>),
    /// `order topup 8888888888 50.00` and other orders.
    Order(Vec<String>),
    /// `would topup 8888888888 50.00`: the order is only checked.
    Would(Vec<String>),
    /// `set-clock all`, or of one machine.
    TellTime(String),
    /// `show 00002 text`.
    Show {
        machine: String,
        text: String,
    },
    /// `accept-clock`.
    AcceptClock,
    /// `unknown 9999999999 2 …`.
    Unknown(Vec<String>),
    /// `balance 8888888888 94.50`, of an account.
    Balance {
        account: String,
        balance: String,
    },
    Subsidy {
        account: String,
        subsidy: String,
    },
    /// `uses 8888888888 3`, of an account.
    Uses {
        account: String,
        uses: String,
    },
    /// `count duplicates 1`: a counter since the start.
    Count {
        counter: String,
        count: String,
    },
    /// `doubts 1`: sales in doubt.
    Doubts(String),
    /// `ledger-lacks TEXT`: no line holds it.
    LedgerLacks(String),
    /// `clock-is unset`.
    ClockIs(String),
}

/// An expected effect of a step.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The file's line.
    pub line: usize,
    /// The line.
    pub text: String,
    /// `@500ms`: the time since the step began.
    pub after_ms: Option<u64>,
    /// The effect.
    pub what: What,
}

/// The kinds of effects of a step.
#[derive(Clone, Debug)]
pub enum What {
    /// `[NAME] < reply`: to this device, else to the one that sent last. With `...` at its end: a
    /// reply that begins like this.
    Reply { device: Option<String>, reply: String },
    /// `ledger KIND key=value …`: an entry with these words in its columns and its detail.
    Entry { kind: String, words: Vec<(String, String)>, label: Option<String> },
    /// `answer TEXT`: the answer to the operator. With `...` at its end: one that begins like this.
    Answer(String),
    /// `ledger *`: any number of entries.
    AnyEntries,
    /// `...`: anything, until the end of the step.
    Anything,
}

struct Line {
    number: usize,
    indent: usize,
    text: String,
}

/// Reads a file.
pub fn read(text: &str) -> Result<Vec<Case>, String> {
    let lines = expand_repeats(&lines(text))?;
    let mut cases: Vec<Case> = Vec::new();
    let (mut config, mut cards) = (String::new(), String::new());
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        if line.indent > 0 {
            return Err(format!("{}: a line outside any block: {}", line.number, line.text));
        }
        let (word, title) = line.text.split_once(' ').unwrap_or((&line.text, ""));
        let end = block_end(&lines, at);
        match word {
            "config" => config = block_text(&lines[at + 1..end]),
            "cards" => cards = block_text(&lines[at + 1..end]),
            "steps" => cases.push(Case {
                line: line.number,
                title: title.trim().to_owned(),
                config: config.clone(),
                cards: cards.clone(),
                steps: read_steps(&lines[at + 1..end])?,
            }),
            _ => return Err(format!("{}: neither config nor cards nor steps: {}", line.number, line.text)),
        }
        at = end;
    }
    if cases.is_empty() {
        return Err("0: no steps".to_owned());
    }
    Ok(cases)
}

/// All lines but blank ones and comments.
fn lines(text: &str) -> Vec<Line> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered
        .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(|(number, line)| Line {
            number,
            indent: line.len() - line.trim_start().len(),
            text: line.trim().to_owned(),
        })
        .collect()
}

/// The first line after `at` that is not deeper.
fn block_end(lines: &[Line], at: usize) -> usize {
    let deeper = lines[at + 1..].iter().take_while(|line| line.indent > lines[at].indent).count();
    at + 1 + deeper
}

fn block_text(lines: &[Line]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{}", line.text).expect("a String takes everything");
        text
    })
}

/// Repeats the lines under `repeat 20`, with `$i` as 00001, 00002 … and `$k` as 1, 2 …
fn expand_repeats(lines: &[Line]) -> Result<Vec<Line>, String> {
    let mut expanded = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(times) = lines[at].text.strip_prefix("repeat ") else {
            let Line { number, indent, text } = &lines[at];
            expanded.push(Line { number: *number, indent: *indent, text: text.clone() });
            at += 1;
            continue;
        };
        let times: usize = times.parse().map_err(|_| format!("{}: repeat how often?", lines[at].number))?;
        let end = block_end(lines, at);
        let step_indent = lines[at].indent;
        let body = &lines[at + 1..end];
        let deeper = body.first().map_or(0, |line| line.indent.saturating_sub(step_indent));
        for count in 1..=times {
            expanded.extend(body.iter().map(|line| Line {
                number: line.number,
                indent: line.indent - deeper,
                text: line.text.replace("$i", &format!("{count:05}")).replace("$k", &count.to_string()),
            }));
        }
        at = end;
    }
    Ok(expanded)
}

fn read_steps(lines: &[Line]) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        let end = block_end(lines, at);
        if let Some(expected) = read_expected(line)? {
            let step = steps.last_mut().ok_or(format!("{}: nothing was done yet", line.number))?;
            step.expected.push(expected);
            at += 1;
            continue;
        }
        let block = &lines[at + 1..end];
        let (action, has_block) = match line.text.as_str() {
            "config" => (Action::Config(block_text(block)), true),
            "cards" => (Action::Cards(block_text(block)), true),
            text => (read_action(text).map_err(|what| format!("{}: {what}: {text}", line.number))?, false),
        };
        steps.push(Step { line: line.number, text: line.text.clone(), action, expected: Vec::new() });
        at = if has_block { end } else { at + 1 };
    }
    Ok(steps)
}

fn read_action(text: &str) -> Result<Action, &'static str> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    if let Some(frame) = rest.strip_prefix('>') {
        return Ok(Action::Send { device: word.to_owned(), frame: frame.trim().to_owned(), late_ms: 0 });
    }
    if word == "late" {
        let (late, sent) = rest.split_once(' ').ok_or("late DURATION NAME > frame")?;
        let late_ms = duration_ms(late).ok_or("late by how long? 500ms, 3s, 10m, 2h or 1d")?;
        let (device, frame) = sent.split_once('>').ok_or("late DURATION NAME > frame")?;
        return Ok(Action::Send { device: device.trim().to_owned(), frame: frame.trim().to_owned(), late_ms });
    }
    let words: Vec<String> = split_words(rest);
    let pair = || match words.as_slice() {
        [one, other] => Ok((one.clone(), other.clone())),
        _ => Err("two words must follow"),
    };
    Ok(match word {
        "at" => Action::At(rest.to_owned()),
        "wait" => Action::Wait(duration_ms(rest).ok_or("wait how long? 500ms, 3s, 10m, 2h or 1d")?),
        "clock" => Action::SetClock(rest.to_owned()),
        "kernel" => Action::Kernel(match rest {
            "synchronized" => true,
            "unsynchronized" => false,
            _ => return Err("synchronized or unsynchronized"),
        }),
        "device" => match words.as_slice() {
            [name, address, machine] => {
                Action::Device { name: name.clone(), address: address.clone(), machine: machine.clone() }
            }
            _ => return Err("device NAME ADDRESS MACHINE"),
        },
        "let" => {
            let (name, value) = rest.split_once('=').ok_or("let NAME = text")?;
            Action::Let { name: name.trim().to_owned(), value: value.trim().to_owned() }
        }
        "restart" => Action::Restart,
        "kill" => Action::Kill,
        "power-cut" => Action::PowerCut,
        "stop" => Action::Stop,
        "start" => Action::Start,
        "reload" => Action::Reload {
            is_refused: match rest {
                "" => false,
                "refused" => true,
                _ => return Err("reload, or reload refused"),
            },
        },
        "built" => Action::Built(rest.to_owned()),
        "operator" => Action::Operator(words),
        "order" => Action::Order(words),
        "would" => Action::Would(words),
        "set-clock" => Action::TellTime(rest.to_owned()),
        "show" => {
            let (machine, text) = rest.split_once(' ').unwrap_or((rest, ""));
            Action::Show { machine: machine.to_owned(), text: text.to_owned() }
        }
        "accept-clock" => Action::AcceptClock,
        "unknown" => Action::Unknown(words),
        "balance" => pair().map(|(account, balance)| Action::Balance { account, balance })?,
        "subsidy" => pair().map(|(account, subsidy)| Action::Subsidy { account, subsidy })?,
        "uses" => pair().map(|(account, uses)| Action::Uses { account, uses })?,
        "count" => pair().map(|(counter, count)| Action::Count { counter, count })?,
        "doubts" => Action::Doubts(rest.to_owned()),
        "ledger-lacks" => Action::LedgerLacks(rest.to_owned()),
        "clock-is" => Action::ClockIs(rest.to_owned()),
        _ => return Err("no such step"),
    })
}

fn read_expected(line: &Line) -> Result<Option<Expected>, String> {
    let mut rest = line.text.as_str();
    let mut after_ms = None;
    if let Some(marked) = rest.strip_prefix('@') {
        let (mark, after) = marked.split_once(' ').ok_or(format!("{}: what comes then?", line.number))?;
        after_ms = Some(duration_ms(mark).ok_or(format!("{}: no duration: {mark}", line.number))?);
        rest = after.trim_start();
    }
    let what = if rest == "..." {
        What::Anything
    } else if rest == "ledger *" {
        What::AnyEntries
    } else if let Some(answer) = rest.strip_prefix("answer ") {
        What::Answer(answer.to_owned())
    } else if let Some(entry) = rest.strip_prefix("ledger ") {
        let mut words = split_words(entry).into_iter();
        let kind = words.next().ok_or(format!("{}: an entry of which kind?", line.number))?;
        let mut pairs = Vec::new();
        let mut label = None;
        while let Some(word) = words.next() {
            if word == "as" {
                label = words.next();
                continue;
            }
            let (key, value) = word.split_once('=').ok_or(format!("{}: no key=value: {word}", line.number))?;
            pairs.push((key.to_owned(), value.to_owned()));
        }
        What::Entry { kind, words: pairs, label }
    } else if let Some(reply) = rest.strip_prefix('<') {
        What::Reply { device: None, reply: reply.trim().to_owned() }
    } else if let Some((device, reply)) = rest.split_once(" < ")
        && !device.contains([' ', '>'])
    {
        What::Reply { device: Some(device.to_owned()), reply: reply.trim().to_owned() }
    } else {
        return Ok(None);
    };
    Ok(Some(Expected { line: line.number, text: line.text.clone(), after_ms, what }))
}

/// Words between blanks; blanks within double quotes stay.
fn split_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in text.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            _ => words.last_mut().expect("it begins with one").push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `500ms`, `3s`, `10m`, `2h`, `1d`.
pub fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|next: char| next.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit_ms)
}
