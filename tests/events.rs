//! Events that once broke a property, in a world of real nodes: in most of them, only because a node was broken on
//! purpose (see the bug zoo, which replays them, too). Seeds find, and change their meaning with the schedule; events
//! keep.

mod story;

use synod::{commit::Node, sim};

#[test]
fn what_once_broke_a_property_breaks_none_any_more() {
    let stories = story::all();
    assert!(!stories.is_empty());
    for (file, story) in stories {
        let file = file.display();
        println!("{file}: {}", story.about);
        let run = sim::replay::<Node>(&story.setup, &story.events);
        if let Err(violation) = run.result {
            panic!(
                "{file} breaks {violation}\nTo see what each event does:\n\
                 cargo run --release --features sim --example simulate -- --replay {file}"
            );
        }
        assert!(run.stats.committed > 0 && run.stats.begun > 1, "{file} is about nothing any more: {}", run.stats);
    }
}
