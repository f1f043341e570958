//! What must be right about a server is checked at the start, and the error says what to do.

use synod_client::{NodeId, local::Local};
use synod_postgres::{Error, Missing, Postgres};
use synod_servers::{Options as Settings, Postgres as Server};

use crate::scene::{LEFT, Pair, RIGHT, or_leave_out, until};

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
    assert_eq!(missing, Missing::NoSlots { there: 0, wanted: 16 });
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
        tokio::spawn(async move { Postgres::connect(&url, NodeId(20 + number % 2)).await })
    });
    let mut refused = 0;
    for each in futures_util::future::join_all(all).await {
        match each.unwrap() {
            Ok(_) => {}
            Err(Error::OtherParticipant { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 8, "half of them say that it is another participant");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_whose_urls_are_swapped_and_one_under_two_numbers_are_refused_with_the_remedy() {
    or_leave_out!();
    let pair = Pair::new().await;
    let url = |side: usize| pair.server.url(&pair.names[side]);
    for (side, as_whom) in [(0, RIGHT), (1, LEFT), (0, NodeId(13))] {
        let error = Postgres::connect(&url(side), as_whom).await.unwrap_err();
        assert!(matches!(error, Error::OtherParticipant { .. }), "{error:?}");
        let told = error.to_string();
        let noted = format!("the database \"{}\" stands for participant {}", pair.names[side], 11 + side);
        assert!(
            told.starts_with(&noted) && told.contains("swapped") && told.contains("DELETE FROM synod.identity"),
            "{told}"
        );
    }
    // An operator's last word.
    pair.sql(1, "DELETE FROM synod.identity");
    Postgres::connect(&url(1), NodeId(13)).await.unwrap();
    assert_eq!(pair.sql(1, "SELECT participant FROM synod.identity"), "13");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_cluster_or_of_none_takes_no_part() {
    or_leave_out!();
    let pair = Pair::new().await;
    let url = pair.server.url(&pair.names[0]);
    // A folder that was lost, or somebody else's.
    let again = Postgres::connect(&url, LEFT).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = Local::builder(folder.path()).agent(again).start().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(&format!("stands in cluster {}", pair.local().cluster())), "{source}");
    // The application has another database than the agent of this number: its branch would wait for ever.
    pair.server.create_database("copy_of_left").unwrap();
    pair.server.sql("copy_of_left", "CREATE TABLE account (id int)").unwrap();
    let copy = Postgres::connect(&pair.server.url("copy_of_left"), LEFT).await.unwrap();
    let mut tx = pair.synod().transaction();
    tx.on(&copy).await.unwrap().execute("INSERT INTO account VALUES (1)", &[]).await.unwrap();
    let update = "UPDATE account SET balance = 0";
    tx.on(&pair.databases[1]).await.unwrap().execute(update, &[]).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(!error.may_have_committed(), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("no agent has stood beside the database \"copy_of_left\""), "{source}");
    until("nothing is left", || pair.prepared(1).is_empty()).await;
    // Nor of one whose row an operator has deleted meanwhile.
    let left = Postgres::connect(&url, LEFT).await.unwrap();
    pair.sql(0, "DELETE FROM synod.identity");
    let mut tx = pair.synod().transaction();
    tx.on(&left).await.unwrap().execute(update, &[]).await.unwrap();
    tx.on(&pair.databases[1]).await.unwrap().execute(update, &[]).await.unwrap();
    let error = tx.commit().await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.contains("no agent has stood beside the database") && source.contains("start its agent"),
        "{source}"
    );
    assert_eq!(pair.balances(), ["100", "100"]);
}

#[tokio::test]
async fn a_url_that_is_none_and_a_server_that_is_not_there_are_told_apart() {
    let malformed = Postgres::connect("postgres://localhost:port/x", NodeId(11)).await;
    assert!(matches!(malformed, Err(Error::Url(_))), "{malformed:?}");
    let nobody = Postgres::connect("postgres://x@127.0.0.1:1/x", NodeId(11)).await;
    assert!(matches!(nobody, Err(Error::Connect { .. })), "{nobody:?}");
}
