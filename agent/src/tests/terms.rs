//! What the company may change without asking, and what it may not.

use super::*;

#[test]
fn a_wider_schedule_waits_for_a_new_consent() {
    let phone = Phone::capturing();
    let mut wider = policy(2);
    wider.schedule.as_mut().expect("one").weekly[0].to_minute = 1_200;
    phone.deliver(SignedKind::Policy, wider.encode_to_vec());
    let status = phone.agent().status();
    assert_eq!((status.policy_version, status.policy_offered), (1, 2));
    assert!(
        status.problems[0].contains("hours are wider"),
        "{:?}",
        status.problems
    );
    phone.clock.advance(9 * HOUR);
    assert_eq!(phone.agent().status().state, "off_hours");
    phone.grant(&[Category::Messages]);
    let status = phone.agent().status();
    assert_eq!((status.policy_version, status.policy_offered), (2, 0));
    assert_ne!(status.state, "off_hours", "19:00 is agreed to now");
}

#[test]
fn a_narrower_policy_takes_force_at_once_and_drops_its_accounts_proofs() {
    let phone = Phone::capturing();
    let mut narrower = policy(2);
    narrower.accounts[0].id = "acc-2".into();
    narrower.categories.truncate(1);
    phone.deliver(SignedKind::Policy, narrower.encode_to_vec());
    let status = phone.agent().status();
    assert_eq!(status.policy_version, 2);
    assert!(status.proven.is_empty());
}

#[test]
fn a_policy_that_came_before_its_notice_waits_for_it() {
    let phone = Phone::enrolled();
    phone.deliver(SignedKind::Policy, policy(1).encode_to_vec());
    assert_eq!(phone.agent().status().policy_version, 0);
    phone.deliver(SignedKind::Notice, notice(1).encode_to_vec());
    assert_eq!(phone.agent().status().policy_version, 1);
}

#[test]
fn a_policy_in_a_zone_the_phone_does_not_know_is_refused_and_said() {
    let phone = Phone::enrolled();
    let mut policy = policy(1);
    policy.schedule.as_mut().expect("one").zone = "Mars/One".into();
    phone.deliver(SignedKind::Policy, policy.encode_to_vec());
    phone.deliver(SignedKind::Notice, notice(1).encode_to_vec());
    let status = phone.agent().status();
    assert_eq!(status.policy_version, 0);
    assert_ne!(status.state, "capturing");
    let said = status.problems.iter().any(|it| it.contains("time zone"));
    assert!(said, "{:?}", status.problems);
}

#[test]
fn what_a_later_collector_adds_changes_nothing_and_is_no_problem() {
    // Field 99 of whatever it stands in.
    const ADDED: [u8; 5] = [0x9a, 0x06, 2, 8, 1];
    let phone = Phone::capturing();
    let message = pb::ToDevice::decode(&ADDED[..]).expect("unknown fields decode");
    let roots = phone.company.roots();
    let mut core = phone.agent().shared.core();
    assert!(!core.receive(&message, &roots).expect("received"));
    drop(core);
    let policy = [&policy(2).encode_to_vec()[..], &ADDED].concat();
    phone.deliver(SignedKind::Policy, policy);
    let status = phone.agent().status();
    assert_eq!((status.policy_version, status.state), (2, "capturing"));
    assert_eq!(status.problems, Vec::<String>::new());
}

#[test]
fn other_terms_than_the_notices_are_refused() {
    let phone = Phone::informed();
    let mut other = policy(2);
    other.terms = pb::PolicyTerms {
        categories: other.categories.clone(),
        pause_minutes_per_day: 0,
        ..Default::default()
    }
    .encode_to_vec();
    phone.deliver(SignedKind::Policy, other.encode_to_vec());
    let status = phone.agent().status();
    assert_eq!(status.policy_version, 1);
    assert!(
        status.problems[0].contains("terms"),
        "{:?}",
        status.problems
    );
}

