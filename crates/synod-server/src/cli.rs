//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use synod::{NodeId, TxId};

use crate::config::{address, url};

/// What `--help` says below everything else.
const AFTER: &str = "\
To begin:     synod dev                 a whole cluster in this process, on loopback
For machines: synod init, then synod run node.toml on each
Exit codes:   synod exit-codes          what the number says that a command ends with";

/// Several databases, one transaction: atomic commit that does not block.
#[derive(Debug, Parser)]
#[command(name = "synod", version, about, after_help = AFTER, disable_help_subcommand = false)]
pub(crate) struct Cli {
    /// Answers, and errors, as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a whole cluster in this process, on loopback: three members, records in a folder, certificates made.
    Dev(Dev),
    /// Makes a cluster: its name, its authority, and a folder for each process, to be copied to its machine.
    Init(Init),
    /// Issues and renews certificates.
    #[command(subcommand)]
    Certs(Certs),
    /// Runs the nodes of a file: members, and agents beside databases, in any combination.
    Run(Run),
    /// Makes the folder of a new node that is to take a member's place (see `replace`).
    Join(Join),
    /// How things are; or how a transaction ended: the first word is the answer.
    Status(Status),
    /// The transactions that databases have promised to commit, and whose outcome they do not know yet.
    InDoubt(Asks),
    /// The open transactions of the nodes of one process, the oldest first, and who is waited for.
    Open(Open),
    /// Drives a transaction to its outcome now: to abort, where a vote is missing.
    Inquire(Inquire),
    /// Ends what is in doubt in one database, by your word and against all others' silence. Asks twice.
    Resolve(Resolve),
    /// Says that you have put right what an alarm of a database is about: its agent takes the branch for done. Asks first.
    Finished(Finished),
    /// The members of the cluster.
    Members(Asks),
    /// Puts a new node in a member's place.
    Replace(Replace),
    /// Writes a participant off for good: its transactions end without it.
    Depart(Depart),
    /// Commits a first transaction, over all databases of a file: it shows that everything works.
    Try(Try),
    /// Steps nodes again as they were recorded, and says whether they do what they did.
    Replay(Replay),
    /// Draws nodes that were recorded: one page, a space-time diagram to step through.
    Draw(Draw),
    /// What the exit codes say.
    ExitCodes,
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Where its records, certificates and its file are.
    #[arg(long, default_value = "synod-data")]
    pub(crate) folder: PathBuf,
    /// The first of the ports: this one for HTTP, the next three for the members, and one more for each database from
    /// the eleventh on.
    #[arg(long, default_value_t = 7400, value_parser = clap::value_parser!(u16).range(1..65_000))]
    pub(crate) port: u16,
    /// A database that takes part, under a number of its own from 11 on: 11=postgres://user@localhost/accounts, or a store
    /// of your own: 13=store://localhost:7513. Again for each.
    #[arg(long = "database", value_name = "NUMBER=URL", value_parser = numbered_url)]
    pub(crate) databases: Vec<(NodeId, String)>,
    /// Records what its nodes are told, in the folder `recordings` beside its file, for `synod replay` and `synod draw`.
    #[arg(long)]
    pub(crate) record: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to make.
    #[arg(default_value = "synod-cluster")]
    pub(crate) folder: PathBuf,
    /// A member, by the address at which the others reach it: a.example:7401. One, three or five of them.
    #[arg(long = "member", value_name = "HOST:PORT", required = true, value_parser = host_port)]
    pub(crate) members: Vec<String>,
    /// A database, by its number, the address of its agent, and its URL:
    /// 11@a.example:7411=postgres://user@db1/accounts.
    #[arg(long = "database", value_name = "NUMBER@HOST:PORT=URL", value_parser = database_at)]
    pub(crate) databases: Vec<DatabaseAt>,
}

