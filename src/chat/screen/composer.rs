//! The line that is being written: any number of rows, edited by what a reader sees as one character.

use crate::chat::text::width;
use unicode_segmentation::UnicodeSegmentation as _;

/// Lines that are remembered.
const REMEMBERED: usize = 200;

/// What is being written, and what was written before.
#[derive(Debug, Default)]
pub struct Composer {
    text: String,
    /// A byte offset, between two graphemes.
    cursor: usize,
    history: Vec<String>,
    /// Where in the history one is looking; the end is what is being written.
    place: usize,
    /// What was being written when one began to look.
    unfinished: String,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Back,
    On,
}

impl Composer {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Writes something else in its place; the cursor stands at its end.
    pub fn set(&mut self, text: impl Into<String>) {
        self.text = text.into();
        self.cursor = self.text.len();
        self.place = self.history.len();
    }

    /// Takes what was written, and remembers it.
    pub fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.cursor = 0;
        if !text.trim().is_empty() && self.history.last() != Some(&text) {
            self.history.push(text.clone());
            let surplus = self.history.len().saturating_sub(REMEMBERED);
            self.history.drain(..surplus);
        }
        self.place = self.history.len();
        text
    }

    pub fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
        let text: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
    }

    pub fn erase(&mut self, way: Way) {
        let to = self.neighbour(way);
        self.cut(to);
    }

    pub fn erase_word(&mut self) {
        let to = self.word(Way::Back);
        self.cut(to);
    }

    /// Erases to the beginning or the end of the row.
    pub fn erase_row(&mut self, way: Way) {
        let to = self.edge(way);
        self.cut(to);
    }

    fn cut(&mut self, to: usize) {
        let (first, last) = (self.cursor.min(to), self.cursor.max(to));
        self.text.replace_range(first..last, "");
        self.cursor = first;
    }

    pub fn step(&mut self, way: Way) {
        self.cursor = self.neighbour(way);
    }

    pub fn step_word(&mut self, way: Way) {
        self.cursor = self.word(way);
    }

    /// To the beginning or the end of the row.
    pub fn step_edge(&mut self, way: Way) {
        self.cursor = self.edge(way);
    }

    fn neighbour(&self, way: Way) -> usize {
        match way {
            Way::Back => self.text[..self.cursor].grapheme_indices(true).next_back().map_or(0, |(at, _)| at),
            Way::On => {
                let next = self.text[self.cursor..].graphemes(true).next();
                self.cursor + next.map_or(0, str::len)
            }
        }
    }

    fn word(&self, way: Way) -> usize {
        match way {
            Way::Back => {
                let mut words = self.text[..self.cursor].unicode_word_indices();
                words.next_back().map_or(0, |(at, _)| at)
            }
            Way::On => {
                let mut words = self.text[self.cursor..].unicode_word_indices();
                words.next().map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
            }
        }
    }

    fn edge(&self, way: Way) -> usize {
        match way {
            Way::Back => self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1),
            Way::On => self.text[self.cursor..].find('\n').map_or(self.text.len(), |at| self.cursor + at),
        }
    }

    /// One row up or down, at such a width; false when there is none.
    pub fn step_row(&mut self, way: Way, columns: usize) -> bool {
        let rows = self.rows(columns);
        let (row, column) = self.position(&rows);
        let target = match way {
            Way::Back => row.checked_sub(1),
            Way::On => (row + 1 < rows.len()).then_some(row + 1),
        };
        let Some((start, end)) = target.map(|row| rows[row]) else { return false };
        let mut taken = 0;
        self.cursor = end;
        for (at, grapheme) in self.text[start..end].grapheme_indices(true) {
            if taken + width(grapheme) > column {
                self.cursor = start + at;
                break;
            }
            taken += width(grapheme);
        }
        true
    }

    /// What was written before or after; false when there is no more.
    pub fn recall(&mut self, way: Way) -> bool {
        let place = match way {
            Way::Back => self.place.checked_sub(1),
            Way::On => (self.place < self.history.len()).then_some(self.place + 1),
        };
        let Some(place) = place else { return false };
        if self.place == self.history.len() {
            self.unfinished.clone_from(&self.text);
        }
        self.text = self.history.get(place).cloned().unwrap_or_else(|| std::mem::take(&mut self.unfinished));
        self.cursor = self.text.len();
        self.place = place;
        true
    }

    /// The text in rows of so many columns, and where the cursor stands: row, column.
    pub fn layout(&self, columns: usize) -> (Vec<&str>, (usize, usize)) {
        let rows = self.rows(columns);
        let at = self.position(&rows);
        (rows.into_iter().map(|(start, end)| &self.text[start..end]).collect(), at)
    }

    /// Byte ranges. The last column is left to the cursor.
    fn rows(&self, columns: usize) -> Vec<(usize, usize)> {
        let columns = columns.saturating_sub(1).max(2);
        let mut rows = Vec::new();
        let (mut start, mut taken) = (0, 0);
        for (at, grapheme) in self.text.grapheme_indices(true) {
            if grapheme == "\n" {
                rows.push((start, at));
                (start, taken) = (at + 1, 0);
                continue;
            }
            if taken + width(grapheme) > columns {
                rows.push((start, at));
                (start, taken) = (at, 0);
            }
            taken += width(grapheme);
        }
        rows.push((start, self.text.len()));
        rows
    }

    fn position(&self, rows: &[(usize, usize)]) -> (usize, usize) {
        let row = rows.iter().rposition(|(start, _)| *start <= self.cursor).unwrap_or_default();
        (row, width(&self.text[rows[row].0..self.cursor]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Composer {
        let mut composer = Composer::default();
        composer.insert(text);
        composer
    }

    #[test]
    fn what_looks_like_one_character_is_one() {
        let mut composer = written("a👨‍👩‍👧e\u{301}日");
        assert_eq!(composer.layout(20).1, (0, 6));
        composer.erase(Way::Back);
        composer.erase(Way::Back);
        assert_eq!(composer.text(), "a👨‍👩‍👧");
        composer.step(Way::Back);
        assert_eq!(composer.layout(20).1, (0, 1));
        composer.erase(Way::On);
        assert_eq!(composer.text(), "a");
    }

    #[test]
    fn rows_break_before_the_edge_and_the_cursor_moves_between_them() {
        let mut composer = written("日本語の\nabc");
        assert_eq!(composer.layout(7), (vec!["日本語", "の", "abc"], (2, 3)));
        assert!(composer.step_row(Way::Back, 7));
        assert_eq!(composer.layout(7).1, (1, 2));
        assert!(composer.step_row(Way::Back, 7));
        composer.insert("x");
        assert_eq!(composer.text(), "日x本語の\nabc");
        assert!(!composer.step_row(Way::Back, 7));
    }

    #[test]
    fn the_history_gives_back_what_was_being_written() {
        let mut composer = written("one");
        composer.take();
        composer.insert("two");
        composer.take();
        composer.insert("unfinished");
        assert!(composer.recall(Way::Back) && composer.recall(Way::Back));
        assert_eq!(composer.text(), "one");
        assert!(!composer.recall(Way::Back));
        assert!(composer.recall(Way::On) && composer.recall(Way::On));
        assert_eq!(composer.text(), "unfinished");
        assert!(!composer.recall(Way::On));
    }

    #[test]
    fn words_and_rows_are_erased() {
        let mut composer = written("one two\nthree four");
        composer.erase_word();
        assert_eq!(composer.text(), "one two\nthree ");
        composer.erase_row(Way::Back);
        assert_eq!(composer.text(), "one two\n");
        composer.step(Way::Back);
        composer.step_word(Way::Back);
        composer.erase_row(Way::On);
        assert_eq!(composer.text(), "one \n");
    }
}
