//! `value[start:stop:step]`.

use zeroize::Zeroizing;

use super::budget::Budget;
use super::{Data, ProblemKind};

/// The part of a text or a list, with the bounds as Python has them.
pub(super) fn slice(
    data: &Data,
    [start, stop, step]: [Option<i64>; 3],
    budget: &mut Budget,
) -> Result<Data, ProblemKind> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(ProblemKind::Value("The step of a slice can not be 0."));
    }
    match data {
        Data::Text(text) => {
            budget.read(text.len())?;
            // Characters are found by walking, so they are put where they can be counted from both ends.
            budget.build(text.len() * size_of::<char>())?;
            let chars: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().collect());
            let picked = positions(chars.len(), start, stop, step).filter_map(|at| chars.get(at));
            let length = picked.clone().map(|c| c.len_utf8()).sum();
            budget.build(length)?;
            let mut part = Zeroizing::new(String::with_capacity(length));
            part.extend(picked);
            Ok(Data::Text(part))
        }
        Data::List(items) => {
            budget.scan(items.len())?;
            let picked = positions(items.len(), start, stop, step).filter_map(|at| items.get(at));
            for item in picked.clone() {
                budget.build(item.size())?;
            }
            Ok(Data::List(picked.map(Data::copy).collect()))
        }
        Data::Bytes(_) => Err(ProblemKind::Binary),
        _ => Err(ProblemKind::Type("Only texts and lists have slices.")),
    }
}

/// The positions that a slice takes, in its order; see CPython's `PySlice_AdjustIndices`.
fn positions(
    length: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> + Clone {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    // What a bound can be at least and at most: backwards, one before the first and the last.
    let (least, most) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let adjust =
        |bound: i64| (if bound < 0 { bound.saturating_add(length) } else { bound }).clamp(least, most);
    let start = start.map_or(if step < 0 { most } else { least }, adjust);
    let stop = stop.map_or(if step < 0 { least } else { most }, adjust);
    std::iter::successors(Some(start), move |at| at.checked_add(step))
        .take_while(move |at| if step < 0 { *at > stop } else { *at < stop })
        .filter_map(|at| usize::try_from(at).ok())
}
