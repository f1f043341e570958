//! Many open transactions, and many transactions one after the other.

mod flow;
mod open;

use anyhow::Result;

use self::open::Votes;
use crate::{Args, table::Figures};

/// How many transactions are open at an acceptor.
const OPEN: [usize; 4] = [1_000, 100_000, 1_000_000, 10_000_000];

/// Prints and writes both tables.
pub fn run(args: &Args) -> Result<()> {
    // First, so that the memory of many open transactions is not among what is resident.
    flow::run(args)?;
    let numbers = [
        "ns, second vote",
        "ns, third vote",
        "x 1,000",
        "second, ahead",
        "third, ahead",
        "x 1,000, ahead",
        "bytes",
        "ns, idle tick",
    ];
    let mut table = Figures::new(&["open transactions"], &numbers);
    let mut first = None;
    for count in OPEN.into_iter().filter(|count| *count as u64 <= args.transactions) {
        let at = open::measure(count);
        let first = *first.get_or_insert(at.alone.mean());
        let votes = |votes: Votes| [votes.second, votes.third, votes.mean() / first];
        let numbers = [at.alone, at.ahead].into_iter().flat_map(votes).chain([at.bytes, at.tick]);
        table.push(vec![count.to_string()], numbers.map(Some).collect());
    }
    table.print();
    println!(
        "\
One acceptor, N=3, 16 bytes of content, messages in random order, each with a transaction of its own as a decoder makes
it. x 1,000: the mean of both votes beside that with 1,000 open, taken as they come. ahead: in packets, of which eight
messages at a time are looked up before they are taken (`Node::receive`). bytes: live heap per open
transaction, timers included, at the worst of three moments: when one vote has come, when two have, when the bundle is
written. Up to a million, the least of several times: what else the machine does can only add to them."
    );
    table.write(&args.options.out, "scale")
}
