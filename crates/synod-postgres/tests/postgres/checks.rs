//! What must be right about a server is checked at the start, and the error says what to do.

use synod_client::NodeId;
use synod_postgres::{Error, Missing, Postgres};
use synod_servers::{Options as Settings, Postgres as Server};

use crate::scene::{Pair, or_leave_out};

async fn missing(url: &str) -> Missing {
    match Postgres::connect(url, NodeId(11)).await {
        Err(Error::Missing { missing, .. }) => missing,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_for_prepared_transactions_is_refused_with_the_remedy() {
    or_leave_out!();
    let server = Server::start(Settings::default().set("max_prepared_transactions", "0")).unwrap();
    server.create_database("none").unwrap();
    let missing = missing(&server.url("none")).await;
    assert_eq!(missing, Missing::NoSlots(16));
    assert!(missing.to_string().contains("max_prepared_transactions is 0: set it in postgresql.conf to at least 16"));
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_are_not_waited_for_are_refused() {
    or_leave_out!();
    let pair = Pair::new().await;
    let [name, _] = &pair.names;
    pair.sql(0, &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    assert_eq!(missing(&pair.server.url(name)).await, Missing::NotSynchronous("off".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_use_the_fence_or_make_it_is_told_what_to_run() {
    or_leave_out!();
    let pair = Pair::new().await;
    pair.sql(0, "CREATE ROLE poor LOGIN");
    let url = |name: &str| pair.server.url(name).replace("synod@", "poor@");
    let rights = missing(&url(&pair.names[0])).await;
    assert_eq!(rights, Missing::NoRights("poor".into()));
    let told = rights.to_string();
    pair.sql(0, told.split_once(": ").unwrap().1.replace('"', "").as_str());
    Postgres::connect(&url(&pair.names[0]), NodeId(11)).await.unwrap();
    pair.server.create_database("poors").unwrap();
    let Missing::NoTable(statement) = missing(&url("poors")).await else { panic!("another error") };
    pair.server.sql("poors", &statement).unwrap();
    assert_eq!(missing(&url("poors")).await, Missing::NoRights("poor".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_start_at_once_make_the_table_once() {
    or_leave_out!();
    let pair = Pair::new().await;
    pair.server.create_database("crowd").unwrap();
    let url = pair.server.url("crowd");
    let all = (0..16).map(|number| {
        let url = url.clone();
        tokio::spawn(async move { Postgres::connect(&url, NodeId(20 + number)).await })
    });
    for each in futures_util::future::join_all(all).await {
        each.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_url_that_is_none_and_a_server_that_is_not_there_are_told_apart() {
    let malformed = Postgres::connect("postgres://localhost:port/x", NodeId(11)).await;
    assert!(matches!(malformed, Err(Error::Url(_))), "{malformed:?}");
    let nobody = Postgres::connect("postgres://x@127.0.0.1:1/x", NodeId(11)).await;
    assert!(matches!(nobody, Err(Error::Connect { .. })), "{nobody:?}");
}
