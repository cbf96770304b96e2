//! People's passwords: argon2id, one computation for every try.
//!
//! An unknown name costs the same computation as a known one, on a hash that nobody has the password of, so the answer's
//! time tells nothing; [`Passwords::computations`] counts them, which is how a test knows. At most two run at once: each
//! takes 19 MiB and a core, and a flood of log-ins must not take the machine away from messages.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use tidings_core::redact::Secret;
use tokio::sync::Semaphore;

/// At least this long: NIST SP 800-63B, 3.1.1.2, for a password beside other factors is 8; ours stands alone.
pub const MIN_PASSWORD_CHARS: usize = 8;
/// Longer ones would make hashing them a way to keep us busy.
pub const MAX_PASSWORD_CHARS: usize = 256;
const AT_ONCE: usize = 2;
const SALT_BYTES: usize = 16;
/// The hash of a password that was drawn and forgotten, with the parameters that all hashes have.
const NOBODY: &[u8; SALT_BYTES] = b"salt of a nobody";

/// Hashes and verifies passwords off the async threads.
#[derive(Debug)]
pub struct Passwords {
    computations: Arc<AtomicU64>,
    permits: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { computations: Arc::default(), permits: Semaphore::new(AT_ONCE) }
    }
}

/// The computation did not take place.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the password could not be computed")]
pub struct NotComputed;

impl Passwords {
    /// How often argon2 has run.
    pub fn computations(&self) -> u64 {
        self.computations.load(Ordering::Relaxed)
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// The process is out of memory or shutting down.
    pub async fn hash(&self, password: &Secret, salt: [u8; SALT_BYTES]) -> Result<String, NotComputed> {
        let password = password.clone();
        self.compute(move || hash(&password, &salt)).await?
    }

    /// Whether the password is the one of `hash`; without a hash the same work is done and the answer is no.
    ///
    /// # Errors
    /// The process is out of memory or shutting down.
    pub async fn verify(&self, password: &Secret, phc: Option<&str>) -> Result<bool, NotComputed> {
        let (password, phc) = (password.clone(), phc.map(str::to_owned));
        self.compute(move || match phc.as_deref().and_then(|phc| PasswordHash::new(phc).ok()) {
            Some(phc) => Argon2::default().verify_password(password.expose().as_bytes(), &phc).is_ok(),
            None => {
                let _same_work = hash(&password, NOBODY);
                false
            }
        })
        .await
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotComputed> {
        let _permit = self.permits.acquire().await.map_err(|_| NotComputed)?;
        self.computations.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_blocking(work).await.map_err(|_| NotComputed)
    }
}

fn hash(password: &Secret, salt: &[u8; SALT_BYTES]) -> Result<String, NotComputed> {
    let hash: PasswordHash = Argon2::default().hash_password_with_salt(password.expose().as_bytes(), salt).map_err(|_| NotComputed)?;
    Ok(hash.to_string())
}

/// Long enough to stand alone, short enough to compute.
pub fn is_password(text: &str) -> bool {
    (MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&text.chars().count())
}

impl super::Control {
    /// Hashes a new password.
    pub(super) async fn hash_password(&self, password: &Secret) -> Result<String, super::Error> {
        self.passwords.hash(password, self.clock.random()).await.map_err(|_| super::Error::Busy)
    }
}

impl super::Control {
    /// How often a password was computed: one for every try, whoever it is for.
    pub fn password_computations(&self) -> u64 {
        self.passwords.computations()
    }
}
