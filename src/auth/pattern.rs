//! The patterns of bindings: which namespaces and which names of secrets a binding is about.
//!
//! A namespace pattern is a namespace (`team/billing`), a namespace and everything below it (`team/**`), or all namespaces
//! (`**`). A name pattern is a name in which each `*` stands for any characters, also for none. All comparisons take time in
//! proportion to the lengths of what they compare, at most to the product of both.

use std::fmt;

use crate::domain::{Invalid, Namespace, SecretName};

/// Which namespaces a binding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespacePattern {
    /// `**`: all namespaces, and the service as a whole.
    Everywhere,
    /// `team/**`: the namespace `team` itself, and every namespace below it.
    Below(Namespace),
    /// `team/billing`: this namespace alone.
    Exactly(Namespace),
}

impl NamespacePattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const INVALID: Invalid = Invalid::new(
            "must be a namespace, a namespace with '/**' behind it for that namespace and all below it, or '**' for all \
             namespaces",
        );
        if text == "**" {
            return Ok(Self::Everywhere);
        }
        let parse = |text| Namespace::parse(text).map_err(|_| INVALID);
        match text.strip_suffix("/**") {
            Some(top) => parse(top).map(Self::Below),
            None => parse(text).map(Self::Exactly),
        }
    }

    /// Whether it has this namespace.
    pub fn matches(&self, namespace: &Namespace) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Below(top) => namespace.is_within(top),
            Self::Exactly(only) => only == namespace,
        }
    }

    /// Whether it has every namespace that the other pattern has.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everywhere, _) => true,
            (Self::Below(top), Self::Below(namespace) | Self::Exactly(namespace)) => namespace.is_within(top),
            (Self::Exactly(one), Self::Exactly(other)) => one == other,
            (Self::Below(_), Self::Everywhere) | (Self::Exactly(_), Self::Everywhere | Self::Below(_)) => {
                false
            }
        }
    }

    /// Whether some namespace is in both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        // Two patterns of namespaces have nothing in common, or one of them has all that the other one has.
        self.covers(other) || other.covers(self)
    }
}

impl fmt::Display for NamespacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("**"),
            Self::Below(top) => write!(f, "{top}/**"),
            Self::Exactly(only) => only.fmt(f),
        }
    }
}

/// Which names of secrets a binding is about: a name in which each `*` stands for any characters, also for none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamePattern(Box<str>);

impl NamePattern {
    const MAX: usize = 128;

    /// Parses a pattern: 1 to 128 letters, digits, underscores and `*`, not beginning with a digit, without two `*` in a row.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let holds = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'*';
        let begins = text.starts_with(|c: char| !c.is_ascii_digit());
        if !begins || text.len() > Self::MAX || !text.bytes().all(holds) || text.contains("**") {
            return Err(Invalid::new(
                "must be the name of a secret, in which '*' stands for any characters: at most 128 letters, digits, \
                 underscores and '*', not beginning with a digit, and not with two '*' in a row",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The pattern `*`, which all names match.
    pub fn every() -> Self {
        Self("*".into())
    }

    /// The pattern that this name alone matches.
    pub fn only(name: &SecretName) -> Self {
        Self(name.as_str().into())
    }

    /// Whether all names match.
    pub fn is_every(&self) -> bool {
        &*self.0 == "*"
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &SecretName) -> bool {
        self.absorbs(name.as_str().as_bytes())
    }

    /// Whether every name that matches the other pattern matches this one. It may say no where that is so only because of which
    /// characters names can have.
    pub fn covers(&self, other: &Self) -> bool {
        // A `*` of the other pattern is met by a `*` of this one, as any other character is.
        self.absorbs(other.0.as_bytes())
    }

    /// Whether some name may match both patterns. It may say yes though no name is short enough for both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, other) = (self.0.as_bytes(), other.0.as_bytes());
        // reach[at]: whether what was looked at of `one` and the first `at` bytes of `other` can be the same text.
        let mut reach = vec![false; other.len() + 1];
        for (from, next) in std::iter::once(None).chain(one.iter().map(Some)).enumerate() {
            let before = std::mem::replace(&mut reach, vec![false; other.len() + 1]);
            for at in 0..=other.len() {
                let of_other = at.checked_sub(1).and_then(|at| other.get(at));
                let had = |reach: &[bool], at: Option<usize>| {
                    at.and_then(|at| reach.get(at)).copied().unwrap_or(false)
                };
                let (up, left, both) =
                    (had(&before, Some(at)), had(&reach, at.checked_sub(1)), had(&before, at.checked_sub(1)));
                let reached = match (next, of_other) {
                    _ if from == 0 && at == 0 => true,
                    (Some(b'*'), Some(b'*')) => up || left || both,
                    // A `*` takes nothing, or one more character of the other.
                    (Some(b'*'), _) => up || left,
                    (_, Some(b'*')) => left || up,
                    (Some(a), Some(b)) => a == b && both,
                    (None, _) | (_, None) => false,
                };
                if let Some(place) = reach.get_mut(at) {
                    *place = reached;
                }
            }
        }
        reach.last().copied().unwrap_or(false)
    }

    /// Whether the text matches. Only the last `*` that was met can have to take more, so this never goes back further.
    fn absorbs(&self, text: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut at, mut place, mut retry) = (0, 0, None);
        while let Some(byte) = text.get(at) {
            match pattern.get(place) {
                Some(b'*') => {
                    retry = Some((place, at));
                    place += 1;
                }
                Some(expected) if expected == byte => {
                    at += 1;
                    place += 1;
                }
                Some(_) | None => {
                    let Some((star, taken)) = retry else { return false };
                    retry = Some((star, taken + 1));
                    (at, place) = (taken + 1, star + 1);
                }
            }
        }
        pattern.get(place..).unwrap_or_default().iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a binding is about: the secrets of these names in these namespaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The namespaces.
    pub namespaces: NamespacePattern,
    /// The names.
    pub names: NamePattern,
}

impl Scope {
    /// Everything: all secrets, and the service as a whole.
    pub fn everything() -> Self {
        Self { namespaces: NamespacePattern::Everywhere, names: NamePattern::every() }
    }

    /// All secrets of a namespace.
    pub fn of_namespace(namespace: Namespace) -> Self {
        Self { namespaces: NamespacePattern::Exactly(namespace), names: NamePattern::every() }
    }

    /// Whether it is everything.
    pub fn is_everything(&self) -> bool {
        self.namespaces == NamespacePattern::Everywhere && self.names.is_every()
    }

    /// Whether all of the other scope is in this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.namespaces.covers(&other.namespaces) && self.names.covers(&other.names)
    }

    /// Whether something may be in both scopes.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.namespaces.overlaps(&other.namespaces) && self.names.overlaps(&other.names)
    }
}

