//! stub
#![allow(dead_code, unused)]
use super::{Direction, Location, Tail};
use crate::query::Query;
use crate::storage::{MappedFile, StorageFile};
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;
pub(crate) const POINT_BYTES: usize = 64;
#[derive(Debug)]
pub(crate) struct Damaged {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
}
pub(crate) enum MergeError {
    Io(std::io::Error),
    Damaged(Damaged),
}
#[derive(Debug)]
pub(crate) struct Sealed;
impl Sealed {
    pub(crate) fn open(_: String, _: Arc<dyn MappedFile>, _: Uuid) -> Result<Self, Damaged> {
        unreachable!()
    }
    pub(crate) fn name(&self) -> &str {
        unreachable!()
    }
    pub(crate) fn bytes(&self) -> u64 {
        unreachable!()
    }
    pub(crate) fn positions(&self) -> RangeInclusive<u64> {
        unreachable!()
    }
    pub(crate) fn last_position(&self) -> u64 {
        unreachable!()
    }
    pub(crate) fn point(&self) -> &[u8; 64] {
        unreachable!()
    }
    pub(crate) fn event_count(&self) -> u32 {
        unreachable!()
    }
    pub(crate) fn type_names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
    pub(crate) fn matches(
        &self,
        _: &Query,
        _: RangeInclusive<u64>,
        _: Direction,
    ) -> Result<std::vec::IntoIter<Result<u64, Damaged>>, Damaged> {
        unreachable!()
    }
    pub(crate) fn location(&self, _: u64) -> Result<Location, Damaged> {
        unreachable!()
    }
}
pub(crate) fn file_name(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}.idx")
}
pub(crate) fn positions(_name: &str) -> Option<(u64, u64)> {
    None
}
pub(crate) fn build(_: &Tail, _: &[u8; 64], _: Uuid, _: &dyn StorageFile) -> std::io::Result<()> {
    unreachable!()
}
pub(crate) fn merge(_: &[Arc<Sealed>], _: &dyn StorageFile) -> Result<(), MergeError> {
    unreachable!()
}
