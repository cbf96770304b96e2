//! What a hostile page, a hostile link and a curious log must not be able to do.

use axum::body::Body;
use http::Request;

use crate::{
    html,
    site::{Site, encode, every_page},
};

/// Every address that changes something.
const CHANGES: [&str; 17] = [
    "/admin/login",
    "/admin/logout",
    "/admin/zone",
    "/admin/messages",
    "/admin/messages/msg_01h455vb4pex5vsknk084sn02q/reveal",
    "/admin/messages/msg_01h455vb4pex5vsknk084sn02q/cancel",
    "/admin/providers/aliyun-main/steer",
    "/admin/requests/req_1/decide",
    "/admin/apps",
    "/admin/apps/app_1",
    "/admin/apps/app_1/keys",
    "/admin/apps/app_1/keys/key_1/revoke",
    "/admin/routing",
    "/admin/routing/13/activate",
    "/admin/suppressions",
    "/admin/suppressions/sup_1/lift",
    "/admin/users",
];

#[tokio::test]
async fn a_form_without_the_sessions_token_changes_nothing() {
    let site = Site::logged_in("root").await;
    for path in CHANGES {
        for token in [None, Some("wrong")] {
            let fields: Vec<(&str, &str)> = token.map(|token| ("form_token", token)).into_iter().collect();
            let answer =
                site.ask(site.form(path, &[]).header("sec-fetch-site", "same-origin").body(Body::from(encode(&fields))).unwrap()).await;
            assert_eq!(answer.status, 403, "{path} with token {token:?}");
        }
    }
}

#[tokio::test]
async fn a_form_from_another_site_changes_nothing_even_with_the_token() {
    let site = Site::logged_in("root").await;
    let token = site.token().await;
    for path in CHANGES {
        for (name, value) in
            [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.example"), ("origin", "null")]
        {
            let request = site.form(path, &[]).header("host", "tidings.example").header(name, value);
            let answer = site.ask(request.body(Body::from(encode(&[("form_token", &token)]))).unwrap()).await;
            assert_eq!(answer.status, 403, "{path} with {name}: {value}");
        }
    }
}

#[tokio::test]
async fn nothing_is_shown_or_changed_without_a_session() {
    let stranger = Site::new();
    for path in every_page("root") {
        let answer = stranger.get(&path).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.location().starts_with("/admin/login"), "{path} leads to {}", answer.location());
        assert!(answer.body.is_empty(), "{path}");
    }
    let planted = Site { cookie: "tidings_session=planted".to_owned(), ..Site::new() };
    for path in CHANGES.into_iter().filter(|path| !matches!(*path, "/admin/login" | "/admin/zone")) {
        let body = planted.get("/admin/login").await.body;
        let token = body.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let answer = planted.ask(planted.form(path, &[]).body(Body::from(encode(&[("form_token", &token)]))).unwrap()).await;
        assert_eq!((answer.status, answer.location().starts_with("/admin/login")), (303, true), "{path}");
    }
}

