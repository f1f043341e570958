//! Inserts mutants into a source file. Where `cargo mutants` would change the code, this puts a `match` on the number of the active
//! mutant: an arm for each mutant of that place, and the original code as the last arm.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use anyhow::{Context, Result};
use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::list::{Mutant, Place};

/// The number of a mutant, from 1. With 0, no mutant is active.
pub(crate) type Number = u32;

pub(crate) struct Instrumented {
    pub(crate) text: String,
    /// The mutants on each line. Lines count from one.
    lines: BTreeMap<usize, BTreeSet<Number>>,
    /// The lines and the mutants of each changed place. Inner places come after outer ones.
    places: Vec<(Range<usize>, BTreeSet<Number>)>,
    /// The mutants for which no place was found.
    pub(crate) unplaced: Vec<Number>,
}

impl Instrumented {
    /// The mutants on a line, or else those of the innermost place around it.
    pub(crate) fn blamed(&self, line: usize) -> Option<&BTreeSet<Number>> {
        let around = || self.places.iter().rev().find(|(lines, _)| lines.contains(&line)).map(|(_, numbers)| numbers);
        self.lines.get(&line).or_else(around)
    }
}

/// Inserts `mutants` into the file `source`, except those in `left_out`.
pub(crate) fn instrument(
    source: &str,
    mutants: &[(Number, &Mutant)],
    left_out: &BTreeSet<Number>,
) -> Result<Instrumented> {
    let file = syn::parse_file(source).context("it does not parse")?;
    let mut at: BTreeMap<(Kind, Place), Vec<(Number, &str)>> = BTreeMap::new();
    for (number, mutant) in mutants.iter().filter(|(number, _)| !left_out.contains(number)) {
        at.entry((Kind::of(mutant), mutant.span.start)).or_default().push((*number, &mutant.replacement));
    }
    let mut finder = Finder { source, lines: line_starts(source), at, sites: Vec::new(), unplaced: Vec::new() };
    finder.visit_file(&file);
    let Finder { mut sites, at, mut unplaced, .. } = finder;
    unplaced.extend(at.into_values().flatten().map(|(number, _)| number));
    unplaced.sort_unstable();
    // Outer places come before inner ones, and insertions before the code that starts at the same offset.
    sites.sort_by_key(|site| (site.range.start, site.range.end != site.range.start, usize::MAX - site.range.end));
    let mut out = Output { source, text: String::new(), line: 1, lines: BTreeMap::new(), places: Vec::new() };
    out.copy(0..source.len(), &sites);
    Ok(Instrumented { text: out.text, lines: out.lines, places: out.places, unplaced })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Body,
    Binary,
    Unary,
    Arm,
    Guard,
    Field,
    Unknown,
}

impl Kind {
    fn of(mutant: &Mutant) -> Self {
        match mutant.genre.as_str() {
            "FnValue" => Self::Body,
            "BinaryOperator" => Self::Binary,
            "UnaryOperator" => Self::Unary,
            "MatchArm" => Self::Arm,
            "MatchArmGuard" => Self::Guard,
            "StructField" => Self::Field,
            _ => Self::Unknown,
        }
    }
}

enum Shape {
    /// Replaces an expression.
    Expression,
    /// Returns, before the first statement of a function.
    Body,
    /// Replaces the body of a function that returns an iterator.
    Iterator,
    /// Adds a guard that is false to an arm without one.
    Arm,
}

struct Site {
    range: Range<usize>,
    shape: Shape,
    mutants: Vec<(Number, String)>,
}

struct Finder<'a> {
    source: &'a str,
    lines: Vec<usize>,
    at: BTreeMap<(Kind, Place), Vec<(Number, &'a str)>>,
    sites: Vec<Site>,
    unplaced: Vec<Number>,
}

