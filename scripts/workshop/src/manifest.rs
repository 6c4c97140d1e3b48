//! The files that make `my/` a cargo workspace: Cargo.toml, Cargo.lock and .cargo/config.toml, derived
//! from ours. What the learner added to them stays.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use toml_edit::{Array, DocumentMut, Item, TableLike, value};

use crate::{aside, checkout, steps::Step};

const TITLE: &str = "\
# Your own workspace: a package for each step that you started. `cargo workshop` keeps it in order;
# what you add stays.

";

/// While a function is blank, what it will use is unused.
const UNUSED: [&str; 4] = ["dead_code", "unused_imports", "unused_mut", "unused_variables"];

/// Writes them, for all steps up to this one. A file of the learner's that is changed is kept aside, and named.
pub fn write(my: &Path, step: Step) -> Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    kept.extend(complete(my, &my.join("Cargo.toml"), &workspace(step)?)?);
    kept.extend(complete(my, &my.join(".cargo/config.toml"), &config(my)?)?);
    let lock = checkout::checkout()?.join("Cargo.lock");
    fs::copy(&lock, my.join("Cargo.lock"))
        .with_context(|| format!("cannot copy {}", lock.display()))?;
    Ok(kept)
}

/// Cargo.toml of a step: ours without attack, tests and what they need.
pub fn package(package: &Path) -> Result<String> {
    let mut document = read(&package.join("Cargo.toml"))?;
    for section in ["example", "test", "bench", "dev-dependencies"] {
        document.remove(section);
    }
    Ok(format!("{}\n", document.to_string().trim_end()))
}

/// Cargo.toml of the workspace, with the versions that ours has.
fn workspace(step: Step) -> Result<String> {
    let mut document = read(&checkout::checkout()?.join("Cargo.toml"))?;
    let workspace = &mut document["workspace"];
    workspace["members"] = value(Array::from_iter(["steps/*"]));
    if let Some(table) = workspace.as_table_mut() {
        table.remove("default-members");
    }
    if let Some(table) = workspace["dependencies"].as_table_mut() {
        let used = used()?;
        table.retain(|name, _| used.iter().any(|it| it == name));
    }
    for lint in UNUSED {
        workspace["lints"]["rust"][lint] = value("allow");
    }
    let built = built(step)?;
    for (_, profile) in document["profile"].as_table_mut().into_iter().flat_map(|it| it.iter_mut())
    {
        if let Some(packages) = profile.get_mut("package").and_then(Item::as_table_mut) {
            packages.retain(|name, _| built.contains(name));
        }
    }
    Ok(format!("{TITLE}{document}"))
}

/// All crates that are built for the steps up to this one: cargo warns of a profile for any other.
fn built(step: Step) -> Result<BTreeSet<String>> {
    let lock = read(&checkout::checkout()?.join("Cargo.lock"))?;
    let packages = lock.get("package").and_then(Item::as_array_of_tables);
    let packages = packages.context("Cargo.lock has no packages")?;
    let mut built =
        BTreeSet::from_iter(Step::all().filter(|it| *it <= step).map(Step::name).map(String::from));
    loop {
        let before = built.len();
        for package in packages.iter() {
            let name = package.get("name").and_then(Item::as_str).unwrap_or_default();
            let dependencies = package.get("dependencies").and_then(Item::as_array);
            // The tests of a step need packages of ours that are not in `my/`.
            let ours = package.get("source").is_none() && !Step::all().any(|it| it.name() == name);
            if built.contains(name) && !ours {
                let names = dependencies.into_iter().flatten().filter_map(|it| it.as_str());
                built.extend(names.flat_map(|it| it.split(' ').next()).map(String::from));
            }
        }
        if built.len() == before {
            return Ok(built);
        }
    }
}

/// What the steps depend on, and the steps themselves.
fn used() -> Result<Vec<String>> {
    let mut names: Vec<String> = Step::all().map(|step| step.name().to_string()).collect();
    for step in Step::all() {
        let package = checkout::checkout()?.join("steps").join(step.directory());
        let document = read(&package.join("Cargo.toml"))?;
        let table = document.get("dependencies").and_then(Item::as_table_like);
        names.extend(table.into_iter().flat_map(|it| it.iter()).map(|(name, _)| name.to_string()));
    }
    Ok(names)
}

/// .cargo/config.toml: `cargo workshop` works in `my/` too. In the checkout cargo reads ours as well;
/// elsewhere it must be all in here.
fn config(my: &Path) -> Result<String> {
    let checkout = checkout::checkout()?;
    let mut document = match my.starts_with(&checkout) {
        true => DocumentMut::new(),
        false => elsewhere(&checkout)?,
    };
    document.remove("alias");
    let manifest = checkout.join("Cargo.toml").display().to_string();
    // cargo splits it at spaces, and would join an array with ours.
    if !manifest.contains(char::is_whitespace) {
        let command = format!("run --quiet --manifest-path {manifest} --package workshop --");
        document["alias"] = toml_edit::table();
        document["alias"]["workshop"] = value(command);
    }
    Ok(document.to_string())
}

