//! A sheet: a CSV file as an office keeps it, card tables and files of orders alike (design.md,
//! section 5).
//!
//! What always holds: a value is read under its own heading, or the file is refused. A value with
//! one meaning is accepted, however it was exported. A value that may mean two things (a unit in a
//! heading, an open quote, a comma within an amount, a value without a heading) is an error that
//! names line and column, what it looks like, and what to write instead.

pub mod heading;
pub(crate) mod rows;
pub(crate) mod text;
pub(crate) mod value;

use std::io::{self, Read, Seek};

use self::heading::{Heading, Holds, Named, label};
use self::rows::{Row, Rows};
use self::text::{Decoder, Survey, TextForm};
use crate::files::problem::{PROBLEMS_SHOWN_MAX, Problems, masked, quoted};
use crate::lang::{Text, tr};

/// Bytes of a file: twice what a full card table with every column needs. A larger file is not a
/// sheet.
const FILE_LEN_MAX: u64 = 32 * 1024 * 1024;

/// Rows that may come before the headings: a title, a date, a blank line or two.
const TITLE_ROWS_MAX: usize = 8;

/// Columns of a sheet. Those of offices have some dozens; a line of a million commas is not a
/// sheet.
const COLUMNS_MAX: usize = 1024;

/// Headings that an error names.
const FOUND_SHOWN_MAX: usize = 12;

/// The layout of a kind of file.
pub(crate) struct Layout<T: 'static> {
    /// The columns that are read.
    pub columns: &'static [T],
    /// The columns of which one identifies the row of headings.
    pub first: &'static [usize],
    /// The error if that row is missing.
    pub wanted: Text,
    /// What happens to an unknown heading.
    pub unknown: fn(heading: &str) -> Unknown,
    /// Whether the amounts are in fen, whatever a heading says of it.
    pub is_fen: bool,
}

impl<T: Named> Layout<T> {
    fn heading(&self, heading: &str) -> Heading {
        match heading::read(heading, self.columns) {
            // Another remark beside the unit stays.
            Heading::Changed(..) if self.is_fen => {
                heading::read(&heading.to_lowercase().replace('分', "").replace("fen", ""), self.columns)
            }
            Heading::Column(column)
                if self.is_fen
                    && self.columns[column].holds() == Holds::Yuan
                    && ["元", "yuan", "rmb"].iter().any(|unit| heading.to_lowercase().contains(unit)) =>
            {
                Heading::Changed(
                    column,
                    tr(
                        "its heading says yuan, and --fen that amounts are fen: correct one of the two",
                        "列名说是元，--fen 说金额是分：请改正其中一个",
                    )
                    .to_owned(),
                )
            }
            read => read,
        }
    }
}

/// What happens to an unknown column.
pub(crate) enum Unknown {
    /// It is ignored, with this warning.
    Warn(String),
    /// It is refused, with this problem.
    Refuse(String),
}

/// The headings: which field of a row belongs to which column.
#[derive(Debug)]
pub(crate) struct Header {
    /// By column: its field.
    places: Vec<Option<usize>>,
    /// By field: the column, if it is ours.
    columns: Vec<Option<usize>>,
    /// By field: its heading; empty if it has none.
    names: Vec<String>,
    delimiter: u8,
}

/// A row under its headings.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a> {
    row: Row<'a>,
    header: &'a Header,
}

/// The form of a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// `UTF-8` or `GB18030`.
    pub encoding: &'static str,
    /// The headings as written; empty if there are none.
    pub headings: Vec<String>,
    /// The delimiter of fields.
    pub delimiter: u8,
}

/// The longest row, in bytes. A longer one is none of a sheet's: its end is missing.
const ROW_LEN_MAX: usize = 64 * 1024;

/// Bytes that are surveyed or decoded at a time.
const SURVEYED_LEN: usize = 64 * 1024;
const DECODED_LEN: usize = 16 * 1024;

/// Bytes of rows that a step reads: 0.1 ms on a server; 10 ms on a small router, most of it for the
/// names in GBK.
const ROWS_LEN: usize = 4096;

/// A file, or its bytes.
pub(crate) trait Source: Read + Seek {}

impl<T: Read + Seek> Source for T {}

