//! One form for text that is compared: words of lexicons, messages, search queries.
//!
//! Invariants: `normalise` never fails; its result is a fixed point (normalising it again changes
//! nothing); every character of it maps to a range of the original that starts and ends on character
//! boundaries, in order; nothing is joined across two Latin words, except letters written one by one
//! (`v x`). What is dropped between two Chinese characters stays visible in the map, so that a
//! matcher can refuse a word that only exists across a sentence mark ([`Normalised::holds_together`]).

use std::iter::once;
use std::ops::Range;
use std::sync::LazyLock;

use ferrous_opencc::OpenCC;
use ferrous_opencc::config::BuiltinConfig;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Text in the form that is matched, with the way back to the original.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Normalised {
    /// Lower case, half width, simplified; no separators next to Chinese characters.
    pub text: String,
    marks: Vec<Mark>,
}

/// One character of the normalised text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at: u32,
    from: u32,
    to: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Ignored,
    Han,
    Word,
    Separator,
    /// Becomes several characters.
    Many,
}

/// One folded character of the original.
#[derive(Clone, Copy, Debug)]
struct Unit {
    char: char,
    class: Class,
    from: u32,
    to: u32,
}

/// Brings text into the form that is compared. Texts above 4 GB are cut.
pub fn normalise(text: &str) -> Normalised {
    let units = fold(text);
    let mut out = Normalised {
        text: String::with_capacity(text.len()),
        marks: Vec::with_capacity(units.len()),
    };
    let mut last: Option<Unit> = None;
    // The Latin token in `out` so far is one letter, or letters written one by one.
    let mut spelled = false;
    let mut gap_start = 0;
    for index in 0..units.len() {
        let unit = read_sign(&units, index, gap_start, last);
        if unit.class == Class::Separator {
            continue;
        }
        let gap = &units[gap_start..index];
        let next = units.get(index + 1);
        let mut joined = false;
        if let (Some(last), false) = (last, gap.is_empty()) {
            let spelling = spelled && is_single_letter(unit, next) && is_spelling_gap(gap);
            joined = spelling;
            let touches_han = last.class == Class::Han || unit.class == Class::Han;
            if !touches_han && !spelling {
                out.extend(gap);
            }
        } else {
            out.extend(gap);
        }
        out.push(unit);
        let starts_token = !gap.is_empty() || last.is_none_or(|last| last.class != Class::Word);
        spelled = unit.char.is_ascii_lowercase() && (joined || starts_token);
        last = Some(unit);
        gap_start = index + 1;
    }
    out.extend(&units[gap_start..]);
    out
}

impl Normalised {
    /// The original's byte range behind a byte range of `text`.
    pub fn original(&self, span: Range<usize>) -> Range<usize> {
        let marks = self.between(&span);
        match (marks.first(), marks.last()) {
            (Some(first), Some(last)) => first.from as usize..last.to as usize,
            _ => 0..0,
        }
    }

    /// The original's bytes between the characters around a byte range of `text`, which may be empty.
    pub fn gap(&self, span: Range<usize>) -> Range<usize> {
        let before = self
            .marks
            .partition_point(|mark| (mark.at as usize) < span.start);
        let after = self
            .marks
            .partition_point(|mark| (mark.at as usize) < span.end);
        let from = before
            .checked_sub(1)
            .map_or(0, |index| self.marks[index].to as usize);
        let to = self
            .marks
            .get(after)
            .map_or(from, |mark| mark.from as usize);
        from..to.max(from)
    }

    /// Whether `span` is one word and not the end of one clause with the beginning of the next.
    ///
    /// Spaces, symbols and emoji never part a word. A clause mark (`，` `。` a line feed …) does, unless
    /// one side of it is a single character between marks, as in `加，微，信`.
    pub fn holds_together(&self, original: &str, span: &Range<usize>) -> bool {
        self.between(span).windows(2).all(|pair| {
            let (end, start) = (pair[0].to as usize, pair[1].from as usize);
            start <= end
                || !original[end..start].contains(is_clause_mark)
                || run_is_single(original[..end].chars().rev())
                || run_is_single(original[start..].chars())
        })
    }

