//! Random histories against a list: whatever happens, what is peeked is what should be there, the
//! chain over it holds, and what was flushed survives a crash.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        money: bool,
        sizes: Vec<usize>,
        replayed: bool,
    },
    Ack(prop::sample::Index),
    Withdraw,
    Reopen,
    Crash,
    Relink(prop::sample::Index),
}

/// What one seq holds.
#[derive(Clone, Debug, PartialEq)]
enum Seq {
    Event(Category, String),
    Gap(GapReason),
}

#[derive(Default)]
struct Model {
    seqs: Vec<Seq>,
    acked: usize,
    input_line: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (any::<bool>(), prop::collection::vec(1..4usize, 1..4), any::<bool>())
            .prop_map(|(money, sizes, replayed)| Step::Append { money, sizes, replayed }),
        3 => any::<prop::sample::Index>().prop_map(Step::Ack),
        1 => Just(Step::Withdraw),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
        1 => any::<prop::sample::Index>().prop_map(Step::Relink),
    ];
    prop::collection::vec(step, 1..40)
}

fn seqs(records: &[validate::Record]) -> Vec<Seq> {
    let mut seqs = Vec::new();
    for record in records {
        if let Some(gap) = record.gap() {
            seqs.extend((0..record.count).map(|_| Seq::Gap(gap.reason())));
        } else if let validate::Content::Events(events) = &record.content {
            let texts = events.activities.iter().map(|it| it.text.clone());
            seqs.extend(texts.map(|text| Seq::Event(record.category, text)));
        }
    }
    seqs
}

/// A copy of the files as they are, as a power cut would find them.
pub(super) fn crash(phone: &mut Phone, cap: Cap) {
    let copy = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(copy.path().join("buffer")).expect("a folder");
    for name in ["keys", "buffer/db", "buffer/conf"] {
        let from = phone.dir.path().join(name);
        std::fs::copy(from, copy.path().join(name)).expect("copied");
    }
    phone.keys = Keys::open(&copy.path().join("keys"), &[1; 32]).expect("keys");
    phone.buffer = open(copy.path(), &phone.keys, cap);
    phone.dir = copy;
}

fn run(steps: Vec<Step>, cap: Cap) {
    let mut phone = phone(cap);
    let mut model = Model::default();
    let mut number = 0;
    let capped = cap.bytes < 1 << 20;
    for step in steps {
        let boundaries: Vec<u64> = phone.all().iter().map(Outgoing::last_seq).collect();
        match step {
            Step::Append {
                money,
                sizes,
                replayed,
            } => {
                let category = if money {
                    Category::Money
                } else {
                    Category::Messages
                };
                let records: Vec<_> = sizes
                    .into_iter()
                    .map(|size| {
                        let texts: Vec<String> = (0..size)
                            .map(|_| {
                                number += 1;
                                format!("{number:040}")
                            })
                            .collect();
                        model
                            .seqs
                            .extend(texts.iter().map(|it| Seq::Event(category, it.clone())));
                        events(category, &texts, 1_000)
                    })
                    .collect();
                let input_line = if replayed { number } else { 0 };
                model.input_line = model.input_line.max(input_line);
                let first = phone.buffer.append(&phone.keys, records, input_line, 1_000);
                first.expect("appended");
            }
            Step::Ack(index) if !boundaries.is_empty() => {
                let through = *index.get(&boundaries);
                let epoch = phone.buffer.position().epoch;
                phone
                    .buffer
                    .ack(&phone.keys, epoch, through)
                    .expect("acked");
                model.acked = usize::try_from(through).expect("small");
            }
            Step::Withdraw => {
                phone.keys.destroy(Category::Money).expect("destroyed");
                phone
                    .buffer
                    .withdraw(&phone.keys, Category::Money)
                    .expect("withdrawn");
                for seq in &mut model.seqs[model.acked..] {
                    if matches!(seq, Seq::Event(Category::Money, _)) {
                        *seq = Seq::Gap(GapReason::Withdrawn);
                    }
                }
                phone.keys.make(Category::Money).expect("granted again");
            }
            Step::Reopen => {
                let placeholder = tempfile::tempdir().expect("a folder");
                let other = Keys::open(&placeholder.path().join("keys"), &[1; 32]).expect("keys");
                phone.buffer = open(placeholder.path(), &other, cap);
                phone.buffer = open(phone.dir.path(), &phone.keys, cap);
            }
            Step::Crash => crash(&mut phone, cap),
            Step::Relink(index) if !boundaries.is_empty() => {
                let after = *index.get(&boundaries);
                let epoch = phone.buffer.position().epoch + 1;
                phone
                    .buffer
                    .relink(&phone.keys, epoch, after, [9; 32])
                    .expect("moved");
                model.seqs.drain(..usize::try_from(after).expect("small"));
                model.acked = 0;
            }
            Step::Ack(_) | Step::Relink(_) => {}
        }
        let out = phone.all();
        let records = check_chain(&phone.buffer, out);
        let first = usize::try_from(phone.buffer.position().first_seq).expect("small");
        // An acknowledgement that was not flushed may be forgotten, never invented.
        assert!(first <= model.acked + 1);
        model.acked = first - 1;
        let found = seqs(&records);
        let expected = &mut model.seqs[model.acked..];
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            if capped && *found == Seq::Gap(GapReason::Overflow) {
                *expected = found.clone();
            }
            assert_eq!(found, expected);
        }
        let waiting: u64 = found
            .iter()
            .filter(|seq| matches!(seq, Seq::Event(..)))
            .count() as u64;
        assert_eq!(phone.buffer.queue().events, waiting);
        if capped {
            let events: u64 = phone.buffer.queue().events;
            assert!(events * 80 <= cap.bytes + 128 * records.len() as u64);
        }
        assert_eq!(phone.buffer.input_line(), model.input_line);
    }
}

/// How many histories of each sort; `MINGJING_MODEL_CASES` asks for more.
fn cases() -> u32 {
    let asked = std::env::var("MINGJING_MODEL_CASES").ok();
    asked.map_or(48, |it| it.parse().expect("a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_its_records(steps in steps()) {
        run(steps, WIDE);
    }

    #[test]
    fn any_history_stays_under_the_cap(steps in steps()) {
        run(steps, Cap { bytes: 4_000, age_ms: i64::MAX / 4 });
    }
}
