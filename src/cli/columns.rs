//! How wide the columns of a table are on a terminal. A column never gets narrower than its longest word, so that ids, principals
//! and codes stay whole; only free text is broken within words. If all columns do not fit, the rows are longer than the terminal.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};

/// The columns with free text, which can have very long words.
const FREE_TEXT: [&str; 3] = ["description", "metadata", "value"];
/// The least width of a column with free text, if it has more.
const LEAST_OF_TEXT: usize = 16;
/// The length of a time such as `2026-01-31T12:00:00Z`, and that of the date in it.
const TIME: usize = 20;
const DATE: usize = 10;
/// The space before and after a cell.
const PADDING: usize = 2;

/// Gives the columns of a table their widths. A terminal that does not know its width says that it has none: then each row
/// is one line.
pub(super) fn arrange(table: &mut Table, header: &[&str], rows: &[Vec<String>], width: Option<u16>) {
    let Some(width) = width.filter(|width| *width > 0) else { return };
    let columns: Vec<_> = header.iter().enumerate().map(|(at, title)| column(title, at, rows)).collect();
    let room = usize::from(width);
    let least = |times: usize| -> Vec<usize> {
        columns.iter().map(|column| column.least(times, room) + PADDING).collect()
    };
    let whole = least(TIME);
    let are_whole = whole.iter().sum::<usize>() <= room;
    // The time of day goes below the date.
    let least = if are_whole { whole } else { least(DATE) };
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(fixed(least.iter().sum::<usize>().max(room)));
    for ((column, least), shown) in columns.iter().zip(least).zip(table.column_iter_mut()) {
        let least = Width::Fixed(fixed(least));
        let broken = matches!(column, Column::Times) && !are_whole;
        shown.set_constraint(match broken {
            true => ColumnConstraint::Absolute(least),
            false => ColumnConstraint::LowerBoundary(least),
        });
    }
}

/// What a column has.
enum Column {
    /// Times, and nothing else.
    Times,
    /// Free text whose longest word has this length.
    Text(usize),
    /// Words of this length at most, which stay whole.
    Words(usize),
}

fn column(title: &str, at: usize, rows: &[Vec<String>]) -> Column {
    let cells = || rows.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty());
    if cells().next().is_some() && cells().all(|cell| is_time(cell)) {
        return Column::Times;
    }
    let words = cells().map(String::as_str).chain([title]).flat_map(str::split_whitespace);
    let longest = words.map(|word| word.chars().count()).max().unwrap_or(0);
    if FREE_TEXT.contains(&title) { Column::Text(longest) } else { Column::Words(longest) }
}

impl Column {
    /// The least width, if times take this much. One column takes half of the terminal at most.
    fn least(&self, times: usize, room: usize) -> usize {
        match self {
            Self::Times => times,
            Self::Text(longest) => (*longest).min(LEAST_OF_TEXT),
            Self::Words(longest) => (*longest).min(room / 2),
        }
    }
}

/// Whether a cell is a time as tables have it.
fn is_time(cell: &str) -> bool {
    cell.len() == TIME && cell.ends_with('Z') && cell.as_bytes().get(DATE) == Some(&b'T')
}

fn fixed(width: usize) -> u16 {
    u16::try_from(width).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::output::table;

    const HEADER: [&str; 5] = ["id", "principal", "created", "outcome", "description"];

    fn shown(width: Option<u16>) -> String {
        let text =
            "The key of the job that deploys, with_a_word_that_is_longer_than_any_other_word_of_this_table";
        let row = |id: &str, created: &str| {
            [id, "key:abcdefghijklmnop", created, "PERMISSION_DENIED", text].map(str::to_owned).to_vec()
        };
        let rows = vec![row("ponmlkjihgfedcba", "2026-01-31T12:00:00Z"), row("aaaabbbbccccdddd", "")];
        table(&HEADER, &rows, width)
    }

    #[test]
    fn ids_principals_and_codes_stay_whole_and_free_text_is_broken() {
        for width in [80, 100, 120, 300] {
            let shown = shown(Some(width));
            for word in ["ponmlkjihgfedcba", "aaaabbbbccccdddd", "key:abcdefghijklmnop", "PERMISSION_DENIED"]
            {
                assert!(shown.contains(word), "{width}:\n{shown}");
            }
            let longest = shown.lines().map(|line| line.trim_end().len()).max().unwrap();
            // At 80 columns, the words need a little more.
            assert!(longest <= usize::from(width.max(90)), "{width}:\n{shown}");
        }
        let narrow = shown(Some(80));
        assert!(narrow.contains(" 2026-01-31 ") && narrow.contains(" T12:00:00Z "), "{narrow}");
        assert!(shown(Some(120)).contains(" 2026-01-31T12:00:00Z "));
    }

    #[test]
    fn a_terminal_of_unknown_width_gets_one_line_for_each_row() {
        for width in [None, Some(0)] {
            assert_eq!(shown(width).lines().count(), 3, "{width:?}");
        }
    }

    #[test]
    fn a_word_that_is_longer_than_the_terminal_is_broken() {
        let rows = vec![vec!["a".repeat(500), "b".to_owned()]];
        let shown = table(&["principal", "name"], &rows, Some(80));
        assert!(shown.lines().all(|line| line.len() <= 80), "{shown}");
    }
}
