//! What judging costs: `cargo run --release -p mingjing-collector --example rules_cost`.
//!
//! Messages of about 60 bytes, most of them honest, against the shipped rules and a lexicon of 50,000
//! further words; prints the processor time to load, to normalise and to judge an event. Processor time,
//! not the clock's, so that other work on the machine does not matter (Linux).

#![expect(clippy::print_stdout, reason = "a program that prints")]

use std::fs;
use std::path::Path;

use anyhow::Context;
use mingjing_collector::normalise::normalise;
use mingjing_collector::rules::{Event, MemoryCounts, RuleSet};
use mingjing_proto::pb;

const WORDS: u32 = 50_000;
const ROUNDS: u32 = 20_000;
const MESSAGES: [&str; 8] = [
    "您好，这款我们有现货，今天下单明天就能发出",
    "发票抬头和税号麻烦发我一下，合同已经寄出了",
    "收货人李女士 13812345678 深圳市南山区科技园A座",
    "我跟经理申请一下，看这个价格能不能再优惠一点",
    "好的",
    "不好意思让您久等了，退款三个工作日内原路退回",
    "麻烦您先付定金，转到公司对公账户，备注订单号",
    "我另外有货，比公司便宜两百，别跟公司说",
];

fn main() -> anyhow::Result<()> {
    let site = tempfile::tempdir()?;
    write_site(site.path())?;
    let started = now()?;
    let rules = RuleSet::load(
        None,
        Some((&site.path().join("rules"), &site.path().join("lexicons"))),
    )?;
    println!(
        "load: {:.0} ms, {} rules",
        (now()? - started) * 1e3,
        rules.rules().count()
    );

    let started = now()?;
    for _ in 0..ROUNDS {
        for text in MESSAGES {
            std::hint::black_box(normalise(std::hint::black_box(text)));
        }
    }
    let normalising = now()? - started;

    let counts = MemoryCounts::default();
    let mut hits = Vec::new();
    let activities: Vec<pb::Activity> = MESSAGES.iter().map(|text| message(text)).collect();
    let started = now()?;
    for _ in 0..ROUNDS {
        for activity in &activities {
            let normalised = normalise(&activity.text);
            let event = Event {
                account: "work",
                department: "sales",
                class: "employee",
                local_minute_of_day: 600,
                weekday: 2,
                activity,
                normalised: &normalised,
            };
            hits.clear();
            rules.judge(&event, &counts, &mut hits);
            std::hint::black_box(&hits);
        }
    }
    let all = now()? - started;
    let events = f64::from(ROUNDS) * MESSAGES.len() as f64;
    let bytes: usize = MESSAGES.iter().map(|text| text.len()).sum();
    println!("messages: {} bytes on average", bytes / MESSAGES.len());
    println!("normalise: {:.0} ns an event", normalising / events * 1e9);
    println!("normalise and judge: {:.0} ns an event", all / events * 1e9);
    Ok(())
}

/// Seconds this thread has been running.
fn now() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().context("schedstat is empty")?;
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}

fn message(text: &str) -> pb::Activity {
    pb::Activity {
        kind: pb::Kind::Message.into(),
        direction: pb::Direction::Out.into(),
        content: "text".to_owned(),
        text: text.to_owned(),
        ..pb::Activity::default()
    }
}

/// A rule over words of two to four characters made of 400 common ones.
fn write_site(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir.join("rules"))?;
    fs::create_dir_all(dir.join("lexicons"))?;
    let char = |number: u32| char::from_u32(0x4E00 + number % 400 * 7).unwrap_or('一');
    let words: Vec<String> = (0..WORDS)
        .map(|number| {
            let seed = number.wrapping_mul(2_654_435_761);
            (0..2 + number % 3)
                .map(|place| char(seed >> (place * 8)))
                .chain(char::from_digit(number % 10, 10))
                .collect()
        })
        .collect();
    fs::write(dir.join("lexicons/many.txt"), words.join("\n"))?;
    fs::write(
        dir.join("rules/many.yaml"),
        format!(
            "id: many\ntitle: {{zh: 多, en: many}}\narticle: none\nlevel: low\nkinds: [message]\n\
             words: {{lexicons: [many]}}\nexamples: {{hit: ['{}'], miss: [好的]}}\n",
            words[0]
        ),
    )?;
    Ok(())
}
