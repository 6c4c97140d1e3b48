//! Profiles as people have them: clauses, old and foreign spellings, mistakes.

use std::path::PathBuf;

use clap::Parser;

use super::interpreter::run;
use super::{ALLOW, EPERM, errno, program};
use crate::names::number;
use crate::profile::{Host, Profile, Version};
use crate::{Args, SecurityOption, load};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn args(options: &[&str]) -> Result<Args, String> {
    let flags = options.iter().flat_map(|option| ["--security-opt", option]);
    let cli = Cli::try_parse_from(["step"].into_iter().chain(flags));
    cli.map(|cli| cli.args).map_err(|error| error.to_string())
}

/// The error that a profile file with this text gives, as the user reads it.
fn error(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let error = load(&args(&[&format!("seccomp={path}")]).unwrap()).err().expect("an error");
    let error = format!("{error:#}");
    assert!(error.starts_with(&format!("cannot use the seccomp profile {path}: ")), "{error}");
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn mistakes_are_named() {
    let rule =
        |text: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{text}]}}"#);
    let argument = |text: &str| {
        rule(&format!(r#"{{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{text}]}}"#))
    };
    for (text, reason) in [
        ("nonsense", "expected ident at line 1"),
        ("", "EOF"),
        ("{}", "missing field `defaultAction`"),
        (r#"{"defaultAction": "SCMP_ACT_DENY"}"#, "unknown variant `SCMP_ACT_DENY`"),
        (&rule(r#"{"names": ["read"], "action": "ALLOW"}"#), "unknown variant `ALLOW`"),
        (&rule(r#"{"names": ["read"]}"#), "missing field `action`"),
        (
            &rule(r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}"#),
            "5000 is no errno",
        ),
        (
            &rule(r#"{"names": [1], "action": "SCMP_ACT_ERRNO"}"#),
            "expected the name of a system call",
        ),
        (
            &argument(r#"{"index": 0, "value": 1, "op": "SCMP_CMP_IS"}"#),
            "unknown variant `SCMP_CMP_IS`",
        ),
        (&argument(r#"{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}"#), "no argument 6"),
        (
            &argument(r#"{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}"#),
            "invalid value: integer `-1`",
        ),
        (&argument(r#"{"index": 0, "value": 1}"#), "missing field `op`"),
        (
            &rule(
                r#"{"names": ["read"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "new"}}"#,
            ),
            "`new` is no kernel version",
        ),
    ] {
        let error = error(text);
        assert!(error.contains(reason), "{error}\nshould say: {reason}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    for (file, reason) in [
        ("/nonexistent/profile.json", "No such file or directory"),
        ("/etc", "Is a directory"),
        ("/dev/zero", "expected value"),
    ] {
        let error = load(&args(&[&format!("seccomp={file}")]).unwrap()).err().expect("an error");
        let error = format!("{error:#}");
        assert!(error.contains(&format!("the seccomp profile {file}: ")), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn options() {
    let file = SecurityOption::Profile(PathBuf::from("a=b.json"));
    let known =
        args(&["no-new-privileges", "seccomp=a=b.json", "seccomp=unconfined", "seccomp=builtin"]);
    let (nnp, none) = (SecurityOption::NoNewPrivileges, SecurityOption::Unconfined);
    assert_eq!(known.unwrap().security, [nnp, file, none, SecurityOption::Builtin]);
    for unknown in ["apparmor=x", "seccomp=", "seccomp", "", "no-new-privileges=maybe"] {
        let error = args(&[unknown]).err().expect("an error");
        assert!(error.contains("seccomp=FILE, seccomp=unconfined or no-new-privileges"), "{error}");
    }
}

#[test]
fn the_last_profile_counts_and_unconfined_has_no_program() {
    let loaded = |options: &[&str]| load(&args(options).unwrap()).unwrap().program.len();
    let default = loaded(&[]);
    assert!(default > 50);
    assert_eq!(loaded(&["seccomp=unconfined", "no-new-privileges"]), 0);
    assert_eq!(loaded(&["seccomp=unconfined", "seccomp=builtin"]), default);
    assert_eq!(loaded(&["seccomp=/nonexistent", "seccomp=unconfined"]), 0);
}

#[test]
fn other_spellings_are_read() {
    let json = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
        "architectures": null, "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": null}],
        "syscalls": [
            {"name": "read", "action": "SCMP_ACT_ALLOW", "args": null, "comment": "", "includes": {}, "excludes": null},
            {"names": ["no_such_call", "wri\u0074e"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": null}},
            {"names": ["statx"], "action": "SCMP_ACT_ERRNO"}
        ]}"#;
    let program = program(json);
    for (name, wanted) in
        [("read", ALLOW), ("write", ALLOW), ("statx", EPERM), ("close", errno(38))]
    {
        assert_eq!(run(&program, number(name).unwrap(), [0; 6]).word, wanted, "{name}");
    }
}

#[test]
fn clauses_choose_rules() {
    let host = Host { capabilities: &["CAP_KILL", "CAP_CHOWN"], kernel: Version(4, 10) };
    let native = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    for (clause, applies) in [
        (r#""includes": {"caps": ["CAP_KILL", "CAP_CHOWN"]}"#, true),
        (r#""includes": {"caps": ["CAP_KILL", "CAP_BPF"]}"#, false),
        (r#""excludes": {"caps": ["CAP_KILL", "CAP_BPF"]}"#, false),
        (r#""excludes": {"caps": ["CAP_BPF"]}"#, true),
        (&format!(r#""includes": {{"arches": ["s390", "{native}"]}}"#), true),
        (r#""includes": {"arches": ["s390"]}"#, false),
        (&format!(r#""excludes": {{"arches": ["s390", "{native}"]}}"#), false),
        (r#""excludes": {"arches": ["s390"]}"#, true),
        (r#""includes": {"minKernel": "4.8"}"#, true),
        (r#""includes": {"minKernel": "4.10"}"#, true),
        (r#""includes": {"minKernel": "4.11"}"#, false),
        (r#""excludes": {"minKernel": "4.8"}"#, false),
        (r#""excludes": {"minKernel": "5.0"}"#, true),
        (r#""includes": {"caps": ["CAP_KILL"], "minKernel": "5.0"}"#, false),
    ] {
        let json = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["read"], "action": "SCMP_ACT_ALLOW", {clause}}}]}}"#
        );
        let profile: Profile = serde_json::from_str(&json).unwrap();
        assert_eq!(profile.rules(&host).rules.len(), usize::from(applies), "{clause}");
    }
}

#[test]
fn every_name_of_the_default_profile_exists_somewhere() {
    let profile: serde_json::Value = serde_json::from_str(crate::DEFAULT).unwrap();
    let names = profile["syscalls"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rule| rule["names"].as_array().unwrap());
    let unknown: Vec<&str> =
        names.map(|name| name.as_str().unwrap()).filter(|name| number(name).is_none()).collect();
    // On x86_64 every one is known; aarch64 has no table of the calls that x86_64 alone kept.
    assert!(cfg!(not(target_arch = "x86_64")) || unknown.is_empty(), "{unknown:?}");
}
