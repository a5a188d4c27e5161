//! Several small files become one: which, and how.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Write;

use parquet::column::reader::ColumnReader;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::columns::Column;
use crate::file::{Chunk, GROUP_ROWS, Values, Writing};
use crate::manifest::LandedFile;

/// So many files of about the same size in one day become one.
pub(crate) const FILES: usize = 8;
/// Rows of a file that is made of others, at most. Files of half as many are left alone.
pub(crate) const ROWS_MAX: u64 = 1_000_000;

/// Which files of a day should become one: the oldest of those of a size, where there are enough.
/// A file's size is its order of magnitude in eights, so each row is written again once for each
/// of those and no more. What is left of a day at its end is at most `FILES - 1` files of each.
pub(crate) fn due<'a>(day: impl Iterator<Item = &'a LandedFile> + Clone) -> Option<Vec<&'a str>> {
    let size = |file: &LandedFile| file.rows.max(1).ilog(FILES as u64);
    let small = day.filter(|file| file.rows <= ROWS_MAX / 2);
    let sizes = 0..=ROWS_MAX.ilog(FILES as u64);
    sizes.into_iter().find_map(|wanted| {
        let same: Vec<&LandedFile> = small.clone().filter(|file| size(file) == wanted).collect();
        let mut rows = 0;
        let fits = |file: &&&LandedFile| {
            rows += file.rows;
            rows <= ROWS_MAX
        };
        let chosen = same.iter().take(FILES).take_while(fits).map(|file| file.path.as_str());
        (same.len() >= FILES).then(|| chosen.collect())
    })
}

/// Writes the rows of all these files into one, in their order. Holds one column of one group of
/// rows at a time.
pub(crate) fn merge(from: Vec<File>, to: impl Write + Send) -> Result<(), ParquetError> {
    let readers: Vec<_> =
        from.into_iter().map(SerializedFileReader::new).collect::<Result<_, _>>()?;
    let mut writing = Writing::new(to)?;
    for groups in together(&readers)? {
        writing.group(|n, column| {
            let mut chunk = Chunk::new(column);
            for (file, group) in &groups {
                let reader = readers[*file].get_row_group(*group)?;
                let rows = usize::try_from(reader.metadata().num_rows())?;
                read(column, reader.get_column_reader(n)?, rows, &mut chunk)?;
            }
            Ok(chunk)
        })?;
    }
    writing.finish()
}

/// The groups of rows of all files, by file and number, put together to groups of a good size.
fn together(
    readers: &[SerializedFileReader<File>],
) -> Result<Vec<Vec<(usize, usize)>>, ParquetError> {
    let mut all: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut rows = GROUP_ROWS;
    for (file, reader) in readers.iter().enumerate() {
        for group in 0..reader.num_row_groups() {
            if rows >= GROUP_ROWS {
                rows = 0;
                all.push(Vec::new());
            }
            rows += usize::try_from(reader.metadata().row_group(group).num_rows())?;
            if let Some(last) = all.last_mut() {
                last.push((file, group));
            }
        }
    }
    Ok(all)
}

/// Reads so many rows of a column, behind those that are read already.
fn read(
    column: &Column,
    from: ColumnReader,
    rows: usize,
    chunk: &mut Chunk,
) -> Result<(), ParquetError> {
    let levels = column.optional.then_some(&mut chunk.levels);
    let (read, _, _) = match (from, &mut chunk.values) {
        (ColumnReader::ByteArrayColumnReader(mut from), Values::Text(all)) => {
            from.read_records(rows, levels, None, all)?
        }
        (ColumnReader::Int32ColumnReader(mut from), Values::Int(all)) => {
            from.read_records(rows, levels, None, all)?
        }
        (ColumnReader::Int64ColumnReader(mut from), Values::Long(all)) => {
            from.read_records(rows, levels, None, all)?
        }
        (ColumnReader::FixedLenByteArrayColumnReader(mut from), Values::Amount(all)) => {
            from.read_records(rows, levels, None, all)?
        }
        _ => {
            let what = format!("the column {} is of another kind", column.name);
            return Err(ParquetError::General(what));
        }
    };
    if read == rows {
        return Ok(());
    }
    let what = format!("the column {} ends after {read} of {rows} rows", column.name);
    Err(ParquetError::General(what))
}
