use super::place::{Place, values};
use super::{Asked, Service, Verb, with_needs};

fn asked(line: &str) -> Option<Asked> {
    Asked::read(&line.split_whitespace().collect::<Vec<_>>()).ok()
}

#[test]
fn a_command_line_names_services_or_means_all() {
    let all = asked("up").expect("understood");
    assert_eq!((all.verb, all.services), (Verb::Up, Service::ALL.to_vec()));
    let some = asked("down redis kafka --dir /tmp/x --wipe").expect("understood");
    assert_eq!(some.services, [Service::Redis, Service::Kafka]);
    assert_eq!((some.dir, some.wipe), (Some("/tmp/x".into()), true));
    for wrong in ["", "start", "up oracle", "up --dir", "up --wipe"] {
        assert_eq!(asked(wrong), None, "{wrong}");
    }
}

#[test]
fn connect_brings_both_ends_along_and_comes_after_them() {
    let all = [Service::Kafka, Service::Postgres, Service::Connect];
    assert_eq!(with_needs(&[Service::Connect]), all);
    assert_eq!(with_needs(&[Service::Redis, Service::Redis]), [Service::Redis]);
}

#[test]
fn the_file_survives_being_written_and_read() {
    let dir = std::env::temp_dir().join(format!("incent-services-test-{}", std::process::id()));
    let mut place = Place::open(&dir, Some(&dir)).expect("a folder");
    let port = place.take_port(Service::Redis).expect("a port");
    place.set(Service::Redis, format!("redis://127.0.0.1:{port}")).expect("written");
    place.set_pid(Service::Redis, 17).expect("written");

    drop(place);
    let mut again = Place::open(&dir, Some(&dir)).expect("the folder");
    assert_eq!(again.value(Service::Redis), Some(&*format!("redis://127.0.0.1:{port}")));
    assert_eq!((again.port(Service::Redis), again.pid(Service::Redis)), (Some(port), Some(17)));
    assert_eq!(again.take_port(Service::Redis).expect("a port"), port, "its own again");
    again.forget(Service::Redis, true).expect("forgotten");
    assert_eq!((again.value(Service::Redis), again.pid(Service::Redis)), (None, None));
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn only_lines_with_a_value_count() {
    let read = values("# a=b\nINCENT_A=1\n\n INCENT_B = x=y \n");
    assert_eq!(read.get("INCENT_A").map(String::as_str), Some("1"));
    assert_eq!(read.get("INCENT_B").map(String::as_str), Some("x=y"));
    assert_eq!(read.len(), 2);
}
