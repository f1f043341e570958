//! The final table, for a terminal of 80 columns.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use synod::commit::Outcome;

use crate::{
    audit::Audit,
    cast::Cast,
    meter::{Cost, Meter, paper},
    money::grouped,
    teller::Teller,
};

/// Everything that the table is made from.
pub(crate) struct Report<'a> {
    pub(crate) cast: Cast,
    pub(crate) faster: bool,
    /// What the transfers are called.
    pub(crate) transfers: &'a str,
    pub(crate) meter: &'a Meter,
    pub(crate) teller: &'a Teller,
    pub(crate) audit: &'a Audit,
    pub(crate) took: Duration,
}

/// How the aborted transfers came to be.
struct Aborted {
    refused: usize,
    unvoted: usize,
}

impl Report<'_> {
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["", "the bank", "the paper"]);
        let mut row = |what: &str, here: String, paper: String| {
            let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
            table.add_row([Cell::new(what), right(here), right(paper)]);
        };
        let count = |number: usize| grouped(number as u64);
        let none = String::new;

        let (committed, aborted) = self.outcomes();
        row(self.transfers, count(self.teller.transfers().len()), none());
        row("  committed", count(committed), none());
        row("  aborted: an account could not pay", count(aborted.refused), none());
        row("  aborted: a crash cost a vote", count(aborted.unvoted), none());

        let now = self.teller.done_now();
        row("done in this run", count(now), none());
        if now > 0 {
            row("  transfers/s", grouped((now as f64 / self.took.as_secs_f64()) as u64), none());
            let (median, slowest) = (self.latency(50), self.latency(99));
            row("  latency p50, p99 (ms)", format!("{median:.1}, {slowest:.1}"), none());
        }
        if let Some((here, paper)) = self.costs() {
            let figure = |figure: f64| format!("{figure:.2}");
            row("  stable writes per commit", figure(here.0), figure(paper.0));
            row("  messages per commit", figure(here.1), figure(paper.1));
            let each = |all: u64| figure(all as f64 / now as f64);
            row("  packets per transfer", each(self.meter.packets), none());
            row("  disk syncs per transfer", each(self.meter.syncs), none());
        }
        row("recovered at a ballot above 0", count(self.meter.recovered()), none());
        row("money before", self.audit.before.to_string(), none());
        row("money after", self.audit.after.to_string(), none());
        table
    }

    /// What the paper's figures are, and why there is more here.
    pub(crate) fn note(&self) -> String {
        let (messages, more) = if self.faster { ("2NF+3N-1", "one more") } else { ("NF+F+3N-1", "two more") };
        format!(
            "N branches and F+1={} acceptors: the paper counts N+F+1 writes and {messages}\n\
             messages, where a branch begins and the transaction manager is an acceptor too.\n\
             Here a client begins, and every node is apart: {more}. Messages share packets,\n\
             and writes share disk syncs.",
            self.cast.quorum(),
        )
    }

    fn outcomes(&self) -> (usize, Aborted) {
        let (mut committed, mut aborted) = (0, Aborted { refused: 0, unvoted: 0 });
        for transfer in self.teller.transfers() {
            match self.teller.results().get(&transfer.tx()) {
                Some(Outcome::Committed) => committed += 1,
                Some(Outcome::Aborted) if self.audit.refused.contains_key(&transfer.id) => aborted.refused += 1,
                Some(Outcome::Aborted) => aborted.unvoted += 1,
                None => {}
            }
        }
        (committed, aborted)
    }

    fn latency(&self, percent: usize) -> f64 {
        let mut latencies = self.teller.latencies().to_vec();
        latencies.sort_unstable();
        let last = latencies.len().saturating_sub(1);
        latencies.get(last * percent / 100).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }

    /// Writes and messages of a commit, on average: as counted, and as the paper has it for the same transfers.
    fn costs(&self) -> Option<((f64, f64), (f64, f64))> {
        let (mut count, mut here, mut there) = (0, Cost::default(), Cost::default());
        for transfer in self.teller.transfers() {
            let cost = self.meter.of(transfer.tx());
            // Transfers of earlier runs cost nothing in this one.
            if self.teller.results().get(&transfer.tx()) == Some(&Outcome::Committed) && cost != Cost::default() {
                let figure = paper(&self.cast, transfer.branches(&self.cast).len() as u64, self.faster);
                count += 1;
                here = Cost { messages: here.messages + cost.messages, writes: here.writes + cost.writes };
                there = Cost { messages: there.messages + figure.messages, writes: there.writes + figure.writes };
            }
        }
        let average = |cost: Cost| (cost.writes as f64 / count as f64, cost.messages as f64 / count as f64);
        (count > 0).then(|| (average(here), average(there)))
    }
}