/// A database and where its agent is.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseAt {
    pub(crate) node: NodeId,
    pub(crate) address: String,
    pub(crate) url: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Certs {
    /// Shows the authority of a cluster, and makes it if `init` did not.
    Authority(Cluster),
    /// Issues a certificate for a node.
    Node(Issue),
    /// Issues a certificate for a client: an application.
    Client(Issue),
    /// Issues a certificate for an operator: who has it may do everything, where https.listen is set.
    Operator(Issue),
    /// Issues a certificate for a reader: who has it may only look, where https.listen is set.
    Reader(Issue),
    /// Issues the certificate that the console shows, for the names by which people reach it.
    Console(Console),
    /// Issues the certificates of a folder again. Tell the process by SIGHUP.
    Renew(Renew),
}

#[derive(Debug, Args)]
pub(crate) struct Cluster {
    /// The folder that `init` made, with the authority's key.
    #[arg(long, default_value = "synod-cluster")]
    pub(crate) cluster: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// The number of the node or the client. They are numbered together.
    pub(crate) number: u64,
    #[command(flatten)]
    pub(crate) of: Cluster,
    /// Where to put the three files. By default a folder in that of the cluster.
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
    /// For how many days it is valid.
    #[arg(long, default_value_t = crate::certs::DAYS, allow_negative_numbers = true)]
    pub(crate) days: i64,
}

#[derive(Debug, Args)]
pub(crate) struct Console {
    /// By which names, or IP addresses, people reach the machine.
    #[arg(required = true)]
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) of: Cluster,
    /// The folder of the process: where its other certificates are.
    #[arg(long)]
    pub(crate) folder: PathBuf,
    /// For how many days it is valid.
    #[arg(long, default_value_t = crate::certs::DAYS, allow_negative_numbers = true)]
    pub(crate) days: i64,
}

#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// The folder of a process: all certificates in it are issued again.
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) of: Cluster,
    /// For how many days they are valid.
    #[arg(long, default_value_t = crate::certs::DAYS)]
    pub(crate) days: i64,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The file of this process.
    #[arg(default_value = "node.toml")]
    pub(crate) file: PathBuf,
    /// Lists every setting, with what holds and what it means, and ends.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Checks the file and the certificates, and ends.
    #[arg(long, conflicts_with = "explain")]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The number of the new node, which was never used.
    pub(crate) number: u64,
    /// The address at which the others reach it.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) of: Cluster,
    /// Asks this process, by its file, who the members are now. Otherwise they are those in cluster.toml.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Whom to ask. By default the process of ./node.toml, or else of ./synod-data/node.toml.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Asks {
    /// The process to ask, by its HTTP address: http://127.0.0.1:7400
    #[arg(long, env = "SYNOD_NODE", value_name = "URL")]
    pub(crate) node: Option<String>,
    /// The process to ask, by its file: node.toml
    #[arg(long, value_name = "FILE", conflicts_with = "node")]
    pub(crate) config: Option<PathBuf>,
    /// The file with the token of that process. By default beside its file.
    #[arg(long, env = "SYNOD_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// A transaction, such as n1#5.
    #[arg(value_parser = tx)]
    pub(crate) tx: Option<TxId>,
    #[command(flatten)]
    pub(crate) asks: Asks,
}

#[derive(Debug, Args)]
pub(crate) struct Open {
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) asks: Asks,
}

#[derive(Debug, Args)]
pub(crate) struct Inquire {
    /// The transaction, such as n1#5.
    #[arg(value_parser = tx)]
    pub(crate) tx: TxId,
    #[command(flatten)]
    pub(crate) asks: Asks,
}

#[derive(Debug, Args)]
pub(crate) struct Resolve {
    /// The transaction, such as n1#5.
    #[arg(value_parser = tx)]
    pub(crate) tx: TxId,
    /// How it is to end.
    pub(crate) outcome: Word,
    /// In which database, by its number, if the process has several.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) at: Option<u64>,
    #[command(flatten)]
    pub(crate) asks: Asks,
}

