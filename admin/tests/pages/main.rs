//! Every page with its samples, and what must hold for all of them: well formed, labelled, safe.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod contrast;
mod html;
mod safety;
mod site;

use site::{Site, every_page};

#[tokio::test]
async fn every_page_renders_with_its_samples_and_is_well_formed() {
    for name in ["root", "lin"] {
        let site = Site::logged_in(name).await;
        let mut rendered = 0;
        for path in every_page(name) {
            let answer = site.get(&path).await;
            assert_eq!(answer.status, 200, "{path} as {name}");
            html::check(&path, &answer.body);
            rendered += 1;
        }
        assert!(rendered >= 20, "only {rendered} pages were rendered as {name}");
    }
}

#[tokio::test]
async fn pages_outside_a_session_and_problems_are_well_formed_too() {
    let stranger = Site::new();
    html::check("login", &stranger.get("/admin/login").await.body);
    let site = Site::logged_in("root").await;
    for path in [
        "/admin/nowhere",
        "/admin/messages/msg_01h455vb4pex5vsknk084sn02q",
        "/admin/messages/nonsense",
        "/admin/providers/nobody",
        "/admin/routing/99",
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        html::check(path, &answer.body);
    }
    let forbidden = Site::logged_in("lin").await.get("/admin/users").await;
    assert_eq!(forbidden.status, 403);
    assert!(forbidden.body.contains("It takes the role admin"));
}

#[tokio::test]
async fn a_viewer_is_offered_nothing_that_would_be_refused() {
    let site = Site::logged_in("lin").await;
    for (path, words) in [
        ("/admin/providers/aliyun-main", "Pause"),
        ("/admin/apps", "File the request"),
        ("/admin/routing", "Save as a draft"),
        ("/admin/suppressions", "Suppress a recipient"),
        ("/admin", "/admin/users"),
    ] {
        assert!(!site.get(path).await.body.contains(words), "{path} offers a viewer: {words}");
        assert!(Site::logged_in("root").await.get(path).await.body.contains(words), "{path} does not offer root: {words}");
    }
}

#[tokio::test]
async fn faults_are_summed_up_linked_to_their_field_and_keep_what_was_entered() {
    let site = Site::logged_in("root").await;
    let answer =
        site.post("/admin/providers/aliyun-main/steer", &[("action", "weight"), ("weight", "many"), ("reason", "ticket 12")]).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.body.contains("href=\"#weight\"") && answer.body.contains("id=\"weight\"") && answer.body.contains("value=\"ticket 12\"")
    );
    html::check("steer", &answer.body);
    let answer = site.post("/admin/apps", &[("name", "shop")]).await;
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("There is an app of this name."));
}

#[tokio::test]
async fn a_new_key_is_shown_once_and_never_in_an_address() {
    let site = Site::logged_in("root").await;
    let app = site.find("/admin/apps", "/admin/apps/app_");
    let app = app.await;
    let answer = site.post(&format!("{app}/keys"), &[("name", "shop-2027"), ("messages:send", "yes")]).await;
    assert_eq!(answer.status, 200, "the key is in the answer itself, not behind a redirect");
    assert_eq!(answer.body.matches("tk_live_").count(), 1);
    assert!(!site.get(&app).await.body.contains("tk_live_"));
}

#[tokio::test]
async fn a_reveal_needs_a_reason_and_shows_recipient_and_text() {
    let site = Site::logged_in("root").await;
    let message = site.find("/admin/messages", "/admin/messages/msg_").await;
    let refused = site.post(&format!("{message}/reveal"), &[("reason", "  ")]).await;
    assert_eq!(refused.status, 422);
    assert!(!refused.body.contains("+8613800138000"));
    let shown = site.post(&format!("{message}/reveal"), &[("reason", "ticket 4711")]).await;
    assert!(shown.body.contains("+8613800138000") && shown.body.contains("Your order 8801"));
}

#[tokio::test]
async fn the_script_is_small_and_the_pages_need_none_of_it() {
    let script = Site::new().get("/admin/assets/admin.js").await;
    assert!(script.body.lines().count() < 150);
    let site = Site::logged_in("root").await;
    for path in every_page("root") {
        let body = site.get(&path).await.body;
        assert!(!body.contains("<noscript") && !body.contains("href=\"#\""), "{path} needs a script");
    }
}
