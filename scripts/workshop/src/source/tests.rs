//! Strange but valid Rust: the bodies must be found to the byte.

use std::path::Path;

use super::*;

/// The bodies by path.
fn bodies(text: &str) -> Vec<(String, String)> {
    let functions = functions(Path::new("a.rs"), text).unwrap();
    functions.into_iter().map(|it| (it.path, text[it.body].to_string())).collect()
}

fn only(text: &str) -> (String, String) {
    let mut all = bodies(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn braces_in_comments_and_strings_are_no_braces() {
    let body = r####"{
    // } and { and "
    /* } /* { */ " */
    let a = "}\"{";
    let b = r##"}"# { "##;
    let c = '}';
    let d = b'{';
    let e = br#"}"#;
    let f: &'static str = c"}".to_str().unwrap();
    drop((a, b, c, d, e, f));
}"####;
    assert_eq!(only(&format!("fn f() {body}\n// }}\n")), ("f".into(), body.into()));
}

#[test]
fn modules_types_and_functions_lead_to_a_function() {
    let text = "
mod a { pub mod b { pub(in crate::a) const fn f() {} } }
impl<'a, T: Into<String>> crate::x::Root<'a, T> where T: 'a {
    pub(crate) unsafe extern \"C\" fn pivot<const N: usize>(&self) -> [u8; N] where T: Copy { [0; N] }
}
impl std::fmt::Display for &mut Name { fn fmt(&self) {} }
fn outer() { fn inner() {} inner() }
trait It { fn none(&self); }
";
    let paths: Vec<String> = bodies(text).into_iter().map(|it| it.0).collect();
    assert_eq!(
        paths,
        ["a::b::f", "Root::pivot", "Name::fmt", "outer", "outer::inner"],
        "a function of a trait without a body has none"
    );
}

#[test]
fn a_signature_is_what_stands_before_the_body() {
    let text = "\
#[must_use = \"}\"]
/// Docs {
///
///  indented
#[inline]
pub(super) fn f<T>(
    it: T, // why
) -> Result<T>
where
    T: Copy,
{
    Ok(it)
}
";
    let function = functions(Path::new("a.rs"), text).unwrap().remove(0);
    assert_eq!(function.docs, ["Docs {", "", " indented"]);
    let signature = &text[text.find("pub").unwrap()..text.find("{\n    Ok").unwrap()];
    assert_eq!(function.signature, signature.trim());
    assert_eq!(function.line, 6);
    assert_eq!(&text[function.body], "{\n    Ok(it)\n}");
}

#[test]
fn bytes_are_counted_and_not_letters() {
    let text = "// äöü €\nfn é() { \"ß\"; }\n/** block\n doc */ fn g() { /* 😀 */ }";
    let expected = [("é".into(), "{ \"ß\"; }".into()), ("g".into(), "{ /* 😀 */ }".into())];
    assert_eq!(bodies(text), expected);
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_no_trouble() {
    let text = "\u{feff}/// One\r\n/// Two\r\nfn f() {\r\n    1;\r\n}\r\n";
    assert_eq!(only(text), ("f".into(), "{\r\n    1;\r\n}".into()));
    assert_eq!(functions(Path::new("a.rs"), text).unwrap()[0].docs, ["One", "Two"]);
}

#[test]
fn what_is_not_rust_is_named_with_its_place() {
    let file = Path::new("my/lib.rs");
    let error = functions(file, "fn f() {\n    let = 1;\n}\n").unwrap_err();
    assert!(error.to_string().starts_with("my/lib.rs:2:9: this is not Rust: "), "{error}");
    let error = functions(file, "fn f() {\n    \"\n").unwrap_err();
    assert!(error.to_string().starts_with("my/lib.rs:"), "{error}");
    assert!(functions(file, "fn f() { {\n").is_err());
}

#[test]
fn a_range_is_replaced_and_all_else_stays() {
    let text = "fn f() { 1 } // one\r\n\tfn g() { 2 }  \n";
    let body = functions(Path::new("a.rs"), text).unwrap()[1].body.clone();
    assert_eq!(replace(text, &body, "{ 3 }"), "fn f() { 1 } // one\r\n\tfn g() { 3 }  \n");
}

#[test]
fn tests_are_cut_out_whole() {
    let text = "fn f() {}\n\n/// Docs\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n\nfn h() {}\n\
                \n#[cfg(test)]\nmod more;\n#[cfg(unix)]\nmod kept;\n";
    let left = "fn f() {}\n\nfn h() {}\n#[cfg(unix)]\nmod kept;\n";
    assert_eq!(without_tests(Path::new("a.rs"), text).unwrap(), left);
}
