//! The route match: a tree of segments, searched most specific first, path and method together.

use super::{params::PathParams, path::decode_unreserved, template::Segment};
use http::Method;

/// A node of the tree; children are reached by exact segment, by variable, or greedily.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Sorted by segment; a binary search is immune to chosen keys.
    fixed: Vec<(Box<[u8]>, Node)>,
    variable: Option<Box<Node>>,
    greedy: Option<Vec<Verb>>,
    verbs: Vec<Verb>,
}

/// A verb of a resource and the index of its declaration; `None` is `ANY`.
pub(crate) type Verb = (Option<Method>, u32);

/// The seven verbs that `ANY` stands for.
pub(super) const ANY: [Method; 7] =
    [Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT];

/// Why a template does not fit beside the others.
pub(crate) const SECOND_VARIABLE: &str =
    "a sibling of this resource already has a variable path part -- only one is allowed";
pub(crate) const SAME_METHOD: &str = "the same path and method are declared twice";

impl Node {
    pub(crate) fn insert(&mut self, segments: &[Segment], verb: Verb) -> Result<(), &'static str> {
        match segments {
            [] => push_verb(&mut self.verbs, verb),
            [Segment::Greedy(_)] if self.variable.is_some() => Err(SECOND_VARIABLE),
            [Segment::Greedy(_), ..] => push_verb(self.greedy.get_or_insert_default(), verb),
            [Segment::Variable(_), ..] if self.greedy.is_some() => Err(SECOND_VARIABLE),
            [Segment::Variable(_), rest @ ..] => self.variable.get_or_insert_default().insert(rest, verb),
            [Segment::Static(text), rest @ ..] => self.fixed_child(text.as_bytes()).insert(rest, verb),
        }
    }

    fn fixed_child(&mut self, text: &[u8]) -> &mut Node {
        let at = match self.fixed.binary_search_by(|(key, _)| (**key).cmp(text)) {
            Ok(at) => at,
            Err(at) => {
                self.fixed.insert(at, (text.into(), Node::default()));
                at
            }
        };
        &mut self.fixed[at].1
    }

    /// Finds the most specific resource that has the method; `method` `None` asks for the path alone.
    ///
    /// `rest` is the path from this node on, without its leading slash; `None` when the path ends here.
    pub(crate) fn find(&self, search: &mut Search<'_>, rest: Option<usize>) -> Option<u32> {
        let Some(start) = rest else { return find_verb(&self.verbs, search.method) };
        let end = search.path[start..].find('/').map_or(search.path.len(), |slash| start + slash);
        let next = (end < search.path.len()).then_some(end + 1);
        self.find_fixed(search, start..end, next)
            .or_else(|| self.find_variable(search, start..end, next))
            .or_else(|| self.find_greedy(search, start))
    }

    fn find_fixed(
        &self,
        search: &mut Search<'_>,
        at: std::ops::Range<usize>,
        next: Option<usize>,
    ) -> Option<u32> {
        let segment = decode_unreserved(&search.path[at]);
        let index = self.fixed.binary_search_by(|(key, _)| (**key).cmp(&segment)).ok()?;
        self.fixed[index].1.find(search, next)
    }

    fn find_variable(
        &self,
        search: &mut Search<'_>,
        at: std::ops::Range<usize>,
        next: Option<usize>,
    ) -> Option<u32> {
        let child = self.variable.as_ref().filter(|_| !at.is_empty())?;
        let mark = search.params.len();
        search.params.push(at);
        let found = child.find(search, next);
        if found.is_none() {
            search.params.truncate(mark);
        }
        found
    }

    fn find_greedy(&self, search: &mut Search<'_>, start: usize) -> Option<u32> {
        let verbs = self.greedy.as_ref().filter(|_| start < search.path.len())?;
        let found = find_verb(verbs, search.method)?;
        search.params.push(start..search.path.len());
        Some(found)
    }
}

/// What is looked for, and the variables bound so far. `path` is without trailing slash.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) path: &'a str,
    pub(crate) method: Option<&'a Method>,
    pub(crate) params: PathParams,
}

fn push_verb(verbs: &mut Vec<Verb>, verb: Verb) -> Result<(), &'static str> {
    if verbs.iter().any(|(method, _)| *method == verb.0) {
        return Err(SAME_METHOD);
    }
    verbs.push(verb);
    Ok(())
}

/// An explicit method beats `ANY`; without a method any declaration of the resource will do.
fn find_verb(verbs: &[Verb], method: Option<&Method>) -> Option<u32> {
    let Some(method) = method else { return verbs.first().map(|verb| verb.1) };
    let explicit = verbs.iter().find(|(declared, _)| declared.as_ref() == Some(method));
    let any = || verbs.iter().find(|(declared, _)| declared.is_none() && ANY.contains(method));
    explicit.or_else(any).map(|verb| verb.1)
}
