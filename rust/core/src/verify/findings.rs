//! What a verification found, in memory that does not grow with the damage.

/// So many findings are kept; the others are counted.
pub const MAX_FINDINGS: usize = 1000;

/// What a finding is about, and so what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// The log is damaged: events are lost or cannot be trusted.
    Log,
    /// A batch is in the log although an event breaks a condition under which it was appended (I4).
    Condition,
    /// The index is damaged or differs from the log. Nothing is lost: it can be made again from the log (I7).
    Index,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// The file's name within the store.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The first position that is concerned, if any is.
    pub position: Option<u64>,
    /// What was found there.
    pub what: String,
}

/// The findings so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Finding>,
    count: u64,
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        self.count += 1;
        if self.kept.len() < MAX_FINDINGS {
            self.kept.push(finding);
        }
    }

    pub(crate) fn log(&mut self, file: &str, offset: u64, position: Option<u64>, what: impl Into<String>) {
        let (kind, file, what) = (FindingKind::Log, file.to_owned(), what.into());
        self.add(Finding { kind, file, offset, position, what });
    }

    pub(super) fn index(&mut self, file: &str, offset: u64, position: Option<u64>, what: impl Into<String>) {
        let (kind, file, what) = (FindingKind::Index, file.to_owned(), what.into());
        self.add(Finding { kind, file, offset, position, what });
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.kept)
    }
}

/// "events 3 to 5", as the subject of a sentence with this verb for one or for several; `None` if there is none.
pub(super) fn events(first: u64, next: u64, [one, several]: [&str; 2]) -> Option<String> {
    match next.checked_sub(first)? {
        0 => None,
        1 => Some(format!("event {first} {one}")),
        _ => Some(format!("events {first} to {} {several}", next - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_to_keep_is_counted() {
        let mut findings = Findings::default();
        for offset in 0..MAX_FINDINGS as u64 + 5 {
            findings.log("a.log", offset, None, "bad");
        }
        assert_eq!(findings.count(), MAX_FINDINGS as u64 + 5);
        let kept = findings.take();
        assert_eq!((kept.len(), kept[MAX_FINDINGS - 1].offset), (MAX_FINDINGS, MAX_FINDINGS as u64 - 1));
    }

    #[test]
    fn events_are_named_from_the_first_to_the_last() {
        let named = |first, next| events(first, next, ["is", "are"]);
        assert_eq!(named(3, 3), None);
        assert_eq!(named(4, 3), None);
        assert_eq!(named(3, 4).as_deref(), Some("event 3 is"));
        assert_eq!(named(3, 6).as_deref(), Some("events 3 to 5 are"));
    }
}
