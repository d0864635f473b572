//! What keeping costs: bytes written to the device, calls that write, and CPU time for a record that is
//! appended and acknowledged, at 1, 10 and 100 events a call.
//! `cargo run --release -p mingjing-agent --example buffer_cost [FOLDER]`; the folder's device should be
//! used by nothing else, such as a mounted image: what is counted is what the device was told to write, the
//! file system's own journal with it.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program prints and reads the clock"
)]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use mingjing_agent::buffer::{Buffer, Cap, NewRecord};
use mingjing_agent::keys::Keys;
use mingjing_proto::limits;
use mingjing_proto::pb::{self, Category};
use prost::Message;

const START_MS: i64 = 1_770_000_000_000;
const EVENTS: u64 = 2000;

fn record(seq: u64, count: u64) -> NewRecord {
    let at_ms = START_MS + i64::try_from(seq).expect("few") * 1000;
    let activities = (seq..seq + count)
        .map(|seq| pb::Activity {
            at_ms,
            kind: pb::Kind::Message.into(),
            peer: format!("客户{}", seq % 97),
            sender: format!("客户{}", seq % 97),
            content: "text".to_owned(),
            text: format!("第{seq}批货什么时候到，麻烦尽快回复一下"),
            ..pb::Activity::default()
        })
        .collect();
    NewRecord {
        category: Category::Messages,
        count: u32::try_from(count).expect("few"),
        body: pb::Events {
            version: 1,
            account: "work".to_owned(),
            day: 20_000,
            activities,
        }
        .encode_to_vec(),
        unanchored: None,
        consent_of: Vec::new(),
    }
}

/// One number of a file in `/proc/self`.
fn number(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("a number")
}

/// Bytes written to the device that `dir` lies on.
fn written(dir: &Path) -> u64 {
    let device = std::fs::metadata(dir).expect("a folder").dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
    let stat = stat.expect("a folder on a disk");
    let sectors = stat.split_whitespace().nth(6).expect("sectors written");
    sectors.parse::<u64>().expect("a number") * 512
}

/// Processor time of all threads, nanoseconds.
fn cpu_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path().join("schedstat");
            let text = std::fs::read_to_string(path).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn main() {
    let parent = std::env::args_os().nth(1);
    let parent = parent.map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    let dir = tempfile::tempdir_in(parent).expect("a folder");
    let mut keys = Keys::open(&dir.path().join("keys"), &[1; 32]).expect("keys");
    for category in Category::CONSENTED {
        keys.make(category).expect("a key");
    }
    let cap = Cap {
        bytes: limits::BUFFER_BYTES,
        age_ms: i64::MAX / 4,
    };
    let mut buffer =
        Buffer::open(dir.path(), [3; 32], &keys, cap, 1 << 20).expect("the buffer opens");
    // About what an enrolled phone keeps beside its records.
    for (name, bytes) in [
        ("anchor", 60),
        ("consent", 1500),
        ("consent/1", 700),
        ("consent/2", 700),
        ("consent/3", 700),
        ("letters", 6000),
        ("notice", 5000),
        ("policy", 2500),
    ] {
        buffer
            .set_state(&keys, &[(name, Some(vec![7; bytes]))])
            .expect("stored");
    }
    let mut seq = 1;
    for batch in [1, 1, 1, 1, 10, 100, 1] {
        let (written, calls, cpu) = (written(dir.path()), number("io", "syscw:"), cpu_ns());
        let began = Instant::now();
        for _ in 0..EVENTS / batch {
            let mut records = Vec::new();
            for at in (0..batch).step_by(limits::RECORD_EVENTS) {
                let count = (batch - at).min(limits::RECORD_EVENTS as u64);
                records.push(record(seq + at, count));
            }
            seq += batch;
            buffer.append(&keys, records, 0, START_MS).expect("kept");
            let head = buffer.position().head_seq;
            buffer.peek(&keys, head, 1000, 1 << 20).expect("read");
            buffer.ack(&keys, 1, head).expect("acknowledged");
        }
        let each = |from: u64, to: u64| (to - from) as f64 / EVENTS as f64;
        println!(
            "batches of {batch:>3}: {:>8.0} B to the device, {:>5.2} calls that write, {:>6.1} µs CPU, {:>6.1} µs, an event",
            each(written, self::written(dir.path())),
            each(calls, number("io", "syscw:")),
            each(cpu, cpu_ns()) / 1000.0,
            began.elapsed().as_secs_f64() * 1e6 / EVENTS as f64,
        );
    }
    let size = std::fs::metadata(dir.path().join("buffer/db")).map_or(0, |it| it.len());
    println!(
        "file {size} B, anonymous memory {} kB",
        number("status", "RssAnon:")
    );
}
