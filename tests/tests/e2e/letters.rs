//! Letters employees write reach the collector once, sealed, and only those they are for read them.

use mingjing_collector::access::{self, Viewer};
use mingjing_collector::error::Error;
use mingjing_collector::findings;
use mingjing_collector::people::Role;
use mingjing_proto::limits::{LETTER_BYTES, LETTERS_PER_DAY};
use mingjing_proto::pb::{self, from_app, from_device, to_device};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::phone::{self, Phone};
use mingjing_tests::raw::{RawPhone, RawSession};
use mingjing_tests::scene::{Engine, Scene, on_each_engine};
use mingjing_tests::search::found_in;

const TEXT: &str = "那笔是客户自己转错的，当天已退回";

/// Raises a finding about the phone's holder and returns its notice.
async fn finding(
    scene: &Scene,
    phone: &mut RawPhone,
    session: &mut RawSession,
) -> pb::FindingNotice {
    let frame = phone.messages("wx-wang", scene.now(), &["昨天已经转到你个人账户了"]);
    session.batch(phone.epoch, vec![frame]).await.unwrap();
    loop {
        if let to_device::Body::FindingNotice(notice) = session.next().await.unwrap() {
            return notice;
        }
    }
}

async fn received(session: &mut RawSession, body: from_device::Body) -> pb::LetterReceived {
    session.send(body).await.unwrap();
    loop {
        if let to_device::Body::LetterReceived(received) = session.next().await.unwrap() {
            return received;
        }
    }
}

fn answer(id: &str, finding: &str, text: &str) -> from_device::Body {
    from_device::Body::Answer(pb::Answer {
        id: id.to_owned(),
        finding_id: finding.to_owned(),
        text: text.to_owned(),
    })
}

fn complaint(id: &str, text: &str) -> from_device::Body {
    from_device::Body::Complaint(pb::Complaint {
        id: id.to_owned(),
        text: text.to_owned(),
    })
}

#[tokio::test]
async fn an_answer_is_stored_once_sealed_and_shown_to_the_findings_reviewer() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let notice = finding(&scene, &mut phone, &mut session).await;
        for _ in 0..2 {
            // The second is the phone's, whose answer was lost.
            let got = received(&mut session, answer("a1", &notice.finding_id, TEXT)).await;
            assert_eq!((&*got.kind, &*got.id, &*got.refusal), ("answer", "a1", ""));
        }
        let other = received(&mut session, answer("a1", &notice.finding_id, "另一段话")).await;
        assert_eq!(other.refusal, "conflict");
        let count = "select cast(count(*) as bigint) from letters";
        assert_eq!(scene.collector.number(count).await.unwrap(), 1);
        assert_eq!(
            found_in(scene.dir.path(), TEXT),
            Vec::<std::path::PathBuf>::new()
        );

        let shared = &scene.collector.shared;
        let viewer = async |login: &str, role| {
            let entered = scene
                .collector
                .person(login, login, "质检部", &[(role, "*")])
                .await
                .unwrap();
            Viewer::load(&shared.db, &entered.person).await.unwrap()
        };
        let reviewer = viewer("shen", Role::Reviewer).await;
        let privacy = viewer("fa", Role::Privacy).await;
        let it = viewer("it", Role::Admin).await;
        let id = findings::parse_id(&notice.finding_id).unwrap();
        let opened = access::open_finding(shared, &reviewer, &id, "客户投诉核查")
            .await
            .unwrap();
        assert_eq!(opened.answers[0].text.as_deref(), Some(TEXT));
        assert!(
            access::open_finding(shared, &it, &id, "客户投诉核查")
                .await
                .is_err()
        );
        // An answer is not the privacy officer's to read.
        assert_eq!(
            access::letters_for_privacy(shared, &privacy, 10, 0)
                .await
                .unwrap()
                .1,
            0
        );
        let address = format!("{}/answer/a1", hex::encode(&phone.enrolled.device_id));
        let refused = access::open_letter(shared, &privacy, &address).await;
        assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
        // The writer sees that it was read.
        let own = Viewer::load(&shared.db, &scene.holder.person)
            .await
            .unwrap();
        let letters = access::own_letters(shared, &own, 10).await.unwrap();
        assert_eq!(letters[0].state(), "opened");
    })
    .await;
}