fn line_starts(source: &str) -> Vec<usize> {
    std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

impl<'a> Finder<'a> {
    fn offset(&self, place: LineColumn) -> usize {
        let start = self.lines[place.line - 1];
        let rest = &self.source[start..];
        start + rest.char_indices().nth(place.column).map_or(rest.len(), |(at, _)| at)
    }

    fn range(&self, node: &impl Spanned) -> Range<usize> {
        let span = node.span();
        self.offset(span.start())..self.offset(span.end())
    }

    fn take(&mut self, kind: Kind, node: &impl Spanned) -> Vec<(Number, &'a str)> {
        let start = node.span().start();
        self.at.remove(&(kind, Place { line: start.line, column: start.column + 1 })).unwrap_or_default()
    }

    fn add(&mut self, range: Range<usize>, shape: Shape, mutants: Vec<(Number, String)>) {
        if !mutants.is_empty() {
            self.sites.push(Site { range, shape, mutants });
        }
    }

    fn body(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) else { return };
        let start = self.range(first).start;
        if matches!(&signature.output, syn::ReturnType::Type(_, of) if matches!(**of, syn::Type::ImplTrait(_))) {
            // The mutant has another hidden type, but it yields one item at most.
            let mut mutants = Vec::new();
            for (number, text) in self.take(Kind::Body, first) {
                match item_of(text) {
                    Some(item) => mutants.push((number, item)),
                    None => self.unplaced.push(number),
                }
            }
            self.add(start..self.range(last).end, Shape::Iterator, mutants);
        } else {
            let mutants = self.take(Kind::Body, first);
            self.add(start..start, Shape::Body, owned(mutants));
        }
    }
}

/// The item that the iterator `text` yields, as an option. `None` if it is another iterator, or one of references: those hardly
/// ever compile, and the compiler blames the signature.
fn item_of(text: &str) -> Option<String> {
    if text == "::std::iter::empty()" {
        return Some("None".to_owned());
    }
    let item = text.strip_prefix("::std::iter::once(")?.strip_suffix(')')?;
    (!item.contains("Box::leak")).then(|| format!("Some({item})"))
}

fn owned(mutants: Vec<(Number, &str)>) -> Vec<(Number, String)> {
    mutants.into_iter().map(|(number, text)| (number, text.to_owned())).collect()
}

