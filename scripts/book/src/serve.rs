//! `book serve`: builds the book, shows it on 127.0.0.1, and builds it again after each save. A page that is
//! open loads itself anew. Ctrl-C ends it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use notify::{EventKind, RecursiveMode, Watcher, event::ModifyKind};
use tiny_http::{Header, Request, Response, Server};

use crate::place::{Place, programs};

/// Where a page asks whether there is a newer one.
const BUILD: &str = "/__build";

/// What is put into each page that is served.
const RELOAD: &str = "<script>{let last; setInterval(() => fetch('/__build').then(it => it.text())\
    .then(now => { if (last && now !== last) location.reload(); last = now; }).catch(() => {}), 1000);}</script>";

/// How long it must be quiet after a save: an editor writes more than once.
const QUIET: Duration = Duration::from_millis(100);

/// Serves until it is ended.
pub fn serve(place: &Place, port: u16) -> Result<()> {
    rebuild(place, false);
    let server = Server::http(("127.0.0.1", port)).map_err(|error| anyhow!("{error}"));
    let server = server.with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
    let build = Arc::new(AtomicU64::new(1));
    let (ours, counter) = (place.clone(), build.clone());
    thread::spawn(move || {
        if let Err(error) = watch(&ours, &counter) {
            eprintln!("error: the book is not built again after a save: {error:#}");
        }
    });
    println!("The book: http://{}/   (Ctrl-C ends this)", server.server_addr());
    for request in server.incoming_requests() {
        // A reader who has gone away is no failure of ours.
        let _ = answer(place, request, build.load(Ordering::Relaxed));
    }
    Ok(())
}

/// Builds in a process of its own. A change of a step is a change of our own program too: its flags.
fn rebuild(place: &Place, step: bool) {
    let program = programs().map(|it| it.join("book"));
    let mut command = match program {
        Ok(program) if !step => Command::new(program),
        _ => {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            cargo.args(["run", "--quiet", "--package", "book", "--"]);
            cargo
        }
    };
    command.arg("--book").arg(&place.book).current_dir(&place.checkout);
    if let Err(error) = command.status() {
        eprintln!("error: cannot build the book: {error}");
    }
}

fn watch(place: &Place, build: &AtomicU64) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(sender).context("cannot watch files")?;
    for directory in [place.chapters(), place.book.join("theme"), place.checkout.join("steps")] {
        let act = || format!("cannot watch {}", directory.display());
        watcher.watch(&directory, RecursiveMode::Recursive).with_context(act)?;
    }
    while let Ok(first) = receiver.recv() {
        let mut paths = changed(first);
        while let Ok(more) = receiver.recv_timeout(QUIET) {
            paths.extend(changed(more));
        }
        if !paths.is_empty() {
            rebuild(place, paths.iter().any(|it| it.starts_with(place.checkout.join("steps"))));
            build.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// What was written, if something was: reading is an event too.
fn changed(event: notify::Result<notify::Event>) -> Vec<PathBuf> {
    match event {
        Ok(event) => match event.kind {
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => Vec::new(),
            _ => event.paths,
        },
        Err(_) => Vec::new(),
    }
}

fn answer(place: &Place, request: Request, build: u64) -> Result<()> {
    let path = request.url().split(['?', '#']).next().unwrap_or("/").to_string();
    if path == BUILD {
        return Ok(request.respond(Response::from_string(build.to_string()))?);
    }
    let Some((body, kind)) = page(&place.output(), &path) else {
        return Ok(request.respond(Response::from_string("no such page\n").with_status_code(404))?);
    };
    let kind = Header::from_bytes("Content-Type", kind).map_err(|()| anyhow!("no header"))?;
    Ok(request.respond(Response::from_data(body).with_header(kind))?)
}

/// A file of the book and its type; none for what is not below the book.
fn page(output: &Path, path: &str) -> Option<(Vec<u8>, &'static str)> {
    let path = if path.ends_with('/') { format!("{path}index.html") } else { path.to_string() };
    let file = output.join(path.trim_start_matches('/')).canonicalize().ok()?;
    if !file.starts_with(output.canonicalize().ok()?) {
        return None;
    }
    let mut body = fs::read(&file).ok()?;
    let kind = match file.extension()?.to_str()? {
        "html" => {
            body.extend_from_slice(RELOAD.as_bytes());
            "text/html; charset=utf-8"
        }
        "css" => "text/css",
        "js" => "text/javascript",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" => "application/json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    };
    Some((body, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_book_is_served() {
        let directory = tempfile::tempdir().unwrap();
        let book = directory.path().join("book");
        fs::create_dir(&book).unwrap();
        fs::write(book.join("index.html"), "<p>").unwrap();
        fs::write(directory.path().join("secret.html"), "").unwrap();
        let (body, kind) = page(&book, "/").unwrap();
        assert!(body.starts_with(b"<p><script>") && kind.starts_with("text/html"));
        assert!(page(&book, "/../secret.html").is_none() && page(&book, "/none.html").is_none());
    }
}
