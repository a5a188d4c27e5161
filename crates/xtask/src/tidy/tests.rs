//! Each rule finds its sample, and lets the neighbouring one pass.

use super::source::RustFile;
use super::tree::Tree;
use super::{Finding, edges, examine, except};

/// The findings on a tree of these files, notes left out, as `path:line rule`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let pairs = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    let tree = Tree::new(pairs.collect());
    let mut findings = except(&tree, examine(&tree));
    findings.sort();
    findings.iter().filter(|f| !f.is_note).map(short).collect()
}

fn short(finding: &Finding) -> String {
    format!("{}:{} {}", finding.path, finding.line, finding.rule)
}

/// One crate root with the given text.
fn check(text: &str, expect: &[&str]) {
    let path = "crates/engine/src/lib.rs";
    let expect: Vec<String> = expect.iter().map(|e| format!("{path}:{e}")).collect();
    assert_eq!(found(&[(path, text)]), expect, "in:\n{text}");
}

fn function(lines: usize) -> String {
    format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
}

#[test]
fn function_length() {
    check(&function(70), &[]);
    check(&function(71), &["1 function-length"]);
    check(&format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(90)), &[]);
    // A declaration, a function type and a text with braces are no functions of that length.
    check("trait T {\n    fn short(&self);\n}\ntype F = fn(u32);\n", &[]);
    check("fn a() -> &'static str {\n    \"}}{{\"\n}\n", &[]);
}

#[test]
fn file_length() {
    let lines = |n: usize| "const A: u8 = 1;\n".repeat(n);
    check(&lines(600), &[]);
    check(&lines(601), &["1 file-length"]);
    check(&format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(300), lines(400)), &[]);
}

#[test]
fn panics() {
    check("fn a() {\n    b().unwrap();\n}\n", &["2 panic"]);
    check("fn a() {\n    b()\n        .expect(\"a reason\");\n}\n", &["3 panic"]);
    check("fn a() {\n    b().unwrap_or(1);\n    parser.expect(Token::Comma);\n}\n", &[]);
    check("fn a() {\n    // b().unwrap()\n    say(\".unwrap()\");\n}\n", &[]);
    check("#[cfg(test)]\nfn a() {\n    b().unwrap();\n}\n", &[]);
    let expected = "#[expect(clippy::expect_used, reason = \"never empty\")]\n";
    check(&format!("{expected}fn a() {{\n    b().expect(\"never empty\");\n}}\n"), &[]);
    check(
        &format!("{expected}fn a() {{}}\nfn c() {{\n    b().expect(\"never empty\");\n}}\n"),
        &["4 panic"],
    );
    check(
        &format!("fn a() {{\n    {expected}    let b = c({{ 1 }}).expect(\"never\");\n}}\n"),
        &[],
    );
}

#[test]
fn tests_that_hide_or_wait() {
    let test = |body: &str| format!("#[cfg(test)]\nmod tests {{\n{body}\n}}\n");
    check(&test("#[ignore]\n#[test]\nfn a() {}"), &["3 ignored-test"]);
    check(&test("fn a() {\n    std::thread::sleep(X);\n}"), &["4 sleep-in-test"]);
    check(&test("async fn a() {\n    tokio::time::sleep(X).await;\n}"), &["4 sleep-in-test"]);
    check("fn a() {\n    std::thread::sleep(X);\n}\n", &[]);
    check(&test("fn sleep() {}"), &[]);
}

#[test]
fn unfinished() {
    check("// TODO: later\n", &["1 unfinished"]);
    check("/// A FIXME of old\nfn a() {}\n", &["1 unfinished"]);
    check("const CURRENCY: &str = \"XXX\";\n", &[]);
    assert_eq!(found(&[("deploy/x.yaml", "# TODO\n")]), ["deploy/x.yaml:1 unfinished"]);
}

