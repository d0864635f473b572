//! Ingest against an oracle of ten lines: two collectors' sessions of one phone, records sent in random
//! order, again, with holes, as forks and as gaps, alone and at the same moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use mingjing_collector::Shared;
use mingjing_collector::ingest::{self, Committer, Outcome, Stop, View};
use mingjing_proto::chain::Link;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{GapReason, RecordFrame};
use mingjing_proto::validate;
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::oracle;
use mingjing_tests::raw::RawPhone;
use mingjing_tests::scene::{Engine, Scene};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Records the phone has in a case.
const RECORDS: usize = 10;

#[derive(Clone, Debug)]
enum Step {
    /// Records `from..to` at one side.
    Send { side: usize, from: usize, to: usize },
    /// Both sides have decided before either commits.
    Race { from: [usize; 2], to: [usize; 2] },
    /// One gap over `from..to` at one side.
    Gap { side: usize, from: usize, to: usize },
    /// Another record than the one stored at this place.
    Fork { side: usize, at: usize },
    /// A new session at one side.
    Reconnect { side: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range =
        || (0..RECORDS, 1..4_usize).prop_map(|(from, count)| (from, (from + count).min(RECORDS)));
    let step = prop_oneof![
        6 => (0..2_usize, range()).prop_map(|(side, (from, to))| Step::Send { side, from, to }),
        2 => (range(), range()).prop_map(|(one, two)| Step::Race {
            from: [one.0, two.0],
            to: [one.1, two.1],
        }),
        1 => (0..2_usize, range()).prop_map(|(side, (from, to))| Step::Gap { side, from, to }),
        1 => (0..2_usize, 0..RECORDS).prop_map(|(side, at)| Step::Fork { side, at }),
        1 => (0..2_usize).prop_map(|side| Step::Reconnect { side }),
    ];
    prop::collection::vec(step, 1..30)
}

/// What a batch came to, in the oracle's words and the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Dropped,
    Nothing,
    Hole,
    Stored,
    Stale,
    Fork,
}

/// How far one side believes the chain to go, in records, and whether it drops what is beyond.
#[derive(Clone, Copy, Default)]
struct Belief {
    head: usize,
    dropping: bool,
}

/// The oracle.
#[derive(Default)]
struct Oracle {
    head: usize,
    sides: [Belief; 2],
    gone: Vec<usize>,
}

impl Oracle {
    /// What deciding says; the belief moves as a session's view does.
    fn decide(&mut self, side: usize, from: usize, to: usize) -> Came {
        let belief = &mut self.sides[side];
        if belief.dropping && from > belief.head {
            return Came::Dropped;
        }
        belief.dropping = from > belief.head;
        match (from > belief.head, to > belief.head) {
            (true, _) => Came::Hole,
            (false, false) => Came::Nothing,
            (false, true) => Came::Stored,
        }
    }

    /// What committing says, for a batch decided when the side believed in `believed`.
    fn commit(&mut self, side: usize, believed: usize, sent: &Sent) -> Came {
        if self.head != believed {
            self.sides[side] = Belief {
                head: self.head,
                dropping: true,
            };
            return Came::Stale;
        }
        self.gone
            .extend(sent.gone.iter().filter(|it| **it >= believed));
        self.head = sent.to;
        self.sides[side].head = sent.to;
        Came::Stored
    }
}

struct Side {
    shared: Arc<Shared>,
    committer: Arc<Committer>,
    view: Option<View>,
    dropping: bool,
}

/// A record, or a gap over several, as the phone holds it.
struct Piece {
    from: usize,
    to: usize,
    gap: bool,
    frame: RecordFrame,
}

/// A batch: whole pieces.
struct Sent {
    from: usize,
    to: usize,
    /// Which of it are gaps.
    gone: Vec<usize>,
    frames: Vec<RecordFrame>,
}

/// The phone's records of one case, and where each ends.
struct Chain {
    texts: Vec<String>,
    pieces: Vec<Piece>,
    ends: Vec<(u64, Link)>,
    before: (u64, Link),
}

impl Chain {
    fn overlapping(&self, from: usize, to: usize) -> std::ops::Range<usize> {
        let first = self.pieces.iter().position(|piece| piece.to > from);
        let after = self.pieces.iter().position(|piece| piece.from >= to);
        first.unwrap()..after.unwrap_or(self.pieces.len())
    }

    fn send(&self, from: usize, to: usize) -> Sent {
        let pieces = &self.pieces[self.overlapping(from, to)];
        let gaps = pieces.iter().filter(|piece| piece.gap);
        Sent {
            from: pieces[0].from,
            to: pieces[pieces.len() - 1].to,
            gone: gaps.flat_map(|piece| piece.from..piece.to).collect(),
            frames: pieces.iter().map(|piece| piece.frame.clone()).collect(),
        }
    }

