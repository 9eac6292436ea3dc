//! Text as a terminal shows it: how wide it is, and nothing in it that a terminal would obey.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Columns that a tab takes.
const TAB: &str = "    ";

/// What others wrote, without what would move the cursor, ring, or turn the direction of writing.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => clean.push(c),
            '\t' => clean.push_str(TAB),
            '\r' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => clean.push('\u{fffd}'),
            c => clean.push(c),
        }
    }
    clean
}

/// As [`clean`], in one line.
pub fn line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The beginning of a line that fits into so many columns, with … where something is left out.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut taken = 1;
    for grapheme in text.graphemes(true) {
        taken += width(grapheme);
        if taken > columns {
            break;
        }
        fitted.push_str(grapheme);
    }
    if columns > 0 {
        fitted.push('…');
    }
    fitted
}

/// A text in rows of so many columns, broken between words, and within those that are too long or have no spaces.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut rows = Vec::new();
    for paragraph in text.split('\n') {
        let mut row = String::new();
        let mut taken = 0;
        for (place, word) in paragraph.split(' ').enumerate() {
            let wide = width(word);
            let space = usize::from(place > 0);
            if taken + space + wide <= columns {
                row.push_str(if place > 0 { " " } else { "" });
                row.push_str(word);
                taken += space + wide;
                continue;
            }
            let breakable = wide > columns || word.graphemes(true).any(|grapheme| width(grapheme) > 1);
            if taken > 0 && (!breakable || taken + space + 2 > columns) {
                rows.push(std::mem::take(&mut row));
                taken = 0;
            } else if place > 0 {
                row.push(' ');
                taken += 1;
            }
            for grapheme in word.graphemes(true) {
                if taken + width(grapheme) > columns {
                    rows.push(std::mem::take(&mut row));
                    taken = 0;
                }
                row.push_str(grapheme);
                taken += width(grapheme);
            }
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_no_row_is_too_wide() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("a\n\nb", 10), ["a", "", "b"]);
        assert_eq!(wrap("abcdefghijkl", 5), ["abcde", "fghij", "kl"]);
        assert_eq!(wrap("日本語の文章です", 7), ["日本語", "の文章", "です"]);
        assert_eq!(wrap("see 日本語", 8), ["see 日本", "語"]);
        // A family is one picture of two columns, and an accent has none of its own.
        assert_eq!(wrap("👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧", 4), ["👨‍👩‍👧👨‍👩‍👧", "👨‍👩‍👧"]);
        assert_eq!(wrap("e\u{301}e\u{301}e\u{301}", 2), ["e\u{301}e\u{301}", "e\u{301}"]);
        for columns in 2..30 {
            let text = "Ärger mit 日本語 und 👍🏽 sehrlangeWörterohneEnde, e\u{301} …\n  eingerückt";
            assert!(wrap(text, columns).iter().all(|row| width(row) <= columns), "{columns}");
        }
    }

    #[test]
    fn a_line_that_is_cut_says_so() {
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("too long", 5), "too …");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
    }

    #[test]
    fn nobody_can_make_anothers_terminal_do_things() {
        assert_eq!(clean("a\u{1b}[2Jb\tc\u{7}\u{202e}d"), "a\u{fffd}[2Jb    c\u{fffd}d");
    }
}