#[test]
fn names() {
    check("mod utils {}\n", &["1 banned-name"]);
    check("pub struct CouponManager;\n", &["1 banned-word"]);
    check("pub enum OrgKind {}\n", &["1 banned-word"]);
    check("pub struct Organism;\nfn manager() {}\n", &[]);
    check("fn a(customer_id: u32) {}\n", &["1 glossary-word"]);
    check("const COLUMN: &str = \"customer_id\";\n", &[]);
    let root = ("crates/app/src/main.rs", "mod helpers;\n");
    assert_eq!(
        found(&[root, ("crates/app/src/helpers.rs", "\n")]),
        ["crates/app/src/helpers.rs:1 banned-name", "crates/app/src/main.rs:1 banned-name"]
    );
}

#[test]
fn dead_files_and_test_programs() {
    let root = ("crates/app/src/main.rs", "mod cli;\nmod roles;\n#[cfg(test)]\nmod tests;\n");
    let alive = [
        root,
        ("crates/app/src/cli.rs", "mod dev;\n"),
        ("crates/app/src/cli/dev.rs", "fn a() {}\n"),
        ("crates/app/src/roles/mod.rs", "fn a() {}\n"),
        ("crates/app/src/tests.rs", "fn a() {}\n"),
        ("crates/app/tests/it/main.rs", "mod api;\n"),
        ("crates/app/tests/it/api.rs", "fn a() {}\n"),
    ];
    assert_eq!(found(&alive), Vec::<String>::new());
    let lost = [root, ("crates/app/src/cli/dev.rs", ""), ("crates/app/src/model.rs", "")];
    assert_eq!(
        found(&lost),
        ["crates/app/src/cli/dev.rs:1 dead-file", "crates/app/src/model.rs:1 dead-file"]
    );
    assert_eq!(
        found(&[root, ("crates/app/tests/api.rs", "fn a() {}\n")]),
        ["crates/app/tests/api.rs:1 test-binary"]
    );
}

#[test]
fn text_of_every_file() {
    for (text, expect) in [
        ("name: a\n", None),
        ("name: a \n", Some("trailing-space")),
        ("name: a", Some("trailing-space")),
        // tidy-allow(machine-path): the sample that the rule finds
        ("dir: /home/ada/incent\n", Some("machine-path")),
        ("dir: https://example.org/home/ada\n", None),
        // tidy-allow(registry-host): the sample that the rule finds
        ("index: https://pypi.org/simple\n", Some("registry-host")),
    ] {
        let expect: Vec<String> =
            expect.iter().map(|rule| format!("deploy/a.yaml:1 {rule}")).collect();
        assert_eq!(found(&[("deploy/a.yaml", text)]), expect, "{text:?}");
    }
    assert_eq!(
        found(&[(".cargo/config.toml", "[source.mirror]\n")]),
        [".cargo/config.toml:1 registry-host"]
    );
    let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    assert_eq!(found(&[("Cargo.lock", lock)]), Vec::<String>::new());
    let lock = "source = \"git+https://example.org/x\"\n";
    assert_eq!(found(&[("Cargo.lock", lock)]), ["Cargo.lock:1 registry-host"]);
}

#[test]
fn sql() {
    let migration = "crates/store/migrations/sqlite/0001_hot.sql";
    let lower = "create table a (b text) -- THE TABLE\n";
    assert_eq!(found(&[(migration, lower)]), Vec::<String>::new());
    assert_eq!(found(&[(migration, "create TABLE a\n")]), [format!("{migration}:1 sql-case")]);
    assert_eq!(found(&[(migration, "check (t in ('SET', 'KEY'))\n")]), Vec::<String>::new());
    let store = "crates/store/src/lib.rs";
    assert_eq!(
        found(&[(store, "const Q: &str = \"SELECT a FROM b\";\n")]),
        [format!("{store}:1 sql-case")]
    );
    assert_eq!(found(&[(store, "const Q: &str = \"select a from b\";\n")]), Vec::<String>::new());
    check("const Q: &str = \"select a from b\";\n", &["1 sql-place"]);
    check("const Q: &str = \"select one of these\";\n", &[]);
}

