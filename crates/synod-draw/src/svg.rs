//! The same as a picture that stands still, for a document.

use std::fmt::Write;

use crate::{Arrow, Kind, Picture};

const ROW: usize = 20;
const WIDE: usize = 136;
const HEAD: usize = 44;
/// What the words of the last lane need.
const RIGHT: usize = 190;

/// The colours of the page, for eyes that are used to either.
const STYLE: &str = "svg{--back:#fff;--ink:#1d2126;--line:#d0d4da;--soft:#5b6470;--step:#2b6cb0;--refused:#a0aec0;--write:#6b46c1;\
--decision:#2f855a;--stop:#c05621;--start:#0f766e;--world:#718096;--broken:#c53030}\
@media(prefers-color-scheme:dark){svg{--back:#15181c;--ink:#e6e9ee;--line:#3a3f47;--soft:#9aa4b1;--step:#63b3ed;--refused:#718096;\
--write:#b794f4;--decision:#68d391;--stop:#f6ad55;--start:#4fd1c5;--world:#a0aec0;--broken:#fc8181}}\
text{font:11px ui-monospace,monospace;fill:var(--ink);paint-order:stroke;stroke:var(--back);stroke-width:3px}\
.name{font-weight:600;text-anchor:middle}.role{fill:var(--soft);text-anchor:middle}.back{fill:var(--back)}\
.up{stroke:var(--soft);stroke-width:1.5}.down{stroke:var(--line);stroke-dasharray:2 4}\
.arrow{fill:none;stroke:var(--soft);stroke-width:1.2;opacity:.6}.again{stroke-dasharray:4 3}.lost{stroke:var(--broken);opacity:1}";

impl Picture {
    /// A picture that stands still, of all but passing time. It is SVG that needs nothing else, and has in it the words of each
    /// moment and of each message, but none of their details.
    pub fn svg(&self) -> String {
        let mut rows = Vec::with_capacity(self.moments.len());
        let mut shown = 0;
        for moment in &self.moments {
            rows.push((moment.kind != Kind::Time).then_some(shown));
            shown += usize::from(moment.kind != Kind::Time);
        }
        let drawing = Drawing { picture: self, rows, high: HEAD + shown * ROW + ROW };
        drawing.draw()
    }
}

struct Drawing<'a> {
    picture: &'a Picture,
    /// In which row each moment is, if it is shown.
    rows: Vec<Option<usize>>,
    high: usize,
}

impl Drawing<'_> {
    fn draw(&self) -> String {
        let (wide, high) = (self.picture.lanes.len() * WIDE + RIGHT, self.high);
        let title = escaped(&self.picture.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{high}\" viewBox=\"0 0 {wide} {high}\" \
             role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"back\" width=\"{wide}\" height=\"{high}\"/>\n"
        );
        // To write to a string does not fail.
        let _ = self.lanes(&mut svg);
        let _ = self.picture.arrows.iter().try_for_each(|arrow| self.arrow(&mut svg, arrow));
        let _ = self.moments(&mut svg);
        svg + "</svg>\n"
    }

    fn lanes(&self, svg: &mut String) -> std::fmt::Result {
        for (number, lane) in self.picture.lanes.iter().enumerate() {
            let x = x(number);
            writeln!(svg, "<text class=\"name\" x=\"{x}\" y=\"16\">{}</text>", escaped(&lane.name))?;
            if !lane.role.is_empty() {
                writeln!(svg, "<text class=\"role\" x=\"{x}\" y=\"31\">{}</text>", escaped(&lane.role))?;
            }
            // A line while a process is up, dots while it is not.
            let (mut from, mut class) = (HEAD, "up");
            for (at, moment) in self.picture.moments.iter().enumerate().filter(|(_, each)| each.lane == Some(number)) {
                let next = match moment.kind {
                    Kind::Stop => "down",
                    Kind::Start => "up",
                    _ => continue,
                };
                let Some(to) = self.y(at) else { continue };
                line(svg, class, x, from, to)?;
                (from, class) = (to, next);
            }
            line(svg, class, x, from, self.high)?;
        }
        Ok(())
    }

    fn moments(&self, svg: &mut String) -> std::fmt::Result {
        for (number, moment) in self.picture.moments.iter().enumerate() {
            let Some(y) = self.y(number) else { continue };
            let (text, colour) = (escaped(&moment.text), colour(moment.kind));
            match moment.lane {
                Some(lane) => {
                    let x = x(lane);
                    write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" style=\"fill:var(--{colour})\"/>")?;
                    writeln!(svg, "<text x=\"{}\" y=\"{}\">{text}</text>", x + 8, y + 4)?;
                }
                None => {
                    writeln!(svg, "<text x=\"4\" y=\"{}\" style=\"fill:var(--{colour})\">{text}</text>", y + 4)?;
                }
            }
        }
        Ok(())
    }

    fn arrow(&self, svg: &mut String, arrow: &Arrow) -> std::fmt::Result {
        // What leaves or is lost at a moment that is not shown does so at the next one.
        let near = |moment: usize| (moment..self.rows.len()).find_map(|moment| self.y(moment));
        let Some(from) = near(arrow.sent) else { return Ok(()) };
        let (left, right, said) = (x(arrow.from), x(arrow.to), escaped(&arrow.text));
        let colour = arrow.colour.as_deref().map(hue).map(|hue| format!(" style=\"stroke:hsl({hue} 65% 48%)\""));
        let colour = colour.unwrap_or_default();
        for (turn, to) in arrow.arrived.iter().filter_map(|moment| self.y(*moment)).enumerate() {
            let (class, path) = (if turn == 0 { "" } else { " again" }, pointed([left, from], [right, to]));
            writeln!(svg, "<path class=\"arrow{class}\"{colour} d=\"{path}\"><title>{said}</title></path>")?;
        }
        if let (true, Some(to)) = (arrow.arrived.is_empty(), arrow.lost.and_then(near)) {
            // It comes half of the way.
            let (x, y) = ((left + right) / 2, from.max(to).midpoint(from));
            let cross = format!("M{} {}l8 8m0-8l-8 8", x.saturating_sub(4), y.saturating_sub(4));
            writeln!(
                svg,
                "<path class=\"arrow lost\" d=\"M{left} {from}L{x} {y}{cross}\"><title>{said}, lost</title></path>"
            )?;
        }
        Ok(())
    }

    fn y(&self, moment: usize) -> Option<usize> {
        self.rows.get(moment).copied().flatten().map(|row| HEAD + ROW / 2 + row * ROW)
    }
}

