//! The operators' console in a real browser.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of a program has a clock")]

mod chromium;
#[path = "../server/stage.rs"]
mod stage;
#[path = "../server/support.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::{thread::sleep, time::Duration};

use serde_json::{Value, json};

use crate::{chromium::Browser, stage::Stage, support::get};

const WAITS: &str = "document.querySelector('[data-list] a.tx')";

#[test]
#[ignore = "needs chromium"]
fn an_operator_sees_why_it_waits_opens_it_by_the_keyboard_and_changes_something_only_after_two_words() {
    let Some(mut stage) = Stage::new() else { return };
    let tx = stage.leave_in_doubt();
    let name = tx.replace('#', "-");
    let http = stage.machines.http(1);
    let root = format!("http://{http}");
    let mut browser = Browser::start();
    browser.size(1280, 900, false);
    browser.go(&root);
    browser.until(WAITS);
    browser.until("document.querySelector('.why').textContent.includes('which has not answered for')");

    // The page shows what the API says.
    let shown = browser.run("document.querySelector('.why').textContent").as_str().unwrap().to_owned();
    let (_, text) = get(&http, "/api/waiting").unwrap();
    let said: Value = serde_json::from_str(&text).unwrap();
    let said = said["transactions"][0]["why"].as_str().unwrap();
    let without_times = |text: &str| text.replace(|c: char| c.is_ascii_digit() || c == '.', "");
    assert!(without_times(&shown).starts_with(&without_times(said)), "{shown}\n{said}");
    assert!(shown.starts_with("prepared at <img src=x onerror=alert(1)>&\"' (n11)"), "{shown}");
    for (tile, value) in [("In doubt", "1"), ("Process", "not ready")] {
        let found = browser.run(&format!(
            "[...document.querySelectorAll('.tile')].find(tile => tile.querySelector('dt').textContent === '{tile}') \
             .querySelector('dd').textContent"
        ));
        assert_eq!(found, value, "{tile}");
    }

    // Nothing moves while it is refreshed, and nothing that others say is run.
    browser.run("window.moved = [], true");
    let before = browser.run("document.querySelector('[data-list] .number').textContent");
    sleep(Duration::from_secs(7));
    assert_ne!(before, browser.run("document.querySelector('[data-list] .number').textContent"), "it is not refreshed");
    assert_eq!(browser.run("moved"), json!([]));
    assert_eq!(browser.run("alerts + document.querySelectorAll('img').length"), 0);
    browser.picture("desktop");

    labels(&mut browser);
    phone(&mut browser, &root, &name);
    browser.go(&root);
    browser.until(WAITS);

    // By the keyboard: the first stop is the way to the content, then all in order, and Enter opens the transaction.
    browser.run("document.activeElement.blur(), true");
    let mut stops = Vec::new();
    while stops.last().is_none_or(|stop: &String| *stop != tx) {
        browser.key("Tab", 9);
        stops.push(browser.run("document.activeElement.textContent.trim()").as_str().unwrap().to_owned());
        assert!(stops.len() < 30, "{stops:?}");
    }
    assert_eq!(stops[..4], ["To the content", "Overview", "History", "Databases"], "{stops:?}");
    assert!(!stops.iter().any(|stop| stop.contains("Replace")), "a reader comes to a button: {stops:?}");
    // The list holds still, and the focus stays.
    sleep(Duration::from_secs(3));
    assert_eq!(browser.run("document.activeElement.textContent"), tx);
    browser.key("Enter", 13);
    browser.until(&format!(
        "location.pathname === '/transactions/{name}' && document.querySelector('h1')?.textContent.includes('{tx}')"
    ));
    browser.until("document.querySelector('.sentence').textContent.includes('which has not answered for')");
    browser.until("document.querySelector('svg.story .moment')");
    browser.picture("transaction");

    act(&mut browser, &stage, &tx);
    browser.picture("signed-in");

    stage.bring_all_back();
    browser.go(&format!("{root}/history"));
    browser.until(&format!("document.querySelector('[data-list]').textContent.includes('{tx}')"));
    browser.picture("history");
    browser.go(&format!("{root}/databases"));
    browser.until("document.querySelector('h2').textContent.includes('<img src=x onerror=alert(1)>')");
    browser.picture("databases");

    assert_eq!(browser.run("alerts"), 0);
}

