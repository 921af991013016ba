//! dotenv files: lines of NAME=VALUE. `inject` and `import` read them; `inject` and `export` write them.
//!
//! There is no standard. This reader knows an optional `export ` before a name, empty lines, and comments (`#` at the start
//! of a line or after a blank). A value without quotes ends with its line; `'…'` is taken literally; `"…"` has the escapes
//! `\n`, `\r`, `\t`, `\\`, `\"`, `\$` and `` \` ``. Quoted values may span lines. Quoted parts that touch are one value, as shells write
//! an apostrophe: `'it'\''s'`; `$'…'` is bash's form for control characters. `$NAME` is never replaced. A line ends with LF, CR LF, or
//! CR. This reader and a POSIX shell read the same from a written file.

use std::ops::Range;

use zeroize::Zeroizing;

/// A line of NAME=VALUE.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: Zeroizing<String>,
    /// The place of the value in the file, in bytes, with its quotes.
    pub(super) span: Range<usize>,
}

/// Reads the entries of a file in order. The error has the byte where reading failed, and the reason.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, (usize, &'static str)> {
    let mut entries = Vec::new();
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while at < text.len() {
        at = after_blanks(text, at);
        let line = line_at(text, at);
        if line.trim().is_empty() || line.starts_with('#') {
            at += line.len() + 1;
            continue;
        }
        let (name, _) = line.split_once('=').ok_or((at, "NAME=VALUE is expected"))?;
        let equals = at + name.len();
        let name = name.trim();
        let name = without_keyword(name).trim();
        if name.is_empty() || name.contains([' ', '\t', '\'', '"']) {
            return Err((at, "a name without blanks or quotes is expected before the '='"));
        }
        let start = after_blanks(text, equals + 1);
        let (value, end) = value_at(text, start, start > equals + 1)?;
        let rest = line_at(text, end);
        if !rest.trim().is_empty() && !rest.trim_start().starts_with('#') {
            return Err((end, "only a comment may follow a quoted value on its line"));
        }
        entries.push(Entry { name: name.to_owned(), value, span: start..end });
        at = end + rest.len() + 1;
    }
    Ok(entries)
}

/// A value as a file has it after `NAME=`: without quotes if no reader could misread it, otherwise with quotes.
pub(super) fn quoted(value: &str) -> Result<Zeroizing<String>, &'static str> {
    if value.contains('\0') {
        return Err("the value has a NUL character, which a variable cannot hold");
    }
    // Escapes can double the length. All of it is reserved now, because growing would leave copies of the value in memory.
    let mut written = Zeroizing::new(String::with_capacity(2 * value.len() + 2));
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if value.chars().all(plain) {
        written.push_str(value);
    } else if !value.contains('\'') {
        written.push('\'');
        written.push_str(value);
        written.push('\'');
    } else {
        written.push('"');
        for character in value.chars() {
            if matches!(character, '"' | '\\' | '$' | '`') {
                written.push('\\');
            }
            written.push(character);
        }
        written.push('"');
    }
    Ok(written)
}

/// The value that begins at this byte, and the byte where it ends.
fn value_at(
    text: &str,
    start: usize,
    after_blank: bool,
) -> Result<(Zeroizing<String>, usize), (usize, &'static str)> {
    let rest = text.get(start..).unwrap_or_default();
    if rest.starts_with(['\'', '"']) || rest.starts_with("$'") {
        return quoted_parts(text, start);
    }
    let line = line_at(text, start);
    let comment = |(at, _): &(usize, &str)| match line.get(..*at) {
        Some("") => after_blank,
        before => before.is_some_and(|before| before.ends_with([' ', '\t'])),
    };
    let end = line.match_indices('#').find(comment).map_or(line.len(), |(at, _)| at);
    let bare = line.get(..end).unwrap_or_default().trim_end();
    Ok((Zeroizing::new(bare.to_owned()), start + bare.len()))
}

/// The value of quoted parts that touch, and the byte where it ends.
fn quoted_parts(text: &str, start: usize) -> Result<(Zeroizing<String>, usize), (usize, &'static str)> {
    let mut at = start;
    // The value is not longer than what is written, except for the control characters of `$'…'`, which are shorter.
    let mut value = Zeroizing::new(String::with_capacity(text.len() - start));
    loop {
        let rest = text.get(at..).unwrap_or_default();
        if let Some(inside) = rest.strip_prefix('\'') {
            let end = inside.find('\'').ok_or((at, "the closing ' is missing"))?;
            value.push_str(inside.get(..end).unwrap_or_default());
            at += end + 2;
        } else if let Some(inside) = rest.strip_prefix('"') {
            let (part, length) = unescaped(inside).ok_or((at, "the closing \" is missing"))?;
            value.push_str(&part);
            at += length + 2;
        } else if let Some(inside) = rest.strip_prefix("$'") {
            let (part, length) = ansi_c(inside).map_err(|reason| (at, reason))?;
            value.push_str(&part);
            at += length + 3;
        } else if let Some(character) = rest.strip_prefix('\\').and_then(|rest| rest.chars().next()) {
            value.push(character);
            at += 1 + character.len_utf8();
        } else {
            return Ok((value, at));
        }
    }
}