#[tokio::test]
async fn a_cookie_that_was_planted_before_the_log_in_is_worthless_after_it() {
    let mut site = Site { cookie: "tidings_session=planted".to_owned(), ..Site::new() };
    let body = site.get("/admin/login").await.body;
    let token = body.split("name=\"form_token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let fields = [("form_token", token.as_str()), ("name", "root"), ("password", "a sample password")];
    let answer = site.ask(site.form("/admin/login", &[]).body(Body::from(encode(&fields))).unwrap()).await;
    let fresh = answer.cookie().expect("a log-in sets a new cookie");
    assert_ne!(fresh, "tidings_session=planted");
    assert_eq!(site.get("/admin").await.status, 303, "the planted cookie opens nothing");
    site.cookie = fresh;
    assert_eq!(site.get("/admin").await.status, 200);
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
    let answer = Site::new().get("/admin/login").await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"), "{cookie}");
}

#[tokio::test]
async fn every_answer_forbids_foreign_scripts_frames_and_caching() {
    let site = Site::logged_in("root").await;
    for path in every_page("root").into_iter().chain(["/admin/login".to_owned(), "/admin/nowhere".to_owned()]) {
        let answer = site.get(&path).await;
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'", "script-src 'nonce-"] {
            assert!(policy.contains(part), "{path}: {part} is not in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(
            (answer.header("x-frame-options"), answer.header("x-content-type-options"), answer.header("cache-control")),
            ("DENY", "nosniff", "no-store"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn pages_hold_no_script_or_style_that_the_policy_would_stop() {
    let site = Site::logged_in("root").await;
    for path in every_page("root") {
        let answer = site.get(&path).await;
        let nonce =
            answer.header("content-security-policy").split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        for tag in html::tags(&answer.body) {
            assert!(!tag.attributes.contains_key("style"), "{path}: a style attribute");
            assert!(!tag.attributes.keys().any(|name| name.starts_with("on")), "{path}: a handler in an attribute");
            if tag.name == "script" && !tag.attributes.is_empty() {
                assert_eq!(tag.attributes.get("nonce"), Some(&nonce), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_log_in_leads_to_our_own_pages_only() {
    for (next, leads) in
        [("https://evil.example/", "/admin"), ("//evil.example", "/admin"), ("/\\evil.example", "/admin"), ("/admin/audit", "/admin/audit")]
    {
        let mut site = Site::new();
        site.cookie = site.get(&format!("/admin/login?next={}", encode(&[("x", next)]).trim_start_matches("x="))).await.cookie().unwrap();
        let answer = site.post("/admin/login", &[("name", "root"), ("password", "a sample password"), ("next", next)]).await;
        assert_eq!(answer.location(), leads, "{next}");
    }
}

#[tokio::test]
async fn a_wrong_password_says_nothing_about_the_name() {
    let mut site = Site::new();
    site.cookie = site.get("/admin/login").await.cookie().unwrap();
    let known = site.post("/admin/login", &[("name", "root"), ("password", "wrong")]).await;
    let unknown = site.post("/admin/login", &[("name", "toor"), ("password", "wrong")]).await;
    assert_eq!((known.status, unknown.status), (401, 401));
    assert_eq!(known.body.replace("root", "toor"), unknown.body);
}

#[tokio::test]
async fn a_number_that_is_searched_for_is_not_in_the_address() {
    let site = Site::logged_in("root").await;
    for typed in ["+86 138 0013 8000", "0086 138-0013-8000", "138 0013 8000"] {
        let answer = site.post("/admin/messages", &[("find", typed), ("when", "evening")]).await;
        assert_eq!(answer.status, 303);
        assert!(answer.location().contains("find=") && answer.location().contains("when=evening"));
        assert!(!answer.location().contains("138"), "{}", answer.location());
        let page = site.get(answer.location()).await;
        assert!(page.body.contains("+86138****8000"), "{typed} finds the message");
        let older = page.body.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap();
        assert!(!older.contains("0013"), "{older}");
        let others = Site::logged_in("lin").await.get(answer.location()).await;
        assert!(page.body.contains(&format!("value=\"{typed}\"")), "the field still says what was typed");
        assert!(!others.body.contains(&format!("value=\"{typed}\"")), "another session cannot read the address");
    }
}

#[tokio::test]
async fn an_id_leads_straight_to_its_message() {
    let site = Site::logged_in("root").await;
    let answer = site.post("/admin/messages", &[("find", " msg_01h455vb4pex5vsknk084sn02q ")]).await;
    assert_eq!(answer.location(), "/admin/messages/msg_01h455vb4pex5vsknk084sn02q");
}

#[tokio::test]
async fn a_form_larger_than_any_of_ours_is_refused() {
    let site = Site::logged_in("root").await;
    let token = site.token().await;
    let body = encode(&[("form_token", &token), ("document", &"x".repeat(1 << 21))]);
    let request =
        Request::post("/admin/routing").header("cookie", &site.cookie).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(site.ask(request.body(Body::from(body)).unwrap()).await.status, 400);
}
