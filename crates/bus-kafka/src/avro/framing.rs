//! How a value says which schema it was written with.

/// First byte of a value that was framed as Confluent's serialisers do.
const CONFLUENT: u8 = 0;
/// First bytes of a value in Avro's single-object encoding.
const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];

/// A fingerprint of a schema: CRC-64-AVRO of its canonical form, little endian.
pub type Fingerprint = [u8; 8];

/// The schema that a value was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaRef {
    /// By its id in the registry.
    Id(u32),
    /// By its fingerprint.
    Fingerprint(Fingerprint),
}

impl SchemaRef {
    /// Puts the frame in front of a datum that is to follow.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Id(id) => {
                out.push(CONFLUENT);
                out.extend(id.to_be_bytes());
            }
            Self::Fingerprint(fingerprint) => {
                out.extend(SINGLE_OBJECT);
                out.extend(fingerprint);
            }
        }
    }
}

/// Takes a value apart into the name of its schema and its datum; `None` if it is not framed.
pub fn unframe(value: &[u8]) -> Option<(SchemaRef, &[u8])> {
    if let Some((&CONFLUENT, rest)) = value.split_first() {
        let (id, datum) = rest.split_first_chunk()?;
        return Some((SchemaRef::Id(u32::from_be_bytes(*id)), datum));
    }
    let (fingerprint, datum) = value.strip_prefix(&SINGLE_OBJECT)?.split_first_chunk()?;
    Some((SchemaRef::Fingerprint(*fingerprint), datum))
}
