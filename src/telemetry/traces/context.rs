//! The trace context of a request, as its caller tells it: the headers `traceparent` and `tracestate` of W3C Trace Context.
//!
//! A `traceparent` that is not valid counts as none, and then `tracestate` does too, as the standard asks. A `tracestate` that is
//! not valid is left out alone.

use http::HeaderMap;
use uuid::Uuid;

/// The longest `tracestate` that is passed on, in bytes: what the standard asks to pass on at least.
const MAX_STATE: usize = 512;
/// The most members that it may have.
const MAX_MEMBERS: usize = 32;

/// The place of a request in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    /// The id of the trace.
    pub(super) trace: [u8; 16],
    /// The id of the caller's span; `None`: the trace begins here.
    pub(super) parent: Option<[u8; 8]>,
    /// Whether the caller traces this trace.
    pub(super) sampled: bool,
    /// What other systems note on the trace.
    pub(super) state: Option<Box<str>>,
}

impl Context {
    /// The context that the headers tell; `None`: they tell none, or one that is not valid.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all("traceparent").iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
        let (trace, parent, sampled) = parse(parent.to_str().ok()?)?;
        Some(Self { trace, parent: Some(parent), sampled, state: state(headers) })
    }

    /// A trace that begins with this request.
    pub(super) fn beginning(request: Uuid) -> Self {
        Self { trace: request.into_bytes(), parent: None, sampled: true, state: None }
    }
}

/// The ids and the flag of a `traceparent`: `VERSION-TRACE-SPAN-FLAGS`, in lower-case hex digits. A later version may have more behind
/// that.
fn parse(text: &str) -> Option<([u8; 16], [u8; 8], bool)> {
    let mut parts = text.splitn(5, '-');
    let mut part = || parts.next();
    let (version, trace, span, flags) = (part()?, part()?, part()?, part()?);
    let [version] = hex::<1>(version)?;
    if version == 0xff || (version == 0 && part().is_some()) {
        return None;
    }
    let (trace, span, [flags]) = (hex(trace)?, hex(span)?, hex::<1>(flags)?);
    (trace != [0; 16] && span != [0; 8]).then_some((trace, span, flags & 1 == 1))
}

/// Bytes in lower-case hex digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The `tracestate`, which can stand in several headers.
fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let mut state = String::new();
    for part in headers.get_all("tracestate") {
        let part = part.to_str().ok()?; // visible characters of ASCII, spaces and tabs
        if state.len() + part.len() >= MAX_STATE {
            return None;
        }
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(part);
    }
    let members = || state.split(',').map(|member| member.trim_matches([' ', '\t']));
    let valid = members().count() <= MAX_MEMBERS && members().all(is_member);
    (valid && !state.is_empty()).then(|| state.into())
}

/// Whether a text is `KEY=VALUE`. An empty one is allowed between commas.
fn is_member(text: &str) -> bool {
    let Some((key, value)) = text.split_once('=') else { return text.is_empty() };
    let in_key = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-*/@".contains(&c);
    let in_value = |c: u8| (b' '..=b'~').contains(&c) && c != b'=';
    !key.is_empty() && key.bytes().all(in_key) && !value.is_empty() && value.bytes().all(in_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn context(pairs: &[(&str, &str)]) -> Option<Context> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        Context::of(&headers)
    }

    fn parent(text: &str) -> Option<Context> {
        context(&[("traceparent", text)])
    }

    #[test]
    fn a_context_is_read_as_the_standard_writes_it() {
        let read = parent(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&read.trace), TRACE);
        assert_eq!(data_encoding::HEXLOWER.encode(&read.parent.unwrap()), SPAN);
        assert_eq!((read.sampled, read.state), (true, None));
        for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            assert_eq!(parent(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap().sampled, sampled, "{flags}");
        }
        // A later version may have more parts.
        for later in ["", "-", "-what-comes"] {
            assert!(parent(&format!("01-{TRACE}-{SPAN}-01{later}")).is_some(), "{later}");
        }
    }

    #[test]
    fn what_is_no_context_counts_as_none() {
        let zero = |length| "0".repeat(length);
        for text in [
            String::new(),
            "x".into(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-001"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!(" 00-{TRACE}-{SPAN}-01x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", zero(32)),
            format!("00-{TRACE}-{}-01", zero(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}a-01"),
        ] {
            assert_eq!(parent(&text), None, "{text}");
        }
        let one = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(context(&[("traceparent", &one), ("traceparent", &one)]), None);
        assert_eq!(context(&[("tracestate", "a=b")]), None);
    }

    #[test]
    fn a_state_is_passed_on_where_it_is_valid() {
        let state = |states: &[&str]| {
            let one = format!("00-{TRACE}-{SPAN}-01");
            let states = states.iter().map(|state| ("tracestate", *state));
            let pairs: Vec<_> = [("traceparent", one.as_str())].into_iter().chain(states).collect();
            context(&pairs).unwrap().state
        };
        let two = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";
        assert_eq!(state(&[two]).as_deref(), Some(two));
        assert_eq!(state(&["a=1", "b=2"]).as_deref(), Some("a=1,b=2"));
        assert_eq!(state(&["a=1 , 2@b=2,"]).as_deref(), Some("a=1 , 2@b=2,"));
        let (long, many) = (format!("a={}", "x".repeat(MAX_STATE)), "a=1,".repeat(MAX_MEMBERS + 1));
        for invalid in ["a", "A=1", "a=", "=1", "a=1=2", "a b=1", &long, &many] {
            assert_eq!(state(&[invalid]), None, "{invalid}");
        }
        assert_eq!(state(&[]), None);
    }
}
