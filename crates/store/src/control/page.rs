//! Keyset pages: a list goes on after the last key seen, whatever was added meanwhile.

use crate::error::{Result, StoreError};

/// Most rows of a page.
pub const PAGE_SIZE_MAX: u32 = 1000;

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// Goes on after this key; `None` = from the beginning.
    pub after: Option<K>,
    /// At most so many rows, 1 to [`PAGE_SIZE_MAX`].
    pub size: u32,
}

impl<K> PageRequest<K> {
    /// The first page. Errors: [`StoreError::Invalid`] when the size is out of bounds.
    pub fn first(size: u32) -> Result<Self> {
        Self::new(None, size)
    }

    /// A page. Errors: [`StoreError::Invalid`] when the size is out of bounds.
    pub fn new(after: Option<K>, size: u32) -> Result<Self> {
        if !(1..=PAGE_SIZE_MAX).contains(&size) {
            let what = format!("a page has 1 to {PAGE_SIZE_MAX} rows, not {size}");
            return Err(StoreError::Invalid { what });
        }
        Ok(Self { after, size })
    }

    /// Rows to ask for: one more than wanted tells whether there is a next page.
    pub(super) fn limit(&self) -> u32 {
        self.size + 1
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, K> {
    /// Its rows.
    pub items: Vec<T>,
    /// Where the next page goes on; `None` = this is the last.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// From the rows of a statement that was asked for [`PageRequest::limit`].
    pub(super) fn cut(mut rows: Vec<T>, size: u32, key: impl Fn(&T) -> K) -> Self {
        let more = rows.len() > size as usize;
        rows.truncate(size as usize);
        let next = if more { rows.last().map(key) } else { None };
        Self { items: rows, next }
    }
}
