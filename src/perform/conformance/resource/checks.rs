//! Every check by its name, with the contract that it tries.

use super::{ResourceUnderTest, ask::Ask, bench::Bench};
use crate::{
    commit::{
        Outcome::{Aborted, Committed},
        ResourceKind::{VotesElsewhere, VotesHere},
    },
    perform::conformance::Report,
};

/// Makes every check that concerns the kind of the resource, those first whose failure makes others fail.
#[rustfmt::skip]
pub(super) async fn run<U: ResourceUnderTest, A: Ask<U::Resource>>(subject: &mut U, ask: A) -> Report {
    let kind = subject.kind();
    let mut bench = Bench::new(subject, ask);

    bench.check("what is committed shows",
        "once a commit is answered `Finished`, and the node has written that, the work shows, once",
        async |bench| bench.ends(Committed, 1).await).await;
    bench.check("what is aborted does not show",
        "an abort that is answered `Finished` leaves nothing of the work",
        async |bench| bench.ends(Aborted, 0).await).await;
    bench.check("what is only prepared does not show",
        "a vote is no outcome: nobody may see the work before it is committed, for it may still abort",
        Bench::only_prepared).await;

    bench.check("a vote that is asked for again is the same",
        "`vote` may be asked again: the answer is the same, and the work is held once, so that one outcome ends it",
        Bench::vote_again).await;
    bench.check("a promise outlives a crash",
        "whatever happens after a vote to commit, the work can be committed: here after a crash, with the node's record",
        Bench::promise_outlives_crash).await;
    bench.check("a vote that is asked for again after a crash is the same",
        "a node that is restored may ask again: a vote to commit that was written stays one",
        Bench::vote_again_after_crash).await;
    bench.check("what is held is held until the outcome comes",
        "the resource ends nothing by itself, however long it waits and however often it restarts: others may have \
         committed",
        Bench::ends_nothing).await;

    bench.check("a commit that comes again changes nothing",
        "a node hands an outcome over again and again: the answer is `Finished`, and the work shows once",
        async |bench| bench.again(Committed, 1).await).await;
    bench.check("an abort that comes again changes nothing",
        "a node hands an outcome over again and again: the answer is `Finished`, with the content or without",
        async |bench| bench.again(Aborted, 0).await).await;
    bench.check("a commit outlives a crash",
        "once a commit is answered `Finished`, it is durable, at the latest with the node's next write: the node lets \
         others forget it",
        async |bench| bench.outlives_crash(Committed, 1).await).await;
    bench.check("a commit that comes again after a crash changes nothing",
        "a crash may come after a commit was carried out, and before the node has written that: it comes again, the \
         answer is `Finished`, and the work shows once",
        async |bench| bench.again_after_crash(Committed, 1).await).await;
    if kind == VotesElsewhere {
        bench.check("an abort outlives a crash",
            "once an abort is answered `Finished`, nothing is found of the work any more: to report it is to promise it",
            async |bench| bench.outlives_crash(Aborted, 0).await).await;
    }
    bench.check("an abort that comes again after a crash changes nothing",
        "a crash may come after an abort was carried out, and before the node has written that: it comes again, and the \
         answer is `Finished`",
        async |bench| bench.again_after_crash(Aborted, 0).await).await;
    bench.check("what was never voted on can be aborted",
        "a transaction may abort before this resource was asked, or has heard of it at all: the content is missing then, \
         and the answer is `Finished`",
        Bench::abort_before_vote).await;
    bench.check("what was aborted is not held any more",
        match kind {
            VotesHere =>
                "a vote that comes too late, after a crash took the node's record of the abort, is answered with the same \
                 abort: then nothing is held any more",
            VotesElsewhere =>
                "once an abort is answered `Finished`, that transaction is never prepared any more, however late the \
                 application or the node comes with it: nobody would ever end it",
        },
        Bench::late_vote).await;

    match kind {
        VotesHere => {
            bench.check("what was promised to nobody is let go of",
                "a crash may come after a vote, and before the record of it: `recover` lets go of what has no record, for \
                 nobody may ever ask for it again, and of nothing else",
                Bench::orphan).await;
            bench.check("nothing is reported to the node",
                "`recover` returns nothing: the votes are in the node's own records",
                Bench::returns_nothing).await;
        }
        VotesElsewhere => {
            bench.check("what has no record is not let go of",
                "`recover` lets go of nothing: the node may have sent a vote, and its record be lost",
                Bench::without_record).await;
            bench.check("all that is held is reported, and nothing else",
                "`recover` returns every transaction that it holds, once and as it is, whether the node remembers it or \
                 not, and none that it does not hold: a report of what has ended counts as a violation",
                Bench::returns_what_is_held).await;
            bench.check("a vote to commit is for what is held",
                "it answers `Prepared` only when a crash cannot undo that, and refuses what it does not find: the node \
                 may write nothing of the vote before it speaks of it",
                Bench::vote_tells_the_truth).await;
            bench.check("an outcome can come by the name alone",
                "a node that has lost the record of a vote hands the outcome over by the transaction's name, without \
                 content",
                Bench::by_name).await;
            bench.check("a commit of what is not there is refused",
                "what it has neither prepared nor committed is not done: a commit of it is an alarm, and is never \
                 answered `Finished`",
                Bench::absent).await;
            bench.check("what is not retired is remembered",
                "`forget` says whose traces may go, and nobody else's: all others may still be handed over again",
                Bench::forgets_no_other).await;
            bench.check("what is retired leaves no trace",
                "after `forget` nobody asks for these transactions any more: otherwise what is kept grows with the history",
                Bench::forgets).await;
        }
    }

    bench.check("a lost promise is not taken for done",
        match kind {
            VotesHere =>
                "what was promised, and can neither be found nor be held again, is an error of `recover`, or its commit is \
                 an alarm and never answered `Finished`: otherwise all is said to be well, and nothing shows",
            VotesElsewhere =>
                "what is not found any more is not done: a commit of it is an alarm, and is never answered `Finished`",
        },
        Bench::lost_promise).await;
    bench.check("many at once are kept apart",
        "a node asks about many transactions at once, here 32 votes and then 32 verdicts: each has its own end, and none \
         is lost",
        Bench::many_at_once).await;
    bench.into_report()
}
