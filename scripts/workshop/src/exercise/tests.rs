//! Exercises found, blanked and filled in again.

use super::*;

const TEXT: &str = r####"//! A library.
use std::path::Path;

mod inner {
    impl<T> super::Root<T> {
        /// Makes it. Not Exercise 4.9
        ///
        /// Exercise 4.2
        #[inline]
        pub fn pivot(self) -> Result<()> {
            let open = "{"; // }
            r#"}"#;
        }
    }
}

/// First.
///
/// Exercise 4.1
fn first(it: Path)
    -> anyhow::Result<()> { /* } */ Ok(()) }

/// Exercise 4.3 is no mark, nor is
/// what stands before the last line: Exercise 4.4
fn none() {}
"####;

fn found(text: &str) -> Vec<Exercise> {
    in_text(Path::new("src/lib.rs"), text).unwrap()
}

#[test]
fn only_a_last_line_of_its_own_marks_an_exercise() {
    let ids: Vec<String> = found(TEXT).iter().map(|it| it.id.to_string()).collect();
    assert_eq!(ids, ["4.2", "4.1"]);
    assert_eq!(found(TEXT)[0].task(), "Makes it. Not Exercise 4.9");
    assert_eq!(found(TEXT)[0].function.path, "inner::Root::pivot");
}

#[test]
fn a_blank_body_names_exercise_and_function_and_nothing_else_changes() {
    for text in [TEXT.to_string(), TEXT.replace('\n', "\r\n")] {
        let end = if text.contains('\r') { "\r\n" } else { "\n" };
        let exercise = found(&text).remove(0);
        let blank = blank(&text, exercise.id, &exercise.function);
        let body = format!(
            "{{{end}            anyhow::bail!(\"exercise 4.2 is not written yet: pivot\"){end}        }}"
        );
        assert_eq!(blank, text.replace(&exercise.solution, &body));
        assert_eq!(found(&blank).len(), 2, "it is Rust, and the marks stand");
    }
}

#[test]
fn a_function_of_one_line_is_blanked_at_its_own_indentation() {
    let exercise = found(TEXT).remove(1);
    let blank = blank(TEXT, exercise.id, &exercise.function);
    let body = "Result<()> {\n    anyhow::bail!(\"exercise 4.1 is not written yet: first\")\n}\n";
    assert!(blank.contains(body), "{blank}");
}

#[test]
fn what_was_blanked_is_filled_in_to_the_byte() {
    let mut text = TEXT.to_string();
    for at in 0..2 {
        let exercise = found(&text).remove(at);
        text = blank(&text, exercise.id, &exercise.function);
    }
    for exercise in found(TEXT) {
        let here = found(&text).into_iter().find(|it| it.id == exercise.id).unwrap();
        text = source::replace(&text, &here.function.body, &exercise.solution);
    }
    assert_eq!(text, TEXT);
}

#[test]
fn a_function_that_was_moved_is_found_and_one_that_is_gone_is_named() {
    let package = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(package.path().join(name), text).unwrap();
    fs::create_dir(package.path().join("src")).unwrap();
    let exercise = found(TEXT).remove(1);
    write("src/lib.rs", "fn other() {}");
    let gone = exercise.locate(package.path()).err().unwrap().to_string();
    assert!(gone.starts_with("the function first of exercise 4.1 is no more in"), "{gone}");
    write("src/moved.rs", "fn first() { 1 }");
    let place = exercise.locate(package.path()).unwrap();
    assert_eq!((place.body(), &*place.file), ("{ 1 }", Path::new("src/moved.rs")));
    write("src/lib.rs", "fn first() { 2 }");
    assert_eq!(exercise.locate(package.path()).unwrap().body(), "{ 2 }");
    write("src/lib.rs", "fn first() {");
    let broken = exercise.locate(package.path()).err().unwrap().to_string();
    assert!(broken.contains("src/lib.rs:1:"), "{broken}");
}
