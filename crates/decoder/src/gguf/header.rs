//! Everything before the tensors' numbers.

use std::collections::BTreeMap;
use std::ops::Range;

use super::cursor::Cursor;
use super::form::Form;
use super::metadata::{Metadata, shown};
use crate::Error;

/// Longest name of a tensor, as the format says.
const LONGEST_NAME: usize = 64;
/// Most dimensions of a tensor, as the format says.
const MOST_DIMS: usize = 4;
/// Most tensors; a model of a thousand layers would have some ten thousand.
const MOST_TENSORS: usize = 65_536;
/// Bytes of the shortest description of a tensor: name length, dimension count, one dimension, form, offset.
const LEAST_TENSOR: usize = 8 + 4 + 8 + 4 + 8;
/// Where nothing is said, tensors start at multiples of this.
const DEFAULT_ALIGNMENT: usize = 32;
/// Largest alignment, a huge page.
const MOST_ALIGNMENT: usize = 2 << 20;

/// A file's header, every number of it checked.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) metadata: Metadata,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
}

/// Shape, form and place of one tensor. The place is inside the file and shared with no other tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Sizes with the fastest varying last, as in candle: `[rows, columns]` for a matrix.
    pub dims: Vec<usize>,
    /// How the numbers are stored.
    pub form: Form,
    /// Which of a model's files it is in.
    pub(crate) part: usize,
    /// Bytes of that file.
    pub(crate) range: Range<usize>,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != *b"GGUF" {
            return Err(Error::Malformed { what: "it does not begin with `GGUF`".into(), at: 0 });
        }
        match cursor.u32()? {
            2 | 3 => {}
            version if matches!(version.swap_bytes(), 2 | 3) => {
                return Err(Error::Unsupported("a big-endian GGUF file".into()));
            }
            version => return Err(Error::Unsupported(format!("GGUF version {version}"))),
        }
        let tensors = cursor.count("tensors", LEAST_TENSOR, MOST_TENSORS)?;
        let entries = Metadata::count_entries(&mut cursor)?;
        let metadata = Metadata::read(&mut cursor, entries)?;
        let alignment = alignment(&metadata)?;
        let tensors = read_tensors(&mut cursor, tensors, alignment)?;
        Ok(Self { metadata, tensors })
    }
}

fn alignment(metadata: &Metadata) -> Result<usize, Error> {
    let Some(alignment) = metadata.count("general.alignment")? else { return Ok(DEFAULT_ALIGNMENT) };
    match usize::try_from(alignment) {
        Ok(alignment) if alignment.is_power_of_two() && (8..=MOST_ALIGNMENT).contains(&alignment) => Ok(alignment),
        _ => Err(Error::Inconsistent(format!(
            "`general.alignment` is {alignment}, not a power of two from 8 to 2097152"
        ))),
    }
}

fn read_tensors(cursor: &mut Cursor, count: usize, alignment: usize) -> Result<BTreeMap<String, TensorInfo>, Error> {
    let mut tensors = BTreeMap::new();
    for _ in 0..count {
        let name = cursor.text("a tensor name", LONGEST_NAME)?;
        let tensor = read_tensor(cursor, name, alignment)?;
        if tensors.insert(name.to_owned(), tensor).is_some() {
            return Err(cursor.malformed(format!("the tensor `{}` stands there twice", shown(name))));
        }
    }
    place(cursor, &mut tensors, alignment)?;
    Ok(tensors)
}

/// Reads one description; its range still counts from the start of the data.
fn read_tensor(cursor: &mut Cursor, name: &str, alignment: usize) -> Result<TensorInfo, Error> {
    let name = shown(name);
    let rank = cursor.u32()?;
    let rank = usize::try_from(rank).ok().filter(|rank| (1..=MOST_DIMS).contains(rank));
    let rank = rank.ok_or_else(|| cursor.malformed(format!("the tensor `{name}` has not 1 to 4 dimensions")))?;
    let mut dims = Vec::with_capacity(rank);
    for _ in 0..rank {
        let dim = usize::try_from(cursor.u64()?).ok().filter(|dim| *dim > 0);
        dims.push(dim.ok_or_else(|| cursor.malformed(format!("the tensor `{name}` has an impossible dimension")))?);
    }
    let id = cursor.u32()?;
    let form =
        Form::from_id(id).ok_or_else(|| Error::Unsupported(format!("number form {id} of the tensor `{name}`")))?;
    if !dims[0].is_multiple_of(form.block) {
        let what =
            format!("the rows of the tensor `{name}` have {} numbers, not a multiple of {}", dims[0], form.block);
        return Err(cursor.malformed(what));
    }
    let count = dims.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
    let bytes = count.and_then(|count| (count / form.block).checked_mul(form.bytes));
    let start = usize::try_from(cursor.u64()?).ok().filter(|start| start.is_multiple_of(alignment));
    let start = start.ok_or_else(|| cursor.malformed(format!("the tensor `{name}` starts off the alignment")))?;
    let end = bytes.and_then(|bytes| start.checked_add(bytes));
    let end = end.ok_or_else(|| cursor.malformed(format!("the tensor `{name}` is larger than any file")))?;
    dims.reverse();
    Ok(TensorInfo { dims, form, part: 0, range: start..end })
}

/// Moves all ranges behind the header and checks that the file holds each of them, and none twice.
fn place(cursor: &Cursor, tensors: &mut BTreeMap<String, TensorInfo>, alignment: usize) -> Result<(), Error> {
    let data = cursor.at().next_multiple_of(alignment);
    let size = cursor.at() + cursor.left();
    for (name, tensor) in tensors.iter_mut() {
        let end = tensor.range.end.checked_add(data).filter(|end| *end <= size).ok_or_else(|| {
            cursor.malformed(format!(
                "the tensor `{}` ends {} bytes into the data, behind the end of the file of {size} bytes",
                shown(name),
                tensor.range.end
            ))
        })?;
        tensor.range = tensor.range.start + data..end;
    }
    let mut ranges: Vec<_> = tensors.iter().map(|(name, tensor)| (&tensor.range, name)).collect();
    ranges.sort_by_key(|(range, _)| range.start);
    for pair in ranges.windows(2) {
        if pair[0].0.end > pair[1].0.start {
            let what = format!("the tensors `{}` and `{}` overlap", shown(pair[0].1), shown(pair[1].1));
            return Err(Error::Malformed { what, at: pair[1].0.start });
        }
    }
    Ok(())
}
