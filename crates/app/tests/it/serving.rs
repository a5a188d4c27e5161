//! Starting and stopping.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use testkit::dir::TempDir;

use crate::support::{ADMIN, Platform, Said, incent, run};

fn serve(dir: &TempDir, args: &[&str]) -> Said {
    let mut all = vec!["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"];
    all.extend(args);
    run(dir.path(), &all)
}

#[test]
fn it_says_where_it_is_answers_and_stops_in_order() {
    let dir = TempDir::new();
    let platform = Platform::start_in(dir.path());
    assert!(platform.url.starts_with("http://127.0.0.1:") && !platform.url.ends_with(":0"));
    assert_eq!(platform.get("/readyz", None)["ready"], true);
    assert_eq!(platform.stop().code(), Some(0));
    // The log of the database was moved into its file: nothing is left to recover.
    let wal = dir.path().join("data/incent.db-wal");
    assert!(!wal.exists() || wal.metadata().unwrap().len() == 0);
    // And the same data serve again.
    assert_eq!(Platform::start_in(dir.path()).stop().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = TempDir::new();
    let mut platform = Platform::start_in(dir.path());
    let at = platform.url.strip_prefix("http://").unwrap().to_owned();
    // A request whose body never comes holds up the orderly stop for its grace period.
    let mut held = TcpStream::connect(&at).unwrap();
    let head = format!(
        "POST /api/v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
    );
    held.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 12];
    held.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100", "it waits for the body");
    platform.signal("TERM");
    while TcpStream::connect(&at).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(platform.ended(), None, "it waits for the request");
    platform.signal("TERM");
    assert_eq!(platform.wait().code(), Some(130));
    // Nothing is the worse for it.
    assert_eq!(Platform::start_in(dir.path()).stop().code(), Some(0));
}

#[test]
fn without_an_admin_token_it_does_not_start() {
    let dir = TempDir::new();
    serve(&dir, &[]).failed(3, &["needs an admin token", "INCENT_ADMIN_TOKEN", "incent dev"]);
    assert!(!dir.path().join("data").exists(), "nothing was made");
}

#[test]
fn new_tenants_get_the_limits_it_is_configured_with() {
    let dir = TempDir::new();
    let wrong = r#"{"tenant": {"maxPerDya": 1}}"#;
    serve(&dir, &["--admin-token", ADMIN, "--default-limits", wrong])
        .failed(2, &["--default-limits", "maxPerDya", "did you mean maxPerDay?"]);
    let config = "defaultLimits: {tenant: {maxPerDay: 1000}, perUser: {maxTotal: 5}}\n";
    std::fs::write(dir.path().join("incent.yaml"), config).unwrap();
    let platform = Platform::start_with(dir.path(), &["--config", "incent.yaml"]);
    let tenant = serde_json::json!({"name": "Acme", "limits": {"perUser": {"maxPerDay": 3}}});
    let made = platform.send("POST", "/api/v1/tenants", &tenant);
    let id = made["tenantId"].as_str().unwrap();
    let limits = platform.get(&format!("/api/v1/tenants/{id}/limits"), None);
    assert_eq!(limits["tenant"]["maxPerDay"], 1000);
    assert_eq!(limits["perUser"]["maxPerDay"], 3, "what the request names wins as a whole");
    assert_eq!(limits["perUser"]["maxTotal"], serde_json::Value::Null);
}

#[test]
fn a_busy_port_is_told() {
    let dir = TempDir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--admin-token", ADMIN, "--data-dir", "data", "--listen", &address];
    run(dir.path(), &args).failed(7, &[&address, "another program listens there", "--listen"]);
}

#[test]
fn a_second_process_on_the_same_data_is_refused() {
    let dir = TempDir::new();
    let first = Platform::start_in(dir.path());
    serve(&dir, &["--admin-token", ADMIN]).failed(5, &["in use", "incent.lock", "another"]);
    let dev = ["dev", "--data-dir", "data", "--exit", "--listen", "127.0.0.1:0"];
    run(dir.path(), &dev).failed(5, &["in use"]);
    let reset = [&dev[..], &["--reset"]].concat();
    run(dir.path(), &reset).failed(5, &["in use"]);
    assert_eq!(first.get("/readyz", None)["ready"], true, "the first one goes on");
}

#[test]
fn a_data_directory_that_is_none_is_told() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("data"), "a file").unwrap();
    serve(&dir, &["--admin-token", ADMIN]).failed(1, &["cannot make the data directory data"]);

    let dir = TempDir::new();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    std::fs::write(
        dir.path().join("data/incent.db"),
        "this is no database, but long enough".repeat(300),
    )
    .unwrap();
    serve(&dir, &["--admin-token", ADMIN]).failed(1, &["damaged or is not a database"]);
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let dir = TempDir::new();
    std::fs::write(
        dir.path().join("c.yaml"),
        "listen: nonsense\nadminToken: from-the-file-0123456789\n",
    )
    .unwrap();
    let args = ["serve", "--config", "c.yaml", "--data-dir", "data"];
    run(dir.path(), &args).failed(2, &["\"nonsense\" is not an address"]);
    let with = |variable: &str, flag: Option<&str>| {
        let mut command = incent(dir.path(), &args);
        command.env("INCENT_LISTEN", variable);
        if let Some(flag) = flag {
            command.args(["--listen", flag]);
        }
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    assert!(with("other", None).contains("\"other\" is not an address"));
    assert!(with("other", Some("third")).contains("\"third\" is not an address"));
}

#[test]
fn a_faulty_configuration_is_told_with_its_places() {
    let dir = TempDir::new();
    let check = |text: &str, saying: &[&str]| {
        std::fs::write(dir.path().join("c.yaml"), text).unwrap();
        serve(&dir, &["--config", "c.yaml"]).failed(2, saying);
    };
    check("listne: x\n", &["c.yaml", "/listne", "did you mean"]);
    check("roles: 7\nlogFormat: xml\n", &["/roles", "/logFormat"]);
    check("listen: [", &["c.yaml is not YAML"]);
    serve(&dir, &["--config", "missing.yaml"]).failed(1, &["cannot read missing.yaml"]);
    serve(&dir, &["--admin-token", ADMIN, "--roles", "events,dmc"])
        .failed(2, &["\"dmc\" is no role; did you mean dcm?"]);
    serve(&dir, &["--admin-token", ADMIN, "--log", "loud=yes"]).failed(2, &["is not a log filter"]);
    serve(&dir, &["--admin-token", ADMIN, "--crash-at", "nowhere"])
        .failed(2, &["is none of after_append"]);
}