    /// The phone lets records go: one gap takes their place for good.
    fn let_go(&mut self, phone: &RawPhone, from: usize, to: usize) {
        let range = self.overlapping(from, to);
        let (from, to) = (self.pieces[range.start].from, self.pieces[range.end - 1].to);
        let first = if from == 0 {
            self.before.0
        } else {
            self.ends[from - 1].0
        } + 1;
        let (last, link) = self.ends[to - 1];
        let piece = Piece {
            from,
            to,
            gap: true,
            frame: phone.gap(first..=last, GapReason::Overflow, link),
        };
        self.pieces.splice(range, [piece]);
    }
}

impl Side {
    async fn load(&mut self, device: DeviceId) {
        self.view = Some(View::load(&self.shared, device).await.unwrap());
    }

    /// What a session does with a batch, up to the commit.
    async fn decide(&mut self, frames: Vec<RecordFrame>) -> (Came, Option<ingest::Prepared>) {
        let view = self.view.as_mut().unwrap();
        let batch = validate::deflate(view.head.epoch, frames);
        let records = validate::records(&batch).unwrap();
        if self.dropping && records[0].first_seq > view.head.seq + 1 {
            return (Came::Dropped, None);
        }
        self.dropping = false;
        let decided = ingest::decide(&self.shared, view, records).await.unwrap();
        let came = match (&decided.stop, &decided.prepared) {
            (Some(Stop::Hole { .. }), _) => {
                self.dropping = true;
                Came::Hole
            }
            (Some(Stop::Fork { .. }), _) => Came::Fork,
            (Some(Stop::Held { .. }), _) => panic!("nothing is held here"),
            (None, Some(_)) => Came::Stored,
            (None, None) => Came::Nothing,
        };
        (came, decided.prepared)
    }

    async fn settle(&mut self, outcome: Outcome) -> Came {
        match outcome {
            Outcome::Stored => Came::Stored,
            Outcome::Stale => {
                let device = self.view.as_ref().unwrap().device.device;
                self.load(device).await;
                self.dropping = true;
                Came::Stale
            }
        }
    }
}

struct Ground {
    phone: RawPhone,
    device: DeviceId,
    sides: [Side; 2],
    now_ms: i64,
    case: u64,
    expected: BTreeMap<String, u64>,
}

impl Ground {
    async fn case(&mut self, steps: &[Step]) {
        self.case += 1;
        for side in &mut self.sides {
            side.load(self.device).await;
            side.dropping = false;
        }
        let mut chain = self.chain();
        let mut oracle = Oracle::default();
        for step in steps {
            self.step(step, &mut chain, &mut oracle).await;
        }
        // What was not stored is sent by an honest phone in the end.
        let rest = Step::Send {
            side: 0,
            from: 0,
            to: RECORDS,
        };
        for _ in 0..2 {
            let again = Step::Reconnect { side: 0 };
            self.step(&again, &mut chain, &mut oracle).await;
            self.step(&rest, &mut chain, &mut oracle).await;
        }
        assert_eq!(oracle.head, RECORDS);
        for (index, text) in chain.texts.iter().enumerate() {
            if !oracle.gone.contains(&index) {
                self.expected.insert(text.clone(), 1);
            }
        }
    }

    fn chain(&mut self) -> Chain {
        let head = self.sides[0].view.as_ref().unwrap().head;
        let phone = &mut self.phone;
        (phone.epoch, phone.seq, phone.link) = (head.epoch, head.seq, head.link);
        let mut chain = Chain {
            texts: Vec::new(),
            pieces: Vec::new(),
            ends: Vec::new(),
            before: (head.seq, head.link),
        };
        for index in 0..RECORDS {
            let text = format!("第{}例第{index}条", self.case);
            let frame = phone.messages("wx-wang", self.now_ms, &[&text]);
            chain.texts.push(text);
            chain.pieces.push(Piece {
                from: index,
                to: index + 1,
                gap: false,
                frame,
            });
            chain.ends.push((phone.seq, phone.link));
        }
        chain
    }

