//! tar archives: ways out of the layer, and headers that lie.

use std::path::Path;

use super::super::{Case, Image};
use evidence::oci::Tar;
use evidence::oci::archive::Header;

fn case(name: &'static str, words: &'static str, tar: Tar) -> Case {
    Case { name, words, flags: vec![], image: Image::Tar(tar.end()) }
}

/// Without the blocks that end an archive.
fn cut(name: &'static str, words: &'static str, bytes: Vec<u8>) -> Case {
    Case { name, words, flags: vec![], image: Image::Tar(bytes) }
}

pub fn all(outside: &Path) -> Vec<Case> {
    let outside = outside.to_string_lossy();
    let mut cases = names();
    cases.extend(links(&outside));
    cases.extend(whiteouts(&outside));
    cases.extend(headers());
    cases.extend(extensions());
    cases.extend(sparse());
    cases
}

fn names() -> Vec<Case> {
    let deep = "d/".repeat(2100) + "x";
    vec![
        case("a file in the parent", "`..`", Tar::new().file("../x", b"x")),
        case("a file above, from below", "`..`", Tar::new().file("a/../../x", b"x")),
        case("dots that lead nowhere else", "`..`", Tar::new().file("a/b/../x", b"x")),
        case("a directory above", "`..`", Tar::new().dir("a/..")),
        case("dots in front", "`..`", Tar::new().file("./../x", b"x")),
        case("an absolute name with dots", "`..`", Tar::new().file("/../x", b"x")),
        case(
            "dots in a long name",
            "`..`",
            Tar::new().pax(&[("path", b"a/../../x")]).file("y", b"x"),
        ),
        case(
            "dots in GNU's long name",
            "`..`",
            Tar::new().extension(b'L', b"../x\0").file("y", b""),
        ),
        case(
            "dots in a sparse file's name",
            "`..`",
            Tar::new()
                .pax(&[("GNU.sparse.name", b"../x"), ("GNU.sparse.size", b"0")])
                .file("y", b""),
        ),
        case("a NUL in a name", "NUL", Tar::new().pax(&[("path", b"a\0b")]).file("y", b"")),
        case(
            "a name that is too long",
            "bytes",
            Tar::new().pax(&[("path", deep.as_bytes())]).file("y", b""),
        ),
        case(
            "a component that is too long",
            "ENAMETOOLONG",
            Tar::new().pax(&[("path", "n".repeat(300).as_bytes())]).file("y", b""),
        ),
        case("a file in the place of the layer", "replaced", Tar::new().file("./.", b"x")),
        case("a link in the place of the layer", "replaced", Tar::new().symlink("/", "/etc")),
        case("a file as a parent", "no directory", Tar::new().file("a", b"x").file("a/b", b"x")),
        case("terminal commands in a name", "\\x1b", Tar::new().file("\x1b[2J/../\n", b"x")),
    ]
}

fn links(outside: &str) -> Vec<Case> {
    let above = "../".repeat(20);
    let far = format!("{above}{}", outside.trim_start_matches('/'));
    vec![
        case(
            "through an absolute link",
            "leads out",
            Tar::new().symlink("l", outside).file("l/x", b"x"),
        ),
        case(
            "through a relative link",
            "leads out",
            Tar::new().symlink("l", &far).file("l/x", b"x"),
        ),
        case("through a link to /", "leads out", Tar::new().symlink("l", "/").file("l/x", b"x")),
        case(
            "through links on links",
            "leads out",
            Tar::new().dir("a/").symlink("a/up", "..").symlink("b", "a/up/..").file("b/x", b"x"),
        ),
        case(
            "a directory behind a link",
            "leads out",
            Tar::new().symlink("l", outside).dir("l/d/"),
        ),
        case(
            "a link behind a link",
            "leads out",
            Tar::new().symlink("l", outside).symlink("l/s", "x"),
        ),
        case(
            "a chain of links",
            "leads out",
            Tar::new()
                .symlink("a", "b")
                .symlink("b", "c")
                .symlink("c", outside)
                .file("a/secret", b"x"),
        ),
        case(
            "links in a circle",
            "circle",
            Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", b""),
        ),
        case("a link to itself", "circle", Tar::new().symlink("a", "a").file("a/x", b"")),
        case(
            "a directory that becomes a link half way",
            "leads out",
            Tar::new().dir("a/").file("a/one", b"x").symlink("a", outside).file("a/two", b"x"),
        ),
        case(
            "a directory that becomes a link, deep",
            "leads out",
            Tar::new()
                .dir("a/b/")
                .file("a/b/one", b"x")
                .symlink("a/b", outside)
                .file("a/b/two", b"x"),
        ),
        case("a link with an empty target", "ENOENT", Tar::new().symlink("l", "")),
        case(
            "a link with a target that is too long",
            "ENAMETOOLONG",
            Tar::new().pax(&[("linkpath", "x".repeat(5000).as_bytes())]).symlink("l", "y"),
        ),
        case("a hard link to outside", "`..`", Tar::new().hardlink("h", &far)),
        case("a hard link to outside, absolute", "ENOENT", Tar::new().hardlink("h", "/etc/passwd")),
        case(
            "a hard link through a link",
            "leads out",
            Tar::new().symlink("l", outside).hardlink("h", "l/secret"),
        ),
        case(
            "a file behind a hard link to a link",
            "leads out",
            Tar::new().symlink("l", outside).hardlink("h", "l").file("h/x", b"x"),
        ),
        case("a hard link to itself", "itself", Tar::new().file("h", b"x").hardlink("h", "h")),
        case("a hard link to nothing", "ENOENT", Tar::new().hardlink("h", "nothing")),
        case("a hard link to a directory", "EPERM", Tar::new().dir("d/").hardlink("h", "d")),
        case("a hard link to the layer", "layer itself", Tar::new().hardlink("h", ".")),
        case("a hard link to an empty name", "layer itself", Tar::new().hardlink("h", "")),
        case(
            "a hard link's target in a long name",
            "`..`",
            Tar::new().pax(&[("linkpath", far.as_bytes())]).hardlink("h", "x"),
        ),
    ]
}

