//! A small OpenID Connect provider: it publishes its description and keys, sends browsers back with a code, and gives signed ID
//! tokens for codes. A [`Twist`] makes one thing of the next token wrong.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use axum::{
    Form, Json, Router,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tidings::clock::Clock;

pub const CLIENT: &str = "tidings-staff";
pub const SECRET: &str = "a client's secret: with marks";

/// What is wrong with the next ID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    Nothing,
    OtherNonce,
    NoNonce,
    OtherAudience,
    /// For two parties, without saying which of them asked.
    SharedAudience,
    OtherParty,
    OtherIssuer,
    Expired,
    FromTheFuture,
    Old,
    /// Signed by somebody else under the published key's name.
    ForgedSignature,
    UnknownKey,
    /// Signed by an HMAC with the client's secret.
    Hmac,
    Unsigned,
    NoToken,
}

struct Key {
    encoding: EncodingKey,
    public: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        Self { encoding: EncodingKey::from_ec_der(pkcs8.as_ref()), public: pair.public_key().as_ref().to_vec() }
    }
}

/// What a code stands for.
struct Grant {
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

struct Inner {
    issuer: String,
    key: Key,
    forger: Key,
    grants: Mutex<HashMap<String, Grant>>,
    person: Mutex<Value>,
    twist: Mutex<Twist>,
}

/// The provider, on a port of its own until it is dropped.
pub struct IdentityProvider {
    inner: Arc<Inner>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl IdentityProvider {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // By name, so that to a browser it is another site than what is served at 127.0.0.1.
        let issuer = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let inner = Arc::new(Inner {
            issuer,
            key: Key::new(),
            forger: Key::new(),
            grants: Mutex::default(),
            person: Mutex::new(Value::Null),
            twist: Mutex::new(Twist::Nothing),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(description))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .with_state(Arc::clone(&inner));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { inner, serving }
    }

    pub fn settings(&self, more: &str) -> String {
        format!("[oidc]\nissuer = \"{}\"\nclient_id = \"{CLIENT}\"\nclient_secret = \"{SECRET}\"\n{more}\n", self.inner.issuer)
    }

    /// Who logs in at the provider from now on, by these claims.
    pub fn person(&self, claims: Value) {
        *self.inner.person.lock().unwrap() = claims;
    }

    pub fn twist(&self, twist: Twist) {
        *self.inner.twist.lock().unwrap() = twist;
    }
}

async fn description(State(inner): State<Arc<Inner>>) -> Json<Value> {
    let issuer = &inner.issuer;
    Json(json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"), "response_types_supported": ["code"],
    }))
}

async fn keys(State(inner): State<Arc<Inner>>) -> Json<Value> {
    let point = &inner.key.public;
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    Json(json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one", "x": x, "y": y}]}))
}

/// The person is logged in there already: back at once.
async fn authorize(State(inner): State<Arc<Inner>>, Query(asked): Query<HashMap<String, String>>) -> Redirect {
    assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", CLIENT));
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(asked["scope"].split(' ').any(|scope| scope == "openid"));
    let code = URL_SAFE_NO_PAD.encode(Clock::system().random::<16>());
    let grant =
        Grant { nonce: asked["nonce"].clone(), challenge: asked["code_challenge"].clone(), redirect_uri: asked["redirect_uri"].clone() };
    inner.grants.lock().unwrap().insert(code.clone(), grant);
    Redirect::to(&format!("{}?code={code}&state={}", asked["redirect_uri"], asked["state"]))
}

async fn token(State(inner): State<Arc<Inner>>, headers: HeaderMap, Form(form): Form<HashMap<String, String>>) -> Response {
    let wrong = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
    // Both halves are form-encoded before they are joined (RFC 6749, 2.3.1).
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:a+client%27s+secret%3A+with+marks")));
    if headers.get(header::AUTHORIZATION).is_none_or(|given| *given != basic) {
        return wrong("invalid_client");
    }
    // A code is good once.
    let Some(grant) = inner.grants.lock().unwrap().remove(&form["code"]) else { return wrong("invalid_grant") };
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, form["code_verifier"].as_bytes()));
    if challenge != grant.challenge || form["redirect_uri"] != grant.redirect_uri {
        return wrong("invalid_grant");
    }
    if *inner.twist.lock().unwrap() == Twist::NoToken {
        return Json(json!({"access_token": "of no use here", "token_type": "Bearer"})).into_response();
    }
    Json(json!({"access_token": "of no use here", "token_type": "Bearer", "id_token": inner.id_token(&grant.nonce)})).into_response()
}

impl Inner {
    fn id_token(&self, nonce: &str) -> String {
        let twist = *self.twist.lock().unwrap();
        let now = Clock::system().now().as_millis() / 1_000;
        let mut claims = self.person.lock().unwrap().clone();
        let standard = json!({"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce});
        claims.as_object_mut().unwrap().extend(standard.as_object().unwrap().clone());
        match twist {
            Twist::OtherNonce => claims["nonce"] = json!("of another log-in"),
            Twist::NoNonce => _ = claims.as_object_mut().unwrap().remove("nonce"),
            Twist::OtherAudience => claims["aud"] = json!("another client"),
            Twist::SharedAudience => claims["aud"] = json!([CLIENT, "another client"]),
            Twist::OtherParty => claims["azp"] = json!("another client"),
            Twist::OtherIssuer => claims["iss"] = json!("http://127.0.0.1:1"),
            Twist::Expired => claims["exp"] = json!(now - 120),
            Twist::FromTheFuture => claims["iat"] = json!(now + 600),
            Twist::Old => claims["iat"] = json!(now - 7_200),
            _ => {}
        }
        let mut header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::ES256) };
        match twist {
            Twist::Hmac => {
                header.alg = Algorithm::HS256;
                jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
            }
            Twist::Unsigned => {
                let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
                format!("{}.{}.", part(json!({"alg": "none"})), part(claims))
            }
            Twist::ForgedSignature => jsonwebtoken::encode(&header, &claims, &self.forger.encoding).unwrap(),
            Twist::UnknownKey => {
                header.kid = Some("two".to_owned());
                jsonwebtoken::encode(&header, &claims, &self.forger.encoding).unwrap()
            }
            _ => jsonwebtoken::encode(&header, &claims, &self.key.encoding).unwrap(),
        }
    }
}
