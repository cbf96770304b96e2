//! Telling who is calling: `cargo bench --bench tokens`. No store is asked; the aim is under 20 µs for either kind.

use std::{sync::Arc, time::Duration};

use divan::{Bencher, black_box};
use tempfile::TempDir;
use tidings::{
    clock::Clock,
    control::{Actor, Bootstrap, Control, Options, auth, model::ActorId},
    seal::Keyring,
    store::SqliteControl,
};
use tidings_core::redact::Secret;
use tokio::runtime::Runtime;

const KEY: &str = "tk_live_0123456789abcdef0123456789abcdef";
const KEY_ID: &str = "key_01h455vb4pex5vsknk084sn02q";
const FILE: &str = r#"
[[apps]]
name = "shop"
live = true
[[apps.keys]]
name = "shop-live"
id = "key_01h455vb4pex5vsknk084sn02q"
secret = "tk_live_0123456789abcdef0123456789abcdef"
scopes = ["messages:send", "messages:read"]
"#;

fn main() {
    divan::main();
}

struct World {
    control: Control,
    token: Secret,
    _dir: TempDir,
}

fn world() -> World {
    let runtime = Runtime::new().expect("the runtime starts");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("a folder");
        let store = SqliteControl::open(&dir.path().join("tidings.db")).await.expect("a store");
        let keyring = Arc::new(Keyring::parse(&Keyring::line(&[7; 32])).expect("a key"));
        let hour = Duration::from_secs(3_600);
        let options = Options { data_dir: dir.path().to_owned(), access_token: hour, refresh_token: hour, max_stale: hour };
        let control = Control::open(Arc::new(store), keyring, Clock::system(), options).await.expect("a control plane");
        Bootstrap::read(FILE).expect("a sound file").apply(&control).await.expect("an app");
        let id = KEY_ID.parse().expect("an id");
        let issued = control.exchange(id, &Secret::new(KEY.to_owned()), None, &Actor::own(ActorId::system())).await.expect("a token");
        World { control, token: issued.access_token, _dir: dir }
    })
}

#[divan::bench]
fn api_key(bencher: Bencher<'_, '_>) {
    let world = world();
    let now = world.control.clock().now();
    bencher.bench_local(|| auth::verify(&world.control.snapshot(), black_box(KEY), now).is_ok());
}

#[divan::bench]
fn access_token(bencher: Bencher<'_, '_>) {
    let world = world();
    let now = world.control.clock().now();
    bencher.bench_local(|| auth::verify(&world.control.snapshot(), black_box(world.token.expose()), now).is_ok());
}
