//! Texts with everything personal taken out, for dumps that show structure only.
//!
//! Invariant: a text stays whole only when it is one of the fixed words of a pack and captures nothing;
//! of any other only punctuation and type tags stay, letters and digits become signs of their script.

use super::{PackSet, Place};

/// Fixed words of the apps: controls, labels, states. Nothing anybody wrote.
const FIXED: [Place; 10] = [
    Place::Bubble,
    Place::Media,
    Place::Noise,
    Place::Receipt,
    Place::Chip,
    Place::ChatControl,
    Place::Cancel,
    Place::PageControl,
    Place::ListTitle,
    Place::ListTop,
];

impl PackSet {
    /// The text with letters and digits masked, unless it is a fixed word of the app.
    pub fn masked(&self, package: &str, text: &str) -> String {
        let words = text.trim();
        let fixed = |place: &Place| {
            !words.is_empty()
                && words.chars().count() <= 12
                && words.len() <= place.longest()
                && self
                    .patterns(package, *place)
                    .any(|it| it.is_fixed() && it.is_match(words))
        };
        if FIXED.iter().any(fixed) {
            return text.to_owned();
        }
        let tag = text.strip_prefix('[').and_then(|it| it.split_once(']'));
        match tag {
            Some((tag, rest)) if self.tag(package, tag).is_some() => {
                format!("[{tag}]{}", rest.chars().map(mask).collect::<String>())
            }
            _ => text.chars().map(mask).collect(),
        }
    }
}

fn mask(it: char) -> char {
    match it {
        '0'..='9' | '０'..='９' => '9',
        it if it.is_ascii_alphabetic() => 'x',
        it if it.is_alphanumeric() => '字',
        it if it.is_ascii_punctuation() || it.is_whitespace() => it,
        '：' | '，' | '。' | '（' | '）' | '“' | '”' | '「' | '」' | '、' | '＠' | '￥' | '¥'
        | '！' | '？' => it,
        _ => '▯',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fixed_words_survive() {
        let packs = PackSet::builtin();
        for (text, expected) in [
            ("领取红包", "领取红包"),
            ("微信转账", "微信转账"),
            ("王芳", "字字"),
            ("转账给王芳", "字字字字字"),
            ("合同 v2，13800138000", "字字 x9，99999999999"),
            ("[文件]报价.xlsx", "[文件]字字.xxxx"),
            ("报价.xlsx", "字字.xxxx"),
            ("😀", "▯"),
        ] {
            assert_eq!(packs.masked("com.tencent.mm", text), expected, "{text}");
        }
    }
}
