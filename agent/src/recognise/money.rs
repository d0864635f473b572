//! Amounts in fen from what is shown.
//!
//! Invariant: only a number with a currency sign before it, a currency word after it or two decimals is
//! an amount; order numbers, dates and phone numbers are not.

const MOST_FEN: i64 = 100_000_000_000;

/// Fen of a number known to be an amount: thousands separators, full-width digits, at most two decimals.
pub(super) fn fen(number: &str) -> Option<i64> {
    let mut fen: i64 = 0;
    let mut decimals: Option<u32> = None;
    let mut digits = 0;
    for it in number.trim().chars().map(narrow) {
        match it {
            '0'..='9' => {
                if let Some(seen) = decimals.as_mut() {
                    *seen += 1;
                    if *seen > 2 {
                        return None;
                    }
                }
                fen = fen
                    .checked_mul(10)?
                    .checked_add(i64::from(it.to_digit(10)?))?;
                digits += 1;
            }
            ',' if decimals.is_none() && digits > 0 => {}
            '.' if decimals.is_none() && digits > 0 => decimals = Some(0),
            _ => return None,
        }
    }
    let scale = match decimals {
        None | Some(0) => 100,
        Some(1) => 10,
        Some(_) => 1,
    };
    let fen = fen.checked_mul(scale)?;
    (digits > 0 && fen <= MOST_FEN).then_some(fen)
}

/// The last amount of a text, which is the one payment notices state.
fn last_amount(text: &str) -> Option<i64> {
    amounts(text).last().copied()
}

/// The marked amounts of a text in order, or those of two decimals when none is marked.
fn amounts(text: &str) -> Vec<i64> {
    let chars: Vec<char> = text.chars().take(2000).map(narrow).collect();
    let mut found = Vec::new();
    let mut decimals = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if !chars.get(at).is_some_and(char::is_ascii_digit) {
            at += 1;
            continue;
        }
        let start = at;
        while chars.get(at).is_some_and(|it| it.is_ascii_digit())
            || (matches!(chars.get(at), Some(',' | '.'))
                && chars.get(at + 1).is_some_and(char::is_ascii_digit))
        {
            at += 1;
        }
        let before = chars.get(..start).unwrap_or_default();
        let after = chars.get(at..).unwrap_or_default();
        if is_marked(before, after) {
            let number: String = chars.get(start..at).unwrap_or_default().iter().collect();
            found.extend(fen(&number));
        } else if at >= start + 4 && chars.get(at - 3) == Some(&'.') && !is_foreign(before) {
            // Two decimals and no mark: an amount unless a marked one stands beside it.
            let number: String = chars.get(start..at).unwrap_or_default().iter().collect();
            decimals.extend(fen(&number));
        }
    }
    if found.is_empty() { decimals } else { found }
}

fn ends_with(chars: &[char], word: &str) -> bool {
    let text = chars.iter().rev().skip_while(|it| it.is_whitespace());
    let word_length = word.chars().count();
    text.clone()
        .take(word_length)
        .eq(word.chars().rev().collect::<Vec<_>>().iter())
}

/// A sign of another currency right before the number.
fn is_foreign(before: &[char]) -> bool {
    let sign = before.iter().rev().find(|it| !it.is_whitespace());
    let coded = ["HKD", "USD", "EUR", "MOP", "TWD", "JPY"];
    sign.is_some_and(|it| matches!(it, '$' | '€' | '£' | '₩' | '＄'))
        || coded.iter().any(|it| ends_with(before, it))
}

/// The amount a payment notice states: the first one after a word of receipt, else the last one.
pub(super) fn stated_amount(text: &str) -> Option<i64> {
    let after = RECEIPTS.iter().filter_map(|word| {
        let at = text.find(word)?;
        Some((at, text.get(at + word.len()..)?))
    });
    let (_, rest) = after.min_by_key(|(at, _)| *at).unwrap_or((0, ""));
    amounts(rest).first().copied().or_else(|| last_amount(text))
}

/// Words before the amount that was received.
const RECEIPTS: [&str; 8] = [
    "收款金额",
    "收款金額",
    "收款到",
    "到账",
    "到賬",
    "到帳",
    "收款",
    "eceived",
];

fn is_marked(before: &[char], after: &[char]) -> bool {
    let sign = before.iter().rev().find(|it| !it.is_whitespace());
    if matches!(sign, Some('¥')) || ends_with(before, "RMB") || ends_with(before, "CNY") {
        return true;
    }
    let mut words = after.iter().skip_while(|it| it.is_whitespace());
    match words.next() {
        Some('元' | '圆' | '圓') => true,
        Some('R' | 'C' | 'Y' | 'y') => {
            let word: String = after
                .iter()
                .skip_while(|it| it.is_whitespace())
                .take(4)
                .collect();
            ["RMB", "CNY", "Yuan", "yuan"]
                .iter()
                .any(|it| word.starts_with(it))
        }
        _ => false,
    }
}

/// Full-width forms and both yen signs as their plain ones.
fn narrow(it: char) -> char {
    match it {
        '０'..='９' => char::from_u32(it as u32 - 0xFF10 + 0x30).unwrap_or(it),
        '，' => ',',
        '．' => '.',
        '￥' => '¥',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_fen() {
        for (text, expected) in [
            ("100", Some(10_000)),
            ("0.01", Some(1)),
            ("1,234.50", Some(123_450)),
            ("８８．８", Some(8_880)),
            ("1.234", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(fen(text), expected, "{text}");
        }
    }

    #[test]
    fn only_marked_numbers_are_amounts() {
        for (text, expected) in [
            ("微信支付收款0.01元(朋友到店)", Some(1)),
            ("收款到账 ￥１，２３４.５", Some(123_450)),
            ("订单20260302001，电话13800138000", None),
            ("2026年3月2日 收款¥20", Some(2_000)),
            ("今日第3笔收款，共计¥88.00", Some(8_800)),
            ("received 20.00 CNY", Some(2_000)),
            ("收款到賬HK$20.00", None),
            ("收款12.50元，本月累计收款500.00元", Some(1_250)),
        ] {
            assert_eq!(stated_amount(text), expected, "{text}");
        }
    }
}