/// Reads a sheet in steps, each of bounded work: a first look at the whole file, then its rows.
pub(crate) struct Reader<'s> {
    source: Box<dyn Source + 's>,
    survey: Survey,
    crc: crc32fast::Hasher,
    /// Bytes that were decoded.
    read: u64,
    decoder: Option<(Decoder, TextForm)>,
    is_whole: bool,
    /// CRC-32 and length of the file at the first look.
    seen: (u32, u64),
    rows: Rows,
    /// Whether the first line states the delimiter; `None` before the first row.
    is_said: Option<bool>,
    is_first: bool,
    header: Option<Header>,
    rooms: Rooms,
    titles: Vec<(u32, String)>,
    /// Whether the last byte of the text ends a line.
    has_end: bool,
}

/// What a step has reached.
pub(crate) enum Step {
    /// There is more to do.
    Working,
    /// The first look at the file is over.
    Surveyed,
    /// All rows were read. `None`: the file holds no sheet.
    Ended(Option<Form>),
    /// The file changed while it was read.
    Changed,
}

impl<'s> Reader<'s> {
    pub fn new(source: impl Source + 's) -> Self {
        Self {
            source: Box::new(source),
            survey: Survey::new(),
            crc: crc32fast::Hasher::new(),
            read: 0,
            decoder: None,
            is_whole: false,
            seen: (0, 0),
            rows: Rows::new(b','),
            is_said: None,
            is_first: true,
            header: None,
            rooms: Rooms::default(),
            titles: Vec::new(),
            has_end: true,
        }
    }

    /// CRC-32 and length of the file, after [`Step::Surveyed`].
    pub const fn seen(&self) -> (u32, u64) {
        self.seen
    }

    /// Line ends in the file, after [`Step::Surveyed`].
    pub fn lines(&self) -> usize {
        self.survey.lines()
    }

    /// Whether the file's last byte is an LF, after [`Step::Surveyed`].
    pub fn ends_line(&self) -> bool {
        self.survey.ends_line()
    }