#[test]
fn unsigned_foreign_and_older_notices_change_nothing() {
    let phone = Phone::informed();
    phone.deliver(SignedKind::Notice, notice(3).encode_to_vec());
    let before = phone.agent().status().notice_sha256;
    phone.deliver(SignedKind::Notice, notice(2).encode_to_vec());
    let stranger = Company::new(MORNING);
    let signed = stranger.sign(SignedKind::Notice, notice(9).encode_to_vec());
    let message = pb::ToDevice {
        body: Some(to_device::Body::Signed(signed)),
    };
    let shown = phone
        .agent()
        .shared
        .core()
        .receive(&message, &phone.company.roots())
        .expect("judged");
    assert!(!shown);
    let status = phone.agent().status();
    assert_eq!((status.notice_version, status.notice_sha256), (3, before));
    assert_eq!(status.problems.len(), 2);
}

#[test]
fn a_consent_to_another_notice_than_the_newest_is_refused() {
    let phone = Phone::informed();
    let shown = phone.agent().notice("en").expect("read").expect("one");
    phone.deliver(SignedKind::Notice, notice(2).encode_to_vec());
    let choice = shown.choice(&[Category::Messages], Decision::Granted, "screen");
    let refused = phone.agent().record(choice);
    assert!(matches!(
        refused,
        Err(AgentError::Choice(ChoiceError::OtherNotice { version: 2 }))
    ));
}

#[test]
fn a_newer_notice_ends_capture_after_three_days() {
    let phone = Phone::capturing();
    phone.deliver(SignedKind::Notice, notice(2).encode_to_vec());
    assert_eq!(phone.agent().status().state, "capturing");
    phone.clock.advance(72 * HOUR + 1);
    assert_eq!(phone.agent().status().state, "notice_superseded");
    phone.grant(&Category::CONSENTED);
    assert_eq!(phone.agent().status().state, "capturing");
}

#[test]
fn a_bad_pack_changes_nothing_and_is_reported() {
    let phone = Phone::informed();
    let before = phone.agent().status().pack_version;
    let pack = pb::Pack {
        version: before + 1,
        files: vec![pb::PackFile {
            name: "wechat.json".into(),
            json: "{\"nonsense\": [".into(),
        }],
    };
    phone.deliver(SignedKind::Pack, pack.encode_to_vec());
    let status = phone.agent().status();
    assert_eq!(status.pack_version, before);
    assert!(status.problems[0].contains("pack"), "{:?}", status.problems);
}

#[test]
fn a_collector_that_contradicts_its_audit_chain_is_reported() {
    let phone = Phone::informed();
    let checkpoint = |seq, link: u8| pb::AuditCheckpoint {
        collector: "c".into(),
        seq,
        link: vec![link; 32],
        at_ms: i64::try_from(seq).expect("small"),
    };
    let deliver = |it: pb::AuditCheckpoint| {
        phone.deliver(SignedKind::AuditCheckpoint, it.encode_to_vec());
        phone.agent().status().audit_contradiction
    };
    let mut other = checkpoint(2, 7);
    other.collector = "c2".into();
    for it in [checkpoint(5, 1), checkpoint(6, 2), checkpoint(6, 2), other] {
        assert_eq!(deliver(it), "");
    }
    assert_eq!(phone.agent().checkpoints().len(), 3);
    // Another link at a known place.
    assert!(deliver(checkpoint(6, 9)).contains("entry 6"));
    assert_eq!(phone.agent().contradicting_checkpoints().len(), 2);
    // It stays said, whatever comes after.
    assert!(deliver(checkpoint(7, 3)).contains("entry 6"));
}

#[test]
fn a_collector_whose_audit_chain_went_back_is_reported() {
    let phone = Phone::informed();
    for seq in [9, 4] {
        let checkpoint = pb::AuditCheckpoint {
            collector: "c".into(),
            seq,
            link: vec![1; 32],
            at_ms: 100 - i64::try_from(seq).expect("small"),
        };
        phone.deliver(SignedKind::AuditCheckpoint, checkpoint.encode_to_vec());
    }
    let said = phone.agent().status().audit_contradiction;
    assert!(said.contains('9') && said.contains('4'), "{said}");
}
