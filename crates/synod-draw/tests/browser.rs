//! The page in a real browser.

use std::{fs, process::Command};

use synod_draw::{Arrow, Kind, Lane, Moment, Picture};

/// A picture in which something is lost, a process stops, and something goes wrong, with texts that try to break out.
fn picture() -> Picture {
    let mut picture = Picture::new("</script><b>bold</b>");
    picture.about("a test <i>in a browser</i>");
    let (one, two) = (picture.lane(Lane::new("n1").with_role("acceptor")), picture.lane(Lane::new("n2")));
    let asks = picture.moment(Moment::new(Kind::Step, "asks").at(one).with_about(["n1#1"]).with_state("waits"));
    let hears = picture.moment(Moment::new(Kind::Step, "hears").at(two).with_about(["n1#1"]).with_state("has heard"));
    picture.moment(Moment::new(Kind::Time, "tick 5").at(one));
    let says = picture.moment(Moment::new(Kind::Write, "durable").at(two).with_about(["n1#2"]));
    picture.moment(Moment::new(Kind::Stop, "stops").at(one));
    let prepare = Arrow::new(one, two, "Prepare n1#1", asks).with_about(["n1#1"]).with_colour("1.n1");
    let prepare = picture.arrow(prepare);
    picture.arrives(prepare, hears);
    let vote = picture.arrow(Arrow::new(two, one, "Vote n1#2", says).with_about(["n1#2"]));
    picture.is_lost(vote, 4);
    picture.moment(Moment::new(Kind::Broken, "agreement: <img src=x onerror=alert(1)>"));
    picture
}

/// The document, once the page's script has run.
fn document(fragment: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    fs::write(&page, picture().html()).expect("the page is written");
    let mut browser = Command::new("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]);
    browser.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    let ran = browser.arg(format!("file://{}{fragment}", page.display())).output().expect("chromium starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("a document")
}

#[test]
#[ignore = "needs chromium"]
fn a_browser_shows_what_went_wrong_first_and_runs_nothing_of_what_is_drawn() {
    let document = document("");
    // The tick is left out, as long as nobody asks for passing time.
    assert!(document.contains("5 of 6 moments"), "{document}");
    assert_eq!(document.matches("class=\"row").count(), 5);
    assert!(document.contains("5: agreement: &lt;img src=x onerror=alert(1)&gt;"), "{document}");
    assert!(document.contains(">has heard</pre>") && document.contains(">down</pre>"), "{document}");
    assert_eq!(document.matches("class=\"lost\"").count(), 1);
    for broken_out in ["<b>bold", "<i>in", "<img"] {
        assert!(!document.contains(broken_out), "{broken_out}");
    }
}

#[test]
#[ignore = "needs chromium"]
fn a_moment_is_opened_by_its_address() {
    let document = document("#1");
    assert!(document.contains("1: n2 hears"), "{document}");
    assert!(document.contains("n1 → n2  Prepare n1#1\n  (sent at 0)"), "{document}");
    assert_eq!(document.matches("class=\"arrow at\"").count(), 1);
}

#[test]
fn the_page_is_one_file_that_asks_for_nothing_else() {
    let page = picture().html();
    assert!(!page.contains("src=\"") && !page.contains("href=") && !page.contains("@import"), "it loads something");
    assert_eq!(page.matches("</script>").count(), 2, "a text ends the script");
}
