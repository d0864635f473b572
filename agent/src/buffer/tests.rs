//! The buffer against a model, and the named cases.

mod model;

use std::path::Path;

use mingjing_proto::pb::GapReason;
use mingjing_proto::validate;

use super::*;

const GENESIS: Link = [3; 32];
const WIDE: Cap = Cap {
    bytes: 1 << 30,
    age_ms: i64::MAX / 4,
};

struct Phone {
    dir: tempfile::TempDir,
    keys: Keys,
    buffer: Buffer,
}

fn open(dir: &Path, keys: &Keys, cap: Cap) -> Buffer {
    Buffer::open(dir, GENESIS, keys, cap, 1 << 20).expect("the buffer opens")
}

fn phone(cap: Cap) -> Phone {
    let dir = tempfile::tempdir().expect("a folder");
    let mut keys = Keys::open(&dir.path().join("keys"), &[1; 32]).expect("keys");
    for category in Category::CONSENTED {
        keys.make(category).expect("a key");
    }
    let buffer = open(dir.path(), &keys, cap);
    Phone { dir, keys, buffer }
}

fn events(category: Category, texts: &[String], at_ms: i64) -> NewRecord {
    let kind = if category == Category::Money {
        pb::Kind::TransferSent
    } else {
        pb::Kind::Message
    };
    let activities: Vec<_> = texts
        .iter()
        .map(|text| pb::Activity {
            at_ms,
            kind: kind.into(),
            text: text.clone(),
            ..Default::default()
        })
        .collect();
    NewRecord {
        category,
        count: u32::try_from(activities.len()).expect("few"),
        body: pb::Events {
            version: 1,
            account: "work".into(),
            day: crate::utc_day(at_ms),
            activities,
        }
        .encode_to_vec(),
        unanchored: None,
        consent_of: Vec::new(),
    }
}

impl Phone {
    fn say(&mut self, category: Category, texts: &[&str]) -> u64 {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let record = events(category, &texts, 1_000);
        self.buffer
            .append(&self.keys, vec![record], 0, 1_000)
            .expect("appended")
    }

    fn all(&mut self) -> Vec<Outgoing> {
        self.buffer
            .peek(&self.keys, 1, usize::MAX, usize::MAX)
            .expect("peeked")
    }
}

/// What the collector would compute over `records`, checked against the phone's head.
fn check_chain(buffer: &Buffer, out: Vec<Outgoing>) -> Vec<validate::Record> {
    let position = buffer.position();
    let frames: Vec<pb::RecordFrame> = out
        .into_iter()
        .map(|outgoing| match outgoing {
            Outgoing::Frame(frame) => frame,
            Outgoing::Gap(gap) => {
                crate::session::gap_frame(gap, &crate::testing::signer()).expect("signed")
            }
        })
        .collect();
    if frames.is_empty() {
        assert_eq!(position.link_before, position.head_link);
        return Vec::new();
    }
    let batch = validate::deflate(position.epoch, frames);
    let records = validate::records(&batch).expect("a valid batch");
    let mut link = position.link_before;
    assert_eq!(records[0].first_seq, position.first_seq);
    for record in &records {
        link = record.link(&link, position.epoch);
    }
    assert_eq!(link, position.head_link);
    assert_eq!(records[records.len() - 1].last_seq(), position.head_seq);
    records
}

#[test]
fn records_come_back_in_order_and_leave_with_the_ack() {
    let mut phone = phone(WIDE);
    phone.say(Category::Messages, &["一", "二"]);
    phone.say(Category::Money, &["三"]);
    phone.say(Category::Messages, &["四"]);
    let out = phone.all();
    let records = check_chain(&phone.buffer, out);
    assert_eq!(
        records.iter().map(|it| it.first_seq).collect::<Vec<_>>(),
        [1, 3, 4]
    );
    phone.buffer.ack(&phone.keys, 1, 3).expect("acked");
    assert_eq!(phone.buffer.position().first_seq, 4);
    assert_eq!(phone.buffer.queue().events, 1);
    let sent = phone
        .buffer
        .sent(&phone.keys, Category::Messages)
        .expect("the ring");
    assert_eq!(sent[0].activities[1].text, "二");
    phone
        .buffer
        .ack(&phone.keys, 2, 4)
        .expect("another epoch's ack");
    assert_eq!(phone.buffer.position().first_seq, 4);
}

