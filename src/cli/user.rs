//! `tidings user`: who can come in, and the way back in for a locked-out installation.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use tidings_core::redact::Secret;

use super::Global;
use crate::{assembly, clock::Clock, control::model::Role};

/// List people, or let somebody in again from the machine itself
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tidings user list
  tidings user rescue root                 a new password is printed; all sessions of root end
  tidings user rescue root --role admin    the same, and root is admin (again)")]
pub(super) struct User {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Name, role and whether they are disabled
    List,
    /// Make this person, or give them a new password and open their door
    Rescue {
        name: String,
        /// viewer, operator, approver or admin; a person who is made is admin by default
        #[arg(long)]
        role: Option<Role>,
    },
}

impl User {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let control = assembly::control(&global.load()?).await?;
        match self.what {
            What::List => {
                let snapshot = control.snapshot();
                let mut users: Vec<_> = snapshot.users().collect();
                users.sort_by(|a, b| a.name.cmp(&b.name));
                for user in users {
                    println!("{:<24} {:<10} {}", user.name, user.role, if user.disabled { "disabled" } else { "" });
                }
            }
            What::Rescue { name, role } => {
                let password = Secret::new(URL_SAFE_NO_PAD.encode(Clock::system().random::<12>()));
                let user = control.rescue_user(&name, role, &password).await?;
                println!("{} is {} and logs in with the password {}", user.name, user.role, password.expose());
            }
        }
        Ok(())
    }
}