/// The value before the closing quote of `$'…'`, and its length as written.
fn ansi_c(inside: &str) -> Result<(Zeroizing<String>, usize), &'static str> {
    const UNENDED: &str = "the closing ' is missing";
    const UNKNOWN: &str = "this escape in $'…' is not known: write the value in single or double quotes";
    let mut value = Zeroizing::new(String::with_capacity(inside.len()));
    let mut characters = inside.char_indices();
    loop {
        match characters.next().ok_or(UNENDED)? {
            (at, '\'') => return Ok((value, at)),
            (_, '\\') => {
                let (at, kind) = characters.next().ok_or(UNENDED)?;
                value.push(match kind {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'a' => '\x07',
                    'b' => '\x08',
                    'e' | 'E' => '\x1b',
                    'f' => '\x0c',
                    'v' => '\x0b',
                    '\\' | '\'' | '"' | '?' => kind,
                    '0'..='7' => {
                        // bash writes three digits.
                        let digits = inside.get(at..at + 3).ok_or(UNKNOWN)?;
                        let code = u8::from_str_radix(digits, 8).map_err(|_| UNKNOWN)?;
                        characters.nth(1);
                        if code < 0x80 { char::from(code) } else { return Err(UNKNOWN) }
                    }
                    _ => return Err(UNKNOWN),
                });
            }
            (_, character) => value.push(character),
        }
    }
}

/// The name without the keyword that shells write before it.
fn without_keyword(name: &str) -> &str {
    let after = |keyword: &str| name.strip_prefix(keyword).filter(|rest| rest.starts_with([' ', '\t']));
    after("export").or_else(|| after("declare -x")).or_else(|| after("typeset -x")).unwrap_or(name)
}

/// The value before the closing double quote, and its length as written.
fn unescaped(inside: &str) -> Option<(Zeroizing<String>, usize)> {
    let mut value = Zeroizing::new(String::with_capacity(inside.find('"').unwrap_or(0) + 64));
    let mut characters = inside.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, at)),
            (_, '\\') => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                itself @ ('\\' | '"' | '$' | '`') => value.push(itself),
                other => value.extend(['\\', other]),
            },
            (_, character) => value.push(character),
        }
    }
}

fn line_at(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default().split(['\n', '\r']).next().unwrap_or_default()
}

fn after_blanks(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.len() - rest.trim_start_matches([' ', '\t']).len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let entries = parse(text).map_err(|(at, reason)| format!("{at}: {reason}")).unwrap();
        entries.into_iter().map(|entry| (entry.name, entry.value.to_string())).collect()
    }

    #[test]
    fn reads_the_forms_that_such_files_have() {
        let text = "# one\n\nA=1\r\nexport B = two words  # three\nC='a # b\n$c \\n'\nD=\"x\\ty\\\"\\$\\q\" # d\nE=\nF=#f\nG= # g\nH=a#b";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a # b\n$c \\n"),
            ("D", "x\ty\"$\\q"),
            ("E", ""),
            ("F", "#f"),
            ("G", ""),
            ("H", "a#b"),
        ];
        assert_eq!(read(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn reads_what_shells_write_and_every_end_of_a_line() {
        let text =
            "export A='it'\\''s'\ndeclare -x B=\"it's\"\nC='it'\"'\"'s'\nD=$'a\\n\\001\\'b'\nE='a' # b\n";
        let expected = [("A", "it's"), ("B", "it's"), ("C", "it's"), ("D", "a\n\u{1}'b"), ("E", "a")];
        assert_eq!(read(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let expected = [("A", "1"), ("B", "2 3"), ("C", "x\ry")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for text in ["A=1\rB=2 3\r\r# c\rC='x\ry'", "A=1\r\nB=2 3\r\n# c\r\nC='x\ry'\r\n"] {
            assert_eq!(read(text), expected);
        }
        for text in ["A=$'\\q'", "A=$'\\777'", "A=$'x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_has_the_place() {
        for (text, at) in
            [("A=1\nB", 4), ("A='x", 2), ("A=\"x\\\"", 2), ("A='x'y", 5), ("=x", 0), ("A B=x", 0)]
        {
            assert_eq!(parse(text).map(|_| ()).map_err(|(at, _)| at), Err(at), "{text}");
        }
    }

    #[test]
    fn refuses_a_value_that_no_variable_holds() {
        assert!(quoted("a\0b").is_err());
    }

    proptest! {
        #[test]
        fn reads_its_own_output(value in "([a-z '\"\\\\$`#=\r\n]|[^\0])*") {
            let written = quoted(&value).unwrap();
            prop_assert_eq!(read(&format!("A={}\nB=1\n", *written)), [("A".to_owned(), value), ("B".into(), "1".into())]);
        }

        #[test]
        fn never_panics(text in "([A=' \"\\\\#\n\u{feff}é])*") {
            let _ = parse(&text);
        }
    }
}
