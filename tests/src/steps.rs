//! The steps by their numbers. The numbers have a gap: what is planned between keeps its own free.

/// All that there are, in order.
pub const STEPS: [(usize, &str); 10] = [
    (1, "chroot"),
    (2, "uts"),
    (3, "pid"),
    (4, "mount"),
    (5, "net"),
    (6, "user"),
    (7, "cgroups"),
    (8, "overlay"),
    (9, "seccomp"),
    (14, "image"),
];

/// The last one.
pub const LAST: usize = STEPS[STEPS.len() - 1].0;

/// The last whose program is `STEP [FLAGS] ROOT COMMAND`; step 14's is `image run [FLAGS] IMAGE COMMAND`.
pub const LAST_WITH_ROOT: usize = 9;

/// Their numbers, in order.
pub fn numbers() -> impl DoubleEndedIterator<Item = usize> {
    STEPS.iter().map(|(number, _)| *number)
}

/// What the step of this number is called. Number 0 is `host`: no container at all.
pub fn name(number: usize) -> &'static str {
    let found = STEPS.iter().find(|(known, _)| *known == number);
    found.map_or("host", |(_, name)| name)
}

/// The number of the step, or of `host`, that is called so.
pub fn number(name: &str) -> Option<usize> {
    let found = STEPS.iter().find(|(_, known)| *known == name);
    found.map(|(number, _)| *number).or((name == "host").then_some(0))
}

/// The number of the step before, over a gap too; 0 before the first.
pub fn before(number: usize) -> usize {
    numbers().rfind(|known| *known < number).unwrap_or(0)
}

/// `1 to 9 and 14`: which there are, for messages.
pub fn which() -> String {
    said(&numbers().collect::<Vec<_>>())
}

/// Numbers in words, those that follow each other as one range: `1 to 4, 6 and 14`.
pub fn said(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let words: Vec<String> = ranges.into_iter().flat_map(range).collect();
    match words.split_last() {
        Some((last, rest @ [_, ..])) => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// Two in a row are no range yet.
fn range((first, last): (usize, usize)) -> Vec<String> {
    match last - first {
        0 | 1 => (first..=last).map(|number| number.to_string()).collect(),
        _ => vec![format!("{first} to {last}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_by_its_number_over_the_gap() {
        assert_eq!((name(9), name(10), name(14)), ("seccomp", "host", "image"));
        assert_eq!((number("image"), number("host"), number("none")), (Some(14), Some(0), None));
        assert_eq!((before(1), before(9), before(14)), (0, 8, 9));
    }

    #[test]
    fn numbers_are_said_as_a_reader_would() {
        assert_eq!(which(), "1 to 9 and 14");
        assert_eq!(said(&[4]), "4");
        assert_eq!(said(&[1, 2]), "1 and 2");
        assert_eq!(said(&[1, 2, 3, 6, 14]), "1 to 3, 6 and 14");
        assert_eq!(said(&[1, 8, 9]), "1, 8 and 9");
    }
}
