//! `synod`, the server: transactions over several databases, with one binary to install, run and ask.
//!
//! `synod dev` runs a whole cluster on loopback; `synod init` and `synod run` bring one to machines; `synod status`
//! and its like ask a process that runs, over HTTP.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a program around machines has a clock")]

mod api;
mod ask;
mod attempt;
mod certs;
mod cli;
mod config;
mod console;
mod dev;
mod failure;
mod init;
mod metrics;
mod observe;
mod replay;
mod run;
mod table;
#[cfg(feature = "opentelemetry")]
mod traces;

use std::{fmt::Write, io::Write as _, process::ExitCode};

use clap::Parser;
use synod::NodeId;
use synod_grpc::Role;

use crate::{
    api::guard,
    certs::Authority,
    cli::{Certs, Cli, Command, Init, Issue},
    config::{Config, explain},
    failure::{Exit, Failure},
    observe::Observed,
    run::say,
};

fn main() -> ExitCode {
    let Cli { json, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() });
        }
    };
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(obey(json, command));
            // A write that hangs cannot be called off.
            runtime.shutdown_background();
            result
        }
        Err(error) => {
            Err(Failure::new(Exit::Machine, "the system gives no threads", "let this user have more").caused_by(&error))
        }
    };
    let exit = result.unwrap_or_else(|failure| {
        let text = if json { failure.json() } else { failure.to_string() };
        let _ = writeln!(std::io::stderr(), "{text}");
        failure.exit()
    });
    ExitCode::from(exit.code())
}

async fn obey(json: bool, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Dev(args) => dev::dev(json, args).await.map(|()| Exit::Done),
        Command::Init(args) => make(json, &args).map(|()| Exit::Done),
        Command::Certs(args) => certificates(json, args).map(|()| Exit::Done),
        Command::Run(args) => {
            if args.explain {
                return explain_settings(json, &args.file);
            }
            let config = Config::read(&args.file)?;
            if args.check {
                for node in &config.nodes {
                    run::read_tls(&config, node.id)?;
                }
                say(&format!("{} and its certificates are as they must be\n", args.file.display()));
                return Ok(Exit::Done);
            }
            let observed = Observed::new(&config)?;
            let ready = |config: &Config| tracing::info!(http = %config.http, "ready");
            let ran = run::run(config, ready).await;
            observed.end().await;
            ran.map(|()| Exit::Done)
        }
        Command::Join(args) => {
            let present = match args.config {
                Some(file) => Some(ask::present(file).await?),
                None => None,
            };
            let folder = init::join(&args.of.cluster, NodeId(args.number), &args.address, present)?;
            let (number, address) = (args.number, &args.address);
            tell(json, &serde_json::json!({ "folder": folder }), || {
                format!(
                    "made {folder}. Copy it to its machine, and there: synod run node.toml\n\
                     Then, at the machine of a member: synod replace OLD --with {number} --address {address} --config \
                     node.toml\n",
                    folder = folder.display()
                )
            });
            Ok(Exit::Done)
        }
        Command::Status(args) => ask::status(json, args).await,
        Command::InDoubt(asks) => ask::in_doubt(json, asks).await,
        Command::Open(args) => ask::open(json, args).await,
        Command::Inquire(args) => ask::inquire(json, args).await,
        Command::Resolve(args) => ask::resolve(json, args).await,
        Command::Finished(args) => ask::finished(json, args).await,
        Command::Members(asks) => ask::members(json, asks).await,
        Command::Replace(args) => ask::replace(json, args).await,
        Command::Depart(args) => ask::depart(json, args).await,
        Command::Replay(args) => replay::replay(json, &args),
        Command::Draw(args) => replay::draw(json, &args),
        Command::Try(args) => attempt::attempt(json, args).await,
        Command::ExitCodes => {
            tell_exits(json);
            Ok(Exit::Done)
        }
    }
}

fn tell(json: bool, value: &serde_json::Value, text: impl FnOnce() -> String) {
    say(&if json { format!("{value:#}\n") } else { text() });
}

fn make(json: bool, args: &Init) -> Result<(), Failure> {
    let made = init::init(&args.folder, &args.members, &args.databases)?;
    let value = serde_json::to_value(&made).unwrap_or_default();
    tell(json, &value, || {
        let mut text = format!("made cluster {} in {}\n\n", made.cluster, made.folder.display());
        for process in &made.processes {
            let _ = writeln!(text, "  {}    copy it to its machine, and there: synod run node.toml", process.display());
        }
        let _ = writeln!(text, "  {}    the certificate of applications", made.client.display());
        let _ = writeln!(
            text,
            "\nKeep {} where nobody gets at it: who has it can be any node.",
            made.folder.join("authority.key").display()
        );
        text
    });
    Ok(())
}

