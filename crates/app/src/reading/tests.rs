use domain::id::{ActionCode, EventId, UserRef};
use domain::time::Zone;
use testkit::dir::TempDir;

use super::mapping::{Flags, Mapping};
use super::sort::Sorter;
use super::time::TimeFormat;
use super::{Broken, Event, Events, Item, Kind};

type Row = Result<Item, Broken>;

fn flags() -> Flags {
    Flags {
        user: Some("customer".into()),
        time: Some("at".into()),
        action: Some("purchase".into()),
        event_id: Some("line".into()),
        event_id_prefix: Some("o-".into()),
        payload: vec!["amount=total:number".into(), "note".into()],
        ..Flags::default()
    }
}

fn rows(text: &str, kind: Kind, flags: Flags) -> Vec<Row> {
    let mapping = Mapping::resolve(flags, kind).unwrap();
    let events = Events::open(text.as_bytes(), kind, b',', &mapping).unwrap();
    events.map(Result::unwrap).collect()
}

fn shown(row: &Row) -> String {
    match row {
        Ok(item) => format!("{} {}", item.line, item.event.to_json().unwrap()),
        Err(broken) => format!("{} ! {}", broken.line, broken.why),
    }
}

#[test]
fn a_csv_becomes_events_and_broken_rows_do_not_stop_it() {
    let text = "\u{feff}customer, at ,total,note\r\n\
        u1,2026-01-02,12.50,\"said \"\"hi\"\",\nand left\"\r\n\
        \r\n\
        u2,2026-01-02T10:00:00Z,,\n\
        u3,yesterday,1,x\n\
        u4,2026-01-03,1e400,x\n\
        u5,2026-01-03,1\n\
        u6,2026-01-03,5,\"never closed\n\
        u7,2026-01-03,\"7\",5\" pipe\n\
        ,2026-01-03,8,x\n";
    let rows = rows(text, Kind::Csv, flags());
    let lines: Vec<String> = rows.iter().map(shown).collect();
    let event = |line: u32, user: &str, at: &str, payload: &str| {
        format!(
            r#"{line} {{"eventId":"o-{line}","userId":"{user}","action":"purchase","eventTs":"{at}","payload":{payload}}}"#
        )
    };
    assert_eq!(
        lines,
        [
            event(
                2,
                "u1",
                "2026-01-02T00:00:00Z",
                r#"{"amount":12.50,"note":"said \"hi\",\nand left"}"#
            ),
            event(5, "u2", "2026-01-02T10:00:00Z", "{}"),
            r#"6 ! the time in "at": "yesterday" is not a time; write it as 2026-11-22T10:00:00Z"#
                .into(),
            r#"7 ! "1e400" in "total" is not a number; write it as 1234.50"#.into(),
            "8 ! has 3 columns, the headings have 4".into(),
            "9 ! a quote that begins in this line is never closed".into(),
            event(10, "u7", "2026-01-03T00:00:00Z", r#"{"amount":7,"note":"5\" pipe"}"#),
            r#"11 ! "customer" is empty"#.into(),
        ]
    );
}

#[test]
fn json_lines_are_taken_as_the_api_takes_them() {
    let text = r#"{"eventId":"e1","userId":"u1","action":"order.paid","eventTs":"2026-01-02T00:00:00Z","payload":{"amount":0.10000000000000000001}}
{"eventId":7,"userId":"u1","action":"order.paid","eventTs":"2026-01-02T00:00:00Z"}
{"eventId":"e3","userId":"u1","action":"order.paid","eventTs":"2026-01-02T00:00:00Z","payload":[1]}
nonsense
"#;
    let rows = rows(text, Kind::Jsonl, Flags::default());
    let lines: Vec<String> = rows.iter().map(shown).collect();
    assert!(lines[0].ends_with(r#""payload":{"amount":0.10000000000000000001}}"#), "{}", lines[0]);
    assert!(lines[1].contains(r#""eventId":"7""#) && lines[1].ends_with(r#""payload":{}}"#));
    assert!(lines[2].starts_with(r#"3 ! the payload in "payload" is not a JSON object"#));
    assert!(lines[3].starts_with("4 ! the line is not a JSON object"));
}

#[test]
fn a_mapping_says_what_it_lacks() {
    let check = |change: fn(&mut Flags), expected: &str| {
        let mut flags = flags();
        change(&mut flags);
        let opened = Mapping::resolve(flags, Kind::Csv).and_then(|m| {
            Events::open("customer,at,total,note\n".as_bytes(), Kind::Csv, b',', &m).map(|_| ())
        });
        assert_eq!(opened.map_err(|f| f.what), Err(expected.to_owned()));
    };
    check(|f| f.user = None, "which column holds the user?");
    check(|f| f.time = None, "which column holds the time?");
    check(|f| f.event_id = None, "which column holds the event id?");
    check(|f| f.action = None, "which action are these events?");
    check(
        |f| f.user = Some("custmer".into()),
        r#"there is no column "custmer"; did you mean "customer"?"#,
    );
    check(
        |f| f.payload = vec!["total:numer".into()],
        r#""numer" is no type of a field; did you mean number?"#,
    );
    check(
        |f| f.time_format = Some("iso".into()),
        r#""iso" is no time format: give auto, unix, unix-ms, or a pattern such as %d/%m/%Y"#,
    );
}

#[test]
fn times_are_read_in_their_formats() {
    let paris = Zone::named("Europe/Paris").unwrap();
    for (format, text, expected) in [
        ("auto", "2026-03-29", Some("2026-03-28T23:00:00Z")),
        ("auto", "2026-07-01 12:00:00", Some("2026-07-01T10:00:00Z")),
        // In the gap of the spring the clock that does not exist is read as the one after it.
        ("auto", "2026-03-29T02:30:00", Some("2026-03-29T01:30:00Z")),
        ("auto", "2026-03-29T02:30:00-05:00", Some("2026-03-29T07:30:00Z")),
        ("auto", "29.03.2026", None),
        ("unix", "1767225600", Some("2026-01-01T00:00:00Z")),
        ("unix", "1767225600.25", Some("2026-01-01T00:00:00.25Z")),
        ("unix", "-1", None),
        ("unix-ms", "1767225600250", Some("2026-01-01T00:00:00.25Z")),
        ("%d/%m/%Y", "02/01/2026", Some("2026-01-01T23:00:00Z")),
        ("%d/%m/%Y %H:%M %z", "02/01/2026 10:00 +0000", Some("2026-01-02T10:00:00Z")),
        ("%d/%m/%Y", "2/13/2026", None),
    ] {
        let read = TimeFormat::parse(format).unwrap().read(text, &paris);
        assert_eq!(read.ok().map(|t| t.to_string()).as_deref(), expected, "{format} {text}");
    }
}

#[test]
fn sorting_in_runs_equals_sorting_in_memory() {
    let item = |line: u64| {
        // A permutation with equal times in it.
        let day = (line * 37) % 11 + 1;
        Item {
            line,
            raw: format!("row {line}"),
            event: Event {
                event_id: EventId::new(&format!("e{line}")).unwrap(),
                user_id: UserRef::new("u").unwrap(),
                action: ActionCode::new("purchase").unwrap(),
                event_ts: format!("2026-01-{day:02}T00:00:00Z").parse().unwrap(),
                payload: "{}".into(),
            },
        }
    };
    let folder = TempDir::new();
    let sorted = |bound: usize| -> Vec<Item> {
        let mut sorter = Sorter::new(folder.path(), bound);
        (1..=100).for_each(|line| sorter.push(item(line)).unwrap());
        sorter.finish().unwrap().map(Result::unwrap).collect()
    };
    let mut expected: Vec<Item> = (1..=100).map(item).collect();
    expected.sort_by_key(|item| item.event.event_ts);
    assert_eq!(sorted(usize::MAX), expected);
    assert_eq!(sorted(2000), expected);
    assert_eq!(sorted(1), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "runs are removed");
}
