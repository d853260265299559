//! From files to directives: conditions, includes, variables and macros are followed, as Apache does while it reads.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directive::Directive;
use super::files::Files;
use super::lexer::{self, Line};
use super::macros::{Macro, Macros};
use super::modules::Modules;
use super::place::Place;
use super::report::{Fate, Report};
use super::variables::Variables;

mod condition;
mod include;
mod section;

use section::Open;

/// The most that is read, in bytes over all files.
const MOST_BYTES: usize = 32 << 20;

/// The most lines, those that macros make included.
const MOST_LINES: usize = 200_000;

/// How deep files include files, and macros use macros.
const DEEPEST: usize = 20;

/// How deep sections are nested.
const DEEPEST_SECTION: usize = 50;

/// The most parameters of a macro.
const MOST_PARAMETERS: usize = 100;

/// What files say, with nothing left to follow.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) directives: Vec<Directive>,
    /// What relative files are relative to.
    pub(crate) server_root: PathBuf,
    /// The files that were read, or could not be.
    pub(crate) files: Vec<PathBuf>,
    /// The folders whose files were looked for by a pattern.
    pub(crate) folders: Vec<PathBuf>,
}

/// Reads one file after the other.
struct Reader<'a> {
    files: &'a dyn Files,
    report: &'a mut Report,
    variables: Variables,
    modules: Modules,
    macros: Macros,
    server_root: PathBuf,
    /// The folder of the first file: places are named from there.
    base: PathBuf,
    tree: Vec<Directive>,
    open: Vec<Open>,
    /// A macro that is being defined.
    unfinished: Option<(String, Macro)>,
    /// The files that are being read, the last one innermost.
    stack: Vec<PathBuf>,
    read: Vec<PathBuf>,
    listed: Vec<PathBuf>,
    /// Variables that are not defined, and where they were first wanted.
    missing: BTreeMap<String, Place>,
    /// Conditions that did not hold for want of a module of ours.
    absent: HashMap<String, Place>,
    bytes: usize,
    lines: usize,
    /// How deep macros are used.
    uses: usize,
    next_id: u32,
    is_over: bool,
}

/// Reads the file, and all that it includes.
pub(crate) fn read(
    file: &Path,
    files: &dyn Files,
    variables: Variables,
    report: &mut Report,
) -> Tree {
    let base = file.parent().map_or_else(PathBuf::new, Path::to_owned);
    let mut reader = Reader {
        files,
        report,
        variables,
        modules: Modules::default(),
        macros: Macros::new(),
        server_root: base.clone(),
        base,
        tree: Vec::new(),
        open: Vec::new(),
        unfinished: None,
        stack: Vec::new(),
        read: Vec::new(),
        listed: Vec::new(),
        missing: BTreeMap::new(),
        absent: HashMap::new(),
        bytes: 0,
        lines: 0,
        uses: 0,
        next_id: 0,
        is_over: false,
    };
    if let Err(reason) = reader.file(file) {
        let name = file.display();
        let text = format!("{name}: {reason}");
        reader.report.tell_all(Fate::Refused, None, text);
    }
    reader.tell_missing();
    Tree {
        directives: reader.tree,
        server_root: reader.server_root,
        files: reader.read,
        folders: reader.listed,
    }
}

