//! `import --rename`: names of other systems, such as `spring.datasource.password`, made names of secrets.

use std::convert::Infallible;

/// The rules of `--rename`.
pub(super) struct Renaming {
    rules: Vec<Rule>,
}

/// One `--rename`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// `--rename`: `-`, `.` and `/` become `_`.
    Characters,
    /// `--rename=FROM=TO`: a name that matches FROM becomes TO, where the `*` of TO is what the `*` of FROM stood for.
    Pattern { from: String, to: String },
}

impl Rule {
    /// Reads a rule from an argument.
    pub(super) fn parse(text: &str) -> Result<Self, Infallible> {
        Ok(match text.split_once('=') {
            None => Self::Characters,
            Some((from, to)) => Self::Pattern { from: from.to_owned(), to: to.to_owned() },
        })
    }

    fn apply(&self, name: &str) -> Option<String> {
        let Self::Pattern { from, to } = self else { return None };
        match from.split_once('*') {
            None => (name == from).then(|| to.clone()),
            Some((before, after)) => {
                let middle = name.strip_prefix(before)?.strip_suffix(after)?;
                Some(to.replacen('*', middle, 1))
            }
        }
    }
}

impl Renaming {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The name of a secret that the file calls so.
    pub(super) fn name_of(&self, source: &str) -> String {
        if self.rules.is_empty() {
            return source.to_owned();
        }
        let name = self.rules.iter().find_map(|rule| rule.apply(source)).unwrap_or_else(|| source.to_owned());
        name.replace(SEPARATORS, "_")
    }

    /// Whether the name was refused for what `--rename` would replace.
    pub(super) fn would_help(&self, source: &str, reason: &str) -> bool {
        self.rules.is_empty() && source.contains(SEPARATORS) && reason.starts_with("the name ")
    }
}

/// What other systems separate the words of names with.
const SEPARATORS: [char; 3] = ['-', '.', '/'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_counts_and_separators_become_underscores() {
        let rules =
            |texts: &[&str]| Renaming::new(texts.iter().map(|text| Rule::parse(text).unwrap()).collect());
        for (texts, source, name) in [
            (&[][..], "a-b", "a-b"),
            (&[""][..], "spring.data-source/url", "spring_data_source_url"),
            (&["spring.*=db_*"][..], "spring.pass.word", "db_pass_word"),
            (&["spring.*=db_*", "spring.a=x"][..], "spring.a", "db_a"),
            (&["spring.a=x"][..], "spring.a", "x"),
            (&["*.key=*"][..], "tls.key", "tls"),
            (&["aba*ba=*"][..], "aba", "aba"),
        ] {
            assert_eq!(rules(texts).name_of(source), name, "{texts:?} {source}");
        }
    }
}
