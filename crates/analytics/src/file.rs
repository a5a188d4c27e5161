//! One Parquet file: rows in, column by column. `merge` makes one of several.

use std::io::Write;
use std::sync::Arc;

use engine::captured::CapturedIncentive;
use parquet::basic::Compression;
use parquet::data_type::{
    ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::ColumnPath;

use crate::columns::{COLUMNS, Cell, Column, Kind, schema};

/// Rows that are encoded together: what a reader can leave out, and what we hold at a time.
pub(crate) const GROUP_ROWS: usize = 65_536;
/// No two rows have the same; a dictionary of them would be the column again.
const WITHOUT_DICTIONARY: [&str; 2] = ["incentive_id", "event_id"];

/// The values of a column that are there, as Parquet takes them.
pub(crate) enum Values {
    Text(Vec<ByteArray>),
    Int(Vec<i32>),
    Long(Vec<i64>),
    Amount(Vec<FixedLenByteArray>),
}

/// A part of a column.
pub(crate) struct Chunk {
    pub values: Values,
    /// 1 for each value that is there, 0 for each that is not; empty where all must be.
    pub levels: Vec<i16>,
}

impl Chunk {
    pub fn new(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Text => Values::Text(Vec::new()),
            Kind::Int | Kind::Day => Values::Int(Vec::new()),
            Kind::Long | Kind::Instant => Values::Long(Vec::new()),
            Kind::Amount => Values::Amount(Vec::new()),
        };
        Self { values, levels: Vec::new() }
    }

    /// A column of these rows.
    fn of(column: &Column, rows: &[CapturedIncentive]) -> Result<Self, ParquetError> {
        let mut chunk = Self::new(column);
        for row in rows {
            let cell = (column.cell)(row);
            if column.optional {
                chunk.levels.push(i16::from(!matches!(cell, Cell::Null)));
            }
            match (&mut chunk.values, cell) {
                (_, Cell::Null) if column.optional => {}
                (Values::Text(all), Cell::Text(text)) => {
                    all.push(ByteArray::from(text.into_owned().into_bytes()));
                }
                (Values::Int(all), Cell::Int(value)) => all.push(value),
                (Values::Long(all), Cell::Long(value)) => all.push(value),
                (Values::Amount(all), Cell::Amount(value)) => {
                    all.push(FixedLenByteArray::from(value.to_be_bytes().to_vec()));
                }
                _ => {
                    let what = format!("the column {} was given another kind", column.name);
                    return Err(ParquetError::General(what));
                }
            }
        }
        Ok(chunk)
    }

    fn write(
        &self,
        to: &mut SerializedColumnWriter<'_>,
        optional: bool,
    ) -> Result<(), ParquetError> {
        let levels = optional.then_some(self.levels.as_slice());
        match &self.values {
            Values::Text(all) => to.typed::<ByteArrayType>().write_batch(all, levels, None)?,
            Values::Int(all) => to.typed::<Int32Type>().write_batch(all, levels, None)?,
            Values::Long(all) => to.typed::<Int64Type>().write_batch(all, levels, None)?,
            Values::Amount(all) => {
                to.typed::<FixedLenByteArrayType>().write_batch(all, levels, None)?
            }
        };
        Ok(())
    }
}

/// A file that is being written.
pub(crate) struct Writing<W: Write + Send>(SerializedFileWriter<W>);

impl<W: Write + Send> Writing<W> {
    pub fn new(to: W) -> Result<Self, ParquetError> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(concat!("incent ", env!("CARGO_PKG_VERSION")).to_owned());
        for column in WITHOUT_DICTIONARY {
            let column = ColumnPath::from(column);
            properties = properties.set_column_dictionary_enabled(column, false);
        }
        let (schema, properties) = (Arc::new(schema()?), Arc::new(properties.build()));
        Ok(Self(SerializedFileWriter::new(to, schema, properties)?))
    }

    /// Writes a group of rows, each column of which is given when it is its turn, so that no more
    /// than one is held.
    pub fn group(
        &mut self,
        mut chunk_of: impl FnMut(usize, &Column) -> Result<Chunk, ParquetError>,
    ) -> Result<(), ParquetError> {
        let mut group = self.0.next_row_group()?;
        for (n, column) in COLUMNS.iter().enumerate() {
            let chunk = chunk_of(n, column)?;
            let Some(mut to) = group.next_column()? else {
                return Err(ParquetError::General(format!("no place for {}", column.name)));
            };
            chunk.write(&mut to, column.optional)?;
            to.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// Writes the end of the file.
    pub fn finish(self) -> Result<(), ParquetError> {
        self.0.close().map(|_| ())
    }
}

/// Writes a whole file.
pub(crate) fn write(rows: &[CapturedIncentive], to: impl Write + Send) -> Result<(), ParquetError> {
    let mut writing = Writing::new(to)?;
    for rows in rows.chunks(GROUP_ROWS) {
        writing.group(|_, column| Chunk::of(column, rows))?;
    }
    writing.finish()
}
