//! `image run` of a command that does nothing: of small images and large ones, of few layers and of
//! many. It should not matter.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::make;
use crate::usage::{Row, command, done};

/// Name, layers, and how many files of a megabyte the lowest has.
const IMAGES: [(&str, usize, usize); 5] = [
    ("10 MB", 1, 10),
    ("1 GB", 1, 1000),
    ("1 layer", 1, 1),
    ("16 layers", 16, 1),
    ("128 layers", 128, 1),
];

pub fn measure(work: &Path, binaries: &Path, rounds: usize) -> Result<Vec<Row>> {
    let mut starts: Vec<(Row, Command)> = Vec::new();
    let program = binaries.join("image");
    let store = work.join("store");
    for (name, layers, files) in IMAGES {
        let layout = work.join("layout");
        make::image(&layout, layers, |number, archive| {
            if number > 0 {
                return make::add_bytes(archive, &format!("layer-{number}"), 0);
            }
            make::add_bytes(archive, &format!("image {name}"), 0)?;
            let mut busybox = fs::File::open("/bin/busybox").context("busybox is missing")?;
            archive.append_file("bin/true", &mut busybox)?;
            (0..files).try_for_each(|it| make::add_bytes(archive, &format!("file-{it}"), 1))
        })?;
        let reference = format!("bench:{}", name.replace(' ', "-").to_lowercase());
        let import = |it: &mut Command| done(it.arg("import").arg(&layout).arg(&reference));
        import(command(&program, work).env("IMAGE_STORE", &store))?;
        fs::remove_dir_all(&layout)?;
        let mut run = command(&program, work);
        run.env("IMAGE_STORE", &store).args(["run", "--network", "none", &reference, "/bin/true"]);
        starts.push((Row::new(name), run));
    }
    rounds_of(&mut starts, rounds, &work.join("log"))?;
    done(command(&program, work).env("IMAGE_STORE", &store).args(["prune", "--all"]))?;
    Ok(starts.into_iter().map(|it| it.0).collect())
}

fn rounds_of(starts: &mut [(Row, Command)], rounds: usize, log: &Path) -> Result<()> {
    for round in 0..rounds + 1 {
        for (row, command) in starts.iter_mut() {
            // The first only warms the caches.
            match round {
                0 => done(command)?,
                _ => row.once(command, log)?,
            }
        }
    }
    Ok(())
}
