//! Step 2: names of its own.

use anyhow::{Context as _, Result, ensure};
use nix::sys::utsname::uname;

use super::run::{Run, Running};
use super::{Check, Context, expect};
use crate::Process;

const STEP: Check = Check { step: 2, ..Check::DEFAULT };

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "own-uts-namespace",
        asks: "Is /proc/PID/ns/uts another than the host's?",
        look_at: "uts::unshare; unshare(2), uts_namespaces(7)",
        exercise: "2.1",
        run: |context| own_namespace("uts", &context.start(&[])?),
        ..STEP
    },
    Check {
        name: "names-inside",
        asks: "Does uname(2) inside give the host name that was asked for, or `container`?",
        look_at: "lib.rs: set_hostname; sethostname(2), uname(2)",
        exercise: "2.2",
        run: names_inside,
        ..STEP
    },
    Check {
        name: "domain-name-inside",
        asks: "Does uname(2) inside give the domain name that was asked for, or `(none)`?",
        look_at: "lib.rs: set_domainname; setdomainname(2), uname(2)",
        exercise: "2.3",
        run: domain_name_inside,
        ..STEP
    },
    Check {
        name: "host-keeps-its-names",
        asks: "Has the host its own names while the container has others, even if root inside renames it?",
        look_at: "main.rs: uts::unshare before uts::set_names; uts_namespaces(7)",
        exercise: "2",
        until: 8, // then the call is refused
        run: host_keeps_its_names,
        ..STEP
    },
    Check {
        name: "name-of-64-bytes",
        asks: "Is a host name of 64 bytes taken and one of 65 refused with an error?",
        look_at: "lib.rs: set_hostname; sethostname(2)",
        exercise: "2.2",
        run: name_of_64_bytes,
        ..STEP
    },
];

/// An error unless the command is in another namespace of this kind than we.
pub(super) fn own_namespace(kind: &str, container: &Running) -> Result<()> {
    let (theirs, ours) = (container.process()?, Process::own()?);
    let theirs = theirs.namespaces[kind].get().context("the namespace cannot be read")?;
    let ours = ours.namespaces[kind].get().context("our namespace cannot be read")?;
    ensure!(theirs != ours, "the container shares the host's {theirs}");
    Ok(())
}

fn names_inside(context: &Context) -> Result<()> {
    let name = |run: Run| Ok::<_, anyhow::Error>(run.start(&["probe"])?.probe(0)?.hostname);
    expect("the host name", &*name(context.container())?, "container")?;
    let run = context.container().option("--hostname", "box").option("--domainname", "yard");
    expect("the host name", &*name(run)?, "box")
}

fn domain_name_inside(context: &Context) -> Result<()> {
    let name = |run: Run| Ok::<_, anyhow::Error>(run.start(&["probe"])?.probe(0)?.domainname);
    // What the host has there is not inside, whatever it is.
    expect("the domain name", &*name(context.container())?, "(none)")?;
    let run = context.container().option("--hostname", "box").option("--domainname", "yard");
    expect("the domain name", &*name(run)?, "yard")
}

fn host_keeps_its_names(context: &Context) -> Result<()> {
    // Names that nothing but this check gives: others, side by side with it, rename the host too.
    let [asked, inside] = [context.scene.name(), context.scene.name()];
    let run = context.container().option("--hostname", &asked).option("--domainname", &asked);
    let container = run.start(&[&format!("sethostname {inside}"), "probe"])?;
    let names = uname()?;
    for name in [names.nodename(), names.domainname()].map(|name| name.to_string_lossy()) {
        ensure!(name != asked && name != inside, "the host is called {name}, as the container is");
    }
    expect("sethostname inside", &*container.answer(0)?, "ok")?;
    expect("the name inside", &container.probe(1)?.hostname, &inside)
}

fn name_of_64_bytes(context: &Context) -> Result<()> {
    let longest = "n".repeat(64);
    let container = context.container().option("--hostname", &longest).start(&["probe"])?;
    expect("the host name", &container.probe(0)?.hostname, &longest)?;
    let ended = context.container().option("--hostname", longest + "n").run(&[])?;
    ensure!(ended.stderr.contains("(EINVAL)"), "no error names EINVAL: {ended}");
    ended.expect_code(125)
}