/// Our configuration, with the paths of vendored crates made absolute.
fn elsewhere(checkout: &Path) -> Result<DocumentMut> {
    let mut document = read(&checkout.join(".cargo/config.toml"))?;
    let sources = document.get_mut("source").and_then(Item::as_table_like_mut);
    for (_, source) in sources.into_iter().flat_map(TableLike::iter_mut) {
        let directory = source.get("directory").and_then(Item::as_str).map(|it| checkout.join(it));
        if let Some(directory) = directory {
            source["directory"] = value(directory.display().to_string());
        }
    }
    Ok(document)
}

/// Writes a file, or completes the one that is there. If that changes it, the old one is kept aside.
fn complete(my: &Path, file: &Path, ours: &str) -> Result<Option<PathBuf>> {
    let act = || format!("cannot write {}", file.display());
    fs::create_dir_all(file.parent().context("a file is in no directory")?).with_context(act)?;
    let Ok(theirs) = fs::read_to_string(file) else {
        fs::write(file, ours).with_context(act)?;
        return Ok(None);
    };
    let new = match theirs.parse::<DocumentMut>() {
        Ok(mut document) => {
            merge(document.as_table_mut(), ours.parse::<DocumentMut>()?.as_table());
            document.to_string()
        }
        Err(_) => ours.to_string(),
    };
    if new == theirs {
        return Ok(None);
    }
    let kept = aside::copy_there(my, file)?;
    fs::write(file, new).with_context(act)?;
    Ok(Some(kept))
}

/// Puts what is in `from` into `into`; what else is there stays.
fn merge(into: &mut dyn TableLike, from: &dyn TableLike) {
    for (key, ours) in from.iter() {
        let Some(theirs) = into.get_mut(key) else {
            into.insert(key, ours.clone());
            continue;
        };
        let same = bare(theirs) == bare(ours);
        match (ours.as_table_like(), theirs.as_table_like_mut()) {
            (Some(ours), Some(theirs)) => merge(theirs, ours),
            _ if same => {}
            _ => *theirs = ours.clone(),
        }
    }
}

/// A value as it is written, without comments and spaces round it.
fn bare(item: &Item) -> String {
    let mut item = item.clone();
    if let Some(value) = item.as_value_mut() {
        value.decor_mut().clear();
    }
    item.to_string()
}

fn read(file: &Path) -> Result<DocumentMut> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    text.parse().with_context(|| format!("cannot understand {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_learner_added_stays_and_what_is_missing_comes() {
        let my = tempfile::tempdir().unwrap();
        let file = my.path().join("Cargo.toml");
        let theirs = "[workspace]\nmembers = [\"steps/*\"] # mine\n\n[workspace.dependencies]\n\
                      rand = \"1\" # for fun\nanyhow = \"0.9\"\n";
        let ours =
            "[workspace]\nmembers = [\"steps/*\"]\n[workspace.dependencies]\nanyhow = \"1\"\n";
        fs::write(&file, theirs).unwrap();
        let kept = complete(my.path(), &file, ours).unwrap().unwrap();
        assert_eq!(fs::read_to_string(kept).unwrap(), theirs);
        let new = fs::read_to_string(&file).unwrap();
        assert!(new.contains("rand = \"1\" # for fun") && new.contains("# mine"), "{new}");
        assert!(new.contains("anyhow = \"1\"") && !new.contains("0.9"), "{new}");
        assert_eq!(
            complete(my.path(), &file, ours).unwrap(),
            None,
            "a second time changes nothing"
        );
    }

    #[test]
    fn what_is_no_toml_is_kept_aside() {
        let my = tempfile::tempdir().unwrap();
        let file = my.path().join("Cargo.toml");
        fs::write(&file, "[[[").unwrap();
        let kept = complete(my.path(), &file, "a = 1\n").unwrap().unwrap();
        assert_eq!(fs::read_to_string(kept).unwrap(), "[[[");
        assert_eq!(fs::read_to_string(&file).unwrap(), "a = 1\n");
    }

    #[test]
    fn the_workspace_has_our_versions_and_no_tests() {
        let text = workspace(Step::all().next().unwrap()).unwrap();
        let document: DocumentMut = text.parse().unwrap();
        let dependencies = &document["workspace"]["dependencies"];
        let ours = read(&checkout::checkout().unwrap().join("Cargo.toml")).unwrap();
        assert_eq!(
            bare(&dependencies["nix"]["version"]),
            bare(&ours["workspace"]["dependencies"]["nix"]["version"])
        );
        assert!(dependencies.get("evidence").is_none() && dependencies.get("tempfile").is_none());
        assert_eq!(document["workspace"]["lints"]["rust"]["dead_code"].as_str(), Some("allow"));
        assert!(!text.contains("zstd-sys"), "cargo warns of a profile for what is not built");
        let last = workspace(Step::all().last().unwrap()).unwrap();
        assert!(last.contains("zstd-sys = {") && text.contains("clap_builder = {"), "{last}");
    }
}
