//! probe: put into a root directory and run there, it prints what the kernel tells a process inside,
//! as JSON on one line (`--pretty`: for people). It needs no file but itself: it is static.

fn main() -> std::process::ExitCode {
    let probe = evidence::Probe::take();
    let pretty = std::env::args().any(|argument| argument == "--pretty");
    let json = match pretty {
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
    0.into()
}
