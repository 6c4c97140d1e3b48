//! probe: put into a root directory and run there, it prints what the kernel tells a process inside,
//! as JSON on one line (`--pretty`: for people). With `--wait` it then stays, to be looked at from
//! outside, until its standard input ends. It needs no file but itself: it is static.

use std::io;

fn main() -> std::process::ExitCode {
    let probe = evidence::Probe::take();
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    let json = match asked("--pretty") {
        true => serde_json::to_string_pretty(&probe),
        false => serde_json::to_string(&probe),
    };
    match json {
        Ok(text) => println!("{text}"),
        Err(error) => {
            eprintln!("error: cannot write the answers down: {error}");
            return 1.into();
        }
    }
    if asked("--wait") {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
    }
    0.into()
}
