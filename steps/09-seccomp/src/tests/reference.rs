//! What a profile says of a call, read straight from the JSON text, rule by rule and without a
//! word in common with the compiler. Slow and plain.

use std::collections::HashMap;

use serde_json::Value;

use super::{ENOSYS, errno};
use crate::CAPABILITIES;
use crate::names::number;

/// A profile, its rules found by call.
pub struct Reference {
    default: u32,
    /// The answer to numbers from here on.
    newer: (u32, u32),
    rules: HashMap<u32, Vec<Value>>,
}

impl Reference {
    pub fn new(json: &str) -> Reference {
        let profile: Value = serde_json::from_str(json).unwrap();
        let mut found: HashMap<u32, Vec<Value>> = HashMap::new();
        for rule in rules(&profile) {
            for number in numbers(rule) {
                found.entry(number).or_default().push(rule.clone());
            }
        }
        let default = action(&profile, "defaultAction", "defaultErrnoRet");
        let first_newer = found.keys().max().map_or(0, |newest| newest + 1);
        let newer = (first_newer, if refuses(&profile) { ENOSYS } else { default });
        Reference { default, newer, rules: found }
    }

    /// The word that the filter must return for a native call.
    pub fn verdict(&self, call: u32, args: [u64; 6]) -> u32 {
        if cfg!(target_arch = "x86_64") && call >= 0x4000_0000 {
            return ENOSYS;
        }
        let all_hold = |rule: &&Value| list(rule, "args").iter().all(|one| holds(one, args));
        match self.of(call).iter().find(all_hold) {
            Some(rule) => action(rule, "action", "errnoRet"),
            None if call >= self.newer.0 => self.newer.1,
            None => self.default,
        }
    }

    /// Every value that the profile compares an argument of `call` with: (argument, value).
    pub fn edges(&self, call: u32) -> Vec<(usize, u64)> {
        let conditions = self.of(call).iter().flat_map(|rule| list(rule, "args"));
        let edge = |condition: &Value, key: &str| {
            (condition["index"].as_u64().unwrap() as usize, condition[key].as_u64().unwrap_or(0))
        };
        conditions.flat_map(|one| ["value", "valueTwo"].map(|key| edge(one, key))).collect()
    }

    fn of(&self, call: u32) -> &[Value] {
        self.rules.get(&call).map_or(&[], Vec::as_slice)
    }
}

fn rules(profile: &Value) -> impl Iterator<Item = &Value> {
    list(profile, "syscalls").iter().filter(|rule| {
        let has = |name: &Value| CAPABILITIES.iter().any(|capability| name == capability);
        list(&rule["includes"], "caps").iter().all(has)
            && !list(&rule["excludes"], "caps").iter().any(has)
    })
}

fn numbers(rule: &Value) -> impl Iterator<Item = u32> {
    list(rule, "names").iter().filter_map(|name| number(name.as_str().unwrap()))
}

fn holds(condition: &Value, args: [u64; 6]) -> bool {
    let argument = args[condition["index"].as_u64().unwrap() as usize];
    let value = condition["value"].as_u64().unwrap();
    match condition["op"].as_str().unwrap() {
        "SCMP_CMP_NE" => argument != value,
        "SCMP_CMP_LT" => argument < value,
        "SCMP_CMP_LE" => argument <= value,
        "SCMP_CMP_EQ" => argument == value,
        "SCMP_CMP_GE" => argument >= value,
        "SCMP_CMP_GT" => argument > value,
        "SCMP_CMP_MASKED_EQ" => argument & value == condition["valueTwo"].as_u64().unwrap_or(0),
        other => panic!("no operator {other}"),
    }
}

fn action(object: &Value, key: &str, number: &str) -> u32 {
    let number = object[number].as_u64().unwrap_or(1) as u32;
    match object[key].as_str().unwrap() {
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | number,
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_ERRNO" => errno(number as i32),
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        other => panic!("no action {other}"),
    }
}

fn refuses(profile: &Value) -> bool {
    let default = profile["defaultAction"].as_str().unwrap();
    !["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].contains(&default)
}

fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object[key].as_array().map_or(&[], Vec::as_slice)
}
