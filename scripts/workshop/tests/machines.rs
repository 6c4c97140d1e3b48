//! The files of scripts/machines: each is what its program reads, and installs what the others do.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../machines").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The packages that `setup` installs.
fn packages() -> Vec<String> {
    let setup = text("setup").replace("\\\n", " ");
    let line = setup.lines().find(|line| line.starts_with("apt-get install")).unwrap();
    let words = line.split_whitespace().skip(2).filter(|word| !word.starts_with('-'));
    words.map(String::from).collect()
}

#[test]
fn lima_s_file_is_yaml_and_installs_the_same() {
    let machine: Value = serde_yaml_ng::from_str(&text("workshop.yaml")).unwrap();
    assert_eq!(machine["base"][0], "template:_images/debian-13");
    let script = machine["provision"][0]["script"].as_str().unwrap();
    for package in packages() {
        assert!(script.split_whitespace().any(|word| word == package), "no {package}");
    }
    for provision in machine["provision"].as_array().unwrap() {
        shell(provision["script"].as_str().unwrap());
    }
}

#[test]
fn cloud_init_s_file_is_yaml_and_installs_the_same() {
    let file = text("user-data");
    assert!(file.starts_with("#cloud-config\n"));
    let machine: Value = serde_yaml_ng::from_str(&file).unwrap();
    let listed = machine["packages"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    assert_eq!(listed.collect::<Vec<_>>(), packages());
    assert!(machine["runcmd"].as_array().unwrap().iter().all(Value::is_array));
}

#[test]
fn the_dev_container_s_commands_are_there() {
    let container: Value = serde_json::from_str(&text("devcontainer.json")).unwrap();
    assert_eq!(container["privileged"], true);
    for command in ["onCreateCommand", "postStartCommand"] {
        let program = container[command].as_str().unwrap().split(' ').next().unwrap();
        assert!(path("../..").join(program).exists(), "{program}");
    }
}

#[test]
fn the_vagrantfile_is_ruby() {
    assert!(text("Vagrantfile").contains("path: \"setup\""));
    match Command::new("ruby").arg("-c").arg(path("Vagrantfile")).output() {
        Ok(checked) => assert!(checked.status.success(), "{checked:?}"),
        Err(_) => println!("skipped: the Vagrantfile's syntax: there is no ruby"),
    }
}

#[test]
fn the_scripts_are_shell_and_the_readme_names_all_files() {
    ["setup", "cgroups"].iter().for_each(|name| shell(&text(name)));
    let readme = text("README.md");
    for entry in fs::read_dir(path("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("({name})")), "{name}");
    }
}

/// sh(1) parses it without running it.
fn shell(script: &str) {
    let checked = Command::new("sh").args(["-nc", script]).output().unwrap();
    assert!(checked.status.success(), "{script}\n{checked:?}");
}
