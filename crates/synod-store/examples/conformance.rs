//! Whether a store in another language keeps its contract, from a command line:
//!
//! ```sh
//! cargo run -p synod-store --features conformance --example conformance -- \
//!     python clients/python/examples/ledger.py ledger.db {address} -- \
//!     sqlite3 ledger.db "SELECT count(*) FROM entry WHERE about = '{work}'"
//! ```

use std::process::ExitCode;

use synod_store::conformance::{self, Program};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [serve, shows] = &words.split(|word| word == "--").collect::<Vec<_>>()[..] else {
        eprintln!("name the program that serves, with {{address}}, then --, then the one that shows, with {{work}}");
        return ExitCode::from(2);
    };
    let report = conformance::store(&Program::new(serve.to_vec()).shows(shows.to_vec())).await;
    print!("{report}");
    if report.is_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
