//! Questions with several answers: each answer can be opened, by mouse or by keyboard and without a
//! script, and says then whether it is right, and why.

use std::fmt::Write;

use anyhow::{Result, bail, ensure};
use pulldown_cmark::{Parser, html::push_html};

use crate::fence::Line;

/// One answer of a question.
#[derive(Default)]
struct Answer {
    right: bool,
    text: String,
    why: String,
}

/// Whether a line begins a question.
pub fn opens(line: &str) -> bool {
    line.trim() == "<div class=\"quiz\">"
}

/// The question, from `<div class="quiz">` to `</div>`, as HTML with Markdown in it.
pub fn html(lines: &[Line]) -> Result<String> {
    ensure!(
        lines.last().is_some_and(|it| it.text.trim() == "</div>"),
        "this question has no </div>"
    );
    let (question, answers) = parsed(&lines[1..lines.len() - 1])?;
    let right = answers.iter().filter(|it| it.right).count();
    ensure!(!question.is_empty(), "this question asks nothing");
    ensure!(answers.len() > 1, "a question has at least two answers");
    ensure!(right > 0, "no answer of this question is right");
    if let Some(mute) = answers.iter().find(|it| it.why.is_empty()) {
        bail!("an answer has no explanation: {}", mute.text);
    }
    let mut html = format!("<div class=\"quiz\">\n\n{question}\n\n");
    for answer in answers {
        let (class, word) = if answer.right { ("is-right", "Right.") } else { ("is-wrong", "No.") };
        let _ = write!(
            html,
            "<details class=\"{class}\">\n<summary>{}</summary>\n\n**{word}** {}\n\n</details>\n",
            inline(&answer.text),
            answer.why
        );
    }
    Ok(html + "\n</div>\n")
}

/// The question, and its answers.
fn parsed(lines: &[Line]) -> Result<(String, Vec<Answer>)> {
    let (mut question, mut answers) = (String::new(), Vec::<Answer>::new());
    for line in lines {
        let text = line.text.trim();
        let start = text.strip_prefix("- [").and_then(|it| it.split_once(']'));
        match (start, answers.last_mut()) {
            (Some((mark @ ("x" | " "), text)), _) => {
                let answer =
                    Answer { right: mark == "x", text: text.trim().into(), ..Answer::default() };
                answers.push(answer);
            }
            (_, Some(answer)) => match text.strip_prefix('>') {
                Some(why) => append(&mut answer.why, why.trim()),
                None => {
                    let belongs = text.is_empty() || line.text.starts_with(' ');
                    ensure!(belongs, "this does not belong to an answer: {text}");
                    append(&mut answer.text, text);
                }
            },
            (_, None) => append(&mut question, line.text),
        }
    }
    Ok((question.trim().to_string(), answers))
}

fn append(to: &mut String, line: &str) {
    if !to.is_empty() && !line.is_empty() {
        to.push(' ');
    }
    *to += line;
}

/// Markdown of one paragraph as HTML that may stand in a line.
pub fn inline(markdown: &str) -> String {
    let mut html = String::new();
    push_html(&mut html, Parser::new(markdown));
    html.trim().trim_start_matches("<p>").trim_end_matches("</p>").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence;

    const QUESTION: &str = "<div class=\"quiz\">\n\n**1. Which?**\n\n- [ ] `a` and\n  more\n  > Not so,\n  \
                            > and why.\n- [x] b\n  > It is.\n\n</div>\n";

    #[test]
    fn an_answer_opens_and_says_why() {
        let html = html(&fence::lines(QUESTION)).unwrap();
        assert!(html.contains("**1. Which?**"), "{html}");
        let wrong = "<details class=\"is-wrong\">\n<summary><code>a</code> and more</summary>\n\n\
                     **No.** Not so, and why.\n\n</details>";
        assert!(html.contains(wrong), "{html}");
        assert!(html.contains("**Right.** It is."), "{html}");
    }

    #[test]
    fn a_question_that_cannot_be_answered_is_an_error() {
        let error = |text: &str| html(&fence::lines(text)).unwrap_err().to_string();
        assert_eq!(error(&QUESTION.replace("[x]", "[ ]")), "no answer of this question is right");
        let mute = error(&QUESTION.replace("  > It is.\n", ""));
        assert_eq!(mute, "an answer has no explanation: b");
        let second = error(&QUESTION.replace("</div>", "**2. And which?**\n\n- [x] c\n\n</div>"));
        assert_eq!(second, "this does not belong to an answer: **2. And which?**");
    }
}
