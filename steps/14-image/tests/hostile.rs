//! Images that mean harm. Each must end in one line of error and code 125, the store as it was, and
//! nothing outside touched: as root, who could write anywhere, and as an ordinary user.

mod hostile {
    pub mod archives;
    pub mod documents;
    pub mod packings;
}
mod kit;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use evidence::oci::{Layer, Layout, Tar};
use kit::packed::Packed;
use kit::tree::{self, Tree};
use kit::{Place, Test};
use serde_json::json;

const TESTS: &[Test] = &[
    ("archives that lead outside, lie or have no end", archives),
    ("packings that are damaged or grow without end", packings),
    ("documents that lie", documents),
    ("archives that look hostile and are not", harmless),
];

fn main() -> ExitCode {
    kit::main(TESTS)
}

/// One image: what the error must say of it, and how it is made.
pub struct Case {
    pub name: &'static str,
    pub words: &'static str,
    pub flags: Vec<&'static str>,
    pub image: Image,
}

pub enum Image {
    /// One layer, as it is.
    Tar(Vec<u8>),
    Layer(Layer),
    /// Whatever this makes of a layout.
    Made(fn(&Layout) -> Result<()>),
}

/// What is outside of every layer, for archives to aim at: `OUTSIDE` in a name or a link stands for
/// it.
fn outside(place: &Place) -> Result<PathBuf> {
    let outside = place.directory("outside")?;
    std::fs::write(outside.join("secret"), "secret")?;
    Ok(outside)
}

/// What must not change: all of the store but its locks, and what is around it.
fn state(place: &Place) -> Result<Tree> {
    let mut tree = tree::of(&place.path(""), &["home/store/locks", "case"])?;
    tree.remove(Path::new(""));
    // Files come and go in these while something is tried.
    for directory in [
        "home/store/partial",
        "home/store/blobs/sha256",
        "home/store/locks",
        "case",
        "home/store/layers",
    ] {
        tree.remove(Path::new(directory));
    }
    Ok(tree)
}

fn all_fail(place: &Place, cases: Vec<Case>) -> Result<()> {
    outside(place)?;
    let good = Layout::new(&place.path("good"))?;
    good.image(&[Layer::plain(&Tar::new().file("good", b"good").end())], json!({}))?;
    place.ok(&["import", &place.path("good").to_string_lossy(), "good"])?;
    let mut before = state(place)?;
    let (count, mut wrong) = (cases.len(), Vec::new());
    for case in cases {
        let tried = fails(place, &case).and_then(|()| tree::same(&before, &state(place)?));
        if let Err(error) = tried {
            before = state(place)?;
            wrong.push(format!("{}: {error:#}", case.name));
        }
    }
    ensure!(wrong.is_empty(), "{} of {count}:\n    {}", wrong.len(), wrong.join("\n    "));
    println!("        {count} of them");
    Ok(())
}

fn fails(place: &Place, case: &Case) -> Result<()> {
    let path = place.path("case");
    let _ = std::fs::remove_dir_all(&path);
    let layout = Layout::new(&path)?;
    match &case.image {
        Image::Tar(tar) => drop(layout.image(&[Layer::plain(tar)], json!({}))?),
        Image::Layer(layer) => {
            let Layer { blob, diff_id, media_type } = layer;
            let (blob, diff_id, media_type) = (blob.clone(), diff_id.clone(), media_type.clone());
            layout.image(&[Layer { blob, diff_id, media_type }], json!({}))?;
        }
        Image::Made(make) => make(&layout)?,
    }
    let path = path.to_string_lossy();
    let arguments = [&["import"], &case.flags[..], &[&path, "hostile"]].concat();
    place.fails(&arguments, case.words).map(drop)
}

fn archives(place: &Place) -> Result<()> {
    all_fail(place, hostile::archives::all(&outside(place)?))
}

fn packings(place: &Place) -> Result<()> {
    all_fail(place, hostile::packings::all()?)
}

fn documents(place: &Place) -> Result<()> {
    all_fail(place, hostile::documents::all())
}

/// What is refused must not be more than what is wrong: these are unpacked, and stay inside.
fn harmless(place: &Place) -> Result<()> {
    let outside = outside(place)?;
    let before = tree::of(&outside, &[])?;
    let target = outside.to_string_lossy();
    let tar = Tar::new()
        .file("/absolute", b"inside")
        .file("././dots/./file", b"inside")
        .dir("usr/lib/")
        .symlink("lib", "usr/lib")
        .file("lib/through", b"inside")
        .symlink("out", &target)
        .symlink("up", "../../../../../..")
        .file("out", b"replaced")
        .dir("dir/")
        .file("dir/old", b"old")
        .symlink("dir", "usr")
        .file("dir/new", b"new")
        .file("twice", b"first")
        .file("twice", b"second")
        .hardlink("link", "twice")
        .end();
    let layout = Layout::new(&place.path("layout"))?;
    layout.image(&[Layer::gzip(&tar)?], json!({}))?;
    place.ok(&["import", &place.path("layout").to_string_lossy(), "odd"])?;
    place.ok(&["unpack", "odd", "files"])?;
    let read = |name: &str| {
        std::fs::read_to_string(place.path("home/files").join(name))
            .with_context(|| name.to_string())
    };
    let expected = [
        ("absolute", "inside"),
        ("dots/file", "inside"),
        ("usr/lib/through", "inside"),
        ("out", "replaced"),
        ("usr/new", "new"),
        ("twice", "second"),
        ("link", "second"),
    ];
    for (name, text) in expected {
        ensure!(read(name)? == text, "{name} holds {:?}", read(name)?);
    }
    if place.path("home/files/usr/old").exists() {
        bail!("what a link has replaced is still there");
    }
    tree::same(&before, &tree::of(&outside, &[])?)
}
