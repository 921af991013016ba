//! Resolves any bytes as expressions and as a document. There must be an answer within the bounds, and no problem may show a
//! value.
//!
//! From the repository: `cargo +nightly fuzz run references -- -dict=fuzz/fuzz_targets/references.dict`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::domain::SecretName;
use strongroom::reference::{Data, ProblemKind, SecretLookup, Template};
use zeroize::Zeroizing;

struct Known;

impl SecretLookup for Known {
    fn value(&self, name: &SecretName) -> Result<Data, ProblemKind> {
        match name.as_str() {
            "a" => Ok(Data::text("c4n4ry {x} 'é")),
            "b" => Ok(Data::Bytes(Zeroizing::new(vec![0, 255, 7]))),
            "d" => Err(ProblemKind::VersionDisabled(name.clone(), 1)),
            _ => Err(ProblemKind::MissingSecret(name.clone())),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // The bytes as one expression, then as a document of a few strings.
    check(Data::text(format!("$ {text}")));
    let mut fields: Vec<(String, Data)> = Vec::new();
    for (at, part) in text.split('\0').take(8).enumerate() {
        let key = if at == 1 { "secret_name" } else { part.get(..8).unwrap_or("tool") };
        if !fields.iter().any(|(there, _)| there == key) {
            fields
                .push((key.to_owned(), Data::List(vec![Data::text(part), Data::text(format!("$ {part}"))])));
        }
    }
    check(Data::Map(fields));
});

fn check(document: Data) {
    let inputs = Data::Map(vec![
        (
            "input".to_owned(),
            Data::Map(vec![
                ("n".to_owned(), Data::Int(7)),
                ("f".to_owned(), Data::Float(-2.5)),
                ("t".to_owned(), Data::text("text é")),
                ("l".to_owned(), Data::List(vec![Data::Null, Data::Bool(true), Data::text("x")])),
            ]),
        ),
        ("x".to_owned(), Data::text("1")),
    ]);
    let problems = match Template::parse(document) {
        Ok(template) => {
            template.references();
            match template.evaluate(&inputs, &Known) {
                Ok(_) => return,
                Err(problems) => problems,
            }
        }
        Err(problems) => problems,
    };
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(!problem.kind.to_string().contains("c4n4ry {x}"));
    }
}