/// Whether a condition contains `let`, so that it cannot be an expression of its own.
fn binds(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => binds(&binary.left) || binds(&binary.right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        if !binds(&binary.left) && !binds(&binary.right) {
            let (whole, op) = (self.range(binary), self.range(&binary.op));
            let mutants = self.take(Kind::Binary, &binary.op).into_iter();
            let changed = |text: &str| {
                format!("{}{text}{}", &self.source[whole.start..op.start], &self.source[op.end..whole.end])
            };
            let mutants = mutants.map(|(number, text)| (number, changed(text))).collect();
            self.add(whole, Shape::Expression, mutants);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let without = self.source[self.range(&unary.expr)].to_owned();
        let mutants =
            self.take(Kind::Unary, &unary.op).into_iter().map(|(number, _)| (number, without.clone())).collect();
        self.add(self.range(unary), Shape::Expression, mutants);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_match(&mut self, whole: &'ast syn::ExprMatch) {
        // An arm can be removed only if another one takes all values.
        let takes_all = |arm: &syn::Arm| arm.guard.is_none() && matches!(arm.pat, syn::Pat::Wild(_));
        let may_go = whole.arms.iter().any(takes_all);
        for arm in &whole.arms {
            let mut mutants = Vec::new();
            if may_go {
                let gone = self.take(Kind::Arm, arm).into_iter();
                mutants.extend(gone.map(|(number, _)| (number, "false".to_owned())));
            }
            if let Some((_, guard)) = &arm.guard {
                mutants.extend(owned(self.take(Kind::Guard, guard)));
                self.add(self.range(guard), Shape::Expression, mutants);
            } else {
                let end = self.range(&arm.pat).end;
                self.add(end..end, Shape::Arm, mutants);
            }
        }
        visit::visit_expr_match(self, whole);
    }

    fn visit_expr_struct(&mut self, whole: &'ast syn::ExprStruct) {
        let range = self.range(whole);
        let mut mutants = Vec::new();
        for pair in whole.fields.pairs() {
            let field = self.range(pair.value());
            let end = pair.punct().map_or(field.end, |comma| self.range(comma).end);
            for (number, _) in self.take(Kind::Field, pair.value()) {
                mutants.push((
                    number,
                    format!("{}{}", &self.source[range.start..field.start], &self.source[end..range.end]),
                ));
            }
        }
        self.add(range, Shape::Expression, mutants);
        visit::visit_expr_struct(self, whole);
    }
}

struct Output<'a> {
    source: &'a str,
    text: String,
    line: usize,
    lines: BTreeMap<usize, BTreeSet<Number>>,
    places: Vec<(Range<usize>, BTreeSet<Number>)>,
}

impl Output<'_> {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.line += text.matches('\n').count();
    }

    /// Copies the text in `range`, with the changes of `sites`.
    fn copy(&mut self, range: Range<usize>, sites: &[Site]) {
        let mut done = range.start;
        let mut rest = sites;
        while let Some((site, after)) = rest.split_first() {
            self.push(&self.source[done..site.range.start]);
            let within = after.partition_point(|other| other.range.start < site.range.end);
            self.site(site, &after[..within]);
            done = site.range.end;
            rest = &after[within..];
        }
        self.push(&self.source[done..range.end]);
    }

    fn site(&mut self, site: &Site, within: &[Site]) {
        let numbers: BTreeSet<Number> = site.mutants.iter().map(|(number, _)| *number).collect();
        let list = numbers.iter().map(Number::to_string).collect::<Vec<_>>().join(", ");
        let place = self.places.len();
        self.places.push((self.line..self.line, numbers.clone()));
        let alive = format!("crate::mutant::alive(&[{list}])");
        match site.shape {
            Shape::Arm => {
                let (number, _) = site.mutants[0];
                self.push("\n");
                self.lines.insert(self.line, numbers);
                self.push(&format!("if {alive} != {number}\n"));
            }
            Shape::Body => {
                self.push("\n");
                self.lines.insert(self.line, numbers);
                self.push(&format!("match {alive} {{\n"));
                for (number, text) in &site.mutants {
                    self.arm(*number, &format!("{{ return {text}; }}"));
                }
                self.push("_ => {}\n}\n");
            }
            Shape::Iterator => {
                self.push("{\nlet it = {\n");
                self.copy(site.range.clone(), within);
                self.push("\n};\n");
                self.lines.insert(self.line, numbers);
                self.push(&format!(
                    "let alive = {alive};\nlet left = if [{list}].contains(&alive) {{ 0 }} else {{ usize::MAX }};\n"
                ));
                self.push("Iterator::chain(Iterator::take(it, left), match alive {\n");
                for (number, text) in &site.mutants {
                    self.arm(*number, text);
                }
                self.push("_ => None,\n})\n}");
            }
            Shape::Expression => {
                self.push("(\n");
                self.lines.insert(self.line, numbers);
                self.push(&format!("match {alive} {{\n"));
                for (number, text) in &site.mutants {
                    self.arm(*number, text);
                }
                self.push("_ => ");
                self.copy(site.range.clone(), within);
                self.push("\n})");
            }
        }
        self.places[place].0.end = self.line + 1;
    }

    fn arm(&mut self, number: Number, text: &str) {
        let first = self.line;
        self.push(&format!("{number} => {text}"));
        for line in first..=self.line {
            self.lines.entry(line).or_default().insert(number);
        }
        self.push(",\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Span;

    /// The mutants at these places of a file, in which each is found.
    fn instrumented(source: &str, mutants: &[(&str, usize, usize, &str)]) -> Instrumented {
        let mutant = |(genre, line, column, replacement): &(&str, usize, usize, &str)| Mutant {
            name: String::new(),
            file: "lib.rs".into(),
            genre: (*genre).to_owned(),
            replacement: (*replacement).to_owned(),
            span: Span { start: Place { line: *line, column: *column } },
        };
        let mutants: Vec<Mutant> = mutants.iter().map(mutant).collect();
        let numbered: Vec<(Number, &Mutant)> = (1..).zip(&mutants).collect();
        let made = instrument(source, &numbered, &BTreeSet::new()).unwrap();
        assert!(made.unplaced.is_empty(), "{:?}", made.unplaced);
        made
    }

    /// What a program of these functions prints with each mutant alive, and first with none.
    fn outputs(source: &str, mutants: &[(&str, usize, usize, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let (file, program) = (folder.path().join("main.rs"), folder.path().join("main"));
        let text = instrumented(source, mutants).text + include_str!("runtime.rs");
        std::fs::write(&file, &text).unwrap();
        let mut rustc = std::process::Command::new("rustc");
        rustc.args(["--edition=2024", "--cap-lints=allow", "-o"]).arg(&program).arg(&file);
        let built = rustc.output().unwrap();
        assert!(built.status.success(), "{text}{}", String::from_utf8_lossy(&built.stderr));
        let run = |number: usize| {
            let output = std::process::Command::new(&program).env("SYNOD_MUTANT", number.to_string()).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        (0..=mutants.len()).map(run).collect()
    }

    #[test]
    fn each_mutant_is_alive_alone_and_does_what_is_said_of_it() {
        let source = "\
fn small(n: u32) -> bool {
    n < 3 && !(n == 1)
}
fn kind(n: u32) -> &'static str {
    match n {
        0 => \"none\",
        n if small(n) => \"small\",
        _ => \"large\",
    }
}
fn to(n: u32) -> impl Iterator<Item = u32> {
    let from = n - n;
    from..n
}
#[derive(Clone, Copy)]
struct Pair { a: u32, b: u32 }
fn main() {
    let base = Pair { a: 7, b: 7 };
    let pair = Pair { a: 1, ..base };
    print!(\"{} {} {} \", kind(0), kind(1), kind(2));
    println!(\"{} {} {}\", kind(3), to(4).sum::<u32>(), pair.a + pair.b);
}
";
        let outputs = outputs(
            source,
            &[
                ("FnValue", 2, 5, "true"),
                ("BinaryOperator", 2, 7, ">"),
                ("BinaryOperator", 2, 11, "||"),
                ("UnaryOperator", 2, 14, ""),
                ("MatchArm", 6, 9, ""),
                ("MatchArm", 7, 9, ""),
                ("MatchArmGuard", 7, 14, "true"),
                ("FnValue", 12, 5, "::std::iter::empty()"),
                ("FnValue", 12, 5, "::std::iter::once(1)"),
                ("StructField", 19, 23, ""),
            ],
        );
        let expected = [
            "none large small large 6 8",
            "none small small small 6 8",
            "none large large large 6 8",
            "none small small small 6 8",
            "none small large large 6 8",
            "small large small large 6 8",
            "none large large large 6 8",
            "none small small small 6 8",
            "none large small large 0 8",
            "none large small large 1 8",
            "none large small large 6 14",
        ];
        assert_eq!(outputs, expected);
    }

    #[test]
    fn an_error_of_the_compiler_is_blamed_on_the_mutants_of_its_line() {
        let source = "fn sum(a: u32, b: u32) -> u32 {\n    a + b\n}\n";
        let made = instrumented(source, &[("BinaryOperator", 2, 7, "-"), ("FnValue", 2, 5, "Default::default()")]);
        for (line, text) in (1..).zip(made.text.lines()) {
            let expected: &[Number] = match text {
                _ if text.contains("a - b") => &[1],
                _ if text.contains("return Default::default()") => &[2],
                _ => continue,
            };
            assert_eq!(made.blamed(line).map(|of| Vec::from_iter(of.iter().copied())).unwrap(), expected, "{text}");
        }
    }
}