    /// Whether Latin letters or digits go on beyond `span`, so that it is part of a longer word.
    pub fn is_inside_word(&self, original: &str, span: &Range<usize>) -> bool {
        let inner = self.between(span);
        let (Some(first), Some(last)) = (inner.first(), inner.last()) else {
            return false;
        };
        let before = self.marks.partition_point(|mark| mark.at < first.at);
        let after = self.marks.partition_point(|mark| mark.at <= last.at);
        let goes_on = |left: &Mark, right: &Mark| {
            let (a, b) = (self.char_at(left), self.char_at(right));
            let same = a.is_ascii_lowercase() && b.is_ascii_lowercase()
                || a.is_ascii_digit() && b.is_ascii_digit();
            same && left.to >= right.from
                && !starts_with_han(original, left)
                && !starts_with_han(original, right)
        };
        before > 0 && goes_on(&self.marks[before - 1], first)
            || self
                .marks
                .get(after)
                .is_some_and(|next| goes_on(last, next))
    }

    fn char_at(&self, mark: &Mark) -> char {
        self.text[mark.at as usize..]
            .chars()
            .next()
            .expect("marks are made with their character")
    }

    fn between(&self, span: &Range<usize>) -> &[Mark] {
        let start = self
            .marks
            .partition_point(|mark| (mark.at as usize) < span.start);
        let end = self
            .marks
            .partition_point(|mark| (mark.at as usize) < span.end);
        self.marks.get(start..end).unwrap_or_default()
    }

    fn push(&mut self, unit: Unit) {
        self.marks.push(Mark {
            at: to_u32(self.text.len()),
            from: unit.from,
            to: unit.to,
        });
        self.text.push(unit.char);
    }

    fn extend(&mut self, units: &[Unit]) {
        for &unit in units {
            self.push(unit);
        }
    }
}

/// Marks that end a clause or a sentence, in both widths.
pub fn is_clause_mark(char: char) -> bool {
    matches!(
        char,
        '，' | '。'
            | '！'
            | '？'
            | '；'
            | '：'
            | '、'
            | '…'
            | ','
            | '!'
            | '?'
            | ';'
            | ':'
            | '\n'
            | '\r'
    )
}

/// Marks that end a sentence, in both widths.
pub fn is_sentence_mark(char: char) -> bool {
    matches!(
        char,
        '。' | '！' | '？' | '；' | '!' | '?' | ';' | '\n' | '\r'
    )
}

fn starts_with_han(original: &str, mark: &Mark) -> bool {
    original[mark.from as usize..].starts_with(is_han)
}

fn run_is_single(chars: impl Iterator<Item = char>) -> bool {
    chars
        .take_while(|&char| !is_clause_mark(char))
        .filter(|char| char.is_alphanumeric())
        .take(2)
        .count()
        < 2
}

fn is_single_letter(unit: Unit, next: Option<&Unit>) -> bool {
    unit.char.is_ascii_lowercase() && next.is_none_or(|next| next.class != Class::Word)
}

fn is_spelling_gap(gap: &[Unit]) -> bool {
    gap.len() <= 3 && !gap.iter().any(|unit| is_clause_mark(unit.char))
}

/// What a heart becomes in `微❤`: a character of its own, so that it is known from an honest 微信.
const HEART: char = '伩';

/// Signs people write instead of a character: `+V` for 加V, `微❤` for 微信.
fn read_sign(units: &[Unit], index: usize, gap_start: usize, last: Option<Unit>) -> Unit {
    let unit = units[index];
    let next = units[index + 1..]
        .iter()
        .find(|next| next.class != Class::Separator);
    let read_as = |char| Unit {
        char,
        class: Class::Han,
        ..unit
    };
    match unit.char {
        '+' => {
            let after_word = index > 0
                && (units[index - 1].class == Class::Word || units[index - 1].char == '+');
            let before_name = next.is_some_and(|next| !next.char.is_ascii_digit());
            if before_name && !after_word {
                return read_as('加');
            }
        }
        '❤' | '♥' | '♡' | '💗' | '💕' | '💖' | '💓' | '🧡' | '💛' | '💚' | '💙' | '💜' | '🖤' =>
        {
            let directly = units[gap_start..index].iter().all(|gap| gap.char == ' ');
            let alone = gap_start < 2 || units[gap_start - 2].class != Class::Word;
            let after_first_half = last.is_some_and(|last| match last.char {
                '微' | '薇' | '威' | '徽' | '卫' | '维' | '围' | '伟' => true,
                'v' | 'w' => alone,
                _ => false,
            });
            if directly && after_first_half && next.is_none_or(|next| next.char != '信') {
                return read_as(HEART);
            }
        }
        _ => {}
    }
    unit
}

