//! Quantities that carry their unit.

use std::fmt;

/// A number of bytes, written for people in powers of 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// As a length in memory.
    pub const fn bytes(self) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "a length in memory: 64-bit targets only")]
        let bytes = self.0 as usize;
        bytes
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let (mut whole, mut tenth, mut unit) = (self.0, 0, 0);
        while whole >= 1024 && unit + 1 < UNITS.len() {
            tenth = (whole % 1024) * 10 / 1024;
            whole /= 1024;
            unit += 1;
        }
        if tenth == 0 { write!(f, "{whole} {}", UNITS[unit]) } else { write!(f, "{whole}.{tenth} {}", UNITS[unit]) }
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(ByteSize(100).to_string(), "100 B");
        assert_eq!(ByteSize::mib(10).to_string(), "10 MiB");
        assert_eq!(ByteSize(1536).to_string(), "1.5 KiB");
    }
}
