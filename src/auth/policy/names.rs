//! Bindings found by the name of a secret.
//!
//! A binding stands under what its name pattern begins with, up to the first `*`. A name can match only the patterns that begin as it
//! does, so that a search asks once for each length of such beginnings. The bindings of one pattern stand in the order in which they
//! would decide, so that the search ends at the first one that counts.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use super::bindings::Bound;
use crate::auth::binding::{Binding, Effect};
use crate::auth::pattern::NamePattern;
use crate::domain::SecretName;

/// The bindings of one principal and one namespace pattern.
#[derive(Default)]
pub(super) struct ByName {
    by_beginning: HashMap<Box<str>, Vec<OfPattern>>,
    /// How many beginnings there are of each length, in bytes.
    lengths: BTreeMap<usize, usize>,
}

/// The bindings of one name pattern.
pub(super) struct OfPattern {
    pattern: NamePattern,
    /// Those that last the longest first, and of equals the oldest id.
    allow: Vec<Bound>,
    /// By id.
    deny: Vec<Bound>,
}

impl ByName {
    pub(super) fn insert(&mut self, bound: Bound) {
        let pattern = &bound.binding.scope.names;
        let beginning = beginning(pattern);
        if !self.by_beginning.contains_key(beginning) {
            *self.lengths.entry(beginning.len()).or_default() += 1;
        }
        let patterns = self.by_beginning.entry(beginning.into()).or_default();
        match patterns.iter_mut().find(|of_pattern| of_pattern.pattern == *pattern) {
            Some(of_pattern) => of_pattern.insert(bound),
            None => {
                let mut of_pattern =
                    OfPattern { pattern: pattern.clone(), allow: Vec::new(), deny: Vec::new() };
                of_pattern.insert(bound);
                patterns.push(of_pattern);
            }
        }
    }

    pub(super) fn remove(&mut self, binding: &Binding) {
        let beginning = beginning(&binding.scope.names);
        let Some(patterns) = self.by_beginning.get_mut(beginning) else { return };
        for of_pattern in patterns.iter_mut().filter(|each| each.pattern == binding.scope.names) {
            of_pattern.of_effect(binding.effect).retain(|bound| bound.binding.id != binding.id);
        }
        patterns.retain(|of_pattern| of_pattern.iter().next().is_some());
        if patterns.is_empty() {
            self.by_beginning.remove(beginning);
            if let Some(count) = self.lengths.get_mut(&beginning.len()) {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&beginning.len());
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_beginning.is_empty()
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bound> {
        self.by_beginning.values().flatten().flat_map(OfPattern::iter)
    }

    /// Those whose pattern this name matches, by pattern.
    pub(super) fn matching<'a>(&'a self, name: &'a SecretName) -> impl Iterator<Item = &'a OfPattern> {
        let beginnings = self.lengths.keys().map_while(|length| name.as_str().get(..*length));
        let patterns = beginnings.filter_map(|beginning| self.by_beginning.get(beginning)).flatten();
        patterns.filter(|of_pattern| of_pattern.pattern.matches(name))
    }
}

impl OfPattern {
    fn of_effect(&mut self, effect: Effect) -> &mut Vec<Bound> {
        match effect {
            Effect::Allow => &mut self.allow,
            Effect::Deny => &mut self.deny,
        }
    }

    fn insert(&mut self, bound: Bound) {
        let before = |other: &Bound| precedence(&other.binding, &bound.binding).is_lt();
        let bindings = self.of_effect(bound.binding.effect);
        let place = bindings.partition_point(before);
        bindings.insert(place, bound);
    }

    fn iter(&self) -> impl Iterator<Item = &Bound> {
        self.allow.iter().chain(&self.deny)
    }

    /// Of the bindings that count, those that would decide: one that allows and one that denies.
    pub(super) fn first(&self, counts: impl Fn(&Bound) -> bool) -> impl Iterator<Item = &Bound> {
        let allow = self.allow.iter().find(|bound| counts(bound));
        let deny = self.deny.iter().find(|bound| counts(bound));
        allow.into_iter().chain(deny)
    }
}

/// Which of two bindings of one effect decides, so that a decision names the same one each time: of those that allow, the one that
/// lasts the longest; of equals, and of those that deny, the one with the lower id.
pub(super) fn precedence(one: &Binding, other: &Binding) -> Ordering {
    let lasts = |binding: &Binding| (binding.expires_at.is_none(), binding.expires_at);
    let longer_first = match one.effect {
        Effect::Allow => lasts(other).cmp(&lasts(one)),
        Effect::Deny => Ordering::Equal,
    };
    longer_first.then_with(|| one.id.cmp(&other.id))
}

/// What all names begin with that match a pattern.
fn beginning(pattern: &NamePattern) -> &str {
    let text = pattern.as_str();
    text.split_once('*').map_or(text, |(beginning, _)| beginning)
}
