//! What is written beside what was seen. `…` in a line stands for anything in it; alone on a line, for
//! any lines.

const ANY: &str = "…";

/// Whether what is written is what was seen.
pub fn holds(written: &[String], seen: &[String]) -> bool {
    match (written.split_first(), seen.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first.trim() == ANY => {
            (0..=seen.len()).any(|skipped| holds(rest, &seen[skipped..]))
        }
        (Some((first, rest)), Some((line, others))) => {
            line_holds(first.trim_end(), line.trim_end()) && holds(rest, others)
        }
        _ => false,
    }
}

/// The parts between two `…` stand in the line one after the other.
fn line_holds(written: &str, line: &str) -> bool {
    let Some((start, rest)) = written.split_once(ANY) else { return written == line };
    let Some(mut left) = line.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once(ANY).unwrap_or(("", rest));
    for part in middle.split(ANY) {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(String::from).collect()
    }

    #[test]
    fn what_is_left_out_may_be_anything() {
        let seen = lines("one 1\ntwo\nthree\nfour 4 times");
        for written in
            ["one 1\ntwo\nthree\nfour 4 times", "one …\n…\nfour … times", "…", "…\nthree\n…"]
        {
            assert!(holds(&lines(written), &seen), "{written}");
        }
        for written in ["one 1\ntwo\nthree", "one …", "…\nfive", "one 1\n…\nfour … days", ""]
        {
            assert!(!holds(&lines(written), &seen), "{written}");
        }
        assert!(!line_holds("a…b…c", "a c") && line_holds("a…b…c", "a b c"));
    }
}