    /// Does the next piece of work. Gives each row to `take`, also after a problem, so that all
    /// problems are found.
    ///
    /// # Errors
    /// The operating system's.
    pub fn step<T: Named>(
        &mut self,
        layout: &Layout<T>,
        problems: &mut Problems,
        warnings: &mut Problems,
        take: impl FnMut(Cells<'_>, &mut Problems),
    ) -> io::Result<Step> {
        if self.decoder.is_none() {
            return self.look(problems);
        }
        if !self.is_whole && self.rows.unread() < ROW_LEN_MAX + ROWS_LEN {
            return self.read_window(problems);
        }
        let is_over = self.take_rows(layout, problems, warnings, take);
        if is_over {
            return Ok(Step::Ended(None));
        }
        if self.is_whole && self.rows.unread() == 0 {
            let is_same = (self.crc.clone().finalize(), self.read) == self.seen;
            return Ok(if is_same { Step::Ended(self.end(layout, problems, warnings)) } else { Step::Changed });
        }
        Ok(Step::Working)
    }

    fn look(&mut self, problems: &mut Problems) -> io::Result<Step> {
        let bytes = next_window(&mut *self.source, SURVEYED_LEN)?;
        self.crc.update(&bytes);
        self.survey.add(&bytes);
        if self.survey.len() > FILE_LEN_MAX {
            problems.add(
                0,
                tr!(
                    "larger than {FILE_LEN_MAX} bytes: this is not a card table",
                    "超过 {FILE_LEN_MAX} 字节：这不是卡表"
                ),
            );
            return Ok(Step::Ended(None));
        }
        if !bytes.is_empty() {
            return Ok(Step::Working);
        }
        self.seen = (std::mem::take(&mut self.crc).finalize(), self.survey.len());
        let Some(form) = self.survey.end(problems) else { return Ok(Step::Ended(None)) };
        self.decoder = Some((Decoder::new(form), form));
        self.source.rewind()?;
        Ok(Step::Surveyed)
    }

    /// Decodes the next bytes of the file.
    fn read_window(&mut self, problems: &mut Problems) -> io::Result<Step> {
        let bytes = next_window(&mut *self.source, DECODED_LEN)?;
        self.crc.update(&bytes);
        let Some((decoder, form)) = &mut self.decoder else { return Ok(Step::Working) };
        self.is_whole = bytes.is_empty();
        // Without the BOM and what follows the mark of the end.
        let within =
            |place: u64| usize::try_from(place.saturating_sub(self.read)).map_or(bytes.len(), |at| at.min(bytes.len()));
        let text = &bytes[within(form.begin)..within(form.end)];
        self.has_end = text.last().map_or(self.has_end, |last| matches!(last, b'\n' | b'\r'));
        decoder.decode(text, self.is_whole, self.rows.window(), problems);
        self.read += bytes.len() as u64;
        Ok(Step::Working)
    }

    /// Passes over blank lines; `true` if they took so much of the window that the next row may
    /// end beyond it.
    fn is_short_of_rows(&mut self) -> bool {
        self.rows.skip_blank_lines();
        !self.is_whole && self.rows.unread() < ROW_LEN_MAX
    }

    /// Reads rows of the window; `true` if this is no sheet.
    fn take_rows<T: Named>(
        &mut self,
        layout: &Layout<T>,
        problems: &mut Problems,
        warnings: &mut Problems,
        mut take: impl FnMut(Cells<'_>, &mut Problems),
    ) -> bool {
        if self.is_short_of_rows() {
            return false;
        }
        let is_said = *self.is_said.get_or_insert_with(|| {
            let (delimiter, is_said) = delimiter(self.rows.window(), layout);
            self.rows.divide_by(delimiter);
            is_said
        });
        let delimiter = self.rows.delimiter();
        let until = self.rows.unread().saturating_sub(ROWS_LEN);
        let refusal = |(line, found): (u32, String)| {
            (line, tr!("{}; found {found}", "{}；这里写的是 {found}", layout.wanted.words()))
        };
        // Whether the last row ended with the window.
        let mut is_cut = false;
        while self.rows.unread() > until || until == 0 {
            if self.is_short_of_rows() {
                is_cut = false;
                break;
            }
            let Some(row) = self.rows.next() else {
                is_cut = false;
                break;
            };
            is_cut = true;
            let row = match row {
                Ok(row) => row,
                Err(fault) => {
                    let sentence = tr!("{}; column {}", "{}；在第 {} 列", fault.kind.words(), fault.place + 1);
                    problems.add(fault.line, sentence);
                    continue;
                }
            };
            if row.is_blank() || (std::mem::take(&mut self.is_first) && is_said) {
                continue;
            }
            if let Some(header) = &self.header {
                let cells = Cells { row, header };
                let place = cells.check_strays(layout, problems);
                self.rooms.count(row, place);
                take(cells, problems);
                continue;
            }
            if !has_first(row, layout) {
                let title = (row.line, format!("{}{}", found(row), hint(row, delimiter, is_said)));
                if self.titles.len() == TITLE_ROWS_MAX || row.count() > COLUMNS_MAX || !is_title(row, layout) {
                    let (line, sentence) = refusal(self.titles.drain(..).next().unwrap_or(title));
                    problems.add(line, sentence);
                    return true;
                }
                self.titles.push(title);
                continue;
            }
            if row.count() > COLUMNS_MAX {
                problems.add(
                    row.line,
                    tr!(
                        "more than {COLUMNS_MAX} columns: delete those that do not belong to the card table",
                        "超过 {COLUMNS_MAX} 列：请删掉不属于卡表的"
                    ),
                );
                return true;
            }
            self.header = Some(Header::read(row, delimiter, layout, problems, warnings));
            for (line, title) in self.titles.drain(..) {
                warnings.add(
                    line,
                    tr!(
                        "this line is read as a title, because the headings come later: {title}",
                        "列名在下面：这一行当作标题，{title}"
                    ),
                );
            }
        }
        if is_cut && !self.is_whole && self.rows.unread() == 0 {
            problems.add(
                self.rows.line(),
                tr!(
                    "this row is longer than {ROW_LEN_MAX} bytes: this is not a card table",
                    "这一行超过 {ROW_LEN_MAX} 字节：这不是卡表"
                ),
            );
            return true;
        }
        false
    }

    /// The form after the last row; `None` if there were titles only.
    fn end<T: Named>(&mut self, layout: &Layout<T>, problems: &mut Problems, warnings: &mut Problems) -> Option<Form> {
        if let Some((line, found)) = self.titles.drain(..).next() {
            problems.add(line, tr!("{}; found {found}", "{}；这里写的是 {found}", layout.wanted.words()));
            return None;
        }
        if let Some(header) = &self.header {
            self.rooms.check(header, layout, problems);
        }
        if !self.has_end {
            let sentence = tr(
                "the last line has no end, as where a file was cut while it was saved or copied: check its last row, then end it with a line break",
                "最后一行没有换行，像是保存或复制时被截断：检查最后一行，再补上换行",
            );
            warnings.add(self.rows.line(), sentence);
        }
        let encoding = self.decoder.as_ref().map_or("UTF-8", |(_, form)| form.encoding());
        let (headings, delimiter) =
            self.header.take().map_or_else(|| (Vec::new(), b','), |header| (header.names, header.delimiter));
        Some(Form { encoding, headings, delimiter })
    }
}

/// The next bytes; none at the end.
fn next_window(source: &mut dyn Source, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    source.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a sheet's bytes and gives each row to `take`, also after a problem, so that all problems
/// are found. `None`: nothing could be read.
pub(crate) fn read<T: Named>(
    bytes: &[u8],
    layout: &Layout<T>,
    problems: &mut Problems,
    warnings: &mut Problems,
    mut take: impl FnMut(Cells<'_>, &mut Problems),
) -> Option<Form> {
    let mut reader = Reader::new(io::Cursor::new(bytes));
    loop {
        match reader.step(layout, problems, warnings, &mut take) {
            Ok(Step::Working | Step::Surveyed) => (),
            Ok(Step::Ended(form)) => return form,
            Ok(Step::Changed) | Err(_) => unreachable!("bytes in memory stay"),
        }
    }
}

fn has_first<T: Named>(row: Row<'_>, layout: &Layout<T>) -> bool {
    let mut fields = row.fields().take(COLUMNS_MAX);
    fields
        .any(|field| heading::read(field, layout.columns).column().is_some_and(|column| layout.first.contains(&column)))
}

/// Whether a row is a title: it names no column, and no value looks like a card's number. Rows that
/// were sorted above their headings are not titles.
fn is_title<T: Named>(row: Row<'_>, layout: &Layout<T>) -> bool {
    !is_separator_line(row.field(0))
        && row.fields().all(|field| {
            let digits = field.chars().filter(|next| next.is_numeric()).count();
            let is_number = digits > 4 && digits == field.chars().count();
            !is_number && heading::read(field, layout.columns).column().is_none()
        })
}

/// The fields of a row in place of the headings, for the error.
fn found(row: Row<'_>) -> String {
    // A field with digits is not a heading, and may be a secret.
    let shown = |field: &str| if field.contains(char::is_numeric) { "…".to_owned() } else { quoted(field) };
    let shown: Vec<String> = row.fields().filter(|field| !field.is_empty()).take(FOUND_SHOWN_MAX).map(shown).collect();
    shown.join(" ")
}

/// A possible reason that the headings were not found.
fn hint(row: Row<'_>, delimiter: u8, is_said: bool) -> &'static str {
    if row.fields().any(|field| field.contains('，') || field.contains('；')) {
        return tr(": it is divided by full-width commas; write half-width ones", "：用的是全角逗号；请改成半角");
    }
    if is_separator_line(row.field(0)) {
        return tr(
            ": sep= names one character, such as sep=; or sep=,; correct the line, or delete it",
            "：sep= 后面只写一个字符，例如 sep=; 或 sep=,；请改正或删掉这一行",
        );
    }
    if is_said && row.count() == 1 {
        return tr(
            ": it is not divided by what the line sep= says; correct that line, or delete it",
            "：分隔符不是 sep= 那行说的；请改正或删掉那一行",
        );
    }
    let is_whole = row.count() == 1;
    if delimiter == b',' && (row.field(0).contains(['|', '、']) || is_whole && row.field(0).trim().contains(' ')) {
        return tr(": divide it by commas", "：请用逗号分隔");
    }
    ""
}

/// The start of a line `sep=;`, in which spreadsheets state the delimiter.
const SEPARATOR: &str = "sep=";

fn is_separator_line(line: &str) -> bool {
    line.get(..SEPARATOR.len()).is_some_and(|head| head.eq_ignore_ascii_case(SEPARATOR))
}

/// The delimiter of fields, and whether the first line states it. If not, it is the one of comma,
/// `;` and tab that gives the most known headings.
fn delimiter<T: Named>(text: &str, layout: &Layout<T>) -> (u8, bool) {
    let lines = || text.split(['\r', '\n']).filter(|line| !line.trim().is_empty());
    let first = lines().next().unwrap_or_default().trim_matches([' ', '"']);
    if is_separator_line(first)
        && let [delimiter, rest @ ..] = &first.as_bytes()[SEPARATOR.len()..]
        && (delimiter.is_ascii_punctuation() || *delimiter == b'\t')
        && *delimiter != b'"'
        && rest.iter().all(|next| next == delimiter)
    {
        return (*delimiter, true);
    }
    let count = |line: &str, delimiter: u8| {
        let fields = line.split(char::from(delimiter)).take(COLUMNS_MAX).map(|field| field.trim().trim_matches('"'));
        let known: Vec<usize> = fields.filter_map(|field| heading::read(field, layout.columns).column()).collect();
        (layout.first.iter().any(|first| known.contains(first)), known.len())
    };
    for line in lines().take(TITLE_ROWS_MAX + 1) {
        // The last of equals wins: the comma.
        let best = b"\t;,".iter().copied().max_by_key(|delimiter| count(line, *delimiter)).unwrap_or(b',');
        if count(line, best).0 {
            return (best, false);
        }
    }
    (b',', false)
}

impl Header {
    fn read<T: Named>(
        row: Row<'_>,
        delimiter: u8,
        layout: &Layout<T>,
        problems: &mut Problems,
        warnings: &mut Problems,
    ) -> Self {
        let mut header = Self {
            places: vec![None; layout.columns.len()],
            columns: Vec::with_capacity(row.count()),
            names: Vec::with_capacity(row.count()),
            delimiter,
        };
        let all: Vec<Heading> = row.fields().map(|field| layout.heading(field)).collect();
        for (place, (field, read)) in row.fields().zip(&all).enumerate() {
            header.names.push(field.to_owned());
            // 卡号(16进制) beside 卡号 repeats it, and is not read.
            let is_beside = |column: usize| all.contains(&Heading::Column(column));
            let read = match read {
                Heading::Changed(column, _) if is_beside(*column) => &Heading::Unknown,
                read => read,
            };
            header.columns.push(read.column());
            match read {
                Heading::Column(_) | Heading::Own => (),
                Heading::Changed(column, sentence) => {
                    problems.add_in_column(
                        row.line,
                        &label(&layout.columns[*column]),
                        tr!("{}: {sentence}", "{}：{sentence}", masked(field)),
                    );
                }
                Heading::Unknown => match (layout.unknown)(field) {
                    Unknown::Warn(sentence) => warnings.add(row.line, sentence),
                    Unknown::Refuse(sentence) => problems.add(row.line, sentence),
                },
            }
            let Some(column) = read.column() else { continue };
            if let Some(first) = header.places[column] {
                let (first, second) = (first + 1, place + 1);
                let message = tr!(
                    "columns {first} and {second} both say so: delete one, or rename it",
                    "第 {first} 列和第 {second} 列都叫这个：删掉一个，或者改名"
                );
                problems.add_in_column(row.line, &label(&layout.columns[column]), message);
            } else {
                header.places[column] = Some(place);
            }
        }
        header
    }
}

/// The error for an amount whose rest is in the next field.
const GROUPED: Text = Text::new(
    "with what follows it looks like an amount with a comma for the thousands: write 1234.50, or put quotes around the amount; an amount that is meant is written with its decimals, such as 1.00",
    "与后面的合起来像是带千位逗号的金额：请写 1234.50，或者给金额加引号；真是这个数，就写上小数，例如 1.00",
);

/// Amounts before three digits in another column: `1,234`, or 1 yuan and room 234. If most rows
/// have a value in that column, it holds rooms.
#[derive(Default)]
struct Rooms {
    rows: usize,
    /// By field: the number of rows with a value.
    filled: Vec<usize>,
    /// The line, and the field of the three digits.
    suspects: Vec<(u32, usize)>,
}

impl Rooms {
    /// Fewer rows show no pattern.
    const ROWS_MIN: usize = 10;

    fn count(&mut self, row: Row<'_>, suspect: Option<usize>) {
        self.rows += 1;
        let fields = row.count().min(COLUMNS_MAX);
        if self.filled.len() < fields {
            self.filled.resize(fields, 0);
        }
        for (filled, field) in self.filled.iter_mut().zip(row.fields()) {
            *filled += usize::from(!field.is_empty());
        }
        if let Some(place) = suspect.filter(|_| self.suspects.len() < PROBLEMS_SHOWN_MAX) {
            self.suspects.push((row.line, place));
        }
    }

    fn check<T: Named>(&self, header: &Header, layout: &Layout<T>, problems: &mut Problems) {
        for (line, place) in &self.suspects {
            let is_column = self.rows >= Self::ROWS_MIN && 2 * self.filled[*place] > self.rows;
            if let Some(column) = header.columns[place - 1].filter(|_| !is_column) {
                problems.add_in_column(*line, &label(&layout.columns[column]), GROUPED.words());
            }
        }
    }
}

impl<'a> Cells<'a> {
    /// The line that the row begins on.
    pub fn line(self) -> u32 {
        self.row.line
    }

    /// The value of a column; empty if there is none.
    pub fn text(self, column: usize) -> &'a str {
        self.header.places[column].map_or("", |place| self.row.field(place))
    }

    /// Whether the file has this column.
    pub fn has(self, column: usize) -> bool {
        self.header.places[column].is_some()
    }

    /// Reports values that are not under their heading: after a superfluous comma each value is in
    /// the wrong column, or in none. Returns a field that only the other rows can decide.
    fn check_strays<T: Named>(self, layout: &Layout<T>, problems: &mut Problems) -> Option<usize> {
        let Self { row, header } = self;
        let of = |place: usize| header.columns.get(place).copied().flatten().map(|column| &layout.columns[column]);
        let mut suspect = None;
        for place in 1..row.count() {
            let Some(before) = of(place - 1) else { continue };
            let (head, tail) = (row.field(place - 1), row.field(place));
            if row.is_quoted(place - 1) || row.is_quoted(place) {
                continue;
            }
            let next = of(place).map(Named::holds);
            let is_stray = header.names.get(place).is_none_or(String::is_empty) || row.count() > header.names.len();
            // Two neighbouring columns of uses or amounts may hold two figures.
            let is_suspect = match before.holds() {
                Holds::Yuan => {
                    is_stray || matches!(next, None | Some(Holds::Name | Holds::Text | Holds::Word | Holds::List))
                }
                Holds::Count => is_stray,
                Holds::Card | Holds::Date | Holds::Word | Holds::List | Holds::Secret | Holds::Name | Holds::Text => {
                    false
                }
            };
            if is_suspect && value::is_grouped(head, tail) {
                if !is_stray && !tail.contains(['.', '．']) {
                    suspect = suspect.or(Some(place));
                    continue;
                }
                problems.add_in_column(row.line, &label(before), GROUPED.words());
                return None;
            }
            let is_no_text = header.names.get(place).is_some_and(|name| !name.is_empty()) && next != Some(Holds::Text);
            if before.holds() == Holds::Card && !is_no_text && value::is_wiegand(head, tail) {
                let sentence = tr(
                    "with what follows it looks like a number as it is printed on a card, 077,30211, without quotes: write the number that a terminal sends, `posgate cards number` finds it",
                    "与后面的合起来像是卡面上印的号码 077,30211，没加引号：请写终端发来的卡号，`posgate cards number` 能找出来",
                );
                problems.add_in_column(row.line, &label(before), sentence);
                return None;
            }
        }
        let stray = (0..row.count())
            .find(|place| !row.field(*place).is_empty() && header.names.get(*place).is_none_or(String::is_empty));
        match stray {
            None => (),
            Some(place) if place >= header.names.len() => {
                let delimiter = char::from(header.delimiter);
                let name =
                    if delimiter == ',' { tr("comma", "逗号").to_owned() } else { masked(&delimiter.to_string()) };
                problems.add(
                    row.line,
                    tr!(
                        "more fields than the header has: put quotes around a value that holds a {name}",
                        "字段比列名多：值里有{name}的，请加引号"
                    ),
                );
            }
            Some(place) => {
                let sentence = tr!(
                    "column {} has no heading, and here a value: did a comma within an earlier value move it there? Else give the column a heading, x_… if it is your own",
                    "第 {} 列没有列名，这里却有值：是不是前面的值里有逗号？不是就给它起个列名，自己用的写 x_…",
                    place + 1
                );
                problems.add(row.line, sentence);
            }
        }
        suspect
    }
}
