//! What people come for, in a real browser.

use thirtyfour::prelude::*;

use super::{
    browser::{Browser, Light, Screen},
    world::{NUMBER, TEXT, World},
};
use crate::patience::eventually;

/// Every page that an admin sees; `{message}` is a message's id.
const PAGES: [(&str, &str); 14] = [
    ("home", "/admin"),
    ("messages", "/admin/messages"),
    ("message", "/admin/messages/{message}"),
    ("providers", "/admin/providers"),
    ("provider", "/admin/providers/aliyun-main"),
    ("requests", "/admin/requests"),
    ("apps", "/admin/apps"),
    ("templates", "/admin/templates"),
    ("routing", "/admin/routing"),
    ("revision", "/admin/routing/1"),
    ("suppressions", "/admin/suppressions"),
    ("users", "/admin/users"),
    ("audit", "/admin/audit"),
    ("not-found", "/admin/nowhere"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_number_and_yesterday_evening_lead_to_message_provider_and_reason_in_three_clicks() {
    let world = World::start().await;
    for minute in 0..5 {
        world.failed_over("+8613800138111", world.evening(19, minute)).await;
    }
    let id = world.hung(NUMBER, world.evening(19, 42)).await;
    let Some(browser) = Browser::open(&world, Screen::Desk, Light::Day, true).await else { return };
    browser.log_in("lin").await;

    browser.goto("/admin/messages").await;
    browser.fill("find", "138 0013 8000").await;
    browser.click("#when option[value=evening]").await; // 1
    browser.click(".filter .primary").await; // 2
    browser.shows("tbody tr", "aliyun-main").await;
    assert!(!browser.address().await.contains("0013"), "the number is not in the address");
    let row = browser.text("tbody tr").await;
    assert!(row.contains("unknown") && row.contains("aliyun-main") && row.contains("timeout"), "{row}");
    browser.screenshot("journey-1-found").await;
    browser.click("tbody tr a").await; // 3
    eventually(async || browser.path().await == format!("/admin/messages/{id}")).await;
    browser.shows("#chain", "Why this provider").await;
    let story = browser.text("#story").await;
    assert!(story.contains("aliyun-main") && story.contains("timeout: no answer in time"), "{story}");
    let chain = browser.text("#chain").await;
    assert!(chain.contains("Accepted from shop with the key shop-live") && chain.contains("Why this provider"), "{chain}");
    assert!(!browser.driver.source().await.unwrap().contains(NUMBER), "recipients are masked");
    browser.screenshot("journey-2-message").await;

    browser.fill("reason", "ticket 4711: customer asks").await;
    browser.click("#revealed button").await;
    browser.shows("#revealed", TEXT).await;
    let revealed = browser.text("#revealed").await;
    assert!(revealed.contains(NUMBER) && revealed.contains(TEXT), "{revealed}");
    browser.screenshot("journey-3-revealed").await;
    browser.close().await.unwrap();

    let browser = Browser::open(&world, Screen::Desk, Light::Day, true).await.unwrap();
    browser.log_in("root").await;
    browser.goto("/admin/audit").await;
    let audit = browser.text("tbody").await;
    assert!(audit.contains("message.revealed") && audit.contains("ticket 4711: customer asks") && audit.contains("lin"), "{audit}");
    browser.close().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_without_scripts() {
    let world = World::start().await;
    let id = world.hung(NUMBER, world.evening(20, 15)).await;
    let Some(browser) = Browser::open(&world, Screen::Desk, Light::Day, false).await else { return };
    browser.log_in("root").await;
    browser.fill("find-anything", "0086 138-0013-8000").await;
    browser.click(".find button").await;
    browser.shows("tbody tr", "aliyun-main").await;
    browser.click("tbody tr a").await;
    eventually(async || browser.path().await == format!("/admin/messages/{id}")).await;

    browser.goto("/admin/providers/aliyun-main").await;
    browser.fill("reason", "vendor announced maintenance").await;
    browser.click("button[value=pause]").await;
    browser.shows(".notice", "paused").await;
    assert_eq!(browser.text("#state .chip").await, "paused");
    assert!(browser.text("#events").await.contains("vendor announced maintenance"));
    browser.fill("reason", "maintenance is over").await;
    browser.click("button[value=resume]").await;
    browser.shows("#state .chip", "healthy").await;

    let app = world.node().control.snapshot().app_named("shop").unwrap().id;
    browser.goto(&format!("/admin/apps/{app}")).await;
    browser.fill("name", "shop-2027").await;
    browser.click("form[action$='/keys'] .primary").await;
    browser.shows(".secret code", "tk_live_").await;
    browser.close().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_every_screen_in_light_and_dark() {
    let world = World::start().await;
    let id = world.failed_over(NUMBER, world.evening(19, 30)).await;
    world.hung("+8613900139000", world.evening(19, 31)).await;
    for (screen, screen_name) in [(Screen::Desk, "desk"), (Screen::Phone, "phone")] {
        for (light, light_name) in [(Light::Day, "light"), (Light::Night, "dark")] {
            let Some(browser) = Browser::open(&world, screen, light, true).await else { return };
            browser.log_in("root").await;
            for (name, path) in PAGES {
                browser.goto(&path.replace("{message}", &id.to_string())).await;
                let overflow = browser.run("return document.documentElement.scrollWidth - window.innerWidth").await;
                assert!(overflow.as_f64().unwrap() <= 0.0, "{path} is wider than the {screen_name} by {overflow}");
                let dark = browser.run("return matchMedia('(prefers-color-scheme: dark)').matches").await;
                assert_eq!(dark, matches!(light, Light::Night), "{light_name}");
                let faint = browser.run(FAINT_TEXT).await;
                assert_eq!(faint, serde_json::json!([]), "{path} in {light_name} on the {screen_name}: text that cannot be read");
                browser.screenshot(&format!("{name}-{screen_name}-{light_name}")).await;
            }
            browser.close().await.unwrap();
        }
    }
    world.stop().await;
}

/// Text whose contrast with what is behind it is below WCAG AA (4.5, or 3 for large text), as the browser computes it.
const FAINT_TEXT: &str = r#"
const parse = (text) => (text.match(/[\d.]+/g) || []).map(Number);
const luminance = (rgb) => { const [r, g, b] = rgb.map((part) => { part /= 255; return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (element) => { for (let at = element; at; at = at.parentElement) { const colour = parse(getComputedStyle(at).backgroundColor); if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3); } return [255, 255, 255]; };
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !element.offsetParent || ["SCRIPT", "STYLE", "OPTION", "DATALIST"].includes(element.tagName)) continue;
  const style = getComputedStyle(element);
  const [one, other] = [luminance(parse(style.color).slice(0, 3)), luminance(behind(element))].sort((a, b) => b - a);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  if ((one + 0.05) / (other + 0.05) < (large ? 3 : 4.5)) faint.push(`${element.tagName} ${element.className}: ${walker.currentNode.textContent.trim().slice(0, 40)}`);
}
return faint;
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_everything_and_shows_where_it_is() {
    let world = World::start().await;
    let id = world.hung(NUMBER, world.evening(19, 42)).await;
    let Some(browser) = Browser::open(&world, Screen::Desk, Light::Day, true).await else { return };
    browser.log_in("root").await;
    for (_, path) in PAGES {
        browser.goto(&path.replace("{message}", &id.to_string())).await;
        let reachable = browser.run("return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')].filter((element) => element.checkVisibility({visibilityProperty: true})).length").await;
        let mut seen = std::collections::HashSet::new();
        let body = browser.driver.find(By::Css("body")).await.unwrap();
        body.send_keys(Key::Tab + "").await.unwrap();
        for _ in 0..reachable.as_u64().unwrap() + 40 {
            let at = browser.run(WHERE_FOCUS_IS).await;
            let Some(at) = at.as_str().map(ToOwned::to_owned) else { break };
            assert!(at.ends_with("visible"), "{path}: nobody sees that the focus is at {at}");
            // A field for a date is several stops.
            seen.insert(at);
            browser.driver.active_element().await.unwrap().send_keys(Key::Tab + "").await.unwrap();
        }
        assert!(seen.len() as u64 * 10 >= reachable.as_u64().unwrap() * 9, "{path}: {} of {reachable} reached", seen.len());
    }
    browser.goto("/admin").await;
    let body = browser.driver.find(By::Css("body")).await.unwrap();
    body.send_keys(Key::Tab + "").await.unwrap();
    assert_eq!(browser.run("return document.activeElement.textContent").await, "Skip to content");
    browser.close().await.unwrap();
    world.stop().await;
}

/// Which element has the focus, by its place, and whether an outline shows it.
const WHERE_FOCUS_IS: &str = r#"
const element = document.activeElement;
if (!element || element === document.body) return null;
const style = getComputedStyle(element);
const place = [...document.querySelectorAll('*')].indexOf(element);
return `${place} ${element.tagName} ${style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 ? 'visible' : 'hidden'}`;
"#;
