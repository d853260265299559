//! What a client says by frames of any kind, by our engine and by h2's server: for tests, and for a fuzz target. Wherever the two
//! differ, the difference is one of those that are [listed](differences), each with its reason.

mod differences;
mod ours;
mod script;
mod theirs;

use std::collections::BTreeSet;
use std::fmt;

use self::ours::Ours;
use self::script::{Frame, Script};
use self::theirs::Theirs;

/// The preface, SETTINGS, and the answer to those of the server.
const BEGINNING: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";

type Pair = (Vec<u8>, Vec<u8>);

/// How a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    Whole,
    /// By a reset of either side.
    Broken,
}

/// A request that was told.
#[derive(Clone, PartialEq, Eq)]
struct Message {
    method: Vec<u8>,
    path: Vec<u8>,
    authority: Option<Vec<u8>>,
    fields: Vec<Pair>,
    body: Vec<u8>,
    trailers: Vec<Pair>,
    end: End,
}

impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, path) = (self.method.escape_ascii(), self.path.escape_ascii());
        write!(formatter, "{method} {path}")?;
        if let Some(authority) = &self.authority {
            write!(formatter, " at {}", authority.escape_ascii())?;
        }
        for (name, value) in self.fields.iter().chain(&self.trailers) {
            write!(
                formatter,
                " {}={}",
                name.escape_ascii(),
                value.escape_ascii()
            )?;
        }
        write!(formatter, " {} {:?}", self.body.escape_ascii(), self.end)
    }
}

impl Message {
    fn end_if(&mut self, ends: bool) {
        if ends {
            self.end = End::Whole;
        }
    }

    /// What is whole remains so.
    fn break_off(&mut self) {
        if self.end == End::Open {
            self.end = End::Broken;
        }
    }
}

/// Says a script to both, frame by frame; says how many requests were whole to both.
///
/// # Panics
/// They differ, and it is not known why.
pub(crate) fn compare(script: &[u8]) -> usize {
    let (mut ours, mut theirs) = (Ours::new(), Theirs::new(BEGINNING));
    ours.receive(BEGINNING);
    theirs.receive(&[]);
    // Streams of which it is known that they differ.
    let mut apart = BTreeSet::new();
    let mut said = Vec::new();
    for frame in Script::new(script) {
        let bytes = frame.bytes();
        ours.receive(&bytes);
        theirs.receive(&bytes);
        // The other does not read the block of a stream that depends on itself, so that its table is another from then on.
        if frame.is_circular() {
            break;
        }
        said.push(frame);
        match (ours.over, &theirs.over) {
            // The other judges fields of a block that is not whole.
            (None, None) if said.last().is_some_and(Frame::leaves_block_open) => {}
            (None, None) => compare_streams(&ours, &theirs, &said, &mut apart),
            (Some(_), Some(_)) => break,
            (Some(error), None) => {
                let is_known = differences::is_over_for_ours_alone(error, &theirs, &said);
                assert!(is_known, "over for ours alone, {error}: {said:#?}");
                break;
            }
            (None, Some(error)) => {
                let is_known = differences::is_over_for_theirs_alone(&mut ours, &theirs, &said);
                assert!(is_known, "over for theirs alone, {error}: {said:#?}");
                break;
            }
        }
    }
    let whole = ours.requests.iter().filter(|it| it.1.end == End::Whole);
    whole
        .filter(|it| theirs.requests.get(it.0) == Some(it.1))
        .count()
}

fn compare_streams(ours: &Ours, theirs: &Theirs, said: &[Frame], apart: &mut BTreeSet<u32>) {
    let all = ours.requests.keys().chain(ours.refused.keys());
    let all = all.chain(theirs.requests.keys()).chain(&theirs.refused);
    for number in all.copied().collect::<BTreeSet<_>>() {
        let (our, their) = (ours.requests.get(&number), theirs.requests.get(&number));
        if our == their || apart.contains(&number) {
            continue;
        }
        let is_known = match (our, their) {
            (Some(our), None) if differences::is_refused_by_theirs(our) => true,
            (Some(our), Some(their)) if differences::is_broken_by_theirs(our, their) => true,
            _ => {
                let violation = ours.refused.get(&number).copied();
                violation.is_some_and(differences::is_refused_by_ours)
            }
        };
        assert!(
            is_known,
            "{number}: {our:?} {:?}, theirs {their:?} {}: {said:#?}",
            ours.refused.get(&number),
            theirs.refused.contains(&number)
        );
        apart.insert(number);
    }
}
