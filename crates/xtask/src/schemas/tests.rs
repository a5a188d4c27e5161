use super::{Difference, compare, first_difference};

#[test]
fn names_each_document_that_differs() {
    let base = std::env::temp_dir().join(format!("xtask-schemas-{}", std::process::id()));
    let (kept, fresh) = (base.join("kept"), base.join("fresh"));
    for (folder, file, text) in [
        (&kept, "same.json", "{}\n"),
        (&fresh, "same.json", "{}\n"),
        (&kept, "changed.json", "{\n  \"a\": 1\n}\n"),
        (&fresh, "changed.json", "{\n  \"a\": 2\n}\n"),
        (&kept, "gone.json", "{}\n"),
        (&fresh, "new.json", "{}\n"),
        (&kept, "notes.txt", "not a document"),
    ] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(file), text).unwrap();
    }
    let differing = compare(&kept, &fresh).unwrap();
    std::fs::remove_dir_all(&base).unwrap();
    let expect = [
        ("changed.json", "line 2 is `\"a\": 1`, the code says `\"a\": 2`"),
        ("gone.json", "is no longer written by the code"),
        ("new.json", "is missing"),
    ];
    let expect: Vec<_> = expect
        .iter()
        .map(|(file, what)| Difference { file: (*file).to_owned(), what: (*what).to_owned() })
        .collect();
    assert_eq!(differing, expect);
}

#[test]
fn a_missing_tail_is_counted_in_lines() {
    assert_eq!(first_difference("a\nb\n", "a\n"), "has 2 lines, the code says 1");
}
