//! An import that breaks off goes on where it was: against a platform that fails as told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use testkit::dir::TempDir;

use crate::support::run;

/// Answers so many batches, then is overloaded. Keeps the ids of the events that it took.
struct Flaky {
    url: String,
    left: Arc<Mutex<u32>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Flaky {
    fn start(batches: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (left, taken) = (Arc::new(Mutex::new(batches)), Arc::default());
        let flaky = Self { url, left: Arc::clone(&left), taken: Arc::clone(&taken) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(stream, &left, &taken);
            }
        });
        flaky
    }
}

/// Answers one request and closes.
fn answer(mut stream: TcpStream, left: &Mutex<u32>, taken: &Mutex<Vec<String>>) {
    let body = read_body(&mut stream);
    let mut left = left.lock().unwrap();
    let (status, answer) = if *left == 0 {
        ("503 Service Unavailable", json!({"title": "Overloaded"}))
    } else {
        *left -= 1;
        let results = body["events"].as_array().unwrap().iter().map(|event| {
            taken.lock().unwrap().push(event["eventId"].as_str().unwrap().to_owned());
            json!({"eventId": event["eventId"], "status": "ACCEPTED"})
        });
        ("200 OK", json!({"results": results.collect::<Vec<_>>()}))
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(format!("{head}{answer}").as_bytes()).unwrap();
}

fn read_body(stream: &mut TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn an_import_that_breaks_off_goes_on_where_it_was() {
    let dir = TempDir::new();
    let mut csv = String::from("id,user,at\n");
    for n in 0..10 {
        // One row is broken: it is neither sent nor kept twice.
        let at = if n == 3 { "never".to_owned() } else { format!("2026-01-{:02}", n + 1) };
        csv.push_str(&format!("e{n},u,{at}\n"));
    }
    std::fs::write(dir.path().join("rows.csv"), csv).unwrap();
    let platform = Flaky::start(2);
    let args = [
        "import",
        "rows.csv",
        "--user",
        "user",
        "--time",
        "at",
        "--action",
        "a",
        "--event-id",
        "id",
        "--batch",
        "2",
        "--senders",
        "1",
        "--retry-for",
        "1ms",
        "--url",
        &platform.url,
        "--key",
        "k",
    ];
    run(dir.path(), &args)
        .failed(7, &["Overloaded", "4 rows are in", "run the same command again"]);
    assert_eq!(*platform.taken.lock().unwrap(), ["e0", "e1", "e2", "e4"]);
    assert!(dir.path().join("rows.csv.import.json").exists());

    *platform.left.lock().unwrap() = 100;
    let said = run(dir.path(), &args).well();
    assert!(said.err.contains("going on after 4 rows"), "{}", said.err);
    let summary = &said.lines()[0];
    assert_eq!((&summary["accepted"], &summary["rejected"]), (&json!(9), &json!(1)));
    let taken = platform.taken.lock().unwrap().clone();
    assert_eq!(taken, ["e0", "e1", "e2", "e4", "e5", "e6", "e7", "e8", "e9"]);
    assert!(!dir.path().join("rows.csv.import.json").exists());
    let rejected = std::fs::read_to_string(dir.path().join("rows.csv.rejected.csv")).unwrap();
    assert_eq!(rejected.lines().count(), 2, "{rejected}");
}
