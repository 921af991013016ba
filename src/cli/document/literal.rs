//! Writes a resolved value in the syntax of a document.

use prost_types::Value;
use prost_types::value::Kind;
use zeroize::Zeroizing;

use super::Format;
use crate::cli::dotenv;

/// The value in the syntax of this format.
pub(super) fn write(format: Format, value: &Value) -> Result<Zeroizing<String>, &'static str> {
    let kind = value.kind.as_ref().ok_or("the service sent no value for this reference")?;
    match (format, kind) {
        (Format::Text, Kind::StringValue(text)) => Ok(Zeroizing::new(text.clone())),
        (Format::Env, Kind::StringValue(text)) => dotenv::quoted(text),
        (Format::Text | Format::Env, Kind::ListValue(_) | Kind::StructValue(_) | Kind::NullValue(_)) => Err(
            "the result is a list, a map or null, which this format cannot hold: make it text, for example with json(…)",
        ),
        _ => {
            let mut written = Zeroizing::new(String::new());
            append(format, kind, &mut written)?;
            Ok(written)
        }
    }
}

fn append(format: Format, kind: &Kind, written: &mut String) -> Result<(), &'static str> {
    match kind {
        Kind::NullValue(_) if format == Format::Toml => {
            return Err("the result is null, which TOML cannot hold");
        }
        Kind::NullValue(_) => written.push_str("null"),
        Kind::BoolValue(value) => written.push_str(if *value { "true" } else { "false" }),
        Kind::NumberValue(number) => append_number(*number, written)?,
        Kind::StringValue(text) => append_text(text, written),
        Kind::ListValue(list) => {
            written.push('[');
            for (at, item) in list.values.iter().enumerate() {
                written.push_str(if at == 0 { "" } else { ", " });
                append(format, item.kind.as_ref().unwrap_or(&Kind::NullValue(0)), written)?;
            }
            written.push(']');
        }
        Kind::StructValue(map) => {
            written.push_str(if map.fields.is_empty() { "{" } else { "{ " });
            for (at, (name, value)) in map.fields.iter().enumerate() {
                written.push_str(if at == 0 { "" } else { ", " });
                append_text(name, written);
                written.push_str(if format == Format::Toml { " = " } else { ": " });
                append(format, value.kind.as_ref().unwrap_or(&Kind::NullValue(0)), written)?;
            }
            written.push_str(if map.fields.is_empty() { "}" } else { " }" });
        }
    }
    Ok(())
}

/// Writes a number; a whole number without a fraction.
fn append_number(number: f64, written: &mut String) -> Result<(), &'static str> {
    if !number.is_finite() {
        return Err("the result is not a finite number");
    }
    let text = if number.fract() == 0.0 && number.abs() < 1e15 {
        format!("{number:.0}")
    } else {
        serde_json::Number::from_f64(number).map(|number| number.to_string()).unwrap_or_default()
    };
    written.push_str(if text == "-0" { "0" } else { &text });
    Ok(())
}

/// Writes text between double quotes, with the escapes that JSON, YAML and TOML share.
fn append_text(text: &str, written: &mut String) {
    // Room for the usual length is reserved now: growing would leave a copy of the value that nobody wipes.
    written.reserve(text.len() + text.len() / 4 + 2);
    written.push('"');
    for character in text.chars() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            // Characters that YAML or TOML refuse unescaped, or read as the end of a line.
            '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                written.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => written.push(character),
        }
    }
    written.push('"');
}