#[test]
fn the_control_plane_keeps_to_the_subset() {
    let root = ("crates/store/src/lib.rs", "mod control;\nmod hot;\n");
    let check = |folder: &str, statement: &str, expect: &[&str]| {
        let path = format!("crates/store/src/{folder}/mod.rs");
        let text = format!("const Q: &str = \"{statement}\";\n");
        let expect: Vec<String> = expect.iter().map(|rule| format!("{path}:1 {rule}")).collect();
        assert_eq!(found(&[root, (&path, &text)]), expect, "{statement}");
    };
    check("control", "select name from tenants where tenant_id = $1", &[]);
    check("control", "select name from tenants where tenant_id = ?1", &["sql-subset"]);
    check("control", "update limits set created_at = now() where tenant_id = $1", &["sql-subset"]);
    check("control", "no campaign of that name -> create it", &[]);
    check("hot", "select name from tenants where tenant_id = any($1)", &[]);
}

#[test]
fn migrations_are_dense_and_the_same_in_both_databases() {
    let file = |path| (path, "create table a (b text);\n");
    let hot = file("crates/store/migrations/sqlite/0001_hot.sql");
    let control = file("crates/store/migrations/sqlite/0002_control.sql");
    assert_eq!(found(&[hot, control]), Vec::<String>::new());
    let gap = file("crates/store/migrations/sqlite/0003_keys.sql");
    assert_eq!(found(&[hot, gap]), [format!("{}:1 migration-name", gap.0)]);
    let postgres = file("crates/store/migrations/postgres/0001_hot.sql");
    assert_eq!(found(&[hot, control, postgres]), [format!("{}:1 migration-name", control.0)]);
}

#[test]
fn documents() {
    let docs = |text: &'static str| {
        let guide = ("docs/guide.md", text);
        let glossary = ("docs/glossary.md", "# Words\n\n## One word, one meaning\n");
        found(&[guide, glossary, ("crates/engine/src/lib.rs", "fn a() {}\n")])
    };
    let none = Vec::<String>::new();
    assert_eq!(docs("[a](glossary.md) [b](../docs/glossary.md#one-word-one-meaning)\n"), none);
    assert_eq!(docs("[a](https://example.org/x.md)\n```sh\n[b](nowhere.md)\n```\n"), none);
    assert_eq!(docs("[a](nowhere.md)\n"), ["docs/guide.md:1 dead-link"]);
    assert_eq!(docs("x\n[a](glossary.md#two)\n"), ["docs/guide.md:2 dead-link"]);
    assert_eq!(docs("`crates/engine/src` and `crates/engine/src/lib.rs::a`\n"), none);
    assert_eq!(docs("`crates/engine/src/old.rs`\n"), ["docs/guide.md:1 dead-path"]);
    assert_eq!(docs("`crates/*/src`, `docs/adr/NNNN-title.md`\n"), none);
    let long = "word\n".repeat(151);
    assert_eq!(found(&[("ARCHITECTURE.md", &long)]), ["ARCHITECTURE.md:151 architecture-length"]);
}

#[test]
fn codes_and_glossary_are_the_same() {
    let root = ("crates/domain/src/lib.rs", "mod decide;\n");
    let module = ("crates/domain/src/decide/mod.rs", "mod outcome;\n");
    let code = (
        "crates/domain/src/decide/outcome.rs",
        "names! {\nA = \"GRANTED\",\nB = \"NEW_ONE\",\n}\n",
    );
    let glossary =
        ("docs/glossary.md", "| `GRANTED` | paid |\n| `OLD_ONE` | gone |\n| `word` | any |\n");
    assert_eq!(
        found(&[root, module, code, glossary]),
        [format!("{}:3 code-undocumented", code.0), format!("{}:2 code-undocumented", glossary.0)]
    );
}

