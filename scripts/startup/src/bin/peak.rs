//! Runs a command and prints the most memory that it or a process it waited for had, in KiB,
//! wait4(2). Small itself: what exec replaces counts too.

use std::ffi::{CString, c_char};
use std::ptr::null;

fn main() {
    let words: Vec<CString> =
        std::env::args().skip(1).map(|word| CString::new(word).expect("no NUL")).collect();
    let mut argv: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
    argv.push(null());
    // SAFETY: this process has one thread; the child only executes the command.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: `argv` ends with a null pointer and outlives the call.
        unsafe { libc::execvp(argv[0], argv.as_ptr()) };
        std::process::exit(127);
    }
    // SAFETY: zero is a valid value of every field.
    let (mut status, mut usage): (i32, libc::rusage) = (0, unsafe { std::mem::zeroed() });
    // SAFETY: both are ours to be written.
    unsafe { libc::wait4(child, &mut status, 0, &mut usage) };
    println!("{}", usage.ru_maxrss);
}