fn whiteouts(outside: &str) -> Vec<Case> {
    vec![
        case("a whiteout above", "`..`", Tar::new().file("../.wh.outside", b"")),
        case(
            "a whiteout of the directory itself",
            "deletes no file",
            Tar::new().file("a/.wh..", b""),
        ),
        case("a whiteout of the parent", "deletes no file", Tar::new().file("a/.wh...", b"")),
        case("a whiteout of nothing", "deletes no file", Tar::new().file(".wh.", b"")),
        case(
            "a whiteout behind a link",
            "leads out",
            Tar::new().symlink("l", outside).file("l/.wh.secret", b""),
        ),
        case(
            "an opaque whiteout behind a link",
            "leads out",
            Tar::new().symlink("l", outside).file("l/.wh..wh..opq", b""),
        ),
        case("a file in a whiteout", "no directory", Tar::new().file(".wh.a/b", b"")),
        case("a whiteout in a whiteout", "no directory", Tar::new().file(".wh.a/.wh.b", b"")),
    ]
}

fn with(name: &'static str, words: &'static str, change: impl Fn(&mut Header)) -> Case {
    let mut header = Header::new("x", b'0', 0);
    change(&mut header);
    case(name, words, Tar::new().header(&header))
}

fn headers() -> Vec<Case> {
    let whole = Tar::new().file("x", &[7; 2000]).0;
    let mut damaged = Header::new("x", b'0', 0).bytes();
    damaged[0] = b'y';
    let binary = |high: u8| {
        move |header: &mut Header| {
            header.put(
                124,
                &[high, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            );
        }
    };
    vec![
        cut("no archive at all", "no tar archive", b"hello".repeat(300)),
        cut("a wrong checksum", "checksum", [&damaged[..], &[0; 1024]].concat()),
        with("a size that is no number", "none", |it| {
            it.put(124, b"0000000x000\0");
        }),
        with("a size that is negative", "negative", binary(0xff)),
        with("a size that is too large", "too large", binary(0x80)),
        with("a mode that is no number", "none", |it| {
            it.put(100, b"rwxr-xr\0");
        }),
        with("an owner that is none", "is none", |it| {
            it.put(108, b"\x80\0\0\0\xff\xff\xff\xff");
        }),
        with("an owner of 40 bits", "is none", |it| {
            it.put(108, b"\x80\0\0\xff\xff\xff\xff\xff");
        }),
        with("a group that is negative", "negative", |it| {
            it.put(116, b"\xff\xff\xff\xff\xff\xff\xff\xff");
        }),
        with("a type that nobody knows", "unknown type", |it| it.0[156] = b'Z'),
        with("a part of a volume", "unknown type", |it| it.0[156] = b'M'),
        with("a device that there is not", "no device", |it| {
            it.0[156] = b'3';
            it.octal(329, 8, 0o7777777).octal(337, 8, 1);
        }),
        with("a device with a number that is none", "none", |it| {
            it.0[156] = b'4';
            it.put(329, b"zzzzzzz\0");
        }),
        cut("an end within a file", "ends within a file", whole[..1500].to_vec()),
        cut("an end within a header", "ends within a header", whole[..300].to_vec()),
        cut(
            "a file larger than the archive",
            "ends within a file",
            Tar::new().header(&Header::new("x", b'0', 1 << 30)).0,
        ),
        cut(
            "a hard link behind which data follows",
            "no tar archive",
            Tar::new()
                .file("a", b"")
                .header(Header::new("h", b'1', 512).link("a"))
                .data(&[b'x'; 512])
                .end(),
        ),
    ]
}

fn extensions() -> Vec<Case> {
    let pax = |bytes: &[u8]| Tar::new().extension(b'x', bytes).file("x", b"");
    let many: Vec<u8> = (0..2000)
        .flat_map(|it| format!("31 SCHILY.xattr.user.{it:06}=xx\n").into_bytes())
        .collect();
    vec![
        case(
            "a huge extended header",
            "extended header has",
            Tar::new().header(&Header::new("x", b'x', 1 << 31)),
        ),
        case(
            "a huge global header",
            "extended header has",
            Tar::new().header(&Header::new("x", b'g', 1 << 31)),
        ),
        case(
            "a huge long name",
            "extended header has",
            Tar::new().header(&Header::new("x", b'L', 1 << 31)),
        ),
        cut(
            "an end within an extended header",
            "within an extended header",
            Tar::new().header(&Header::new("x", b'x', 1000)).data(b"12 path=a/b\n").0,
        ),
        case("a record that is too long", "damaged", pax(b"99 path=a/b\n")),
        case("a record that is too short", "damaged", pax(b"5 path=a/b\n")),
        case("a record without a line feed", "damaged", pax(b"11 path=a/b")),
        case("a record without a length", "damaged", pax(b"path=a/b\n")),
        case("a record without an equals sign", "no `=`", pax(b"9 path a\n")),
        case("a record of no length", "damaged", pax(b"0 path=a\n")),
        case("a record of a length beyond all", "damaged", pax(b"99999999999999999999 path=a\n")),
        case(
            "a size in a record that is negative",
            "is none",
            Tar::new().pax(&[("size", b"-1")]).file("x", b""),
        ),
        case(
            "a size in a record that is too large",
            "is none",
            Tar::new().pax(&[("size", b"18446744073709551615")]).file("x", b""),
        ),
        case(
            "a size in a record beyond the archive",
            "max-size",
            Tar::new().pax(&[("size", b"9223372036854775807")]).file("x", b""),
        ),
        case(
            "an owner in a record that is none",
            "is none",
            Tar::new().pax(&[("uid", b"4294967295")]).file("x", b""),
        ),
        case(
            "a time that is none",
            "is none",
            Tar::new().pax(&[("mtime", b"soon")]).file("x", b""),
        ),
        case("more attributes than a file has", "attributes", pax(&many)),
        case(
            "invalid UTF-8 in a number",
            "is none",
            Tar::new().pax(&[("gid", b"\xff\xfe")]).file("x", b""),
        ),
    ]
}

fn sparse() -> Vec<Case> {
    let old = |parts: &[(u64, u64)], size: u64, data: &[u8]| {
        let mut header = Header::new("s", b'S', data.len());
        header.gnu().octal(483, 12, size);
        for (at, (offset, length)) in parts.iter().enumerate() {
            header.octal(386 + 24 * at, 12, *offset).octal(398 + 24 * at, 12, *length);
        }
        Tar::new().header(&header).data(data)
    };
    let new = |size: &[u8], data: &[u8]| {
        let records: [(&str, &[u8]); 3] =
            [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", size)];
        Tar::new().pax(&records).file("s", data)
    };
    let mut endless = Header::new("s", b'S', 0);
    endless.gnu().octal(483, 12, 0);
    endless.0[482] = 1;
    vec![
        case("parts that overlap", "order", old(&[(0, 10), (5, 10)], 20, &[1; 20])),
        case("parts beyond the end", "beyond", old(&[(0, 10), (15, 10)], 20, &[1; 20])),
        case("less data than parts", "other data", old(&[(0, 10)], 20, &[1; 5])),
        case("a hole of eight exabytes", "max-size", new(b"9223372036854775807", &block(b"0\n"))),
        cut(
            "a map that goes on after the end",
            "ends within a header",
            Tar::new().header(&endless).0,
        ),
        case("a map without an end", "no end", new(b"10", b"1")),
        case("a number without an end", "too long", new(b"10", &[b'1'; 600])),
        case("a map of too many parts", "parts", new(b"10", b"99999999\n")),
        case("a map that is no number", "none", new(b"10", b"x\n")),
        case(
            "half a part",
            "middle",
            Tar::new()
                .pax(&[("GNU.sparse.map", b"0,1,2"), ("GNU.sparse.size", b"9")])
                .file("s", b"x"),
        ),
        case(
            "a sparse file without a size",
            "no size",
            Tar::new().pax(&[("GNU.sparse.major", b"1")]).file("s", &block(b"0\n")),
        ),
    ]
}

/// The data of a sparse file begins with whole blocks of its map.
fn block(map: &[u8]) -> Vec<u8> {
    let mut block = map.to_vec();
    block.resize(512, 0);
    block
}
