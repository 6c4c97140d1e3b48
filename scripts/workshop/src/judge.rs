//! Whether a step of the learner's is right: it is built, and the kernel asked all that the step and
//! those before it promise.

use anyhow::Result;

use crate::{check::runner, my::My, place::Choice, steps::Step};

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Holds,
    /// It does not, for this reason.
    Fails(String),
    /// It cannot be told here, for this reason.
    Unknown(String),
}

pub fn judge(my: &My, step: Step, choice: Choice) -> Result<Verdict> {
    let Ok(programs) = my.build(&[step], &mut |_| {}) else {
        return Ok(Verdict::Fails("it does not compile".into()));
    };
    let reports = runner::run(&programs, step, choice, &mut |_| {})?;
    let failed: Vec<_> = reports.iter().filter(|it| it.failed()).collect();
    let unknown = || reports.iter().find(|it| it.passed.is_none()).map(|it| it.evidence.clone());
    Ok(match failed[..] {
        [only] => Verdict::Fails(format!("{} does not hold", only.check)),
        [first, ..] => Verdict::Fails(format!(
            "{} and {} other checks do not hold",
            first.check,
            failed.len() - 1
        )),
        [] if reports.iter().any(|it| it.passed == Some(true)) => Verdict::Holds,
        [] => Verdict::Unknown(unknown().unwrap_or_else(|| "there is nothing to check".into())),
    })
}
