//! The operators, with the same results as in Python.
//!
//! Whole numbers have 64 bits, and floats must stay finite: what exceeds that is refused.

use std::cmp::Ordering;

use zeroize::Zeroizing;

use super::budget::Budget;
use super::data::MAX_EXACT;
use super::grammar::Arithmetic;
use super::{Data, ProblemKind};

const TOO_LARGE: ProblemKind =
    ProblemKind::Value("A whole number in the expression exceeds 64 bits: use smaller numbers.");
const BY_ZERO: ProblemKind = ProblemKind::Value("The expression divides by zero: check the divisor.");

/// Whether a value counts as true.
pub(super) fn truth(data: &Data) -> Result<bool, ProblemKind> {
    Ok(match data {
        Data::Null => false,
        Data::Bool(bool) => *bool,
        Data::Int(int) => *int != 0,
        Data::Float(float) => *float != 0.0,
        Data::Text(text) => !text.is_empty(),
        Data::Bytes(_) => return Err(ProblemKind::Binary),
        Data::List(items) => !items.is_empty(),
        Data::Map(fields) => !fields.is_empty(),
    })
}

/// A number. True and False are the numbers 1 and 0.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub(super) fn of(data: &Data) -> Option<Self> {
        match data {
            Data::Bool(bool) => Some(Self::Int(i64::from(*bool))),
            Data::Int(int) => Some(Self::Int(*int)),
            Data::Float(float) => Some(Self::Float(*float)),
            _ => None,
        }
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Int(b)) => compare_mixed(b, a).map(Ordering::reverse),
        }
    }
}

/// Compares exactly, without rounding: a double cannot hold every whole number of 64 bits.
fn compare_mixed(int: i64, float: f64) -> Option<Ordering> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0; // 2^63
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float < -BEYOND {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    int.cmp(&(whole as i64)).then_with(|| whole.total_cmp(&float)).into()
}

/// `-value`.
pub(super) fn minus(data: &Data) -> Result<Data, ProblemKind> {
    match Number::of(data) {
        Some(Number::Int(int)) => int.checked_neg().map(Data::Int).ok_or(TOO_LARGE),
        Some(Number::Float(float)) => Ok(Data::Float(-float)),
        None => Err(ProblemKind::Type("The sign `-` needs a number after it.")),
    }
}

/// `+value`.
pub(super) fn plus(data: &Data) -> Result<Data, ProblemKind> {
    match Number::of(data) {
        Some(Number::Int(int)) => Ok(Data::Int(int)),
        Some(Number::Float(float)) => Ok(Data::Float(float)),
        None => Err(ProblemKind::Type("The sign `+` needs a number after it.")),
    }
}

/// `left operator right`. The operator `%` on a text is in `percent.rs`.
pub(super) fn arithmetic(
    operator: Arithmetic,
    left: &Data,
    right: &Data,
    budget: &mut Budget,
) -> Result<Data, ProblemKind> {
    match (Number::of(left), Number::of(right)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => int_arithmetic(operator, a, b),
        (Some(a), Some(b)) => float_arithmetic(operator, a.float(), b.float()),
        _ if operator == Arithmetic::Add => concatenate(left, right, budget),
        _ if matches!((left, right), (Data::Bytes(_), _) | (_, Data::Bytes(_))) => Err(ProblemKind::Binary),
        _ if operator == Arithmetic::Modulo => {
            Err(ProblemKind::Type("The operator `%` needs two numbers, or a text and the values for it."))
        }
        _ => Err(ProblemKind::Type("The operators `-`, `*`, `/` and `//` need two numbers.")),
    }
}

fn concatenate(left: &Data, right: &Data, budget: &mut Budget) -> Result<Data, ProblemKind> {
    match (left, right) {
        (Data::Text(left), Data::Text(right)) => {
            let length = left.len() + right.len();
            budget.charge_build(length)?;
            let mut text = Zeroizing::new(String::with_capacity(length));
            text.push_str(left);
            text.push_str(right);
            Ok(Data::Text(text))
        }
        (Data::List(first), Data::List(second)) => {
            budget.charge_items(first.len() + second.len())?;
            budget.charge_build(left.size() + right.size())?;
            Ok(Data::List(first.iter().chain(second).map(Data::copy).collect()))
        }
        (Data::Bytes(_), _) | (_, Data::Bytes(_)) => Err(ProblemKind::Binary),
        _ => Err(ProblemKind::Type(
            "The operator `+` needs two texts, two numbers or two lists: convert other values with str(...), or use \
             an f-string.",
        )),
    }
}

fn int_arithmetic(operator: Arithmetic, a: i64, b: i64) -> Result<Data, ProblemKind> {
    let result = match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide => return divide(a, b),
        Arithmetic::FloorDivide | Arithmetic::Modulo if b == 0 => return Err(BY_ZERO),
        // Python rounds down, Rust rounds towards zero.
        Arithmetic::FloorDivide => a.checked_div(b).map(|quotient| quotient - i64::from(floor_differs(a, b))),
        Arithmetic::Modulo => {
            let rest = a.wrapping_rem(b);
            Some(if floor_differs(a, b) { rest + b } else { rest })
        }
    };
    result.map(Data::Int).ok_or(TOO_LARGE)
}

