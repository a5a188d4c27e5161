//! The control plane's statements on PostgreSQL.

use store::control::statements;

use super::database;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_statement_can_be_prepared() {
    let db = database().await;
    let client = db.client().await.expect("connects");
    let mut failed = Vec::new();
    for statement in statements() {
        if let Err(error) = client.prepare(statement.sql).await {
            let why = error.as_db_error().map_or(error.to_string(), |e| e.message().to_owned());
            failed.push(format!("{}: {why}", statement.name));
        }
    }
    assert_eq!(failed, [] as [String; 0], "{}", failed.join("\n"));
}