impl Reader<'_> {
    /// Reads a file where the one stands that includes it.
    fn file(&mut self, path: &Path) -> Result<(), String> {
        if self.stack.iter().any(|open| open == path) {
            return Err("it includes itself".to_owned());
        }
        if self.stack.len() >= DEEPEST {
            return Err(format!("more than {DEEPEST} files include each other"));
        }
        if !self.read.iter().any(|known| known == path) {
            self.read.push(path.to_owned());
        }
        let bytes = self.files.read(path).map_err(|error| error.to_string())?;
        self.bytes += bytes.len();
        if self.bytes > MOST_BYTES {
            self.is_over = true;
            return Err(format!("more than {} MiB in all", MOST_BYTES >> 20));
        }
        let text = String::from_utf8_lossy(&bytes);
        let name = path.strip_prefix(&self.base).unwrap_or(path);
        let name: Arc<str> = name.to_string_lossy().into();
        self.stack.push(path.to_owned());
        let floor = self.open.len();
        for line in lexer::lines(&text) {
            self.line(&line, &name, floor);
        }
        self.close_down_to(floor, &name);
        self.stack.pop();
        Ok(())
    }

    /// Reads a line. `floor`: so many sections were open before what is read began, and it cannot close them.
    fn line(&mut self, line: &Line, file: &Arc<str>, floor: usize) {
        if self.is_over {
            return;
        }
        let place = Place {
            file: file.clone(),
            line: line.number,
        };
        self.lines += 1;
        if self.lines > MOST_LINES {
            self.is_over = true;
            let text = format!("more than {MOST_LINES} lines: what follows is not read");
            self.report.tell_all(Fate::Refused, Some(place), text);
            return;
        }
        if self.is_taken_by_macro(line) {
            return;
        }
        let mut rest = &*line.text;
        let Some(name) = lexer::word(&mut rest) else {
            return;
        };
        if let Some(closed) = name.strip_prefix("</") {
            let closed = closed.trim_end_matches('>').to_ascii_lowercase();
            self.close(&closed, floor, place);
        } else if self.is_skipping() {
            if let Some(name) = name.strip_prefix('<') {
                self.open_skipped(name);
            }
        } else {
            let directive = self.directive(&name, rest, place);
            self.take(directive);
        }
    }

    /// A directive with its variables replaced.
    fn directive(&mut self, name: &str, rest: &str, place: Place) -> Directive {
        let is_section = name.starts_with('<');
        let (name, rest) = match (is_section, name.strip_suffix('>')) {
            (true, Some(name)) => (name, ""),
            (true, None) => (
                name,
                rest.rsplit_once('>').map_or(rest, |(inside, _)| inside),
            ),
            (false, _) => (name, rest),
        };
        let mut missing = Vec::new();
        let words = lexer::words(rest);
        let words = words.iter();
        let words = words.map(|word| self.variables.replace(word, &mut Vec::new()));
        let words = words.collect();
        let text = self.variables.replace(rest.trim(), &mut missing);
        for name in missing {
            if self.missing.len() < 100 {
                self.missing.entry(name).or_insert_with(|| place.clone());
            }
        }
        self.next_id += 1;
        Directive {
            id: self.next_id,
            place,
            name: name.to_owned(),
            key: name.to_ascii_lowercase(),
            text,
            words,
            children: Vec::new(),
        }
    }

    /// Does what has to be done while reading, or keeps the directive.
    fn take(&mut self, directive: Directive) {
        if directive.text.contains('\u{fffd}') {
            let text = "is not UTF-8: write the file in UTF-8";
            return self.report.refused(&directive, text);
        }
        match &*directive.key {
            "include" | "includeoptional" => self.include(&directive),
            "define" => self.variables.define(directive.word(0), directive.word(1)),
            "undefine" => self.variables.undefine(directive.word(0)),
            "loadmodule" => {
                self.modules.load(directive.word(0));
                self.report.meaningless(&directive);
            }
            "serverroot" => self.server_root = self.base.join(directive.word(0)),
            "error" => self.report.refused(&directive, "says so itself"),
            "use" => self.use_macro(&directive),
            "undefmacro" => {
                let name = directive.word(0).to_ascii_lowercase();
                self.macros.remove(&name);
            }
            "<macro" => self.begin_macro(&directive),
            key if key.starts_with('<') => self.open(directive),
            _ => self.keep(directive),
        }
    }

    fn begin_macro(&mut self, directive: &Directive) {
        let mut words = directive.words.iter();
        let name = words.next().map(|name| name.to_ascii_lowercase());
        let parameters: Vec<_> = words.cloned().collect();
        if parameters.len() > MOST_PARAMETERS {
            let text = format!("has more than {MOST_PARAMETERS} parameters");
            self.report.refused(directive, text);
        }
        let made = Macro {
            parameters: parameters.into_iter().take(MOST_PARAMETERS).collect(),
            lines: Vec::new(),
            file: directive.place.file.clone(),
        };
        self.unfinished = Some((name.unwrap_or_default(), made));
    }

    /// Whether the line belongs to a macro that is being defined.
    fn is_taken_by_macro(&mut self, line: &Line) -> bool {
        let Some((name, mut made)) = self.unfinished.take() else {
            return false;
        };
        let is_end = line.text.get(..7);
        if is_end.is_some_and(|end| end.eq_ignore_ascii_case("</macro")) {
            self.macros.insert(name, made);
        } else {
            made.lines.push(Line {
                number: line.number,
                text: line.text.clone(),
            });
            self.unfinished = Some((name, made));
        }
        true
    }

    fn use_macro(&mut self, directive: &Directive) {
        let name = directive.word(0).to_ascii_lowercase();
        let Some(used) = self.macros.get(&name).cloned() else {
            return self.report.refused(directive, "there is no such macro");
        };
        let arguments = directive.words.get(1..).unwrap_or_default();
        if arguments.len() != used.parameters.len() {
            let (wanted, given) = (used.parameters.len(), arguments.len());
            let text = format!("the macro has {wanted} parameters, and here are {given}");
            return self.report.refused(directive, text);
        }
        if self.uses >= DEEPEST {
            let text = format!("more than {DEEPEST} macros use each other");
            return self.report.refused(directive, text);
        }
        self.uses += 1;
        let floor = self.open.len();
        for line in &used.lines {
            match used.line(&line.text, arguments) {
                Some(text) => {
                    let line = Line {
                        number: line.number,
                        text,
                    };
                    self.line(&line, &used.file, floor);
                }
                None => self
                    .report
                    .refused(directive, "makes a line that is too long"),
            }
        }
        self.close_down_to(floor, &used.file);
        self.uses -= 1;
    }

    /// Tells of variables that are not defined, and of parts that wait for a module.
    fn tell_missing(&mut self) {
        for (name, place) in std::mem::take(&mut self.missing) {
            let text = format!(
                "${{{name}}} is not defined, and stays as it is written: `-D {name}=…` or the environment gives it a value"
            );
            self.report.tell_all(Fate::LeftOut, Some(place), text);
        }
        for (name, place) in std::mem::take(&mut self.absent) {
            let text = format!("what stands here is left out, since no LoadModule loads {name}");
            self.report.tell_all(Fate::LeftOut, Some(place), text);
        }
    }
}