#[test]
fn exceptions_need_a_reason_and_a_cause() {
    let call =
        "fn a() {\n    b().unwrap(); // tidy-allow(panic): the process is ending anyway\n}\n";
    check(call, &[]);
    check(&call.replace(": the process is ending anyway", ""), &["2 exception"]);
    check("// tidy-allow(panic): of old\nfn a() {}\n", &["1 exception"]);
    check("// tidy-allow(pancake): hungry\nfn a() {}\n", &["1 exception"]);
    check("// Write it as tidy-allow(RULE): why.\nfn a() {}\n", &[]);
}

#[test]
fn layers_and_owners() {
    let edges_of = |user: &str, dependency: &str| {
        let metadata = format!(
            r#"{{"packages": [{{"manifest_path": "/x/crates/{user}/Cargo.toml",
                "dependencies": [{dependency}]}}]}}"#
        );
        let names = "use {store::a, domain::b, testkit::c, rusqlite::d, left_pad::e};\n";
        let code = (format!("crates/{user}/src/lib.rs"), names.as_bytes().to_vec());
        let findings = edges::examine(&Tree::new(vec![code]), &edges::uses(&metadata).unwrap());
        let ours = findings.iter().filter(|f| f.path.ends_with("Cargo.toml"));
        ours.map(|f| f.rule).collect::<Vec<_>>()
    };
    let ours = |name: &str, kind: &str| {
        format!(
            r#"{{"name": "incent-{name}", "rename": "{name}", "path": "/x/crates/{name}", "kind": {kind}}}"#
        )
    };
    let library = |name: &str, kind: &str| format!(r#"{{"name": "{name}", "kind": {kind}}}"#);
    let none: [&str; 0] = [];
    assert_eq!(edges_of("http", &ours("store", "null")), none);
    assert_eq!(edges_of("domain", &ours("store", "null")), ["crate-edge"]);
    assert_eq!(edges_of("engine", &ours("store", r#""dev""#)), ["crate-edge"]);
    assert_eq!(edges_of("store", &ours("testkit", r#""dev""#)), none);
    assert_eq!(edges_of("store", &ours("testkit", "null")), ["crate-edge"]);
    assert_eq!(edges_of("billing", &ours("domain", "null")), ["crate-edge"]);
    assert_eq!(edges_of("store", &library("rusqlite", "null")), none);
    assert_eq!(edges_of("app", &library("rusqlite", r#""dev""#)), none);
    assert_eq!(edges_of("app", &library("rusqlite", "null")), ["crate-owner"]);
    assert_eq!(edges_of("app", &library("left-pad", "null")), ["crate-owner"]);
    assert_eq!(edges_of("http", &library("axum", "null")), ["unused-dependency"]);
}

#[test]
fn a_tree_without_git_is_walked() {
    let root = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
    for path in ["Cargo.toml", "docs/a.md", "docs/adr/b.md", "target/debug/c.md"] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "text\n").unwrap();
    }
    let tree = Tree::read(&root).unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["Cargo.toml", "docs/a.md", "docs/adr/b.md"]);
    assert!(tree.has("docs/adr/") && tree.has("docs") && !tree.has("doc") && !tree.has("target"));
}

#[test]
fn the_scanner_tells_code_from_words() {
    let text =
        "let a = 'x'; let b: &'a str = r#\"un\"safe\"#; /* c /* d */ e */ f(\"g\\\"h\"); // i\n";
    let file = RustFile::new(text, false);
    assert_eq!(file.code.len(), text.len());
    assert_eq!(file.comments.len(), text.len());
    let words: Vec<&str> = super::source::words(&file.code).map(|(_, word)| word).collect();
    assert_eq!(words, ["let", "a", "let", "b", "a", "str", "r", "f"]);
    let strings: Vec<&str> = file.strings.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(strings, ["un\"safe", "g\\\"h"]);
    assert_eq!(
        file.comments.split_whitespace().collect::<Vec<_>>().join(" "),
        "/* c /* d */ e */ // i"
    );
}