#[test]
fn a_large_event_lies_in_parts_and_comes_back_whole() {
    let mut phone = phone(WIDE);
    let long = "长".repeat(15_000);
    phone.say(Category::Messages, &[&long]);
    let Outgoing::Frame(frame) = &phone.all()[0] else {
        panic!("a frame")
    };
    let read = pb::Events::decode(&*frame.body).expect("events");
    assert_eq!(read.activities[0].text, long);
}

#[test]
fn the_ring_keeps_fifty_events_a_category_across_reopening() {
    let mut phone = phone(WIDE);
    for number in 0..80 {
        phone.say(Category::Messages, &[&format!("消息{number}")]);
    }
    phone.buffer.ack(&phone.keys, 1, 80).expect("acked");
    let first = |buffer: &Buffer, keys: &Keys| {
        let sent = buffer.sent(keys, Category::Messages).expect("the ring");
        (sent.len(), sent[0].activities[0].text.clone())
    };
    assert_eq!(first(&phone.buffer, &phone.keys), (50, "消息30".into()));
    drop(phone.buffer);
    phone.buffer = open(phone.dir.path(), &phone.keys, WIDE);
    assert_eq!(first(&phone.buffer, &phone.keys), (50, "消息30".into()));
}

#[test]
fn withdrawal_leaves_gaps_where_the_category_was_and_nothing_in_the_ring() {
    let mut phone = phone(WIDE);
    phone.say(Category::Money, &["发出去了"]);
    phone.say(Category::Money, &["甲", "乙"]);
    phone.say(Category::Money, &["丙"]);
    phone.say(Category::Messages, &["在吗"]);
    phone.say(Category::Money, &["丁"]);
    phone.buffer.ack(&phone.keys, 1, 1).expect("acked");
    let head = phone.buffer.position().head_link;
    phone.keys.destroy(Category::Money).expect("destroyed");
    phone
        .buffer
        .withdraw(&phone.keys, Category::Money)
        .expect("withdrawn");
    assert!(!phone.buffer.holds(Category::Money));
    assert_eq!(phone.buffer.position().head_link, head);
    let out = phone.all();
    let records = check_chain(&phone.buffer, out);
    let seqs: Vec<_> = records.iter().map(|it| (it.first_seq, it.count)).collect();
    assert_eq!(seqs, [(2, 3), (5, 1), (6, 1)]);
    let gap = records[0].gap().expect("a gap");
    assert_eq!(gap.reason(), GapReason::Withdrawn);
    assert_eq!(gap.counts[0].count, 3);
    let refused = phone.buffer.append(
        &phone.keys,
        vec![events(Category::Money, &["再来".into()], 1_000)],
        0,
        1_000,
    );
    assert!(matches!(refused, Err(BufferError::NoKey { .. })));
}

#[test]
fn an_overflow_gap_grows_until_it_was_sent_and_spares_control_records() {
    let mut phone = phone(Cap {
        bytes: 6 * 300,
        age_ms: i64::MAX / 4,
    });
    let control = NewRecord {
        category: Category::Control,
        count: 1,
        body: pb::Control {
            version: 1,
            body: Some(pb::control::Body::PolicyAccepted(
                pb::PolicyAccepted::default(),
            )),
        }
        .encode_to_vec(),
        unanchored: None,
        consent_of: Vec::new(),
    };
    phone
        .buffer
        .append(&phone.keys, vec![control], 0, 0)
        .expect("appended");
    for number in 0..30 {
        phone.say(Category::Messages, &[&format!("{number:060}")]);
    }
    let out = phone.all();
    let records = check_chain(&phone.buffer, out);
    assert!(matches!(records[0].content, validate::Content::Control(_)));
    let gaps = records.iter().filter(|it| it.gap().is_some()).count();
    assert_eq!(gaps, 1, "one gap that grew");
    for number in 0..30 {
        phone.say(Category::Messages, &[&format!("{number:060}")]);
    }
    let out = phone.all();
    let records = check_chain(&phone.buffer, out);
    let gaps = records.iter().filter(|it| it.gap().is_some()).count();
    assert_eq!(gaps, 2, "the first was sent already");
}

