//! The reference model: a list and one predicate.

use counterpoint::{AppendCondition, Event, Query, ReadOptions};

#[derive(Debug, Default, Clone)]
pub struct Model {
    pub events: Vec<Event>,
}

impl Model {
    pub fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// The last position, or all pairs of condition and position that conflict.
    pub fn append(
        &mut self,
        events: &[Event],
        conditions: &[AppendCondition],
    ) -> Result<u64, Vec<(usize, u64)>> {
        let mut conflicts = Vec::new();
        for (number, condition) in conditions.iter().enumerate() {
            let options = ReadOptions { after: condition.after, ..ReadOptions::default() };
            let found = self.read(&condition.query, options);
            conflicts.extend(found.into_iter().map(|(position, _)| (number, position)));
        }
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        self.events.extend_from_slice(events);
        Ok(self.head())
    }

    pub fn read(&self, query: &Query, options: ReadOptions) -> Vec<(u64, Event)> {
        let in_range = |position| position > options.after && position <= options.until.unwrap_or(u64::MAX);
        let mut found: Vec<(u64, Event)> = (1..)
            .zip(&self.events)
            .filter(|(position, event)| in_range(*position) && query.matches(&event.view()))
            .map(|(position, event)| (position, event.clone()))
            .collect();
        if options.reverse {
            found.reverse();
        }
        found.truncate(options.limit.map_or(usize::MAX, |limit| limit as usize));
        found
    }
}