/// Whether the quotient rounded down differs from the quotient rounded towards zero.
fn floor_differs(a: i64, b: i64) -> bool {
    a.wrapping_rem(b) != 0 && (a < 0) != (b < 0)
}

fn divide(a: i64, b: i64) -> Result<Data, ProblemKind> {
    if a.unsigned_abs() > MAX_EXACT || b.unsigned_abs() > MAX_EXACT {
        return Err(ProblemKind::Value(
            "The operator `/` takes whole numbers up to 2**53: use `//` for larger ones.",
        ));
    }
    float_arithmetic(Arithmetic::Divide, a as f64, b as f64)
}

fn float_arithmetic(operator: Arithmetic, a: f64, b: f64) -> Result<Data, ProblemKind> {
    let divides = matches!(operator, Arithmetic::Divide | Arithmetic::FloorDivide | Arithmetic::Modulo);
    if divides && b == 0.0 {
        return Err(BY_ZERO);
    }
    let result = match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::FloorDivide => floor_divide(a, b).0,
        Arithmetic::Modulo => floor_divide(a, b).1,
    };
    if !result.is_finite() {
        return Err(ProblemKind::Value(
            "A number in the expression is larger than a double can hold: use smaller numbers.",
        ));
    }
    Ok(Data::Float(result))
}

/// The quotient rounded down, and the remainder. The same steps as CPython's `float_divmod`, so that rounding has the same
/// effect.
fn floor_divide(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest == 0.0 {
        rest = 0.0_f64.copysign(b);
    } else if (b < 0.0) != (rest < 0.0) {
        rest += b;
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return (0.0_f64.copysign(a / b), rest);
    }
    let floor = quotient.floor();
    (if quotient - floor > 0.5 { floor + 1.0 } else { floor }, rest)
}

/// `left == right`.
pub(super) fn equal(left: &Data, right: &Data, budget: &mut Budget) -> Result<bool, ProblemKind> {
    budget.charge_read(0)?;
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        return Ok(a.compare(b) == Some(Ordering::Equal));
    }
    match (left, right) {
        (Data::Bytes(_), _) | (_, Data::Bytes(_)) => Err(ProblemKind::Binary),
        (Data::Null, Data::Null) => Ok(true),
        (Data::Text(a), Data::Text(b)) => {
            budget.charge_read(a.len().min(b.len()))?;
            Ok(**a == **b)
        }
        (Data::List(a), Data::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b) {
                if !equal(a, b, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Data::Map(a), Data::Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, value) in a {
                budget.charge_items(b.len())?;
                match right.field(key) {
                    Some(other) if equal(value, other, budget)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The order of two values; `None` where one of them is NaN.
pub(super) fn order(left: &Data, right: &Data, budget: &mut Budget) -> Result<Option<Ordering>, ProblemKind> {
    budget.charge_read(0)?;
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        return Ok(a.compare(b));
    }
    match (left, right) {
        (Data::Bytes(_), _) | (_, Data::Bytes(_)) => Err(ProblemKind::Binary),
        // The bytes of UTF-8 have the same order as the code points.
        (Data::Text(a), Data::Text(b)) => {
            budget.charge_read(a.len().min(b.len()))?;
            Ok(Some(a.as_str().cmp(b.as_str())))
        }
        (Data::List(a), Data::List(b)) => {
            for (a, b) in a.iter().zip(b) {
                if !equal(a, b, budget)? {
                    return order(a, b, budget);
                }
            }
            Ok(Some(a.len().cmp(&b.len())))
        }
        _ => Err(ProblemKind::Type(
            "The comparisons `<`, `<=`, `>` and `>=` need two texts, two numbers or two lists.",
        )),
    }
}

/// `item in container`.
pub(super) fn contains(container: &Data, item: &Data, budget: &mut Budget) -> Result<bool, ProblemKind> {
    match (container, item) {
        (Data::Bytes(_), _) | (_, Data::Bytes(_)) => Err(ProblemKind::Binary),
        (Data::Text(text), Data::Text(part)) => {
            budget.charge_read(text.len())?;
            Ok(text.contains(part.as_str()))
        }
        (Data::Text(_), _) => Err(ProblemKind::Type(
            "The operator `in` needs a text on its left where a text is on its right: convert other values with str(...).",
        )),
        (Data::List(items), _) => {
            for member in items {
                if equal(member, item, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Data::Map(fields), Data::Text(key)) => {
            budget.charge_items(fields.len())?;
            Ok(container.field(key).is_some())
        }
        (Data::Map(_), Data::List(_) | Data::Map(_)) => {
            Err(ProblemKind::Type("A list or a map cannot be a key of a map."))
        }
        (Data::Map(_), _) => Ok(false),
        _ => Err(ProblemKind::Type("The operator `in` needs a text, a list or a map on its right.")),
    }
}