#[test]
fn records_older_than_the_cap_go() {
    let mut phone = phone(Cap {
        bytes: 1 << 30,
        age_ms: 10_000,
    });
    phone.say(Category::Messages, &["旧"]);
    let record = events(Category::Messages, &["新".into()], 20_000);
    phone
        .buffer
        .append(&phone.keys, vec![record], 0, 20_000)
        .expect("appended");
    let out = phone.all();
    let records = check_chain(&phone.buffer, out);
    assert_eq!(
        records[0].gap().expect("a gap").reason(),
        GapReason::Overflow
    );
    assert!(records[1].gap().is_none());
}

#[test]
fn a_damaged_record_becomes_a_gap_and_its_neighbours_stay() {
    let mut phone = phone(WIDE);
    for text in ["甲", "乙", "丙"] {
        phone.say(Category::Messages, &[text]);
    }
    let mut changes = Changes::default();
    let header = phone.buffer.headers(2).expect("headers").next();
    let header = header.expect("a record").expect("readable");
    put_record(&mut changes, &header, b"garbage");
    phone.buffer.store.apply(changes).expect("damaged");
    let out = phone.all();
    let records = check_chain(&phone.buffer, out);
    assert_eq!(records.len(), 3);
    assert_eq!(
        records[1].gap().expect("a gap").reason(),
        GapReason::Corrupt
    );
    assert_eq!(phone.buffer.queue().events, 2);
}

#[test]
fn a_new_epoch_links_what_is_left_anew() {
    let mut phone = phone(WIDE);
    for text in ["甲", "乙", "丙", "丁"] {
        phone.say(Category::Messages, &[text]);
    }
    phone
        .buffer
        .relink(&phone.keys, 2, 2, [8; 32])
        .expect("moved");
    let position = phone.buffer.position();
    assert_eq!(
        (position.epoch, position.first_seq, position.head_seq),
        (2, 1, 2)
    );
    assert_eq!(position.link_before, [8; 32]);
    let out = phone.all();
    let records = check_chain(&phone.buffer, out);
    let validate::Content::Events(events) = &records[0].content else {
        panic!("events")
    };
    assert_eq!(events.activities[0].text, "丙");
    let sent = phone
        .buffer
        .sent(&phone.keys, Category::Messages)
        .expect("the ring");
    assert_eq!(sent.len(), 2, "what both sides have counts as sent");
    drop(phone.buffer);
    phone.buffer = open(phone.dir.path(), &phone.keys, WIDE);
    assert_eq!(phone.buffer.position().head_seq, 2);
}

#[test]
fn the_input_line_is_stored_with_the_records_or_alone() {
    let mut phone = phone(WIDE);
    phone
        .buffer
        .append(&phone.keys, Vec::new(), 7, 0)
        .expect("stored");
    drop(phone.buffer);
    phone.buffer = open(phone.dir.path(), &phone.keys, WIDE);
    assert_eq!(phone.buffer.input_line(), 7);
    assert_eq!(phone.buffer.position().head_seq, 0);
}

#[test]
fn after_an_io_error_the_database_is_opened_again() {
    let mut phone = phone(WIDE);
    phone.say(Category::Messages, &["之前"]);
    phone.buffer.store.close();
    phone.say(Category::Messages, &["之后"]);
    let out = phone.all();
    assert_eq!(check_chain(&phone.buffer, out).len(), 2);
}

