//! Payloads put together on the command line: `--set amount=42.10 --set shop.country=FR`.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::failure::{Failure, Outcome};

/// An object as text, so that decimals stay as they were written.
#[derive(Debug, Default)]
struct Object(Vec<(String, Part)>);

#[derive(Debug)]
enum Part {
    Text(String),
    Object(Object),
}

/// The payload of `NAME=VALUE` settings as JSON text. Names with dots make objects. A value that
/// looks like JSON is taken as JSON (`42.10`, `true`, `"42"`, `["a"]`), anything else as a text.
/// Errors: a setting without `=`, or two that contradict each other.
pub fn from_settings(settings: &[String]) -> Outcome<String> {
    let mut payload = Object::default();
    for setting in settings {
        let Some((path, value)) = setting.split_once('=') else {
            return Err(Failure::usage(format!("{setting:?} sets nothing"))
                .mend("write --set amount=42.10, or --set country=FR"));
        };
        let names: Vec<&str> = path.split('.').collect();
        if names.iter().any(|name| name.is_empty()) {
            return Err(Failure::usage(format!("{path:?} is no name of a field")));
        }
        payload.set(&names, json(value)).map_err(|()| {
            Failure::usage(format!("{path:?} is set twice, or is both a value and an object"))
        })?;
    }
    Ok(payload.to_text())
}

fn json(value: &str) -> String {
    let number = value.parse::<Decimal>().map(|number| number.to_string());
    match (number, serde_json::from_str::<&serde_json::value::RawValue>(value)) {
        (Ok(number), _) => number,
        (_, Ok(json)) => json.get().to_owned(),
        (_, Err(_)) => Value::from(value).to_string(),
    }
}

impl Object {
    fn set(&mut self, names: &[&str], value: String) -> Result<(), ()> {
        let [first, rest @ ..] = names else { return Err(()) };
        let known = self.0.iter_mut().find(|(name, _)| name == first).map(|(_, part)| part);
        match (known, rest) {
            (None, []) => self.0.push(((*first).to_owned(), Part::Text(value))),
            (None, rest) => {
                let mut inner = Self::default();
                inner.set(rest, value)?;
                self.0.push(((*first).to_owned(), Part::Object(inner)));
            }
            (Some(Part::Object(inner)), rest) => inner.set(rest, value)?,
            (Some(Part::Text(_)), _) => return Err(()),
        }
        Ok(())
    }

    fn to_text(&self) -> String {
        let members = self.0.iter().map(|(name, part)| {
            let value = match part {
                Part::Text(text) => text.clone(),
                Part::Object(inner) => inner.to_text(),
            };
            format!("{}:{value}", Value::from(name.as_str()))
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::from_settings;

    #[test]
    fn settings_become_a_payload() {
        let cases: &[(&[&str], Option<&str>)] = &[
            (&[], Some("{}")),
            (&["amount=42.10", "country=FR"], Some(r#"{"amount":42.10,"country":"FR"}"#)),
            (&["a.b=1", "a.c.d=x", "ok=true"], Some(r#"{"a":{"b":1,"c":{"d":"x"}},"ok":true}"#)),
            (
                &[r#"sku="42""#, "tags=[\"new\"]", "note=a=b"],
                Some(r#"{"sku":"42","tags":["new"],"note":"a=b"}"#),
            ),
            (&["empty="], Some(r#"{"empty":""}"#)),
            (&["amount"], None),
            (&["a=1", "a=2"], None),
            (&["a=1", "a.b=2"], None),
            (&["a..b=2"], None),
        ];
        for (settings, expected) in cases {
            let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
            assert_eq!(from_settings(&settings).ok().as_deref(), *expected, "{settings:?}");
        }
    }
}