fn certificates(json: bool, command: Certs) -> Result<(), Failure> {
    let issue = |args: Issue, role: fn(NodeId) -> Role| {
        let role = role(NodeId(args.number));
        let folder = args.folder.unwrap_or_else(|| args.of.cluster.join(certs::file_name(role)));
        let file = Authority::read(&args.of.cluster)?.issue(&folder, role, args.days)?;
        tell_issued(json, &file);
        Ok(())
    };
    match command {
        Certs::Authority(of) => {
            let cluster = init::Cluster::read(&of.cluster)?;
            let exists = of.cluster.join("authority.key").exists();
            let authority =
                if exists { Authority::read(&of.cluster)? } else { Authority::create(&of.cluster, cluster.id)? };
            let file = of.cluster.join("authority.pem");
            tell(json, &serde_json::json!({ "cluster": cluster.id.to_string(), "authority": file }), || {
                format!("the authority of cluster {}: {}\n{}", cluster.id, file.display(), authority.certificate)
            });
            Ok(())
        }
        Certs::Node(args) => issue(args, Role::Node),
        Certs::Client(args) => issue(args, Role::Client),
        Certs::Operator(args) => issue_person(json, args, guard::Role::Operator),
        Certs::Reader(args) => issue_person(json, args, guard::Role::Reader),
        Certs::Console(args) => {
            let file = Authority::read(&args.of.cluster)?.issue_console(&args.folder, args.hosts, args.days)?;
            tell_issued(json, &file);
            Ok(())
        }
        Certs::Renew(args) => {
            let files = Authority::read(&args.of.cluster)?.renew(&args.folder, args.days)?;
            tell(json, &serde_json::json!({ "issued": files }), || {
                let mut text = String::new();
                for file in &files {
                    let _ = writeln!(text, "issued {}", file.display());
                }
                text + "Tell the process that uses them: kill -HUP, or systemctl reload synod\n"
            });
            Ok(())
        }
    }
}

fn tell_issued(json: bool, file: &std::path::Path) {
    tell(json, &serde_json::json!({ "issued": [file] }), || {
        format!("issued {}, with its key and the authority's certificate beside it\n", file.display())
    });
}

/// For one who looks at the console.
fn issue_person(json: bool, args: Issue, role: guard::Role) -> Result<(), Failure> {
    let folder = args.folder.unwrap_or_else(|| args.of.cluster.join(format!("{}-{}", api::word(role), args.number)));
    let file = Authority::read(&args.of.cluster)?.issue_person(&folder, role, args.number, args.days)?;
    tell_issued(json, &file);
    Ok(())
}

/// Lists the settings of the file; or, if that is of no use, all that there are, so that it can be mended.
fn explain_settings(json: bool, file: &std::path::Path) -> Result<Exit, Failure> {
    match Config::read(file) {
        Ok(config) => {
            tell_settings(json, &config);
            Ok(Exit::Done)
        }
        Err(failure) => {
            if !json {
                say("These are the settings of an example:\n");
            }
            tell_settings(json, &Config::sample()?);
            Err(failure)
        }
    }
}

fn tell_settings(json: bool, config: &Config) {
    let settings = explain(config);
    tell(json, &serde_json::to_value(&settings).unwrap_or_default(), || {
        table::table(
            ["setting", "value", "default", "meaning"],
            settings.iter().map(|setting| {
                let default =
                    setting.default.clone().map_or("(must be there)".into(), |default| format!("{default:?}"));
                [setting.key.clone(), setting.value.clone(), default, setting.meaning.to_owned()]
            }),
        )
    });
}

fn tell_exits(json: bool) {
    let list: Vec<_> = Exit::ALL
        .iter()
        .map(|exit| serde_json::json!({ "code": exit.code(), "kind": exit, "meaning": exit.meaning() }))
        .collect();
    tell(json, &list.into(), || {
        let rows = Exit::ALL.iter().map(|exit| [exit.code().to_string(), exit.meaning().to_owned()]);
        table::table(["code", "meaning"], rows)
    });
}
