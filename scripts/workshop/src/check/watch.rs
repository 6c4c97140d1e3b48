//! `check --watch`: checks again after every save, with the first check that fails in view, and single
//! keys for what one wants then. The terminal is put back whichever way it ends.

use std::{
    fs::File,
    io::{Write, pipe, stdout},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use notify::{Event, EventKind, RecursiveMode, Watcher, recommended_watcher};

use super::{Outcome, Progress, keys::Keys, next, page::Page, signals::Signals, subject::Subject};
use crate::{checkout, lab::terminal::WindowSize};

/// Editors save in several acts: we wait until it has been quiet for so long.
const QUIET: Duration = Duration::from_millis(100);

/// What ends us, and what makes us draw anew.
const CAUGHT: [Signal; 5] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGWINCH];

const KEYS: &str = "h hint   d diff   n next   q quit";

/// What wakes us besides keys and signals.
enum News {
    Saved,
    Checked(Box<Result<Outcome>>),
}

/// Puts news where [`poll`] sees it.
#[derive(Clone)]
struct Bell {
    news: mpsc::Sender<News>,
    pipe: Arc<File>,
}

impl Bell {
    fn ring(&self, news: News) {
        let _ = self.news.send(news);
        let _ = (&*self.pipe).write_all(b"!");
    }
}

/// Until `q`, or a signal: its exit code is a shell's.
pub fn watch(subject: Subject) -> Result<i32> {
    let keys = Keys::take().context("cannot watch")?;
    let signals = Signals::catch(&CAUGHT)?;
    let (read, write) = pipe().context("cannot make a pipe")?;
    let (send, news) = mpsc::channel();
    let bell = Bell { news: send, pipe: Arc::new(OwnedFd::from(write).into()) };
    let _watcher = watcher(&subject.sources()?, bell.clone())?;
    let mut watch = Watch {
        subject: Arc::new(subject),
        keys,
        signals,
        news,
        pipe: OwnedFd::from(read).into(),
        bell,
        outcome: None,
        checking: false,
        stale: false,
    };
    watch.check();
    loop {
        watch.draw();
        if let Some(code) = watch.step()? {
            return Ok(code);
        }
    }
}

struct Watch {
    subject: Arc<Subject>,
    keys: Keys,
    signals: Signals,
    news: mpsc::Receiver<News>,
    pipe: File,
    bell: Bell,
    outcome: Option<Outcome>,
    checking: bool,
    /// Something was saved while the checks ran.
    stale: bool,
}

impl Watch {
    /// Waits until something happens, and does what is to be done.
    fn step(&mut self) -> Result<Option<i32>> {
        let stdin = std::io::stdin();
        let mut files = [stdin.as_fd(), self.signals.as_fd(), self.pipe.as_fd()]
            .map(|file| PollFd::new(file, PollFlags::POLLIN));
        match poll(&mut files, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("cannot wait"),
        }
        let [key, signal, news] = files.map(|file| file.any().unwrap_or(false));
        if signal {
            match self.signals.next()? {
                // The window has another size: all is drawn anew.
                Signal::SIGWINCH => {}
                signal => return Ok(Some(128 + signal as i32)),
            }
        }
        if news {
            self.hear()?;
        }
        match key.then(|| self.keys.next()) {
            Some(None | Some(b'q' | b'Q')) => Ok(Some(self.code())),
            Some(Some(key)) => self.press(key).map(|()| None),
            None => Ok(None),
        }
    }

    fn hear(&mut self) -> Result<()> {
        std::io::Read::read(&mut self.pipe, &mut [0; 64]).context("cannot read a pipe")?;
        let mut saved = false;
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Saved => saved = true,
                News::Checked(outcome) => {
                    self.outcome = Some((*outcome)?);
                    self.checking = false;
                }
            }
        }
        self.stale |= saved;
        if saved {
            // More of the same save rings again, and is not checked twice.
            thread::sleep(QUIET);
        }
        if self.stale && !self.checking {
            self.check();
        }
        Ok(())
    }

    /// In a thread: keys go on working.
    fn check(&mut self) {
        while let Ok(News::Saved) = self.news.try_recv() {}
        (self.checking, self.stale) = (true, false);
        let (subject, bell) = (self.subject.clone(), self.bell.clone());
        thread::spawn(move || {
            bell.ring(News::Checked(Box::new(subject.check(&mut Progress::silent()))));
        });
    }

    fn press(&mut self, key: u8) -> Result<()> {
        let step = self.subject.step;
        let exercise = self.outcome.as_ref().and_then(next::first);
        match (key.to_ascii_lowercase(), exercise, step.after()) {
            (b'h', Some(exercise), _) => self.run(&["hint", &exercise]),
            (b'h' | b'd', ..) => self.run(&["diff", &step.number().to_string()]),
            (b'n', None, Some(after)) if self.code() == 0 => {
                self.run(&["start", &after.number().to_string()])?;
                self.subject = Arc::new(self.subject.of_step(after));
                self.outcome = None;
                self.stale = true;
                if !self.checking {
                    self.check();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Runs a command of ours on the terminal, and waits for a key.
    fn run(&mut self, arguments: &[&str]) -> Result<()> {
        self.keys.pause();
        print!("\x1b[2J\x1b[H");
        let _ = stdout().flush();
        let mut command = Command::new(checkout::this_program()?);
        command.args(arguments);
        if let Some(my) = &self.subject.my {
            command.arg("--dir").arg(my.dir());
        }
        let _ = command.status();
        // Ctrl-C was for the command.
        self.forget_signals()?;
        self.keys.resume()?;
        print!("\n(any key goes on) ");
        let _ = stdout().flush();
        self.keys.next();
        Ok(())
    }

    fn forget_signals(&mut self) -> Result<()> {
        let mut waiting = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        while poll(&mut waiting, PollTimeout::ZERO).context("cannot wait")? > 0 {
            self.signals.next()?;
            waiting = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        }
        Ok(())
    }

    /// The screen anew: nothing of it is ever longer than the screen.
    fn draw(&self) {
        let size = WindowSize::of(stdout().as_fd());
        let page = Page::of_stdout();
        let mut lines = match &self.outcome {
            Some(outcome) => page.brief(&self.subject, outcome, size.rows as usize),
            None => page.opening(&self.subject),
        };
        let doing = if self.checking { "checking ...   " } else { "" };
        let last = format!("{doing}{KEYS}");
        lines.push(last.chars().take(size.columns.saturating_sub(1) as usize).collect());
        let mut out = stdout().lock();
        let _ = write!(out, "\x1b[2J\x1b[H{}", lines.join("\n"));
        let _ = out.flush();
    }

    fn code(&self) -> i32 {
        i32::from(!self.outcome.as_ref().is_some_and(|outcome| outcome.passed))
    }
}

impl Drop for Watch {
    /// What comes next does not stand behind the keys.
    fn drop(&mut self) {
        println!();
    }
}

/// Rings when something below `sources` is written, made, moved or removed.
fn watcher(sources: &Path, bell: Bell) -> Result<impl Watcher + use<>> {
    let heard = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
            bell.ring(News::Saved);
        }
    };
    let mut watcher = recommended_watcher(heard).context("cannot watch files")?;
    let watching = watcher.watch(sources, RecursiveMode::Recursive);
    watching.with_context(|| format!("cannot watch {}", sources.display()))?;
    Ok(watcher)
}
