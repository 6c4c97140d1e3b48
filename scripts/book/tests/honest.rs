//! What the book must never do: say what is not so. Seven things that must fail do fail, each in a copy of
//! the book; the x-rays are those of a real run; and every transcript of every chapter is run.

mod copy;

use std::{
    process::ExitCode,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, ensure};
use book::{
    bless, build,
    chapter::{self, Chapter},
    picture,
    place::Place,
    transcript::{self, Kit},
};
use copy::Copy;
use evidence::host::Snapshot;
use libtest_mimic::{Arguments, Failed, Trial};
use nix::unistd::geteuid;
use workshop::steps::Step;

fn main() -> ExitCode {
    let args = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&args, trials).exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let place = Place::here()?;
    let mut trials: Vec<Trial> =
        FAILURES.iter().map(|it| test(format!("fails/{}", it.0), move || must_fail(it))).collect();
    trials.push(
        test("fails/a wrong transcript", wrong_transcript).with_ignored_flag(!geteuid().is_root()),
    );
    if !geteuid().is_root() {
        println!("skipped: book: x-rays and transcripts need root");
        return Ok(trials);
    }
    for step in [None].into_iter().chain(Step::all().map(Some)) {
        let name = step.map_or("x-ray/host".into(), |step| format!("x-ray/{}", step.directory()));
        let place = place.clone();
        trials.push(test(name, move || xray(&place, step)));
    }
    let kit = Arc::new(Mutex::new(None));
    for chapter in chapter::all(&place)? {
        let (place, kit) = (place.clone(), kit.clone());
        let name = format!("transcript/{}", chapter.path.with_extension("").display());
        trials.push(test(name, move || transcripts(&place, &kit, &chapter)));
    }
    Ok(trials)
}

fn test(name: impl Into<String>, run: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || run().map_err(|error| Failed::from(format!("{error:#}"))))
}

/// Name, what is changed in a copy, and what the build must say.
type Failure = (&'static str, fn(&Copy) -> Result<()>, &'static str);

const FAILURES: [Failure; 6] = [
    (
        "a renamed function",
        |it| it.replace("steps/01-chroot/src/lib.rs", "pub fn enter(", "pub fn go_in("),
        "there is no function enter in steps/01-chroot/src",
    ),
    (
        "a missing anchor",
        |it| it.append("book/src/setting-up.md", "\n[there](01-chroot.md#nowhere)\n"),
        "there is no #nowhere in it",
    ),
    (
        "a dead link",
        |it| it.append("book/src/setting-up.md", "\n[there](no-chapter.md)\n"),
        "no-chapter.html: there is no such file",
    ),
    (
        "a changed flag",
        |it| {
            it.append(
                "book/src/setting-up.md",
                "\n```console\n# step7 --memry 64m rootfs true\n```\n",
            )
        },
        "step 7, cgroups has no flag --memry",
    ),
    (
        "a chapter without a section",
        |it| it.replace("book/src/04-mount.md", "\n## Check it\n", "\n"),
        "the section here is \"Check it\", not \"Break it\"",
    ),
    (
        "a step without a chapter",
        |it| it.replace("book/src/SUMMARY.md", "- [Step 4: mount](04-mount.md)\n", ""),
        "step 4, mount has no chapter 04-mount.md",
    ),
];

fn must_fail((_, change, expected): &Failure) -> Result<()> {
    let copy = Copy::new()?;
    change(&copy)?;
    let error = build::build(&copy.place).err().context("the build did not fail")?;
    let said = format!("{error:#}");
    ensure!(said.contains(expected), "the build said: {said}");
    ensure!(said.contains("book/src/"), "the build names no file: {said}");
    Ok(())
}

/// A transcript that was right, with one line that is not.
fn wrong_transcript() -> Result<()> {
    let copy = Copy::new()?;
    let chapter = "# One\n\n```console\n# echo so\nso\n$ id -un\nyou\n# echo $((1 + 1))\n3\n```\n";
    copy.write("book/src/introduction.md", chapter)?;
    let chapter = chapter::named(&copy.place, "introduction")?;
    let outcomes = transcript::run(&copy.place, &Kit::new()?, &chapter)?;
    let wrong: Vec<String> =
        outcomes.iter().filter(|it| !it.holds()).map(|it| it.complaint(&chapter)).collect();
    let expected = "book/src/introduction.md:8: `# echo $((1 + 1))`\n  - 3\n  + 2";
    ensure!(wrong == [expected], "{wrong:?}");
    Ok(())
}

fn xray(place: &Place, step: Option<Step>) -> Result<()> {
    let (kept, now) = (picture::kept(place, step)?, bless::taken(step)?);
    ensure!(bless::same(&kept, &now), "the book's x-ray is another: `cargo run -p book -- bless`");
    Ok(())
}

/// One chapter at a time: what a command costs depends on what else runs. The host is left as it was.
fn transcripts(place: &Place, kit: &Mutex<Option<Kit>>, chapter: &Chapter) -> Result<()> {
    let mut kit = kit.lock().expect("no test panics with it");
    if kit.is_none() {
        *kit = Some(Kit::new()?);
    }
    let before = Snapshot::take(&[])?;
    let kit = kit.as_ref().context("there is no kit")?;
    let outcomes = transcript::run(place, kit, chapter)?;
    before.settle()?;
    let wrong: Vec<String> =
        outcomes.iter().filter(|it| !it.holds()).map(|it| it.complaint(chapter)).collect();
    ensure!(wrong.is_empty(), "`cargo run -p book -- bless` would write:\n{}", wrong.join("\n"));
    Ok(())
}
