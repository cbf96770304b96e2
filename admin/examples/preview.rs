//! Serves the pages from samples at <http://127.0.0.1:8099/admin>: log in as `root` with `a sample password`.
//!
//! For whoever works on templates and styles. It is not part of the product and keeps nothing.

use std::sync::Arc;

use tidings_admin::{Settings, router, samples::SampleBackend};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let settings = Settings { secure: false, calling_codes: vec!["86".to_owned(), "49".to_owned()] };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 8099)).await?;
    println!("http://{}/admin", listener.local_addr()?);
    axum::serve(listener, router::<()>(Arc::new(SampleBackend), settings)).await
}