#[tokio::test]
async fn an_answer_to_an_unknown_or_anothers_finding_is_refused_with_one_word() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let notice = finding(&scene, &mut phone, &mut session).await;
        let other = scene
            .collector
            .person("li", "李雷", "销售部", &[(Role::Employee, "*")])
            .await
            .unwrap();
        let token = scene.collector.token(&other).await.unwrap();
        let strange = RawPhone::enroll(&token).await.unwrap();
        let (mut session, _) = strange.open().await.unwrap();
        for finding in [
            &*notice.finding_id,
            &"ab".repeat(32),
            &"zz".repeat(32),
            "1",
            "",
        ] {
            let got = received(&mut session, answer("a1", finding, TEXT)).await;
            assert_eq!(got.refusal, "finding", "{finding}");
        }
        let count = "select cast(count(*) as bigint) from letters";
        assert_eq!(scene.collector.number(count).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_can_not_be_taken_is_refused_by_name_and_the_session_goes_on() {
    on_each_engine(async |scene: Scene| {
        let phone = scene.phone().await.unwrap();
        let (mut session, _) = phone.open().await.unwrap();
        let request = |kind: &str| {
            from_device::Body::SubjectRequest(pb::SubjectRequest {
                id: "r1".to_owned(),
                kind: kind.to_owned(),
                text: String::new(),
            })
        };
        for (body, expected) in [
            (complaint("c1", &"x".repeat(LETTER_BYTES + 1)), "too_long"),
            (complaint("", "没有编号"), "id"),
            (complaint("投诉内容写在编号里", "x"), "id"),
            (complaint(&"c".repeat(5000), "x"), "id"),
            (request("everything"), "kind"),
            (request("copy"), ""),
            (complaint("c1", &"字".repeat(LETTER_BYTES / 3)), ""),
        ] {
            let got = received(&mut session, body).await;
            assert_eq!(got.refusal, expected, "{}", got.id);
        }
        let count = "select cast(count(*) as bigint) from letters";
        assert_eq!(scene.collector.number(count).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_letters_waits_and_the_rest_of_the_session_does_not() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let phone = scene.phone().await.unwrap();
    let (mut session, _) = phone.open().await.unwrap();
    for n in 0..LETTERS_PER_DAY {
        let got = received(&mut session, complaint(&format!("c{n}"), "重复的投诉")).await;
        assert_eq!(got.refusal, "");
    }
    session.send(complaint("late", "今天太多了")).await.unwrap();
    // A known one is answered all the same, and nothing was said about the one before it.
    let got = received(&mut session, complaint("c0", "重复的投诉")).await;
    assert_eq!(got.id, "c0");
    scene.collector.clock().jump(25 * 3_600_000);
    let got = received(&mut session, complaint("late", "今天太多了")).await;
    assert_eq!((&*got.id, &*got.refusal), ("late", ""));
}

#[tokio::test]
async fn requests_and_complaints_are_for_privacy_and_the_writer_sees_the_opening() {
    on_each_engine(async |scene: Scene| {
        let phone = scene.phone().await.unwrap();
        let (mut session, _) = phone.open().await.unwrap();
        received(&mut session, complaint("c1", TEXT)).await;
        let shared = &scene.collector.shared;
        let viewer = async |login: &str, role| {
            let entered = scene
                .collector
                .person(login, login, "法务部", &[(role, "*")])
                .await
                .unwrap();
            Viewer::load(&shared.db, &entered.person).await.unwrap()
        };
        let privacy = viewer("fa", Role::Privacy).await;
        let reviewer = viewer("shen", Role::Reviewer).await;
        let colleague = viewer("li", Role::Employee).await;
        let own = Viewer::load(&shared.db, &scene.holder.person)
            .await
            .unwrap();
        let address = format!("{}/complaint/c1", hex::encode(&phone.enrolled.device_id));
        for who in [&reviewer, &colleague] {
            assert!(
                access::letters_for_privacy(shared, who, 10, 0)
                    .await
                    .is_err()
            );
            assert!(access::open_letter(shared, who, &address).await.is_err());
        }
        assert!(
            access::open_own_letter(shared, &colleague, &address)
                .await
                .is_err()
        );
        let (listed, total) = access::letters_for_privacy(shared, &privacy, 10, 0)
            .await
            .unwrap();
        assert_eq!((total, listed[0].state()), (1, "received"));
        let opened = access::open_letter(shared, &privacy, &address)
            .await
            .unwrap();
        assert_eq!(opened.text.as_deref(), Some(TEXT));
        let readings = access::readers_of(shared, &own, 10).await.unwrap();
        assert_eq!(
            (&*readings[0].role, &*readings[0].letter),
            ("privacy", &*address)
        );
        assert_eq!(
            access::own_letters(shared, &own, 10).await.unwrap()[0].state(),
            "opened"
        );
        let opened = access::open_own_letter(shared, &own, &address)
            .await
            .unwrap();
        assert_eq!(opened.text.as_deref(), Some(TEXT));
    })
    .await;
}

/// The agent keeps a letter through its own end and the collector's, and knows when it arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_written_without_a_collector_survives_both_ends_and_arrives_once() {
    let scene = Scene::start(Engine::Sqlite).await.unwrap();
    let token = scene.collector.token(&scene.holder).await.unwrap();
    let dir = scene.dir.path().join("phone");
    let clock = scene.collector.clock();
    phone::enroll(&dir, &token, clock.clone()).await.unwrap();
    let Scene {
        dir: folder,
        mut collector,
        ..
    } = scene;
    collector.stop().await.unwrap();
    let (offline, offline_clock) = (dir.clone(), clock.clone());
    blocking(move || {
        let phone = Phone::start(&offline, offline_clock).unwrap();
        let letter = || {
            from_app::Body::Complaint(pb::Complaint {
                id: "c1".to_owned(),
                text: TEXT.to_owned(),
            })
        };
        phone.say(letter()).unwrap();
        phone.say(letter()).unwrap();
        let too_long = from_app::Body::Complaint(pb::Complaint {
            id: "c2".to_owned(),
            text: "x".repeat(LETTER_BYTES + 1),
        });
        assert!(phone.say(too_long).is_err());
        assert_eq!(phone.agent.status().letters_waiting, 1);
    })
    .await;
    let collector = collector.restart().await.unwrap();
    phone::readdress(&dir, &collector.addresses().session).unwrap();
    blocking(move || {
        let phone = Phone::start(&dir, clock).unwrap();
        phone
            .wait("the letter received", |status| status.letters_waiting == 0)
            .unwrap();
        let own = phone.agent.own_letters();
        assert_eq!(own.len(), 1);
        assert_eq!(own[0].state, "received");
    })
    .await;
    let count = "select cast(count(*) as bigint) from letters";
    assert_eq!(collector.number(count).await.unwrap(), 1);
    assert_eq!(
        found_in(folder.path(), TEXT),
        Vec::<std::path::PathBuf>::new()
    );
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
