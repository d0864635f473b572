use proptest::prelude::*;

use super::*;

fn check(text: &str, expected: &str) {
    assert_eq!(normalise(text).text, expected, "{text}");
}

#[test]
fn one_form_for_many_ways_to_write() {
    for (text, expected) in [
        ("加微信", "加微信"),
        ("加 微 信", "加微信"),
        ("加.微*信", "加微信"),
        ("加🌹微🌹信", "加微信"),
        ("加\u{200b}微\u{200d}信", "加微信"),
        ("加微❤️信", "加微信"),
        ("加我微❤️", "加我微伩"),
        ("V❤", "v伩"),
        ("love❤", "love❤"),
        ("➕Ｖ", "加v"),
        ("你+微信", "你加微信"),
        ("C++ 语言", "c语言"),
        ("1+1", "1+1"),
        ("+86 138", "+86 138"),
        ("轉賬給我個人帳戶", "转账给我个人账户"),
        ("返③个点", "返3个点"),
        ("返三个点", "返3个点"),
        ("Ｈｅｌｌｏ　Ｗｏｒｌｄ", "hello world"),
        ("v x", "vx"),
        ("W-X", "wx"),
        ("plan b is ok", "plan b is ok"),
        ("cafe\u{301}", "cafe"),
        ("café", "cafe"),
        ("v1.2 版本", "v1.2版本"),
        ("", ""),
    ] {
        check(text, expected);
    }
}

#[test]
fn spans_lead_back_to_what_was_written() {
    let text = "请 加🌹微 信 VX，谢谢";
    let normalised = normalise(text);
    let at = normalised.text.find("微信").expect("joined");
    assert_eq!(&text[normalised.original(at..at + 6)], "微 信");
    let at = normalised.text.find("vx").expect("folded");
    assert_eq!(&text[normalised.original(at..at + 2)], "VX");
}

#[test]
fn words_do_not_reach_across_clauses() {
    for (text, word, expected) in [
        ("这单要返，点一下确认", "返点", false),
        ("加，微，信", "加微信", true),
        ("返 点", "返点", true),
        ("返点", "返点", true),
        ("明天来返\n点菜吧", "返点", false),
    ] {
        let normalised = normalise(text);
        let at = normalised.text.find(word).expect("joined");
        let span = at..at + word.len();
        assert_eq!(normalised.holds_together(text, &span), expected, "{text}");
    }
}

#[test]
fn latin_words_end_where_they_end() {
    for (text, word, expected) in [
        ("vx", "vx", false),
        ("加vx聊", "vx", false),
        ("vx138", "vx", false),
        ("vxpro", "vx", true),
        ("1101", "110", true),
        ("周一一起去", "1起", false),
    ] {
        let normalised = normalise(text);
        let at = normalised.text.find(word).expect("there");
        let span = at..at + word.len();
        assert_eq!(normalised.is_inside_word(text, &span), expected, "{text}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "加",
        "微",
        "信",
        "一",
        "陸",
        " ",
        "，",
        "。",
        "\n",
        "+",
        "❤",
        "v",
        "x",
        "b",
        "1",
        "①",
        "Ⅻ",
        "㍿",
        "e\u{301}",
        "\u{200b}",
        "🛰",
        "が",
        "한",
        "İ",
        "ß",
        "👨‍👩‍👧",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat()),
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn normal_text_is_a_fixed_point(text in any_text()) {
        let once = normalise(&text).text;
        prop_assert_eq!(&normalise(&once).text, &once);
    }

    #[test]
    fn every_character_maps_to_whole_characters(text in any_text()) {
        let normalised = normalise(&text);
        let mut last = 0;
        for (at, char) in normalised.text.char_indices() {
            let span = at..at + char.len_utf8();
            let range = normalised.original(span.clone());
            prop_assert!(text.get(range.clone()).is_some_and(|part| !part.is_empty()));
            prop_assert!(range.start >= last);
            last = range.start;
            normalised.holds_together(&text, &span);
            normalised.is_inside_word(&text, &span);
        }
    }
}
