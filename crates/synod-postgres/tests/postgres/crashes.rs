//! Whatever dies, and whenever: nothing stays locked, and both databases end alike.

use std::{sync::Arc, time::Duration};

use synod::commit::{Transaction as Agreed, TxRange};
use synod_client::{Branch, Database, Outcome};
use tokio::time::{sleep, timeout};

use crate::scene::{LEFT, Pair, RIGHT, or_leave_out, own, quick, until};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Whether nothing is prepared, and no money was made or lost.
fn is_whole(pair: &Pair) -> bool {
    if !pair.prepared(0).is_empty() || !pair.prepared(1).is_empty() {
        return false;
    }
    let [left, right] = pair.balances().map(|balance| balance.parse::<i64>().unwrap());
    assert_eq!(left + right, 200);
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_gives_up_at_any_point_of_a_commit_leaves_no_lock_behind() {
    or_leave_out!();
    let pair = Pair::new().await;
    for step in 0..40 {
        let tx = pair.transfer().await;
        // It dies: all that it holds is dropped.
        let answered = timeout(Duration::from_micros(step * 150), tx.commit()).await.is_ok();
        until("everything is free", || is_whole(&pair)).await;
        pair.sql(0, "SELECT * FROM account WHERE id = 1 FOR UPDATE NOWAIT");
        assert!(step > 0 || !answered);
        // On a fast machine more of them commit than the account has money for.
        for side in [0, 1] {
            pair.sql(side, "UPDATE account SET balance = 100 WHERE id = 1");
        }
    }
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
}

/// Prepares both branches, or only the left one, as a front door that dies right after.
async fn prepare(pair: &Pair, sides: &[usize]) -> Agreed {
    let name: TxRange = pair.local().node(synod_client::NodeId(1)).unwrap().names(1).await.unwrap().names;
    let agreed = Agreed::new(name.first(), [LEFT, RIGHT], []).unwrap();
    for side in sides {
        let mut branch = pair.databases[*side].open(None).await.unwrap();
        let delta = if *side == 0 { -10 } else { 10 };
        branch.execute(&format!("UPDATE account SET balance = balance + {delta}"), &[]).await.unwrap();
        branch.prepare(pair.local().cluster(), &agreed).await.unwrap();
    }
    agreed
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_that_were_prepared_and_begun_by_nobody_end_alike() {
    or_leave_out!();
    let pair = Pair::new().await;
    prepare(&pair, &[0, 1]).await;
    until("both end", || is_whole(&pair)).await;
    let both = pair.balances();
    assert!(both == ["90", "110"] || both == ["100", "100"], "{both:?}");
    // One alone can only be rolled back.
    prepare(&pair, &[0]).await;
    until("it ends", || is_whole(&pair)).await;
    assert_eq!(pair.balances(), both);
    assert!(pair.databases.iter().all(|database| database.alarms().is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_goes_when_somebody_has_put_it_right_and_says_that_it_is_finished() {
    or_leave_out!();
    let pair = Pair::new().await;
    let manager = pair.local().node(synod_client::NodeId(1)).unwrap();
    let agreed = Agreed::new(manager.names(1).await.unwrap().names.first(), [LEFT, RIGHT], []).unwrap();
    let mut branches = Vec::new();
    for (database, delta) in pair.databases.iter().zip([-10, 10]) {
        let mut branch = database.open(None).await.unwrap();
        branch.execute(&format!("UPDATE account SET balance = balance + {delta}"), &[]).await.unwrap();
        branch.prepare(pair.local().cluster(), &agreed).await.unwrap();
        branches.push(branch);
    }
    // The vote is given by what the application has seen.
    let [gid] = &pair.prepared(0)[..] else { panic!("one is prepared") };
    pair.sql(0, &format!("ROLLBACK PREPARED '{gid}'"));
    manager.begin_as(agreed.clone(), []).await.unwrap();
    assert_eq!(manager.outcome(agreed.id()).await.unwrap(), Outcome::Committed);
    for branch in &mut branches {
        branch.finish(Outcome::Committed).await.unwrap();
    }
    until("there is an alarm", || !pair.databases[0].alarms().is_empty()).await;
    pair.sql(0, "UPDATE account SET balance = balance - 10");
    pair.local().node(LEFT).unwrap().finished(agreed.id()).await.unwrap();
    assert_eq!(timeout(ms(60_000), manager.completed(agreed.id())).await.unwrap().unwrap(), Outcome::Committed);
    until("the alarm goes", || pair.databases[0].alarms().is_empty()).await;
    assert_eq!(pair.balances(), ["90", "110"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_starts_again_ends_what_was_prepared_while_it_was_away() {
    or_leave_out!();
    let mut pair = Pair::new().await;
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
    for sides in [&[0, 1][..], &[1]] {
        prepare(&pair, sides).await;
        pair.stop().await;
        pair.start().await;
        until("they end", || is_whole(&pair)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_ends_its_branches_as_was_decided() {
    or_leave_out!();
    let mut pair = Pair::with(Arc::new(own()), quick()).await;
    for turn in 0..3 {
        let agreed = prepare(&pair, &[0, 1]).await;
        let server = Arc::get_mut(&mut pair.server).unwrap();
        server.kill().unwrap();
        let is_begun = turn != 1;
        if is_begun {
            let manager = pair.local().node(synod_client::NodeId(1)).unwrap();
            manager.begin_as(agreed.clone(), []).await.unwrap();
        }
        sleep(ms(300)).await;
        Arc::get_mut(&mut pair.server).unwrap().start_again().unwrap();
        if is_begun {
            pair.synod().outcome(agreed.id()).await.unwrap();
        }
        until("both end", || is_whole(&pair)).await;
    }
    assert!(pair.databases.iter().all(|database| database.alarms().is_empty()));
    assert_eq!(pair.transfer().await.commit().await.unwrap(), Outcome::Committed);
}
