//! The condition of the design's first page against the two best-known engines in Rust. All start
//! from a parsed event and include what they need to get at its fields: ours reads slots out of the
//! payload (numbers are exact decimals since the parse), cel gets a context with the three fields
//! that the condition names over a shared environment, zen its variable of the same three fields
//! (both work in binary floats). The second table starts from the text of the event.

use std::hint::black_box;
use std::sync::Arc;

use domain::expr::{Facts, Fields, Scope, Want, compile};
use domain::payload::Payload;
use domain::time::{Timestamp, Zone};
use zen_expression::variable::Variable;
use zen_expression::vm::VM;

use crate::timing::{Contender, measure};

const EVENT: &str = r#"{"orderId":"o-4711","amount":142.10,"currency":"EUR","category":"books","country":"FR","items":3,"channel":"web","voucher":null}"#;

pub fn run() {
    let parsed: serde_json::Value = serde_json::from_str(EVENT).unwrap();
    let payload = Payload::parse(EVENT).unwrap();
    let mut fields = Fields::default();
    let text = r#"event.amount >= 100 && event.category == "books" && event.country in ["FR", "DE"]"#;
    let ours = compile(text, &mut fields, Want::Condition).unwrap();
    let zone = Zone::utc();

    let program = cel::Program::compile(r#"amount >= 100.0 && category == "books" && country in ["FR", "DE"]"#).unwrap();
    let env = Arc::new(cel::Env::stdlib());
    let run_cel = |event: &serde_json::Value| {
        let mut context = cel::Context::with_env(env.clone());
        context.add_variable_from_value("amount", event["amount"].as_f64().unwrap());
        context.add_variable_from_value("category", event["category"].as_str().unwrap().to_owned());
        context.add_variable_from_value("country", event["country"].as_str().unwrap().to_owned());
        assert!(matches!(program.execute(&context), Ok(cel::Value::Bool(true))));
    };

    let zen = zen_expression::compile_expression(r#"amount >= 100 and category == "books" and country in ["FR", "DE"]"#).unwrap();
    let mut vm = VM::new();
    let mut run_zen = |event: &serde_json::Value| {
        let context = serde_json::json!({"amount": event["amount"], "category": event["category"], "country": event["country"]});
        let result = zen.evaluate_with(Variable::from(context), &mut vm).unwrap();
        assert!(matches!(result, Variable::Bool(true)));
    };
    let run_ours = |payload: &Payload<'_>| {
        let facts = Facts { payload, user: None, action: "purchase", ts: Timestamp::default(), zone: &zone, cohorts: &[] };
        assert!(ours.holds(&Scope::new(&fields, facts)).holds());
    };

    println!("condition: {text}\n");
    let mut parsed_event = [
        Contender::new("incent", || run_ours(black_box(&payload))),
        Contender::new("cel", || run_cel(black_box(&parsed))),
        Contender::new("zen-expression", || run_zen(black_box(&parsed))),
    ];
    table("from the parsed event", &mut parsed_event);
    drop(parsed_event);
    let mut event_text = [
        Contender::new("incent", || run_ours(&Payload::parse(black_box(EVENT)).unwrap())),
        Contender::new("cel", || run_cel(&serde_json::from_str(black_box(EVENT)).unwrap())),
        Contender::new("zen-expression", || run_zen(&serde_json::from_str(black_box(EVENT)).unwrap())),
    ];
    table("from the event's text", &mut event_text);
}

fn table(title: &str, contenders: &mut [Contender<'_>]) {
    let ns = measure(contenders, 9, 100_000);
    println!("{title:<24} {:>10} {:>14} {:>8}", "ns", "evals/s", "ratio");
    for (contender, ns_each) in contenders.iter().zip(&ns) {
        println!("  {:<22} {ns_each:>10.1} {:>14.0} {:>8.1}", contender.name, 1e9 / ns_each, ns_each / ns[0]);
    }
    let best = ns[1..].iter().copied().fold(f64::INFINITY, f64::min);
    println!("  incent against the best other: {:.1} x\n", best / ns[0]);
}