/// What an acknowledgement costs is nothing until many have come: the file stays as the records left it.
#[test]
fn an_acknowledgement_waits_in_memory_and_a_crash_only_brings_the_record_back() {
    let mut phone = phone(WIDE);
    for number in 0..3 {
        phone.say(Category::Messages, &[&format!("消息{number}")]);
    }
    let (bytes, head) = (file(&phone), phone.buffer.position().head_link);
    phone.buffer.ack(&phone.keys, 1, 2).expect("acked");
    assert_eq!(phone.buffer.position().first_seq, 3);
    assert!(file(&phone) == bytes, "nothing was written");
    model::crash(&mut phone, WIDE);
    let position = phone.buffer.position();
    assert_eq!((position.first_seq, position.head_seq), (1, 3));
    assert_eq!(position.head_link, head);
    assert_eq!(phone.buffer.queue().events, 3);
    let out = phone.all();
    check_chain(&phone.buffer, out);
}

/// The database's file as it is.
fn file(phone: &Phone) -> Vec<u8> {
    std::fs::read(phone.dir.path().join("buffer/db")).expect("read")
}

#[test]
fn acknowledged_records_leave_the_disk_without_a_new_one() {
    let mut phone = phone(WIDE);
    let texts: Vec<String> = (0..300).map(|number| format!("消息{number}")).collect();
    let records = texts
        .iter()
        .map(|text| events(Category::Messages, std::slice::from_ref(text), 1_000));
    let records = records.collect();
    phone
        .buffer
        .append(&phone.keys, records, 0, 1_000)
        .expect("appended");
    phone.buffer.ack(&phone.keys, 1, 300).expect("acked");
    let stored = phone
        .buffer
        .store
        .range(&[format::RECORDS], &[format::RECORDS]);
    assert_eq!(stored.expect("read").count(), 50, "those of the ring");
}

/// A time known for certain outlives a crash, though the record is all that was written.
#[test]
fn a_record_carries_the_known_time() {
    let mut phone = phone(WIDE);
    phone.buffer.know(777);
    phone.say(Category::Messages, &["在吗"]);
    model::crash(&mut phone, WIDE);
    assert_eq!(phone.buffer.known_ms(), 777);
}

#[test]
fn two_agents_do_not_share_a_folder() {
    let phone = phone(WIDE);
    let second = Buffer::open(phone.dir.path(), GENESIS, &phone.keys, WIDE, 1 << 20);
    assert!(matches!(second, Err(BufferError::Locked { .. })));
}

#[test]
fn retiming_moves_days_and_drops_what_fell_off_hours() {
    const DAY: i64 = 86_400_000;
    let mut phone = phone(WIDE);
    phone.say(Category::Messages, &["早先"]);
    let texts: Vec<String> = ["留", "掉", "明天"].map(str::to_owned).into();
    let mut record = events(Category::Messages, &texts, 5_000);
    record.unanchored = Some(Unanchored {
        boot_id: vec![1; 16],
        offset_ms: 100,
    });
    phone
        .buffer
        .append(&phone.keys, vec![record], 0, 5_000)
        .expect("appended");
    phone
        .buffer
        .retime(&phone.keys, |unanchored, activity| {
            assert_eq!(unanchored.offset_ms, 100);
            match activity.text.as_str() {
                "掉" => Retimed::Drop,
                "明天" => {
                    activity.at_ms += DAY;
                    Retimed::Keep
                }
                _ => Retimed::Keep,
            }
        })
        .expect("re-timed");
    let out = phone.all();
    let records = check_chain(&phone.buffer, out);
    let shapes: Vec<_> = records
        .iter()
        .map(|it| (it.first_seq, it.count, it.gap().map(|gap| gap.reason())))
        .collect();
    assert_eq!(
        shapes,
        [
            (1, 1, None),
            (2, 1, None),
            (3, 1, Some(GapReason::OffHours)),
            (4, 1, None)
        ]
    );
    assert_eq!(phone.buffer.queue().events, 3);
}

#[test]
fn a_damaged_database_is_named_with_its_cure() {
    let dir = tempfile::tempdir().expect("a folder");
    let keys = Keys::open(&dir.path().join("keys"), &[1; 32]).expect("keys");
    drop(open(dir.path(), &keys, WIDE));
    std::fs::write(dir.path().join("buffer/db"), [0x5a; 5000]).expect("written");
    let error = Buffer::open(dir.path(), GENESIS, &keys, WIDE, 1 << 20).expect_err("damaged");
    assert!(error.to_string().contains("set aside"), "{error}");
}
