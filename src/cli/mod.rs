//! The command line: one file per command, each with its arguments, its examples and its `run`.
//!
//! Exit codes are part of the contract: 0 success, 1 failure, 2 wrong usage (which clap answers itself). Every command takes
//! `--config` and `--set`; what they give is read by [`Global::load`], so that no command has a second way to configure.

mod audit;
mod bench;
mod check;
mod client;
mod dead;
mod doctor;
mod healthcheck;
mod keys;
mod messages;
mod migrate;
mod move_messages;
mod recipient;
mod send;
mod send_file;
mod serve;
mod simulate;
mod simulate_provider;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Faults};

const EXAMPLES: &str = "Examples:
  tidings serve                              run everything on this machine, nothing else needed
  tidings serve --config tidings.toml        the same with settings of your own
  tidings check --config tidings.toml        say everything that is wrong with them
  tidings send --to +8613800138000 --template login-code --param code=482913 --wait
  TIDINGS__HTTP__LISTEN=0.0.0.0:80 tidings api   any setting may come from the environment";

/// A highly available SMS and notification platform.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub struct Global {
    /// Read settings from this TOML file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Give one setting, over file and environment (repeatable)
    #[arg(long = "set", global = true, value_name = "SECTION.NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as section.name=value")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

impl Global {
    /// The configuration that file, environment and flags amount to.
    pub fn load(&self) -> Result<Config, Faults> {
        let (config, faults) = self.read();
        if faults.0.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// The same with everything that is wrong with it; what is wrong has its default.
    fn read(&self) -> (Config, Faults) {
        // Names and values that are not UTF-8 cannot be settings.
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::read_all(self.config.as_deref(), environment, self.set.iter().cloned())
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Api(serve::ApiOnly),
    Worker(serve::WorkerOnly),
    Audit(audit::Audit),
    Bench(bench::Bench),
    Check(check::Check),
    Doctor(doctor::Doctor),
    Healthcheck(healthcheck::Healthcheck),
    Keys(keys::Keys),
    Migrate(migrate::Migrate),
    Send(Box<send::Send>),
    Messages(messages::Messages),
    SendFile(send_file::SendFile),
    Dead(dead::Dead),
    Move(move_messages::Move),
    Recipient(recipient::Recipients),
    Simulate(simulate::Simulate),
    SimulateProvider(simulate_provider::SimulateProvider),
    User(user::User),
}

impl Command {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Serve(command) => command.run(global).await,
            Self::Api(command) => command.run(global).await,
            Self::Worker(command) => command.run(global).await,
            Self::Audit(command) => command.run(global).await,
            Self::Bench(command) => command.run(global).await,
            Self::Check(command) => command.run(global),
            Self::Doctor(command) => command.run(global).await,
            Self::Healthcheck(command) => command.run(global).await,
            Self::Keys(command) => command.run(global).await,
            Self::Migrate(command) => command.run(global).await,
            Self::Send(command) => command.run().await,
            Self::Messages(command) => command.run().await,
            Self::SendFile(command) => command.run().await,
            Self::Dead(command) => command.run(global).await,
            Self::Move(command) => command.run(global).await,
            Self::Recipient(command) => command.run(global).await,
            Self::Simulate(command) => command.run(),
            Self::SimulateProvider(command) => command.run(global).await,
            Self::User(command) => command.run(global).await,
        }
    }
}

/// Reads the command line, runs the command, and says on standard error why it failed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // The positive control of the redaction test. Not in a release: no setting of a running system reveals anything.
    #[cfg(debug_assertions)]
    tidings_core::redact::reveal_everything(std::env::var_os("TIDINGS_TEST_REVEAL").is_some());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli.command.run(&cli.global)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_shows_examples() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let help = sub.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{} has no examples in its help", sub.get_name());
            assert!(help.contains("--config"), "{} does not take --config", sub.get_name());
        }
    }
}
