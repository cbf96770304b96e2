//! `tidings keys`: the installation's own keys, rotated while it runs.

use clap::{Args, Subcommand};

use super::Global;
use crate::{
    assembly,
    control::{Actor, keys::Resealed, model::ActorId},
};

/// Rotate the keys that sign tokens, or seal everything again under a new master key
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tidings keys rotate signing      new tokens are signed with a new key ten seconds from now
  tidings keys rotate master       seals again what the first line of the master key file did not seal

A new master key in three steps, each on every node before the next: add it as the last line and restart;
move it to the first line and restart; run `tidings keys rotate master` once, then drop the old line.")]
pub(super) struct Keys {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Rotate { which: Which },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Which {
    Signing,
    Master,
}

impl Keys {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let control = assembly::control(&global.load()?).await?;
        let actor = Actor::own(ActorId::command());
        let What::Rotate { which } = self.what;
        match which {
            Which::Signing => {
                control.rotate_signing_key(&actor).await?;
                println!("tokens are signed with a new key ten seconds from now; the old one verifies until its last token ends");
            }
            Which::Master => {
                let done = control.seal_again(&actor).await?;
                let key = control.keyring().fingerprint();
                if done == Resealed::default() {
                    println!("nothing to seal again: everything is sealed with the key {key}");
                    return Ok(());
                }
                println!(
                    "sealed again with the key {key}: {} keys of the installation, {} documents of earlier versions",
                    done.secrets, done.documents
                );
            }
        }
        Ok(())
    }
}