#[derive(Debug, Args)]
pub(crate) struct Finished {
    /// The transaction, such as n1#5: the one that the alarm names.
    #[arg(value_parser = tx)]
    pub(crate) tx: TxId,
    /// In which database, by its number, if several have an alarm about it.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) at: Option<u64>,
    #[command(flatten)]
    pub(crate) asks: Asks,
}

/// An operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Word {
    Commit,
    Abort,
}

#[derive(Debug, Args)]
pub(crate) struct Replace {
    /// The member that goes.
    pub(crate) old: u64,
    /// The node that comes, whose process runs already (`synod join`).
    #[arg(long, value_name = "NUMBER")]
    pub(crate) with: u64,
    /// Where it is.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) asks: Asks,
}

#[derive(Debug, Args)]
pub(crate) struct Depart {
    /// The participant.
    pub(crate) number: u64,
    /// Does not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) asks: Asks,
}

#[derive(Debug, Args)]
pub(crate) struct Try {
    /// Files of processes with databases. By default the one that `synod dev` made.
    #[arg(default_value = "synod-data/node.toml")]
    pub(crate) files: Vec<PathBuf>,
    /// The folder of a client's certificate. By default beside the first file, or in the folder above it.
    #[arg(long)]
    pub(crate) client: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Recordings, or folders of them, of one node or of several.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Shows the steps that this transaction is about.
    #[arg(long, value_parser = tx)]
    pub(crate) tx: Option<TxId>,
    /// Shows every step.
    #[arg(long, conflicts_with = "tx")]
    pub(crate) all: bool,
    /// Shows nothing before the step of this number in its file.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) from: Option<u64>,
    /// Stops after the step of this number in each file.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) stop_at: Option<u64>,
    /// Shows how the node is after each step that is shown, too.
    #[arg(long)]
    pub(crate) state: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Draw {
    /// Recordings, or folders of them, of several nodes.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The page to make.
    #[arg(long, short, default_value = "run.html")]
    pub(crate) output: PathBuf,
    /// Only what this transaction is about.
    #[arg(long, value_parser = tx)]
    pub(crate) tx: Option<TxId>,
    /// Nothing before this time, such as 2026-11-29T18:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = crate::replay::moment)]
    pub(crate) since: Option<time::OffsetDateTime>,
    /// Nothing after this time.
    #[arg(long, value_name = "TIME", value_parser = crate::replay::moment)]
    pub(crate) until: Option<time::OffsetDateTime>,
    /// At most so many moments.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) most: usize,
}

fn tx(text: &str) -> Result<TxId, String> {
    text.parse().map_err(|error| format!("{error}; a transaction is called like n1#5: its node, #, and its number"))
}

fn host_port(text: &str) -> Result<String, String> {
    match address(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write a host and a port, such as a.example:7401".into()),
    }
}

fn numbered_url(text: &str) -> Result<(NodeId, String), String> {
    let expected = "write the number of the database and its URL, such as 11=postgres://user@localhost/accounts";
    let (number, text) = text.split_once('=').ok_or(expected)?;
    let number = number.parse().map_err(|_| expected)?;
    if !(11..=500).contains(&number) {
        return Err(format!("{number} may be taken: number databases from 11 to 500"));
    }
    url(text).ok_or("the URL must begin with postgres://, mysql:// or mariadb://, or be store://host:port")?;
    Ok((NodeId(number), text.to_owned()))
}

fn database_at(text: &str) -> Result<DatabaseAt, String> {
    let expected = "write the number of the database, the address of its agent, and its URL, such as \
     11@a.example:7411=postgres://user@db1/accounts";
    let (number, rest) = text.split_once('@').ok_or(expected)?;
    let (at, text) = rest.split_once('=').ok_or(expected)?;
    let node = NodeId(number.parse().map_err(|_| expected)?);
    url(text).ok_or("the URL must begin with postgres://, mysql:// or mariadb://, or be store://host:port")?;
    Ok(DatabaseAt { node, address: host_port(at)?, url: text.to_owned() })
}
