//! Keeps credentials out of messages. A credential in a message is a mistake of its user, such as a key where the name of its file
//! is expected; the message says what is wrong, and does not repeat the key.

/// The text with API keys (`srk_…`), master keys (`srmk_…`) and tokens (`eyJ….…`) cut off behind their beginnings.
pub(super) fn hidden(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, mark)) = first(rest) {
        let (before, credential) = rest.split_at(at);
        let end = credential.find(|c: char| !is_of_credential(c)).unwrap_or(credential.len());
        let (credential, after) = credential.split_at(end);
        shown.push_str(before);
        shown.push_str(if is_credential(credential, mark) { mark } else { credential });
        if is_credential(credential, mark) {
            shown.push('…');
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// The beginnings of credentials.
const MARKS: [&str; 3] = ["srk_", "srmk_", "eyJ"];

fn first(text: &str) -> Option<(usize, &'static str)> {
    MARKS.iter().filter_map(|mark| text.find(mark).map(|at| (at, *mark))).min()
}

fn is_of_credential(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.+/=".contains(c)
}

/// Whether this is more than the beginning, as documents and messages write it.
fn is_credential(text: &str, mark: &str) -> bool {
    match mark {
        "eyJ" => text.len() > 20 && text.contains('.'),
        _ => text.len() > mark.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_cut_off_and_other_text_stays() {
        for (text, shown) in [
            ("srk_abc_def cannot be read", "srk_… cannot be read"),
            ("'/home/me/srmk_AAAA+/=': no", "'/home/me/srmk_…': no"),
            ("a srk_1 b srmk_2 c eyJhbGciOiJIUzI1NiJ9.e30.x", "a srk_… b srmk_… c eyJ…"),
            ("srk_… on one line is expected", "srk_… on one line is expected"),
            ("the 16 characters after srk_", "the 16 characters after srk_"),
            ("eyJob is a word", "eyJob is a word"),
            ("", ""),
        ] {
            assert_eq!(hidden(text), shown);
        }
    }
}
