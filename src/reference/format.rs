//! Formats of values, as in `f"{value:>10.2f}"`: the supported part of Python's format specifications.
//!
//! `percent.rs` writes its conversions with the same [`Spec`].

use super::budget::{Budget, Writer};
use super::operate::Number;
use super::text::{float_repr, python_exponent, write_str};
use super::{Data, ProblemKind};

/// A parsed format: `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
#[derive(Default)]
pub(super) struct Spec {
    pub(super) fill: Option<char>,
    pub(super) align: Option<Align>,
    pub(super) sign: Option<char>,
    pub(super) alternate: bool,
    pub(super) zero: bool,
    pub(super) width: usize,
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    pub(super) kind: Option<char>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    Center,
    /// Between the sign and the digits.
    Inner,
}

/// The greatest precision of a float. Rust's formatting has a bound of its own, and no use needs more.
const MAX_PRECISION: usize = 1_000;

const INVALID: ProblemKind =
    ProblemKind::Value("The format after the colon is not supported for this value: see docs/references.md.");

/// Adds a value in a format, as `format(value, spec)` writes it.
pub(super) fn write_formatted(
    data: &Data,
    spec: &str,
    to: &mut Writer,
    budget: &mut Budget,
) -> Result<(), ProblemKind> {
    if spec.is_empty() {
        return write_str(data, to, budget);
    }
    budget.charge_read(spec.len())?;
    let spec = Spec::parse(spec)?;
    match (data, Number::of(data)) {
        (Data::Bytes(_), _) => Err(ProblemKind::Binary),
        (Data::Text(text), _) => spec.write_text(text, to, budget),
        (_, Some(number)) => spec.write_number(number, to, budget),
        _ => Err(ProblemKind::Type(
            "None, lists and maps have no format: convert them to text first, with !s, str(...) or json(...).",
        )),
    }
}

impl Spec {
    fn parse(text: &str) -> Result<Self, ProblemKind> {
        let mut spec = Self::default();
        let mut rest = text;
        let mut chars = text.chars();
        let (first, second) = (chars.next(), chars.next());
        if let (Some(fill), Some(align)) = (first, second.and_then(Align::of)) {
            (spec.fill, spec.align) = (Some(fill), Some(align));
            rest = chars.as_str();
        } else if let Some(align) = first.and_then(Align::of) {
            spec.align = Some(align);
            rest = take(rest, align_char).1;
        }
        let sign;
        (sign, rest) = take(rest, |c| matches!(c, '+' | '-' | ' '));
        spec.sign = sign;
        let (alternate, zero, grouping);
        (alternate, rest) = take(rest, |c| c == '#');
        spec.alternate = alternate.is_some();
        (zero, rest) = take(rest, |c| c == '0');
        spec.zero = zero.is_some();
        (spec.width, rest) = digits(rest)?.map_or((0, rest), |(width, rest)| (width, rest));
        (grouping, rest) = take(rest, |c| matches!(c, ',' | '_'));
        spec.grouping = grouping;
        if let Some(after) = rest.strip_prefix('.') {
            let (precision, after) = digits(after)?.ok_or(INVALID)?;
            spec.precision = Some(precision);
            rest = after;
        }
        let kind;
        (kind, rest) = take(rest, |c| c.is_ascii_alphabetic() || c == '%');
        spec.kind = kind;
        if rest.is_empty() { Ok(spec) } else { Err(INVALID) }
    }

    /// Adds a text, cut to the precision and padded to the width.
    pub(super) fn write_text(
        &self,
        text: &str,
        to: &mut Writer,
        budget: &mut Budget,
    ) -> Result<(), ProblemKind> {
        let for_numbers = self.sign.is_some() || self.alternate || self.grouping.is_some();
        let inner = self.align == Some(Align::Inner);
        if for_numbers || inner || self.kind.is_some_and(|kind| kind != 's') {
            return Err(INVALID);
        }
        budget.charge_read(text.len())?;
        let end = self.precision.and_then(|precision| text.char_indices().nth(precision));
        let cut = end.and_then(|(end, _)| text.get(..end)).unwrap_or(text);
        self.pad("", cut, Align::Left, to, budget)
    }