    async fn step(&mut self, step: &Step, chain: &mut Chain, oracle: &mut Oracle) {
        match *step {
            Step::Send { side, from, to } => self.one(side, chain.send(from, to), oracle).await,
            Step::Gap { side, from, to } => {
                chain.let_go(&self.phone, from, to);
                self.one(side, chain.send(from, to), oracle).await;
            }
            Step::Race { from, to } => {
                let sent = [0, 1].map(|side| chain.send(from[side], to[side]));
                let mut decided = Vec::new();
                for (side, sent) in sent.iter().enumerate() {
                    let believed = oracle.sides[side].head;
                    let expected = oracle.decide(side, sent.from, sent.to);
                    let (came, prepared) = self.sides[side].decide(sent.frames.clone()).await;
                    assert_eq!(came, expected, "{step:?} at {side}");
                    if let Some(prepared) = prepared {
                        decided.push((side, believed, prepared));
                    }
                }
                let mut waiting = Vec::new();
                for (side, believed, prepared) in decided {
                    let committer = self.sides[side].committer.clone();
                    let outcome = committer.submit(prepared).await.unwrap();
                    waiting.push((side, believed, outcome));
                }
                let mut outcomes = Vec::new();
                for (side, believed, outcome) in waiting {
                    outcomes.push((side, believed, outcome.await.unwrap().unwrap()));
                }
                // Whoever was first, the store says; the other must then be stale.
                outcomes.sort_by_key(|(_, _, outcome)| *outcome == Outcome::Stale);
                for (side, believed, outcome) in outcomes {
                    let expected = oracle.commit(side, believed, &sent[side]);
                    let came = self.sides[side].settle(outcome).await;
                    assert_eq!(came, expected, "{step:?} at {side}");
                }
            }
            Step::Fork { side, at } => {
                let whole = chain.pieces.iter().any(|it| it.from == at && !it.gap);
                if at >= oracle.sides[side].head || !whole {
                    return;
                }
                let before = if at == 0 {
                    chain.before
                } else {
                    chain.ends[at - 1]
                };
                (self.phone.seq, self.phone.link) = before;
                let other = self.phone.messages("wx-wang", self.now_ms, &["另一段历史"]);
                let (came, prepared) = self.sides[side].decide(vec![other]).await;
                assert_eq!((came, prepared.is_none()), (Came::Fork, true), "{step:?}");
                oracle.sides[side].dropping = false;
            }
            Step::Reconnect { side } => {
                self.sides[side].load(self.device).await;
                self.sides[side].dropping = false;
                oracle.sides[side] = Belief {
                    head: oracle.head,
                    dropping: false,
                };
            }
        }
    }

    async fn one(&mut self, side: usize, sent: Sent, oracle: &mut Oracle) {
        let believed = oracle.sides[side].head;
        let expected = oracle.decide(side, sent.from, sent.to);
        let place = format!("{}..{} gone {:?} at {side}", sent.from, sent.to, sent.gone);
        let (came, prepared) = self.sides[side].decide(sent.frames.clone()).await;
        assert_eq!(came, expected, "{place}");
        if let Some(prepared) = prepared {
            let expected = oracle.commit(side, believed, &sent);
            let outcome = self.sides[side].committer.submit(prepared).await.unwrap();
            let came = self.sides[side]
                .settle(outcome.await.unwrap().unwrap())
                .await;
            assert_eq!(came, expected, "{place}");
        }
    }
}

async fn ground(scene: &Scene, other: Arc<Shared>, stop: &CancellationToken) -> Ground {
    let mut phone = scene.phone().await.unwrap();
    drop(phone.consented(PASSWORD).await.unwrap());
    let side = |shared: &Arc<Shared>| Side {
        shared: shared.clone(),
        committer: Committer::start(shared.clone(), stop.clone()).0,
        view: None,
        dropping: false,
    };
    Ground {
        device: DeviceId::from_slice(&phone.enrolled.device_id).unwrap(),
        sides: [side(&scene.collector.shared), side(&other)],
        phone,
        now_ms: scene.now(),
        case: 0,
        expected: BTreeMap::new(),
    }
}

fn cases(usual: u32) -> u32 {
    std::env::var("MINGJING_MODEL_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(usual)
}

fn run(engine: Engine, usual: u32) {
    let runtime = Runtime::new().unwrap();
    let scene = runtime.block_on(Scene::start(engine)).unwrap();
    let other = runtime.block_on(async {
        match engine {
            // Two sessions in one process.
            Engine::Sqlite => None,
            Engine::Postgres => {
                let dir = scene.dir.path().join("other");
                Some(scene.collector.join(&dir, "c2").await.unwrap())
            }
        }
    });
    let shared = other.as_ref().unwrap_or(&scene.collector).shared.clone();
    let stop = CancellationToken::new();
    let ground = std::cell::RefCell::new(runtime.block_on(ground(&scene, shared, &stop)));
    let mut runner = TestRunner::new(Config {
        cases: cases(usual),
        failure_persistence: None,
        ..Config::default()
    });
    let ran = runner.run(&steps(), |steps| {
        runtime.block_on(ground.borrow_mut().case(&steps));
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    let mut stored: BTreeMap<String, u64> = BTreeMap::new();
    let texts = runtime.block_on(oracle::texts(&scene.collector.shared));
    for text in texts.unwrap() {
        *stored.entry(text).or_default() += 1;
    }
    assert_eq!(stored, ground.borrow().expected);
    let chains = mingjing_collector::chain::verify(&scene.collector.shared.db);
    assert_eq!(runtime.block_on(chains).unwrap()[0].broken, None);
    stop.cancel();
}

#[test]
fn ingest_does_what_ten_lines_say_on_sqlite() {
    run(Engine::Sqlite, 60);
}

#[test]
fn ingest_does_what_ten_lines_say_with_two_collectors_on_postgresql() {
    run(Engine::Postgres, 15);
}
