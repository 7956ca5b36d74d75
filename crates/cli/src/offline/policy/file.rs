//! A policy file, read and compiled, and what is wrong with it as people and programs read it.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

use alloy_primitives::Address;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use quorate_policy_file::{Compiled, Facts, Format, Mistakes, Place, PolicyFile};
use quorate_protocol::PolicyCaveats;
use serde::Serialize;

use crate::clock::{self, now};
use crate::exit::Failure;
use crate::offline::Output;

/// The decimals of the tokens that a policy file names.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Decimals {
    /// The decimals of a token of the policy file, as USDC=6; may be given many times.
    #[arg(long = "decimals", value_name = "TOKEN=DECIMALS", requires = "file", value_parser = decimals)]
    decimals: Vec<(String, u8)>,
}

fn decimals(text: &str) -> Result<(String, u8), &'static str> {
    let parts = text.split_once('=').and_then(|(name, number)| Some((name.to_owned(), number.parse().ok()?)));
    parts.ok_or("give a token's name and its decimals, as USDC=6")
}

/// A policy file's text and what was read.
pub(crate) struct ReadFile {
    pub(crate) file: PolicyFile,
    text: String,
    facts: Facts,
    output: Output,
}

impl ReadFile {
    /// Reads the file at `path`.
    pub(crate) fn open(path: &Path, decimals: &Decimals, output: Output) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::bad_input(format!("{name} cannot be read: {error}")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        let format = match path.extension().is_some_and(|it| it.eq_ignore_ascii_case("json")) {
            true => Format::Json,
            false => Format::Toml,
        };
        let file =
            PolicyFile::parse(&name, &text, format).map_err(|mistakes| ended(&mistakes, &text, output))?;
        let facts = Facts { decimals: by_address(&file, decimals)?, now: clock::known() };
        Ok(Self { file, text, facts, output })
    }

    /// The tokens whose decimals neither the file nor the command line says.
    pub(crate) fn tokens_without_decimals(&self) -> Vec<Address> {
        let open = self.file.tokens().filter(|token| token.decimals.is_none());
        open.map(|token| token.address).filter(|token| !self.facts.decimals.contains_key(token)).collect()
    }

    /// Notes how many decimals a token has.
    pub(crate) fn note_decimals(&mut self, token: Address, decimals: u8) {
        self.facts.decimals.insert(token, decimals);
    }

    /// Compiles it with the decimals of the command line and the clock.
    pub(crate) fn compile(&self) -> Result<Compiled<'_>, Failure> {
        self.file.compile(&self.facts).map_err(|mistakes| ended(&mistakes, &self.text, self.output))
    }

    /// What it becomes where a delegation holds it.
    pub(crate) fn caveats(&self, compiled: &Compiled<'_>) -> Result<PolicyCaveats, Failure> {
        compiled.caveats(now()).map_err(|mistakes| ended(&mistakes, &self.text, self.output))
    }

    /// The place for programs.
    pub(super) fn place(&self, place: &Place) -> WrittenPlace {
        WrittenPlace::new(place, &self.text)
    }
}

fn by_address(file: &PolicyFile, given: &Decimals) -> Result<BTreeMap<Address, u8>, Failure> {
    let find = |(name, decimals): &(String, u8)| match file.tokens().find(|token| token.name == name) {
        Some(token) => Ok((token.address, *decimals)),
        None => {
            Err(Failure::bad_input(format!("--decimals {name}={decimals}: the file has no token {name}")))
        }
    };
    given.decimals.iter().map(find).collect()
}

/// A place in a file, as editors count it too.
#[derive(Serialize)]
pub(super) struct WrittenPlace {
    /// Bytes.
    offset: usize,
    len: usize,
    /// From 1.
    line: usize,
    /// Characters, from 1.
    column: usize,
}

impl WrittenPlace {
    fn new(place: &Place, text: &str) -> Self {
        let before = text.get(..place.offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count() + 1;
        Self { offset: place.offset, len: place.len, line: before.matches('\n').count() + 1, column }
    }
}

#[derive(Serialize)]
struct WrittenMistakes {
    mistakes: Vec<WrittenMistake>,
}

#[derive(Serialize)]
struct WrittenMistake {
    mistake: &'static str,
    text: String,
    help: Option<String>,
    /// First the place to change.
    places: Vec<WrittenPlace>,
}

/// Drawn for people; on stdout for programs.
fn ended(mistakes: &Mistakes, text: &str, output: Output) -> Failure {
    if !output.is_json() {
        return Failure::bad_input(drawn(mistakes, &std::io::stderr())).drawn();
    }
    let written = mistakes.as_slice().iter().map(|mistake| WrittenMistake {
        mistake: mistake.kind().name(),
        text: mistake.to_string(),
        help: mistake.help().map(|help| help.to_string()),
        places: mistake.places().iter().map(|place| WrittenPlace::new(place, text)).collect(),
    });
    let answer = WrittenMistakes { mistakes: written.collect() };
    match output.write(&answer, |_| String::new()) {
        Ok(()) => Failure::bad_input(String::new()).drawn(),
        Err(error) => Failure::bad_input(format!("{error:#}")),
    }
}

/// Columns, so that what is drawn does not depend on the terminal.
const WIDTH: usize = 100;

/// A diagnostic as lines for people, in colours where they go to a terminal.
pub(super) fn drawn(diagnostic: &dyn Diagnostic, to: &impl IsTerminal) -> String {
    let in_colour = to.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let theme = if in_colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
    let mut text = String::new();
    match handler.render_report(&mut text, diagnostic) {
        Ok(()) => text,
        Err(_) => diagnostic.to_string(),
    }
}
