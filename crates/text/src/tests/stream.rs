//! Tokens to text, as they come.

use proptest::prelude::*;

use super::fixture::tokenizer;
use crate::{Detokenizer, StopMatcher, Stopping};

#[test]
fn a_character_is_given_out_with_its_last_byte() {
    let tokenizer = tokenizer();
    let mut stream = Detokenizer::new(&tokenizer);
    let tokens = tokenizer.encode("a😀é");
    let texts: Vec<String> = tokens.iter().map(|token| stream.push(*token)).collect();
    assert_eq!(texts, ["a", "", "😀", "", "é"]);
    assert_eq!(stream.finish(), "");
    stream.push(tokens[1]);
    assert_eq!(stream.push(tokens[0]), "\u{FFFD}a");
    stream.push(tokens[1]);
    assert_eq!([stream.finish(), stream.finish()], ["\u{FFFD}", ""]);
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let run = |stops: &[&str], texts: &[&str]| {
        let mut matcher = StopMatcher::new(stops);
        let mut shown = Vec::new();
        for text in texts {
            match matcher.push(text) {
                Stopping::Released(text) => shown.push(text),
                Stopping::Stopped { text } => {
                    shown.push(text);
                    shown.push("(stop)".to_owned());
                    return shown.join("/");
                }
            }
        }
        shown.push(matcher.finish());
        shown.join("/")
    };
    assert_eq!(run(&[], &["a", "b"]), "a/b/");
    assert_eq!(run(&[""], &["a"]), "a/");
    assert_eq!(run(&["END"], &["x", "E", "N", "D", "y"]), "x////(stop)");
    assert_eq!(run(&["END"], &["xEN", "Fy"]), "x/ENFy/");
    assert_eq!(run(&["END"], &["xEN"]), "x/EN");
    assert_eq!(run(&["aab"], &["a", "a", "a", "b"]), "//a//(stop)");
    assert_eq!(run(&["abcd", "bc"], &["abc"]), "a/(stop)");
    assert_eq!(run(&["c", "bc", "abc"], &["xabc"]), "x/(stop)");
    assert_eq!(run(&["\n\n"], &["a\n", "b\n", "\nc"]), "a/\nb//(stop)");
    assert_eq!(run(&["é日"], &["xé", "y", "é", "日"]), "x/éy///(stop)");
}

/// The text before the stop string that ends first, the longest of those; none if no stop string occurs.
fn naive(stops: &[String], text: &str) -> Option<String> {
    (1..=text.len()).filter(|end| text.is_char_boundary(*end)).find_map(|end| {
        let here = stops.iter().filter(|stop| !stop.is_empty() && text[..end].ends_with(stop.as_str()));
        here.map(String::len).max().map(|length| text[..end - length].to_owned())
    })
}

proptest! {
    #[test]
    fn stop_strings_are_found_as_by_plain_search(
        stops in prop::collection::vec("[abé]{0,4}", 0..4), pieces in prop::collection::vec("[abé]{0,3}", 0..20),
    ) {
        let mut matcher = StopMatcher::new(&stops);
        let mut shown = String::new();
        let mut stopped = false;
        for piece in &pieces {
            match matcher.push(piece) {
                Stopping::Released(text) => shown.push_str(&text),
                Stopping::Stopped { text } => {
                    shown.push_str(&text);
                    stopped = true;
                    break;
                }
            }
        }
        if !stopped {
            shown.push_str(&matcher.finish());
        }
        let text = pieces.concat();
        let expected = naive(&stops, &text);
        prop_assert_eq!(stopped, expected.is_some());
        prop_assert_eq!(shown, expected.unwrap_or(text));
    }

    #[test]
    fn a_stream_says_what_the_whole_says(tokens in prop::collection::vec(0_u32..280, 0..60)) {
        let tokenizer = tokenizer();
        let mut stream = Detokenizer::new(&tokenizer);
        let mut text: String = tokens.iter().map(|token| stream.push(*token)).collect();
        text.push_str(&stream.finish());
        prop_assert_eq!(text, tokenizer.decode(&tokens));
    }
}
