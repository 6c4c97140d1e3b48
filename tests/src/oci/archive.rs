//! tar archives made byte by byte: also such as no program would write.

/// An archive that grows.
#[derive(Default, Clone)]
pub struct Tar(pub Vec<u8>);

/// One header; its fields can be anything.
#[derive(Clone)]
pub struct Header(pub [u8; 512]);

impl Header {
    pub fn new(name: &str, kind: u8, size: usize) -> Header {
        let mut header = Header([0; 512]);
        header.put(0, name.as_bytes());
        header.octal(100, 8, if kind == b'5' { 0o755 } else { 0o644 });
        header.octal(108, 8, 0);
        header.octal(116, 8, 0);
        header.octal(124, 12, size as u64);
        header.octal(136, 12, 1_000_000_000);
        header.0[156] = kind;
        header.put(257, b"ustar\x0000");
        header
    }

    /// Bytes at an offset, as they are.
    pub fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Header {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn octal(&mut self, at: usize, width: usize, value: u64) -> &mut Header {
        let text = format!("{value:0>width$o}\0", width = width - 1);
        self.put(at, text.as_bytes())
    }

    pub fn link(&mut self, target: &str) -> &mut Header {
        self.put(157, target.as_bytes())
    }

    pub fn mode(&mut self, mode: u64) -> &mut Header {
        self.octal(100, 8, mode)
    }

    pub fn owner(&mut self, uid: u64, gid: u64) -> &mut Header {
        self.octal(108, 8, uid).octal(116, 8, gid)
    }

    pub fn device(&mut self, major: u64, minor: u64) -> &mut Header {
        self.octal(329, 8, major).octal(337, 8, minor)
    }

    /// As GNU tar has it: other fields behind the owner's name.
    pub fn gnu(&mut self) -> &mut Header {
        self.put(257, b"ustar  \0")
    }

    /// With its checksum.
    pub fn bytes(&self) -> [u8; 512] {
        let mut bytes = self.0;
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes.iter().map(|&it| u32::from(it)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    }
}

impl Tar {
    pub fn new() -> Tar {
        Tar::default()
    }

    pub fn header(mut self, header: &Header) -> Tar {
        self.0.extend(header.bytes());
        self
    }

    /// Bytes, and what fills their last block.
    pub fn data(mut self, bytes: &[u8]) -> Tar {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, bytes: &[u8]) -> Tar {
        self.header(&Header::new(name, b'0', bytes.len())).data(bytes)
    }

    pub fn dir(self, name: &str) -> Tar {
        self.header(&Header::new(name, b'5', 0))
    }

    pub fn symlink(self, name: &str, target: &str) -> Tar {
        self.header(Header::new(name, b'2', 0).link(target))
    }

    pub fn hardlink(self, name: &str, target: &str) -> Tar {
        self.header(Header::new(name, b'1', 0).link(target))
    }

    /// An extension of the next header: type `x`, `L`, `K` or `g`.
    pub fn extension(self, kind: u8, bytes: &[u8]) -> Tar {
        self.header(&Header::new("extension", kind, bytes.len())).data(bytes)
    }

    /// PAX records, with their right lengths.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let bytes: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.extension(b'x', &bytes)
    }

    /// The two blocks of zeros.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
