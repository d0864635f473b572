use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, Category, GapReason};
use prost::Message;

use super::*;
use crate::fixture::NOW_MS;
use crate::gaps::{self, NewGap};

const PHONE: DeviceId = DeviceId([5; 16]);
const DAY_MS: i64 = 86_400_000;

async fn phone(house: &House, device: DeviceId, person: &str, status: Option<pb::Status>) {
    let shared = &house.fixture.shared;
    let new = NewDevice {
        device,
        person: person.to_owned(),
        spki: vec![device.0[0]; 40],
        point: vec![4; 65],
        state: devices::State::Active,
        evidence: crate::attestation::Evidence::Tee,
        model: "Xiaomi 14".to_owned(),
        agent_version: "0.1.0".to_owned(),
        enrolled_ms: NOW_MS,
        certificate_until_ms: NOW_MS + DAY_MS,
    };
    let mut tx = shared.db.begin().await.unwrap();
    devices::insert(&mut tx, &new).await.unwrap();
    if let Some(status) = status {
        devices::set_status(&mut tx, device, &status, NOW_MS)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

fn status(state: &str, listener: bool, accessibility: bool) -> pb::Status {
    let pairs = |pairs: &[(&str, u64)]| {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    pb::Status {
        permissions: [
            ("listener".to_owned(), listener),
            ("accessibility".to_owned(), accessibility),
        ]
        .into(),
        queued_events: 12,
        queued_bytes: 4096,
        dropped: pairs(&[("off_hours", 321), ("other_user", 17)]),
        app_versions: [
            ("com.tencent.mm".to_owned(), "8.0.61".to_owned()),
            ("com.tencent.wework".to_owned(), "4.1.30".to_owned()),
        ]
        .into(),
        state: state.to_owned(),
        pack_version: 3,
        pack_problems: vec!["pack 4 was refused: its signature does not hold".to_owned()],
        last_signal_ms: NOW_MS - 60_000,
        audit_contradicted_ms: 0,
        pack_fit: [
            ("com.tencent.mm".to_owned(), "fits".to_owned()),
            ("com.tencent.wework".to_owned(), "newer".to_owned()),
        ]
        .into(),
    }
}

async fn gap(house: &House, device: DeviceId, first_seq: u64, reason: GapReason, at_ms: i64) {
    let last_seq = first_seq + 36;
    let gap = pb::Gap {
        epoch: 1,
        first_seq,
        last_seq,
        reason: reason.into(),
        counts: vec![pb::CategoryCount {
            category: Category::Messages.into(),
            count: 37,
        }],
        end_link: vec![0; 32],
    };
    let new = NewGap {
        epoch: 1,
        first_seq,
        last_seq,
        reason,
        signed: pb::DeviceSigned {
            payload: gap.encode_to_vec(),
            signature: Vec::new(),
        },
    };
    gaps::insert(house.fixture.shared.db.writer(), device, &new, at_ms)
        .await
        .unwrap();
}

async fn decide(house: &House, device: DeviceId, category: Category, decision: pb::Decision) {
    sqlx::query(
        "insert into consents (device, epoch, seq, category, decision, accepted, notice_version,
         consent_id, at_ms) values ($1, 1, $2, $3, $4, 1, 2, $5, $6)",
    )
    .bind(&device.0[..])
    .bind(i64::from(decision as i32))
    .bind(i64::from(category as i32))
    .bind(i64::from(decision as i32))
    .bind(&[1_u8; 16][..])
    .bind(NOW_MS)
    .execute(house.fixture.shared.db.writer())
    .await
    .unwrap();
}

#[tokio::test]
async fn only_it_and_auditors_see_coverage_and_only_it_sees_names() {
    let house = House::new().await;
    let li = house.person("li", "销售部", Role::Employee, "*").await;
    phone(&house, PHONE, &li, Some(status("capturing", true, true))).await;
    let pseudonym = people::load(house.fixture.shared.db.reader(), &li)
        .await
        .unwrap()
        .pseudonym;
    let detail = format!("/coverage/{PHONE}");
    for (login, role, allowed, named) in [
        ("it", Role::Admin, true, true),
        ("au", Role::Auditor, true, false),
        ("po", Role::Policy, false, false),
        ("le", Role::Lead, false, false),
        ("re", Role::Reviewer, false, false),
        ("pr", Role::Privacy, false, false),
        ("em", Role::Employee, false, false),
    ] {
        house.person(login, "信息部", role, "*").await;
        let mut browser = house.browser(login).await;
        for path in ["/coverage", &detail] {
            let answer = browser.get(path).await;
            let expected = if allowed { 200 } else { 403 };
            assert_eq!(answer.status, expected, "{login} {path}");
            assert_eq!(answer.body.contains(&pseudonym), allowed, "{login} {path}");
            assert_eq!(answer.body.contains("li之名"), named, "{login} {path}");
        }
        let menu = browser.get("/").await.body;
        assert_eq!(menu.contains("href=\"/coverage\""), allowed, "{login}");
    }
}

#[tokio::test]
async fn coverage_shows_state_channels_versions_drops_gaps_and_consents() {
    let house = House::new().await;
    house.person("au", "审计部", Role::Auditor, "*").await;
    let mut browser = house.browser("au").await;
    let empty = browser.get("/coverage").await.body;
    assert!(empty.contains("暂无数据") && empty.contains("新建注册码"));

    let li = house.person("li", "销售部", Role::Employee, "*").await;
    let state = status("permission_missing", true, false);
    phone(&house, PHONE, &li, Some(state)).await;
    let second = DeviceId([6; 16]);
    phone(&house, second, &li, Some(status("no_consent", true, true))).await;
    phone(&house, DeviceId([7; 16]), &li, None).await;
    gap(&house, PHONE, 101, GapReason::Overflow, NOW_MS - 3_600_000).await;
    gap(&house, PHONE, 1, GapReason::Corrupt, NOW_MS - 8 * DAY_MS).await;
    decide(&house, PHONE, Category::Messages, pb::Decision::Granted).await;
    decide(&house, PHONE, Category::Money, pb::Decision::Refused).await;
    decide(&house, second, Category::Messages, pb::Decision::Granted).await;
    decide(&house, second, Category::Messages, pb::Decision::Withdrawn).await;

    let list = browser.get("/coverage").await.body;
    for text in [
        "缺少权限",
        "已撤回同意",
        "尚未上报",
        "采集中 0 台，共 3 台",
        "丢弃 338",
        "通知：正常",
        "无障碍：未开启",
        "8.0.61",
        "4.1.30",
        "识别包适用",
        "比识别包已知的更新",
        "识别包 3，1 个问题",
        "1 处，37 条",
        "1 / 7 类",
        "2026-03-02 09:59:00",
    ] {
        assert!(list.contains(text), "{text}");
    }
    // What needs a person comes first.
    assert!(list.find("缺少权限") < list.find("已撤回同意"));

    let detail = browser.get(&format!("/coverage/{PHONE}")).await.body;
    for text in [
        "手机存储已满",
        "37 条",
        "消息 37",
        "1 / 101–137",
        "2026-03-02 09:00:00",
        "非工作时间",
        "321",
        "分身或个人空间",
        "its signature does not hold",
        "不同意",
        "未决定",
    ] {
        assert!(detail.contains(text), "{text}");
    }
    assert!(!detail.contains("手机数据损坏"), "older than 7 days");
    for (path, status) in [
        (format!("/coverage/{}", DeviceId([9; 16])), 404),
        ("/coverage/nothing".to_owned(), 404),
        ("/coverage?page=99&size=7".to_owned(), 200),
    ] {
        assert_eq!(browser.get(&path).await.status, status, "{path}");
    }
}

/// A phone's texts are not trusted: escaped, and capped in number and length.
#[tokio::test]
async fn what_a_phone_says_is_escaped_and_capped() {
    let house = House::new().await;
    house.person("au", "审计部", Role::Auditor, "*").await;
    let li = house.person("li", "销售部", Role::Employee, "*").await;
    let mut said = status(&"x".repeat(5000), true, true);
    said.pack_problems = vec!["<script>alert(1)</script>".repeat(400); 500];
    said.permissions = (0..500).map(|n| (format!("<b>{n}"), true)).collect();
    phone(&house, PHONE, &li, Some(said)).await;
    let mut browser = house.browser("au").await;
    for path in ["/coverage".to_owned(), format!("/coverage/{PHONE}")] {
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains("<b>4") && answer.body.len() < 30_000);
    }
}
