//! Numbers for disk operations, and the names of this session's files.

use crate::io::{Area, FileId, FileKind, Ticket};
use crate::types::SessionId;

/// The counter of one copy.
#[derive(Clone, Debug)]
pub(super) struct Tickets {
    session: SessionId,
    next: u64,
}

impl Tickets {
    pub fn new(session: SessionId) -> Self {
        Tickets { session, next: 0 }
    }
    pub fn next(&mut self) -> (u64, Ticket) {
        self.next += 1;
        (self.next, Ticket::new(self.session, Area::Copy, self.next))
    }
    pub fn file(&self, kind: FileKind) -> FileId {
        FileId { session: self.session, kind }
    }
}

/// The next number only has to be new. [`crate::canon`]
impl std::hash::Hash for Tickets {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.session.hash(state);
    }
}
