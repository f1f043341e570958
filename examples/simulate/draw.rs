//! What happens in a world, as a picture.

use synod::{
    commit::Node,
    sim::{Event, Happening, Setup, World},
};
use synod_draw::{Picture, Sketch, role, state};

/// A picture of these events, and whether nothing went wrong. That a healed world comes to rest is drawn if it does not.
pub(crate) fn draw(about: &str, setup: &Setup, events: &[Event]) -> (Picture, bool) {
    let mut sketch = Sketch::new("a simulated world", about);
    for node in setup.nodes.iter().chain(&setup.newcomers) {
        sketch.lane(*node, role(&setup.cluster, *node));
    }
    let mut world = World::<Node>::new(setup.clone());
    world.watch();
    for event in events {
        let result = world.apply(event);
        happened(&mut sketch, &mut world, Some(event));
        if let Err(violation) = result {
            sketch.broken(None, &violation.to_string());
            return (sketch.into_picture(), false);
        }
    }
    let healed = world.heal();
    if let Err(violation) = &healed {
        sketch.world("faults stop here, and everything should come to its end", None);
        happened(&mut sketch, &mut world, None);
        sketch.broken(None, &violation.to_string());
    }
    (sketch.into_picture(), healed.is_ok())
}

/// Draws what has happened in one event.
pub(crate) fn happened(sketch: &mut Sketch, world: &mut World<Node>, event: Option<&Event>) {
    let happenings = world.happenings();
    if let Some(event) = event.filter(|event| happenings.is_empty() && shows(event)) {
        let whole = format!("{event:?}");
        let head = whole.split([' ', '(', '{', ',']).next().unwrap_or_default();
        sketch.world(head, Some(whole.clone()));
    }
    let first = sketch.picture().moments();
    for happening in happenings {
        match happening {
            Happening::Sent { number, from, to, message } => sketch.sent(number, from, to, &message),
            Happening::Arrived { number } => sketch.arrived(number),
            Happening::Lost { number } => sketch.lost(number),
            Happening::Stepped { at, input, effects, verdict } => sketch.stepped(at, &input, &effects, verdict),
            Happening::Durable { at, record } => sketch.durable(at, &record),
            Happening::Decided { at, decision } => sketch.decided(at, &decision),
            Happening::Stopped { at } => sketch.stopped(at),
            Happening::Damaged { at, lost } => {
                sketch.world(&format!("the storage of {at} loses its last {lost} records"), None)
            }
            Happening::Started { at } => sketch.started(at),
        }
    }
    sketch.written();
    // Who is down hears nothing.
    sketch.unheard(first);
    let begun: Vec<_> = world.begun().iter().map(|begun| begun.id()).collect();
    sketch.states_since(first, |node| Some(state(world.actor(node)?, begun.iter().copied())));
}

/// Whether an event is worth a moment although no node has done anything.
fn shows(event: &Event) -> bool {
    matches!(event, Event::Cut { .. } | Event::Mend { .. } | Event::Hide { .. } | Event::LoseVote { .. })
}
