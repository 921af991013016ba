//! Values as text: as `str`, `repr` and `json.dumps` of Python write them.

use super::budget::{Budget, Writer};
use super::{Data, ProblemKind};

/// Adds a value as `str` writes it: a text as it is, everything else as `repr` writes it.
pub(super) fn write_str(data: &Data, to: &mut Writer, budget: &mut Budget) -> Result<(), ProblemKind> {
    match data {
        Data::Text(text) => to.push(text, budget),
        _ => write_repr(data, false, to, budget),
    }
}

/// Adds a value as `repr` writes it; with `ascii`, as `ascii` writes it.
pub(super) fn write_repr(
    data: &Data,
    ascii: bool,
    to: &mut Writer,
    budget: &mut Budget,
) -> Result<(), ProblemKind> {
    budget.charge_read(0)?;
    match data {
        Data::Null => to.push("None", budget),
        Data::Bool(true) => to.push("True", budget),
        Data::Bool(false) => to.push("False", budget),
        Data::Int(int) => to.push(&int.to_string(), budget),
        Data::Float(float) => to.push(&float_repr(*float), budget),
        Data::Text(text) => quote(text, ascii, to, budget),
        Data::Bytes(_) => Err(ProblemKind::Binary),
        Data::List(items) => {
            to.push("[", budget)?;
            for (at, item) in items.iter().enumerate() {
                to.push(if at == 0 { "" } else { ", " }, budget)?;
                write_repr(item, ascii, to, budget)?;
            }
            to.push("]", budget)
        }
        Data::Map(fields) => {
            to.push("{", budget)?;
            for (at, (key, value)) in fields.iter().enumerate() {
                to.push(if at == 0 { "" } else { ", " }, budget)?;
                quote(key, ascii, to, budget)?;
                to.push(": ", budget)?;
                write_repr(value, ascii, to, budget)?;
            }
            to.push("}", budget)
        }
    }
}

/// Adds a value as `json.dumps(value)` writes it.
pub(super) fn write_json(data: &Data, to: &mut Writer, budget: &mut Budget) -> Result<(), ProblemKind> {
    budget.charge_read(0)?;
    match data {
        Data::Null => to.push("null", budget),
        Data::Bool(true) => to.push("true", budget),
        Data::Bool(false) => to.push("false", budget),
        Data::Int(int) => to.push(&int.to_string(), budget),
        Data::Float(float) if float.is_finite() => to.push(&float_repr(*float), budget),
        Data::Float(_) => Err(ProblemKind::Value("JSON has only finite numbers: check the inputs.")),
        Data::Text(text) => quote_json(text, to, budget),
        Data::Bytes(_) => Err(ProblemKind::Binary),
        Data::List(items) => {
            to.push("[", budget)?;
            for (at, item) in items.iter().enumerate() {
                to.push(if at == 0 { "" } else { ", " }, budget)?;
                write_json(item, to, budget)?;
            }
            to.push("]", budget)
        }
        Data::Map(fields) => {
            to.push("{", budget)?;
            for (at, (key, value)) in fields.iter().enumerate() {
                to.push(if at == 0 { "" } else { ", " }, budget)?;
                quote_json(key, to, budget)?;
                to.push(": ", budget)?;
                write_json(value, to, budget)?;
            }
            to.push("}", budget)
        }
    }
}

/// A float as Python's `repr` writes it: with the fewest digits that identify it, and with an exponent below 1e-4 and from
/// 1e16.
pub(super) fn float_repr(float: f64) -> String {
    if float.is_nan() {
        return "nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    let scientific = shortest(float.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits = mantissa.replace('.', "");
    let sign = if float.is_sign_negative() { "-" } else { "" };
    let point = usize::try_from(exponent + 1).unwrap_or_default(); // the number of digits before it
    match exponent {
        16.. | ..-4 => sign.to_owned() + &python_exponent(&scientific),
        ..0 => format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default())),
        _ if digits.len() <= point => format!("{sign}{digits:0<point$}.0"),
        _ => {
            let (whole, fraction) = digits.split_at(point);
            format!("{sign}{whole}.{fraction}")
        }
    }
}

/// The float with the fewest digits that identify it, in the form `1.5e-7`. Where two such numbers are equally near, Python
/// takes the one with the even last digit and Rust the greater one; rounding to that number of digits takes the even one.
fn shortest(magnitude: f64) -> String {
    let shortest = format!("{magnitude:e}");
    let digits = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let rounded = format!("{magnitude:.*e}", digits.saturating_sub(1));
    if rounded.parse() == Ok(magnitude) { rounded } else { shortest }
}

/// Rust's `1e-7` as Python's `1e-07`.
pub(super) fn python_exponent(number: &str) -> String {
    let Some((mantissa, exponent)) = number.split_once('e') else { return number.to_owned() };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Adds a text in quotes, as `repr` writes it.
fn quote(text: &str, ascii: bool, to: &mut Writer, budget: &mut Budget) -> Result<(), ProblemKind> {
    budget.charge_read(text.len())?;
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let plain = |c: char| match c {
        '\\' => false,
        ' '..='~' => c != mark,
        _ => !ascii && is_printable(c),
    };
    to.fill(mark, 1, budget)?;
    escape(text, plain, to, budget, |c| match c {
        '\\' => r"\\".to_owned(),
        '\t' => r"\t".to_owned(),
        '\n' => r"\n".to_owned(),
        '\r' => r"\r".to_owned(),
        '\'' | '"' => format!("\\{c}"),
        _ => match u32::from(c) {
            code @ ..=0xff => format!("\\x{code:02x}"),
            code @ ..=0xffff => format!("\\u{code:04x}"),
            code => format!("\\U{code:08x}"),
        },
    })?;
    to.fill(mark, 1, budget)
}

/// Adds a text in quotes, as `json.dumps` writes it.
fn quote_json(text: &str, to: &mut Writer, budget: &mut Budget) -> Result<(), ProblemKind> {
    budget.charge_read(text.len())?;
    let plain = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    to.push("\"", budget)?;
    escape(text, plain, to, budget, |c| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => r"\n".to_owned(),
        '\r' => r"\r".to_owned(),
        '\t' => r"\t".to_owned(),
        '\u{8}' => r"\b".to_owned(),
        '\u{c}' => r"\f".to_owned(),
        _ => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    })?;
    to.push("\"", budget)
}

/// Adds a text, with each character that is not plain replaced by its escape.
fn escape(
    text: &str,
    plain: impl Fn(char) -> bool,
    to: &mut Writer,
    budget: &mut Budget,
    escaped: impl Fn(char) -> String,
) -> Result<(), ProblemKind> {
    let mut rest = text;
    while let Some(at) = rest.find(|c| !plain(c)) {
        let (run, tail) = rest.split_at(at);
        to.push(run, budget)?;
        let mut chars = tail.chars();
        if let Some(c) = chars.next() {
            to.push(&escaped(c), budget)?;
        }
        rest = chars.as_str();
    }
    to.push(rest, budget)
}

/// Whether `repr` writes a character as it is. Rust's debug form escapes the same categories as Python. But it also escapes
/// a combining mark at the start of a text, so that the character is tested after a letter.
fn is_printable(c: char) -> bool {
    if c.is_ascii() || c.is_alphanumeric() {
        return !c.is_ascii_control();
    }
    let mut after_a_letter = String::from("a");
    after_a_letter.push(c);
    !after_a_letter.escape_debug().any(|escaped| escaped == '\\')
}
