//! Made-up business messages for load: mean length 59 bytes, a sensitive word in one of two hundred.

const OPENINGS: [&str; 16] = [
    "王总",
    "李姐",
    "您好",
    "陈经理",
    "张老板",
    "亲",
    "刘工",
    "周总",
    "黄小姐",
    "老师",
    "赵哥",
    "孙姐",
    "吴总",
    "郑先生",
    "这边",
    "刚才",
];
const MIDDLES: [&str; 24] = [
    "这批货明天下午发出",
    "报价单我发到群里了",
    "合同盖好章就寄",
    "样品收到请确认",
    "上次的尺寸再核一下",
    "仓库今天盘点",
    "物流说后天到",
    "发票抬头麻烦再发",
    "价格已经按老客户算",
    "数量够不够",
    "付款走公司账户",
    "色卡寄到前台",
    "安装师傅约在周三",
    "质保两年没问题",
    "图纸改好了",
    "定金收到",
    "月底前能出货",
    "这个型号停产了",
    "新款下周到",
    "运费到付可以吗",
    "检测报告在附件",
    "验收单签好",
    "退换货走流程",
    "会议改到三点",
];
const ENDINGS: [&str; 12] = [
    "，辛苦了",
    "，谢谢",
    "，您看行吗",
    "。",
    "，有问题随时说",
    "，麻烦回一下",
    "，收到请回复",
    "，到时联系",
    "！",
    "，好的",
    "，稍等",
    "，明白",
];
const SENSITIVE: &str = "，这单飞单给我";

/// The `n`th text of a stream; the same number gives the same text.
pub fn text(n: u64) -> String {
    // A multiplicative hash spreads consecutive numbers over the lists.
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let pick = |list: &[&'static str], shift: u32| {
        let index = (mixed >> shift) % list.len() as u64;
        list[usize::try_from(index).unwrap_or(0)]
    };
    let mut text = String::with_capacity(96);
    text.push_str(pick(&OPENINGS, 60 - 32));
    text.push_str(pick(&MIDDLES, 60 - 40));
    if mixed % 5 < 3 {
        text.push('，');
        text.push_str(pick(&MIDDLES, 17));
    }
    if n.is_multiple_of(200) {
        text.push_str(SENSITIVE);
    }
    text.push_str(pick(&ENDINGS, 9));
    if mixed.is_multiple_of(2) {
        use std::fmt::Write;
        write!(text, "单号{}", mixed % 1_000_000).expect("writing to memory");
    }
    text
}

/// A lexicon of `count` made-up words none of which occurs in [`text`], so that matching costs what it
/// costs and raises nothing.
pub fn lexicon(count: u64) -> String {
    const PARTS: [&str; 32] = [
        "赌", "博", "彩", "票", "套", "现", "代", "开", "枪", "支", "弹", "药", "迷", "奸", "裸",
        "贷", "洗", "钱", "传", "销", "假", "币", "毒", "品", "冰", "麻", "嫖", "娼", "诈", "骗",
        "贿", "赂",
    ];
    let mut words = String::new();
    for n in 0..count {
        let mut rest = n;
        for _ in 0..4 {
            words.push_str(PARTS[usize::try_from(rest % 32).unwrap_or(0)]);
            rest /= 32;
        }
        words.push('\n');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_length_the_load_shape_names() {
        let bytes: usize = (0..10_000).map(|n| text(n).len()).sum();
        let mean = bytes / 10_000;
        assert!((56..=62).contains(&mean), "mean {mean} bytes");
    }
}