fn fold(text: &str) -> Vec<Unit> {
    let table = &*TABLE;
    let mut units = Vec::with_capacity(text.len() / 2 + 1);
    for (at, original) in text.char_indices() {
        let from = to_u32(at);
        let to = to_u32(at + original.len_utf8());
        let (char, class) = match table.get(original as usize) {
            Some(&entry) => entry,
            None => fold_char(original),
        };
        match class {
            Class::Ignored => {}
            Class::Many => {
                for char in folded(original) {
                    let class = classify(char);
                    let char = read_digit(char);
                    units.push(Unit {
                        char,
                        class,
                        from,
                        to,
                    });
                }
            }
            Class::Han | Class::Word | Class::Separator => {
                units.push(Unit {
                    char,
                    class,
                    from,
                    to,
                });
            }
        }
    }
    units
}

/// Every character of the basic plane, folded once when first needed (a few milliseconds).
static TABLE: LazyLock<Vec<(char, Class)>> = LazyLock::new(|| {
    (0..=0xFFFF_u32)
        .map(|code| char::from_u32(code).map_or((' ', Class::Ignored), fold_char))
        .collect()
});

/// Traditional to simplified, asked of the library once per character of the basic plane.
static SIMPLIFIED: LazyLock<Vec<char>> = LazyLock::new(|| {
    let library = OpenCC::from_config(BuiltinConfig::T2s).expect("the table is compiled in");
    (0..=0xFFFF_u32)
        .map(|code| {
            let char = char::from_u32(code).unwrap_or(' ');
            if !is_han(char) {
                return char;
            }
            let simplified = library.convert(char.encode_utf8(&mut [0; 4]));
            let mut chars = simplified.chars();
            match (chars.next(), chars.next()) {
                (Some(only), None) => only,
                _ => char,
            }
        })
        .collect()
});

fn fold_char(original: char) -> (char, Class) {
    let mut chars = folded(original).into_iter();
    match (chars.next(), chars.next()) {
        (None, _) => (' ', Class::Ignored),
        (Some(char), None) => (read_digit(char), classify(char)),
        _ => (' ', Class::Many),
    }
}

/// Compatibility forms, case, accents, look-alikes and traditional characters; digits stay as they are.
fn folded(original: char) -> Vec<char> {
    let simplified = &*SIMPLIFIED;
    once(original)
        .nfkd()
        .flat_map(char::to_lowercase)
        .nfkd()
        .filter(|&char| !is_combining_mark(char) && !is_invisible(char))
        .flat_map(|char| match char {
            // A satellite: 卫星 for 微信.
            '🛰' => ['卫', '星'].into_iter().take(2),
            _ => {
                let char = read_lookalike(char);
                let char = simplified.get(char as usize).copied().unwrap_or(char);
                [read_variant(char), ' '].into_iter().take(1)
            }
        })
        .collect()
}

fn classify(char: char) -> Class {
    if is_han(char) {
        Class::Han
    } else if char.is_alphanumeric() {
        Class::Word
    } else {
        Class::Separator
    }
}

fn is_han(char: char) -> bool {
    matches!(char, '々' | '〇' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

fn is_invisible(char: char) -> bool {
    matches!(char, '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF9}'..='\u{FFFB}' | '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0000}'..='\u{E0FFF}')
        || char.is_control() && !matches!(char, '\n' | '\r' | '\t')
}

fn read_lookalike(char: char) -> char {
    match char {
        '∨' | 'ᴠ' | 'ν' | 'ѵ' | '√' => 'v',
        'х' | 'χ' | '×' => 'x',
        'а' => 'a',
        'е' => 'e',
        'о' => 'o',
        'ɪ' | 'і' => 'i',
        '➕' | '＋' | '✚' | '✙' => '+',
        other => other,
    }
}

/// Characters used for each other that simplifying leaves apart.
fn read_variant(char: char) -> char {
    match char {
        '帐' => '账',
        '妳' => '你',
        '著' => '着',
        other => other,
    }
}

fn read_digit(char: char) -> char {
    match char {
        '〇' | '零' => '0',
        '一' | '壹' | '幺' => '1',
        '二' | '贰' => '2',
        '三' | '叁' => '3',
        '四' | '肆' => '4',
        '五' | '伍' => '5',
        '六' | '陆' => '6',
        '七' | '柒' => '7',
        '八' | '捌' => '8',
        '九' | '玖' => '9',
        other => other,
    }
}

fn to_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
