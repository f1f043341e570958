//! A change of the members: for how long nothing commits meanwhile, and what it takes if there is much to hand over.

mod many;
mod pause;
mod world;

use anyhow::Result;

use self::{many::Many, pause::Pause};
use crate::{Args, table::Figures};

/// How many transactions are in flight.
const IN_FLIGHT: [u64; 3] = [1, 100, 1_000];

/// Prints and writes both tables.
pub fn run(args: &Args) -> Result<()> {
    let numbers = ["aborted", "begun, hops", "and writes", "committed, hops", "and writes "];
    let mut table = Figures::new(&["what", "in flight"], &numbers);
    for (what, is_changing) in [("no change", false), ("a member is replaced", true)] {
        for in_flight in IN_FLIGHT {
            let pause: Pause = pause::measure(in_flight, is_changing);
            table.push(vec![what.to_owned(), in_flight.to_string()], pause.numbers().map(Some).to_vec());
        }
    }
    table.print();
    println!(
        "\
Three nodes that are acceptors and transaction managers, three participants; as soon as a transaction ends the next one
begins. begun, committed: the longest time in which nothing was, after the operator has asked for the change: so many
messages and writes one after another, for nothing else takes any time."
    );
    table.write(&args.options.out, "changes")?;

    let numbers = ["messages", "longest", "x ending, peak", "x ending, after", "ms"];
    let mut table = Figures::new(&["names", "handed over"], &numbers);
    for (what, step) in [("in a row", 1), ("every other one", 2)] {
        for count in [1_000, 100_000, 1_000_000].into_iter().filter(|count| *count <= args.transactions) {
            let Many { pages, longest, peak, after, milliseconds } = many::measure(count, step);
            let numbers = [pages as f64, longest as f64, peak, after, milliseconds];
            table.push(vec![what.to_owned(), count.to_string()], numbers.map(Some).to_vec());
        }
    }
    table.print();
    println!(
        "\
Three acceptors with all votes of so many transactions, of which no transaction manager has heard; a newcomer takes the
place of one. longest: bytes of the longest message. x ending: memory in use beyond what it was, per node, at its most and
once all are in the next epoch, beside the ending at 24 bytes for each transaction: its name, and a digest."
    );
    table.write(&args.options.out, "handed_over")
}
