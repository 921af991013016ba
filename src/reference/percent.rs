//! The operator `%` on a text: `text % values` replaces the conversions in the text by the values.

use super::budget::{Budget, Writer};
use super::format::{Align, Spec, digits, take};
use super::operate::Number;
use super::text::{write_repr, write_str};
use super::{Data, ProblemKind};

const INVALID: ProblemKind = ProblemKind::Value(
    "The text before `%` has a conversion that is not supported: write a percent sign as `%%`, or see docs/references.md.",
);
const TOO_FEW: ProblemKind =
    ProblemKind::Type("The text before `%` has more conversions than there are values after it.");
const TOO_MANY: ProblemKind =
    ProblemKind::Type("The text before `%` has fewer conversions than there are values after it.");

/// The values after the operator.
pub(super) enum Values<'a> {
    /// `(a, b)`: each value is used once, in order.
    Tuple(&'a [&'a Data]),
    /// One value; or a map whose fields the conversions name, as in `%(name)s`.
    One(&'a Data),
}

/// Adds the text, with its conversions replaced by the values.
pub(super) fn write_percent(
    text: &str,
    values: &Values<'_>,
    to: &mut Writer,
    budget: &mut Budget,
) -> Result<(), ProblemKind> {
    budget.charge_read(text.len())?;
    let mut rest = text;
    let mut used = 0;
    let mut named = false;
    while let Some((before, conversion)) = rest.split_once('%') {
        to.push(before, budget)?;
        budget.charge_read(0)?;
        if let Some(after) = conversion.strip_prefix('%') {
            to.push("%", budget)?;
            rest = after;
            continue;
        }
        let (name, conversion) = field_name(conversion)?;
        let (spec, kind, after) = parse(conversion)?;
        rest = after;
        named |= name.is_some();
        let value = match (name, values) {
            (Some(name), Values::One(map @ Data::Map(fields))) => {
                budget.charge_items(fields.len())?;
                map.field(name).ok_or(ProblemKind::Value(
                    "The map after `%` has no field with a name that the text uses.",
                ))?
            }
            (Some(_), _) => return Err(ProblemKind::Type("A text with %(name)s needs a map after `%`.")),
            (None, _) if named => return Err(INVALID),
            (None, Values::Tuple(values)) => values.get(used).ok_or(TOO_FEW)?,
            (None, Values::One(value)) if used == 0 => value,
            (None, Values::One(_)) => return Err(TOO_FEW),
        };
        used += 1;
        write_conversion(value, spec, kind, to, budget)?;
    }
    to.push(rest, budget)?;
    match values {
        Values::Tuple(values) if used < values.len() => Err(TOO_MANY),
        // As in Python, a map or a list may stay unused.
        Values::One(Data::Map(_) | Data::List(_)) | Values::Tuple(_) => Ok(()),
        Values::One(_) if used == 0 => Err(TOO_MANY),
        Values::One(_) => Ok(()),
    }
}

/// The name in `%(name)s`, and the text after the name.
fn field_name(conversion: &str) -> Result<(Option<&str>, &str), ProblemKind> {
    let Some(after) = conversion.strip_prefix('(') else { return Ok((None, conversion)) };
    let (name, after) = after.split_once(')').ok_or(INVALID)?;
    // Python matches parentheses within the name, which is not supported.
    if name.contains('(') { Err(INVALID) } else { Ok((Some(name), after)) }
}

/// The flags, width and precision, the letter, and the text after the conversion.
fn parse(conversion: &str) -> Result<(Spec, char, &str), ProblemKind> {
    let mut spec = Spec::default();
    let mut rest = conversion;
    let mut left = false;
    while let (Some(flag), after) = take(rest, |c| matches!(c, '-' | '+' | ' ' | '#' | '0')) {
        match flag {
            '-' => left = true,
            '+' => spec.sign = Some('+'),
            ' ' => spec.sign = spec.sign.or(Some(' ')),
            '#' => spec.alternate = true,
            _ => spec.zero = true,
        }
        rest = after;
    }
    spec.align = Some(if left { Align::Left } else { Align::Right });
    (spec.width, rest) = digits(rest)?.map_or((0, rest), |(width, rest)| (width, rest));
    if let Some(after) = rest.strip_prefix('.') {
        // `%.f` has the precision 0.
        let (precision, after) = digits(after)?.unwrap_or((0, after));
        spec.precision = Some(precision);
        rest = after;
    }
    let (kind, after) = take(rest, |c| c.is_ascii_alphabetic());
    Ok((spec, kind.ok_or(INVALID)?, after))
}

/// Adds a value as its conversion writes it.
fn write_conversion(
    value: &Data,
    mut spec: Spec,
    kind: char,
    to: &mut Writer,
    budget: &mut Budget,
) -> Result<(), ProblemKind> {
    if matches!(value, Data::Bytes(_)) {
        return Err(ProblemKind::Binary);
    }
    if let 's' | 'r' | 'a' = kind {
        let mut text = Writer::default();
        match kind {
            's' => write_str(value, &mut text, budget)?,
            _ => write_repr(value, kind == 'a', &mut text, budget)?,
        }
        // The flags for numbers have no effect on texts.
        (spec.zero, spec.sign, spec.alternate) = (false, None, false);
        return spec.write_text(&text.finish(), to, budget);
    }
    let number = Number::of(value).ok_or(ProblemKind::Type(
        "A conversion in the text before `%` needs a number: use %s for other values.",
    ))?;
    if spec.zero && spec.align == Some(Align::Right) {
        spec.align = Some(Align::Inner);
    } else {
        spec.zero = false;
    }
    let number = match (kind, number) {
        ('d' | 'i' | 'u', _) if spec.precision.is_some() => return Err(INVALID),
        ('d' | 'i' | 'u', Number::Float(float)) => Number::Int(truncated(float)?),
        ('x' | 'X' | 'o', Number::Float(_)) => {
            return Err(ProblemKind::Type("The conversions %x, %X and %o need a whole number."));
        }
        ('d' | 'i' | 'u' | 'x' | 'X' | 'o' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G', number) => number,
        _ => return Err(INVALID),
    };
    spec.kind = Some(if matches!(kind, 'i' | 'u') { 'd' } else { kind });
    spec.write_number(number, to, budget)
}

/// A float without its fraction, as a whole number.
fn truncated(float: f64) -> Result<i64, ProblemKind> {
    let whole = float.trunc();
    // From -2^63 to below 2^63.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole) {
        Ok(whole as i64)
    } else {
        Err(ProblemKind::Value("A number after `%` is too large for %d: use %s or %f."))
    }
}
