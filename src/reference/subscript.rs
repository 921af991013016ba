//! Parts of values: `value.name`, `value[index]` and `value[start:stop:step]`.
//!
//! A name or a text as the index looks up a field of a map, and nothing else: there are no attributes.

use zeroize::Zeroizing;

use super::budget::Budget;
use super::evaluate::{Evaluated, Evaluator, Operand};
use super::grammar::Expr;
use super::{Data, ProblemKind};

impl<'a> Evaluator<'a> {
    pub(super) fn field(&mut self, map: &'a Expr, name: &str) -> Evaluated<'a> {
        let value = self.eval(map)?;
        match value.get() {
            Data::Map(_) => self.look_up(value, name),
            Data::Bytes(_) => Err(ProblemKind::Binary),
            _ => Err(ProblemKind::unsupported_named(
                "a field of a value that is not a map:",
                name,
                "Only maps have fields, and methods must be called with parentheses.",
            )),
        }
    }

    fn look_up(&mut self, map: Operand<'a>, name: &str) -> Evaluated<'a> {
        const NO_FIELD: ProblemKind = ProblemKind::Value(
            "The map has no such field: correct the field's name, or check with `in` whether the map has it.",
        );
        match map {
            Operand::Borrowed(map) => {
                if let Data::Map(fields) = map {
                    self.budget.charge_items(fields.len())?;
                }
                map.field(name).map(Operand::Borrowed).ok_or(NO_FIELD)
            }
            Operand::Owned(Data::Map(fields)) => {
                let found = fields.into_iter().find(|(key, _)| key == name);
                found.map(|(_, value)| Operand::Owned(value)).ok_or(NO_FIELD)
            }
            Operand::Owned(_) => Err(NO_FIELD),
        }
    }

    pub(super) fn item(&mut self, container: &'a Expr, index: &'a Expr) -> Evaluated<'a> {
        let container = self.eval(container)?;
        let index = self.eval(index)?;
        let at = match (container.get(), index.get()) {
            (Data::Bytes(_), _) | (_, Data::Bytes(_)) => return Err(ProblemKind::Binary),
            (Data::Map(_), Data::Text(name)) => return self.look_up(container, name),
            (Data::Map(_), _) => {
                return Err(ProblemKind::Type(
                    "A field of a map must be named by a text: convert other values with str(...).",
                ));
            }
            (Data::List(_) | Data::Text(_), Data::Int(at)) => *at,
            (Data::List(_) | Data::Text(_), Data::Bool(at)) => i64::from(*at),
            (Data::List(_) | Data::Text(_), _) => {
                return Err(ProblemKind::Type("The index of a list or a text must be a whole number."));
            }
            _ => return Err(ProblemKind::Type("Only maps, lists and texts can have an index in brackets.")),
        };
        self.nth(container, at)
    }

    /// The item or character at an index, which counts from the end where it is negative.
    fn nth(&mut self, container: Operand<'a>, at: i64) -> Evaluated<'a> {
        const OUTSIDE: ProblemKind = ProblemKind::Value(
            "The index is outside the list or text: correct the index, or check the length with len(...).",
        );
        if let Data::Text(text) = container.get() {
            self.budget.charge_read(text.len())?;
            let from_start = usize::try_from(at).ok();
            let from_end = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
            let found = match from_start {
                Some(at) => text.chars().nth(at),
                None => text.chars().nth_back(from_end - 1),
            };
            let found = found.ok_or(OUTSIDE)?;
            self.budget.charge_build(found.len_utf8())?;
            return Ok(Operand::Owned(Data::text(found)));
        }
        let position = |length: usize| {
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            usize::try_from(if at < 0 { at + length } else { at }).map_err(|_| OUTSIDE)
        };
        match container {
            Operand::Borrowed(Data::List(items)) => {
                items.get(position(items.len())?).map(Operand::Borrowed).ok_or(OUTSIDE)
            }
            Operand::Owned(Data::List(items)) => {
                let at = position(items.len())?;
                items.into_iter().nth(at).map(Operand::Owned).ok_or(OUTSIDE)
            }
            _ => Err(OUTSIDE),
        }
    }

    pub(super) fn slice(&mut self, value: &'a Expr, bounds: &'a [Option<Expr>; 3]) -> Evaluated<'a> {
        let value = self.eval(value)?;
        let mut numbers = [None; 3];
        for (number, bound) in numbers.iter_mut().zip(bounds) {
            let Some(bound) = bound else { continue };
            *number = match self.eval(bound)?.get() {
                Data::Null => None,
                Data::Int(int) => Some(*int),
                Data::Bool(bool) => Some(i64::from(*bool)),
                _ => {
                    return Err(ProblemKind::Type(
                        "The bounds and the step of a slice must be whole numbers.",
                    ));
                }
            };
        }
        slice(value.get(), numbers, self.budget).map(Operand::Owned)
    }
}

/// The part of a text or a list that Python's slice with these bounds takes.
fn slice(
    data: &Data,
    [start, stop, step]: [Option<i64>; 3],
    budget: &mut Budget,
) -> Result<Data, ProblemKind> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(ProblemKind::Value("The step of a slice must not be 0."));
    }
    match data {
        Data::Text(text) => {
            budget.charge_read(text.len())?;
            // UTF-8 has no index by character, so the characters are put into a vector first.
            budget.charge_build(text.len() * size_of::<char>())?;
            let chars: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().collect());
            let picked = positions(chars.len(), start, stop, step).filter_map(|at| chars.get(at));
            let length = picked.clone().map(|c| c.len_utf8()).sum();
            budget.charge_build(length)?;
            let mut part = Zeroizing::new(String::with_capacity(length));
            part.extend(picked);
            Ok(Data::Text(part))
        }
        Data::List(items) => {
            budget.charge_items(items.len())?;
            let picked = positions(items.len(), start, stop, step).filter_map(|at| items.get(at));
            for item in picked.clone() {
                budget.charge_build(item.size())?;
            }
            Ok(Data::List(picked.map(Data::copy).collect()))
        }
        Data::Bytes(_) => Err(ProblemKind::Binary),
        _ => Err(ProblemKind::Type("Only texts and lists can be sliced.")),
    }
}

/// The positions that a slice takes, in its order. The same as CPython's `PySlice_AdjustIndices`.
fn positions(
    length: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> + Clone {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    // The least and the greatest position of a bound. Backwards, a bound can be before the first item.
    let (least, most) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let adjust =
        |bound: i64| (if bound < 0 { bound.saturating_add(length) } else { bound }).clamp(least, most);
    let start = start.map_or(if step < 0 { most } else { least }, adjust);
    let stop = stop.map_or(if step < 0 { least } else { most }, adjust);
    std::iter::successors(Some(start), move |at| at.checked_add(step))
        .take_while(move |at| if step < 0 { *at > stop } else { *at < stop })
        .filter_map(|at| usize::try_from(at).ok())
}
