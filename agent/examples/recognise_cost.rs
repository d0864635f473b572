//! What recognising costs: CPU time a notification and a window of 120 nodes, and memory of packs and
//! de-duplication. `cargo run --release -p mingjing-agent --example recognise_cost`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program prints and reads the clock"
)]

use std::time::Duration;

use mingjing_agent::pack::PackSet;
use mingjing_agent::recognise::{Recogniser, Watch};
use mingjing_proto::pb;
use mingjing_proto::pb::signal::Body;

const START_MS: i64 = 1_770_000_000_000;

fn signal(index: i64, body: Body) -> pb::Signal {
    pb::Signal {
        at_ms: START_MS + index * 1000,
        utc_offset_min: 480,
        package: "com.tencent.mm".to_owned(),
        app_version: "8.0.50".to_owned(),
        body: Some(body),
        ..pb::Signal::default()
    }
}

fn notification(index: i64) -> pb::Signal {
    let (title, text) = match index % 4 {
        0 => (
            format!("客户{}", index % 300),
            format!("第{index}批货什么时候到"),
        ),
        1 => (
            format!("项目群{}", index % 50),
            format!("老王{}: 明天上午开会 {index}", index % 7),
        ),
        2 => (
            format!("客户{}", index % 300),
            "[转账]请你确认收钱".to_owned(),
        ),
        _ => (
            format!("客户{}", index % 300),
            format!("[2条]客户{}: [图片]", index % 300),
        ),
    };
    signal(
        index,
        Body::Notification(Box::new(pb::Notification {
            title,
            text,
            ..pb::Notification::default()
        })),
    )
}

/// A chat page of 120 nodes that has scrolled on by one message.
fn window(index: i64) -> pb::Signal {
    let node = |class: &str, text: String, desc: String, bounds: [i32; 4], depth: u32| pb::Node {
        class: format!("android.widget.{class}"),
        text,
        desc,
        left: bounds[0],
        top: bounds[1],
        right: bounds[2],
        bottom: bounds[3],
        depth,
        ..pb::Node::default()
    };
    let none = String::new;
    let mut nodes = vec![
        node("FrameLayout", none(), none(), [0, 0, 1080, 2400], 0),
        node(
            "TextView",
            "王芳".to_owned(),
            none(),
            [471, 120, 609, 184],
            5,
        ),
        node("ListView", none(), none(), [0, 224, 1080, 2200], 3),
    ];
    let mut row = 0;
    while nodes.len() < 118 {
        let top = 230 + row * 50;
        let own = row % 2 == 1;
        let (name, left) = if own {
            ("小周头像", 952)
        } else {
            ("王芳头像", 24)
        };
        nodes.push(node(
            "RelativeLayout",
            none(),
            none(),
            [0, top, 1080, top + 50],
            4,
        ));
        nodes.push(node(
            "ImageView",
            none(),
            name.to_owned(),
            [left, top, left + 104, top + 48],
            5,
        ));
        let text = format!("第{}条消息，价格按合同执行", index + i64::from(row));
        let bounds = if own {
            [300, top, 930, top + 48]
        } else {
            [150, top, 700, top + 48]
        };
        nodes.push(node("TextView", text, none(), bounds, 6));
        row += 1;
    }
    nodes.push(node("EditText", none(), none(), [130, 2225, 800, 2325], 5));
    nodes.push(node(
        "ImageButton",
        none(),
        "切换到按住说话".to_owned(),
        [20, 2230, 110, 2320],
        5,
    ));
    signal(
        index,
        Body::Screen(pb::Screen {
            window: "com.tencent.mm.ui.chatting.ChattingUI".to_owned(),
            width: 1080,
            height: 2400,
            nodes,
            ..pb::Screen::default()
        }),
    )
}

/// CPU time of this process, which other work on the machine does not lengthen.
fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

/// The process's own resident memory; pages of the program file are not its data.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|it| it.starts_with("RssAnon:"));
    line.and_then(|it| it.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

fn main() {
    let notifications: Vec<pb::Signal> = (0..20_000).map(notification).collect();
    let windows: Vec<pb::Signal> = (0..3_000).map(window).collect();
    let before = resident_kb();
    let begun = cpu_time();
    let packs = PackSet::builtin();
    println!(
        "packs compiled in {:?}, +{} kB",
        (cpu_time() - begun),
        resident_kb() - before
    );
    let private = |_: &str| false;
    let watch = Watch {
        own_name: "小周",
        since_ms: START_MS,
        private: &private,
    };
    let mut recogniser = Recogniser::new(packs);
    for (what, signals) in [
        ("notification", &notifications),
        ("window of 120 nodes", &windows),
    ] {
        let begun = cpu_time();
        let mut activities = 0;
        for signal in signals {
            activities += recogniser.recognise(signal, &watch).len();
        }
        let each = (cpu_time() - begun).as_secs_f64() * 1e6 / signals.len() as f64;
        println!("{what}: {each:.1} µs each, {activities} activities");
    }
    println!(
        "packs and memory: {} kB resident",
        resident_kb().saturating_sub(before)
    );
}