/// The scope as messages name it.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.namespaces)?;
        if self.names.is_every() { Ok(()) } else { write!(f, ", names {}", self.names) }
    }
}

/// Which names of one namespace a caller has a right on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameFilter {
    /// The patterns of which a name must match one, in order.
    allow: Box<[NamePattern]>,
    /// The patterns of which a name must match none, in order.
    deny: Box<[NamePattern]>,
}

impl NameFilter {
    /// All names that match one of the first patterns and none of the others.
    pub(super) fn new(mut allow: Vec<NamePattern>, mut deny: Vec<NamePattern>) -> Self {
        if allow.iter().any(NamePattern::is_every) {
            allow = vec![NamePattern::every()];
        }
        for patterns in [&mut allow, &mut deny] {
            patterns.sort_unstable();
            patterns.dedup();
        }
        Self { allow: allow.into(), deny: deny.into() }
    }

    /// All names.
    pub fn every() -> Self {
        Self { allow: [NamePattern::every()].into(), deny: Box::default() }
    }

    /// Whether every name passes.
    pub fn is_every(&self) -> bool {
        self.deny.is_empty() && self.allow.iter().any(NamePattern::is_every)
    }

    /// Whether a name passes.
    pub fn passes(&self, name: &SecretName) -> bool {
        self.passes_text(name.as_str())
    }

    /// Whether a name passes, given as its text.
    pub fn passes_text(&self, name: &str) -> bool {
        let matches = |pattern: &NamePattern| pattern.absorbs(name.as_bytes());
        self.allow.iter().any(matches) && !self.deny.iter().any(matches)
    }