/// On a phone, and in the dark: nothing is wider than the screen, and nothing moves there either.
fn phone(browser: &mut Browser, root: &str, name: &str) {
    browser.size(360, 740, true);
    for path in ["/history", "/databases", &format!("/transactions/{name}"), "/"] {
        browser.go(&format!("{root}{path}"));
        let wide = browser.run("document.documentElement.scrollWidth");
        assert!(wide.as_u64().unwrap() <= 360, "{path} is {wide} wide");
        browser.picture(&format!("phone{}", path.replace(['/', '-'], "_")));
    }
    sleep(Duration::from_secs(5));
    assert_eq!(browser.run("moved"), json!([]));
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.call("Emulation.setEmulatedMedia", dark);
    let light = "getComputedStyle(document.body).backgroundColor === 'rgb(246, 247, 249)'";
    assert_eq!(browser.run(light), false);
    browser.size(1280, 900, false);
    browser.picture("dark");
    browser.call("Emulation.setEmulatedMedia", json!({ "features": [] }));
    assert_eq!(browser.run(light), true);
}

/// What a screen reader finds: a name for whatever can be pressed, and what tables are about.
fn labels(browser: &mut Browser) {
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let of =
        |role: &'static str| nodes.iter().filter(move |node| node["ignored"] != true && node["role"]["value"] == role);
    for role in ["button", "link", "table", "image", "navigation", "columnheader"] {
        assert!(of(role).count() > 0, "there is no {role}");
        for node in of(role) {
            assert!(node["name"]["value"].as_str().is_some_and(|name| !name.is_empty()), "{node}");
        }
    }
    let captions: Vec<&str> = of("table").filter_map(|node| node["name"]["value"].as_str()).collect();
    assert!(captions.iter().any(|caption| caption.starts_with("Transactions that are not over")), "{captions:?}");
    assert_eq!((of("main").count(), of("status").count()), (1, 1));
    assert_eq!(browser.run("document.getElementById('news').getAttribute('aria-live')"), "polite");
    let unnamed = "[...document.querySelectorAll('table')].filter(table => !table.caption || \
         [...table.tHead.rows[0].cells].some(cell => cell.scope !== 'col')).length";
    assert_eq!(browser.run(unnamed), 0);
}

/// The token, and the second word.
fn act(browser: &mut Browser, stage: &Stage, tx: &str) {
    let visible = "getComputedStyle(document.querySelector('[data-act=resolve]')).visibility";
    assert_eq!(browser.run(visible), "hidden");
    let sign_in = |browser: &mut Browser, token: &str| {
        browser.run("document.getElementById('enter').focus(), true");
        browser.key("Enter", 13);
        browser.until("document.getElementById('sign').open");
        browser.write(token);
        browser.key("Enter", 13);
    };
    sign_in(browser, "not the token");
    browser.until("document.querySelector('#sign .wrong').textContent.includes('the token is wrong')");
    // Escape closes a dialog, and the focus is where it was.
    browser.key("Escape", 27);
    browser.until("!document.getElementById('sign').open && document.activeElement.id === 'enter'");
    let read = |name: &str| std::fs::read_to_string(stage.machines.folder(1).join(name)).unwrap().trim().to_owned();
    sign_in(browser, &read("read_token"));
    browser.until("document.body.dataset.role === 'reader'");
    assert_eq!(browser.run(visible), "hidden");
    let page = browser.run("sessionStorage.clear(), location.href");
    browser.go(page.as_str().unwrap());
    browser.until("document.body.dataset.role === ''");
    sign_in(browser, &read("token"));
    browser.until("document.body.dataset.role === 'operator'");
    assert_eq!(browser.run(visible), "visible");

    browser.run("document.querySelector('[data-act=resolve]').focus(), true");
    browser.key("Enter", 13);
    browser.until("document.getElementById('act').open");
    browser.run("document.querySelector('#act [name=outcome]').value = 'abort', document.querySelector('#act [name=confirm]').focus(), true");
    browser.write("n1#999");
    browser.picture("dialog");
    browser.key("Enter", 13);
    browser.until("document.querySelector('#act .wrong').textContent.includes('Nothing was done')");
    browser.run("document.querySelector('#act [name=confirm]').value = '', true");
    browser.key("Escape", 27);
    browser.until("!document.getElementById('act').open");
    // What harms nobody is done after one more word.
    browser.run("document.querySelector('[data-act=inquire]').focus(), true");
    browser.key("Enter", 13);
    browser.until("document.getElementById('act').open");
    browser.run("document.getElementById('act-go').focus(), true");
    browser.key("Enter", 13);
    browser.until(&format!("document.getElementById('news').textContent === 'Done: Drive {tx} to its end'"));
}