    /// Adds a number, padded to the width.
    pub(super) fn write_number(
        &self,
        number: Number,
        to: &mut Writer,
        budget: &mut Budget,
    ) -> Result<(), ProblemKind> {
        let (negative, prefix, digits) = match (number, self.kind) {
            (Number::Int(int), None | Some('d' | 'b' | 'o' | 'x' | 'X')) => self.int(int)?,
            (_, None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => {
                self.float(number.float(), budget)?
            }
            _ => return Err(INVALID),
        };
        let digits = self.grouped(digits)?;
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        self.pad(&format!("{sign}{prefix}"), &digits, Align::Right, to, budget)
    }

    /// Whether the number is negative, the prefix of its base, and its digits.
    fn int(&self, int: i64) -> Result<(bool, &'static str, String), ProblemKind> {
        if self.precision.is_some() {
            return Err(INVALID);
        }
        let magnitude = int.unsigned_abs();
        let (prefix, digits) = match self.kind {
            Some('b') => ("0b", format!("{magnitude:b}")),
            Some('o') => ("0o", format!("{magnitude:o}")),
            Some('x') => ("0x", format!("{magnitude:x}")),
            Some('X') => ("0X", format!("{magnitude:X}")),
            _ => ("", magnitude.to_string()),
        };
        Ok((int < 0, if self.alternate { prefix } else { "" }, digits))
    }

    /// Whether the number is negative, no prefix, and its digits.
    fn float(&self, float: f64, budget: &mut Budget) -> Result<(bool, &'static str, String), ProblemKind> {
        let precision = self.precision.unwrap_or(6);
        if precision > MAX_PRECISION || self.alternate || !float.is_finite() {
            return Err(INVALID);
        }
        budget.charge_build(precision)?;
        let magnitude = float.abs();
        let digits = match (self.kind, self.precision) {
            (Some('e' | 'E'), _) => python_exponent(&format!("{magnitude:.precision$e}")),
            (Some('f' | 'F'), _) => format!("{magnitude:.precision$}"),
            (Some('%'), _) => {
                let percents = magnitude * 100.0;
                if percents.is_infinite() {
                    return Err(INVALID);
                }
                format!("{percents:.precision$}%")
            }
            (Some('g' | 'G'), _) => general(magnitude, precision.max(1), false),
            (_, Some(precision)) => general(magnitude, precision.max(1), true),
            (_, None) => float_repr(magnitude),
        };
        let upper = matches!(self.kind, Some('E' | 'F' | 'G'));
        Ok((float.is_sign_negative(), "", if upper { digits.to_uppercase() } else { digits }))
    }

    /// The digits, with those before the point in groups.
    fn grouped(&self, digits: String) -> Result<String, ProblemKind> {
        let Some(separator) = self.grouping else { return Ok(digits) };
        let size = match self.kind {
            Some('b' | 'o' | 'x' | 'X') if separator == '_' => 4,
            Some('b' | 'o' | 'x' | 'X') => return Err(INVALID),
            _ => 3,
        };
        // Python would group the padding too, which is not supported.
        if self.zero || self.align == Some(Align::Inner) && self.fill == Some('0') {
            return Err(INVALID);
        }
        let hex = matches!(self.kind, Some('x' | 'X'));
        let whole = digits.find(|c: char| !c.is_ascii_digit() && !hex).unwrap_or(digits.len());
        let mut grouped = String::with_capacity(2 * digits.len());
        for (at, c) in digits.chars().enumerate() {
            if at > 0 && at < whole && (whole - at).is_multiple_of(size) {
                grouped.push(separator);
            }
            grouped.push(c);
        }
        Ok(grouped)
    }

    /// Adds the sign and the text, filled up to the width.
    fn pad(
        &self,
        sign: &str,
        text: &str,
        default: Align,
        to: &mut Writer,
        budget: &mut Budget,
    ) -> Result<(), ProblemKind> {
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        let align = match self.align {
            Some(align) => align,
            None if self.zero && default == Align::Right => Align::Inner,
            None => default,
        };
        let missing = self.width.saturating_sub(sign.chars().count() + text.chars().count());
        let (before, between, after) = match align {
            Align::Left => (0, 0, missing),
            Align::Right => (missing, 0, 0),
            Align::Center => (missing / 2, 0, missing - missing / 2),
            Align::Inner => (0, missing, 0),
        };
        to.fill(fill, before, budget)?;
        to.push(sign, budget)?;
        to.fill(fill, between, budget)?;
        to.push(text, budget)?;
        to.fill(fill, after, budget)
    }
}

impl Align {
    fn of(c: char) -> Option<Self> {
        match c {
            '<' => Some(Self::Left),
            '>' => Some(Self::Right),
            '^' => Some(Self::Center),
            '=' => Some(Self::Inner),
            _ => None,
        }
    }
}

fn align_char(c: char) -> bool {
    Align::of(c).is_some()
}

/// The first character where it is wanted, and the rest.
pub(super) fn take(text: &str, wanted: impl Fn(char) -> bool) -> (Option<char>, &str) {
    let mut chars = text.chars();
    match chars.next() {
        Some(c) if wanted(c) => (Some(c), chars.as_str()),
        _ => (None, text),
    }
}

/// The number that the text begins with, and the rest; `None` where the text does not begin with a digit.
pub(super) fn digits(text: &str) -> Result<Option<(usize, &str)>, ProblemKind> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    if number.is_empty() {
        return Ok(None);
    }
    let number = number.parse().map_err(|_| ProblemKind::TooCostly(super::Bound::Built))?;
    Ok(Some((number, rest)))
}

/// A float with `precision` significant digits, without zeros at the end, and with an exponent where Python's type `g`
/// writes one. With `with_point` the form of a format without a type: at least one digit after the point.
fn general(magnitude: f64, precision: usize, with_point: bool) -> String {
    let rounded = format!("{magnitude:.*e}", precision - 1);
    let exponent: i64 = rounded.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let limit = i64::try_from(precision).unwrap_or(i64::MAX) - i64::from(with_point);
    if exponent < -4 || exponent >= limit {
        let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
        return python_exponent(&format!("{}e{exponent}", trimmed(mantissa)));
    }
    let decimals = usize::try_from(i64::try_from(precision).unwrap_or(i64::MAX) - 1 - exponent).unwrap_or(0);
    let fixed = format!("{magnitude:.decimals$}");
    let fixed = trimmed(&fixed);
    if with_point && !fixed.contains('.') { format!("{fixed}.0") } else { fixed.to_owned() }
}

/// A number without the zeros at the end of its fraction.
fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}