    /// The patterns of which a name must match one, and those of which it must match none.
    pub fn patterns(&self) -> (&[NamePattern], &[NamePattern]) {
        (&self.allow, &self.deny)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> SecretName {
        SecretName::parse(text).unwrap()
    }

    fn names(text: &str) -> NamePattern {
        NamePattern::parse(text).unwrap()
    }

    fn namespaces(text: &str) -> NamespacePattern {
        NamespacePattern::parse(text).unwrap()
    }

    #[test]
    fn a_namespace_pattern_has_its_top_and_all_below_it() {
        let has = |pattern: &str, namespace: &str| {
            namespaces(pattern).matches(&Namespace::parse(namespace).unwrap())
        };
        for inside in ["team", "team/a", "team/a/b"] {
            assert!(has("team/**", inside) && has("**", inside), "{inside}");
        }
        for outside in ["teams", "team-a", "other/team", "tea"] {
            assert!(!has("team/**", outside) && has("**", outside), "{outside}");
        }
        assert!(has("team/a", "team/a") && !has("team/a", "team") && !has("team/a", "team/a/b"));
    }

    #[test]
    fn odd_patterns_are_refused() {
        for text in [
            "",
            "*",
            "team/*",
            "/**",
            "team/**/a",
            "**/a",
            "team**",
            "Team/**",
            "team/** ",
            "te*m",
            "a//**",
            "***",
        ] {
            assert!(NamespacePattern::parse(text).is_err(), "{text:?}");
        }
        for text in
            ["", "**", "a**b", "1a", "1*", "a-b", "a b", "é", "a.*", "[a]", "a?", "a\n", &"a".repeat(129)]
        {
            assert!(NamePattern::parse(text).is_err(), "{text:?}");
        }
        for text in ["**", "team/**", "team/a"] {
            assert_eq!(namespaces(text).to_string(), text);
        }
    }

    #[test]
    fn patterns_cover_and_overlap_as_their_namespaces_do() {
        for (one, other, covers, overlaps) in [
            ("**", "team/**", true, true),
            ("team/**", "team", true, true),
            ("team/**", "team/a/**", true, true),
            ("team/a/**", "team/**", false, true),
            ("team", "team/**", false, true),
            ("team/a", "team/b", false, false),
            ("team/a/**", "team/b/**", false, false),
            ("team/**", "teams", false, false),
        ] {
            let (one, other) = (namespaces(one), namespaces(other));
            assert_eq!((one.covers(&other), one.overlaps(&other)), (covers, overlaps), "{one} {other}");
            assert_eq!(other.overlaps(&one), overlaps, "{one} {other}");
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, matches, others) in [
            ("*", &["a", "_", "anything_1"][..], &[][..]),
            ("db_*", &["db_", "db_password"], &["db", "xdb_a", "DB_a"]),
            ("*_key", &["_key", "stripe_key", "a_key_key"], &["key", "stripe_key_2"]),
            ("a*b*c", &["abc", "a1b2c", "abbbc", "a_c_b_c"], &["ab", "acb", "abcd"]),
            ("stripe_key", &["stripe_key"], &["stripe_keys", "stripe_ke"]),
        ] {
            assert!(matches.iter().all(|text| names(pattern).matches(&name(text))), "{pattern}");
            assert!(!others.iter().any(|text| names(pattern).matches(&name(text))), "{pattern}");
        }
        // The worst that a pattern can do is to look at each character once for each of its own.
        let worst = names(&format!("{}b", "a*".repeat(63)));
        assert!(!worst.matches(&name(&"a".repeat(128))));
    }

    #[test]
    fn a_filter_passes_what_is_allowed_and_not_denied() {
        let filter = |allow: &[&str], deny: &[&str]| {
            let parse = |texts: &[&str]| texts.iter().map(|text| names(text)).collect();
            NameFilter::new(parse(allow), parse(deny))
        };
        assert!(filter(&["db_*", "*"], &[]).is_every() && NameFilter::every().is_every());
        assert_eq!(filter(&["b", "a", "b"], &[]), filter(&["a", "b"], &[]));
        let some = filter(&["db_*"], &["*_key"]);
        assert!(some.passes(&name("db_a")) && !some.passes(&name("db_key")) && !some.passes(&name("a")));
        assert!(!some.is_every() && !filter(&["*"], &["x"]).is_every());
    }

    /// The same by trying everything: the obvious definition.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                naive(rest, text) || text.split_first().is_some_and(|(_, text)| naive(pattern, text))
            }
            (Some((a, pattern)), Some((b, text))) => a == b && naive(pattern, text),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// All names of up to 5 of these letters.
    fn all_names() -> Vec<SecretName> {
        let mut texts = vec![String::new()];
        let mut last = texts.clone();
        for _ in 0..5 {
            last = last
                .iter()
                .flat_map(|text| ["a", "b", "_"].map(|letter| format!("{text}{letter}")))
                .collect();
            texts.extend(last.clone());
        }
        texts.iter().filter_map(|text| SecretName::parse(text).ok()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn patterns_mean_what_the_obvious_definition_means(
            one in "[ab*]{1,5}", other in "[ab*]{1,5}", text in "[ab_]{1,12}"
        ) {
            let (Ok(one), Ok(other)) = (NamePattern::parse(&one), NamePattern::parse(&other)) else { return Ok(()) };
            let text = name(&text);
            prop_assert_eq!(one.matches(&text), naive(one.as_str().as_bytes(), text.as_str().as_bytes()));
            let all = all_names();
            let both = all.iter().any(|name| one.matches(name) && other.matches(name));
            // A short name that matches both exists wherever one does, since the patterns are short.
            prop_assert!(!both || one.overlaps(&other), "{one} {other}");
            prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
            if one.covers(&other) {
                prop_assert!(all.iter().all(|name| !other.matches(name) || one.matches(name)), "{one} {other}");
            }
            if one.as_str() == other.as_str() {
                prop_assert!(one.covers(&other) && one.overlaps(&other));
            }
        }
    }
}
