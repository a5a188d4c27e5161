//! CRC-32 (the one of zip and Ethernet), to tell one record from another at the same offset.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let (mut crc, mut bit) = (n as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
}

/// A check in the making.
#[derive(Clone, Copy)]
pub struct Check(u32);

impl Default for Check {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Check {
    /// With more bytes.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let step = |crc: u32, byte: &u8| {
            let [low, ..] = crc.to_le_bytes();
            TABLE[usize::from(low ^ byte)] ^ (crc >> 8)
        };
        Self(bytes.iter().fold(self.0, step))
    }

    /// The check over all bytes.
    pub fn finish(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Check;

    #[test]
    fn it_is_the_usual_crc_32() {
        assert_eq!(Check::default().bytes(b"1234").bytes(b"56789").finish(), 0xCBF4_3926);
        assert_eq!(Check::default().finish(), 0);
    }
}