fn x(lane: usize) -> usize {
    WIDE / 2 + lane * WIDE
}

fn line(svg: &mut String, class: &str, x: usize, from: usize, to: usize) -> std::fmt::Result {
    writeln!(svg, "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"{from}\" y2=\"{to}\"/>")
}

/// A line with a head.
fn pointed([left, from]: [usize; 2], [right, to]: [usize; 2]) -> String {
    let (dx, dy) = (right as f64 - left as f64, to as f64 - from as f64);
    let long = (dx * dx + dy * dy).sqrt().max(1.0);
    let (dx, dy) = (dx / long, dy / long);
    let side = |turn: f64| (-7.0 * dx + turn * dy, -7.0 * dy - turn * dx);
    let (one, other) = (side(3.0), side(-3.0));
    // Back to the point between the two sides of the head.
    format!("M{left} {from}L{right} {to}l{:.1} {:.1}M{right} {to}l{:.1} {:.1}", one.0, one.1, other.0, other.1)
}

/// The colour of a word, the same as on the page.
fn hue(word: &str) -> u32 {
    word.chars().fold(7, |hash, sign| (hash * 31 + sign as u32) % 360)
}

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Step => "step",
        Kind::Refused | Kind::Time => "refused",
        Kind::Write => "write",
        Kind::Decision => "decision",
        Kind::Stop => "stop",
        Kind::Start => "start",
        Kind::World => "world",
        Kind::Broken => "broken",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::{Arrow, Kind, Lane, Moment, Picture};

    #[test]
    fn a_picture_that_stands_still_has_what_is_said_and_none_of_the_time_that_passes() {
        let mut picture = Picture::new("<a> & \"b\"");
        let [one, two] = ["n1", "n2"].map(|name| picture.lane(Lane::new(name).with_role("acceptor")));
        let asked = picture.moment(Moment::new(Kind::Step, "asks <you>").at(one).with_details(["a detail"]));
        picture.moment(Moment::new(Kind::Time, "tick 7").at(two));
        let heard = picture.moment(Moment::new(Kind::Decision, "hears").at(two));
        let stopped = picture.moment(Moment::new(Kind::Stop, "stops").at(one));
        let question = picture.arrow(Arrow::new(one, two, "question", asked).with_colour("1.n1"));
        picture.arrives(question, heard);
        let answer = picture.arrow(Arrow::new(two, one, "answer", heard));
        picture.is_lost(answer, stopped);
        let svg = picture.svg();
        for said in
            ["&lt;a&gt; &amp; &quot;b&quot;", "asks &lt;you&gt;", "hears", "question</title>", "answer, lost", "hsl("]
        {
            assert!(svg.contains(said), "{said} is missing: {svg}");
        }
        for left_out in ["tick 7", "a detail", "<you>"] {
            assert!(!svg.contains(left_out), "{left_out}: {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("class=\"down\"") && svg.ends_with("</svg>\n"), "{svg}");
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert!(Picture::default().svg().contains("height=\"64\""));
    }
}
