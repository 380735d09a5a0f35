//! Rows to paste into a card table, in the column order of the table in service.
//!
//! Rows in a fixed order, pasted under other headings, once gave a card somebody's free meals and a
//! PIN.

use crate::files::config::options::FOREIGN_PREFIX;
use crate::files::sheet::heading::{self, Heading};

use super::columns::{COLUMNS, Column};

/// The headings if those of the table in service are unknown.
const HEADINGS: [&str; 6] = ["card", "account", "name", "status", "balance", "x_seen"];

/// The columns of a table.
#[derive(Clone, Debug)]
pub struct Paste {
    headings: Vec<String>,
    delimiter: char,
    /// The operator's own column, which takes a remark about the card; a table without one has no
    /// place for remarks.
    own: Option<usize>,
}

impl Paste {
    /// For a table with these headings; without a card column among them, for a new file.
    pub fn new(headings: &[String], delimiter: char) -> Self {
        let has_card = headings.iter().any(|field| column(field) == Some(Column::Card));
        let (headings, delimiter) =
            if has_card { (headings.to_vec(), delimiter) } else { (HEADINGS.map(str::to_owned).to_vec(), ',') };
        let own = headings.iter().position(|field| field.to_lowercase().starts_with(FOREIGN_PREFIX));
        Self { headings, delimiter, own }
    }

    /// The line of headings, which makes the rows a file.
    pub fn header(&self) -> String {
        self.line(self.headings.iter().map(String::as_str))
    }

    /// A row for an unknown card, with the remark `known`.
    pub fn row(&self, card: &str, known: &str) -> String {
        let fields = self.headings.iter().enumerate().map(|(place, field)| match column(field) {
            Some(Column::Card) => card,
            // An empty field means the same, but a person looks for the word.
            Some(Column::Status) => "active",
            _ if Some(place) == self.own => known,
            _ => "",
        });
        self.line(fields)
    }

    fn line<'a>(&self, fields: impl Iterator<Item = &'a str>) -> String {
        let fields: Vec<&str> = fields.collect();
        line(&fields, self.delimiter)
    }
}

/// A line of a CSV file, without its end.
pub(super) fn line(fields: &[&str], delimiter: char) -> String {
    let quoted = |field: &&str| {
        if field.contains([delimiter, '"', '\r', '\n']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            (*field).to_owned()
        }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(&delimiter.to_string())
}

/// The column that a heading names, if any.
fn column(heading: &str) -> Option<Column> {
    match heading::read(heading, COLUMNS) {
        Heading::Column(column) => Some(COLUMNS[column].column),
        Heading::Changed(..) | Heading::Own | Heading::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(headings: &[&str], delimiter: char) -> [String; 2] {
        let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
        let paste = Paste::new(&headings, delimiter);
        [paste.header(), paste.row("0000000077", "machine 2; twice")]
    }

    #[test]
    fn a_row_follows_the_column_order_of_the_table_in_service() {
        assert_eq!(
            lines(&["次数", "密码", "卡 号(10位)", "状态", "x_备注", ""], ','),
            ["次数,密码,卡 号(10位),状态,x_备注,", ",,0000000077,active,machine 2; twice,"]
        );
        assert_eq!(lines(&["姓名", "卡号"], ';'), ["姓名;卡号", ";0000000077"], "no place for more");
        assert_eq!(lines(&["x_a", "card"], ';')[1], "\"machine 2; twice\";0000000077");
        assert_eq!(lines(&["card", "a,b"], ',')[0], "card,\"a,b\"");
        for unknown in [&[][..], &["x", "y"]] {
            let [header, row] = lines(unknown, ';');
            assert_eq!(
                (header.as_str(), row.as_str()),
                ("card,account,name,status,balance,x_seen", "0000000077,,,active,,machine 2; twice")
            );
        }
    }
}
