//! Withdrawal: at once, offline, for good (wire.md §2).

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::*;

const TEXT: &str = "请把报价单发给我";

/// The key of `category` as it lies in its slot: plain and wrapped.
fn key_bytes(phone: &Phone, category: Category) -> (Vec<u8>, Vec<u8>) {
    let file = std::fs::read(phone.dir.path().join("keys")).expect("the key file");
    let index = category as usize;
    let slot = &file[512 * (index + 1)..][..68];
    let wrapping = UnboundKey::new(&AES_256_GCM, &[4; 32]).expect("a key");
    let index = u8::try_from(index).expect("small");
    let aad = [b"mingjing-slot-1", &[index][..], &slot[..8]].concat();
    let nonce = Nonce::try_assume_unique_for_key(&slot[8..20]).expect("a nonce");
    let mut wrapped = slot[20..].to_vec();
    let kept = wrapped.clone();
    let plain = LessSafeKey::new(wrapping)
        .open_in_place(nonce, Aad::from(aad), &mut wrapped)
        .expect("the slot opens")
        .to_vec();
    (plain, kept)
}

#[test]
fn withdrawal_destroys_the_key_and_what_it_sealed() {
    let phone = Phone::capturing();
    phone.see(phone.message("王经理", TEXT));
    assert_eq!(phone.waiting()[0].text, TEXT, "the slot opens the record");
    let (plain, wrapped) = key_bytes(&phone, Category::Messages);
    assert!(is_in_files(phone.dir.path(), &wrapped));

    phone
        .decide(&[Category::Messages], Decision::Withdrawn)
        .expect("withdrawn");
    assert!(!is_in_files(phone.dir.path(), &plain));
    assert!(!is_in_files(phone.dir.path(), &wrapped));
    assert!(phone.waiting().is_empty());
    let gaps = phone.gaps();
    assert_eq!(gaps[0].reason(), pb::GapReason::Withdrawn);
    let newest = phone.agent().consents().expect("read");
    let newest = newest.iter().max_by_key(|it| it.seq).expect("one");
    let signed = newest.consent.as_ref().expect("signed");
    let point = identity::public_point(phone.signer.public_key_spki());
    let bytes = mingjing_proto::device_signed::Purpose::Consent.bytes(&signed.payload);
    mingjing_proto::device_signed::verify(point, &bytes, &signed.signature).expect("verifies");
    phone.see(phone.message("王经理", TEXT));
    assert!(phone.waiting().is_empty());
    assert!(!phone.agent().status().granted.contains(&"messages"));
}

#[test]
fn a_key_store_that_refuses_delays_only_the_signature() {
    let mut phone = Phone::capturing();
    phone.see(phone.message("王经理", TEXT));
    let (plain, wrapped) = key_bytes(&phone, Category::Messages);
    phone.signer.refuses.store(true, Ordering::SeqCst);
    let seq = phone.agent().status().head_seq;
    let refused = phone.decide(&Category::CONSENTED, Decision::Withdrawn);
    assert!(matches!(refused, Err(AgentError::Sign(_))));
    assert!(phone.agent().status().granted.is_empty());
    assert!(!is_in_files(phone.dir.path(), &plain));
    assert!(!is_in_files(phone.dir.path(), &wrapped));
    assert!(phone.waiting().is_empty());

    phone.start();
    assert_eq!(phone.agent().status().head_seq, seq, "still refused");
    phone.signer.refuses.store(false, Ordering::SeqCst);
    phone.start();
    assert_eq!(phone.agent().status().head_seq, seq + 1);
    assert_eq!(phone.agent().status().state, "no_consent");
    let consents = phone.agent().consents().expect("read");
    assert!(consents.iter().all(|it| it.seq == seq + 1));
}

#[test]
fn an_interrupted_withdrawal_is_finished_on_the_next_start() {
    let mut phone = Phone::capturing();
    phone.see(phone.message("王经理", TEXT));
    phone.agent = None;
    let path = phone.dir.path().join("keys");
    let mut keys = keys::Keys::open(&path, &[4; 32]).expect("keys");
    keys.destroy(Category::Messages).expect("destroyed");
    drop(keys);
    phone.start();
    let status = phone.agent().status();
    assert!(!status.granted.contains(&"messages"));
    assert_eq!(status.consent.get("messages"), Some(&"withdrawn"));
    assert_eq!(phone.gaps()[0].reason(), pb::GapReason::Withdrawn);
}

#[test]
fn a_later_grant_makes_a_new_key() {
    let phone = Phone::capturing();
    let (before, _) = key_bytes(&phone, Category::Messages);
    phone
        .decide(&[Category::Messages], Decision::Withdrawn)
        .expect("withdrawn");
    phone.grant(&[Category::Messages]);
    let (after, _) = key_bytes(&phone, Category::Messages);
    assert_ne!(before, after);
    phone.prove();
    phone.see(phone.message("王经理", TEXT));
    assert_eq!(phone.waiting().len(), 1);
}

#[test]
fn withdrawn_everywhere_leaves_control_records_only() {
    let phone = Phone::capturing();
    phone
        .decide(&Category::CONSENTED, Decision::Withdrawn)
        .expect("withdrawn");
    let message = pb::FromApp {
        body: Some(from_app::Body::Signals(pb::Signals {
            lost: 7,
            ..Default::default()
        })),
    };
    phone.agent().record(message).expect("recorded");
    assert!(phone.waiting().is_empty(), "coverage follows the others");
}

#[test]
fn a_refusal_needs_no_notice_and_no_network() {
    let phone = Phone::enrolled();
    phone
        .decide(&[Category::Messages], Decision::Refused)
        .expect("refused");
    let status = phone.agent().status();
    assert_eq!(status.consent.get("messages"), Some(&"refused"));
}

/// The power fails after the slot was destroyed, with some of the gaps written or all of them, and with or
/// without the category out of force on the disk: the next start finishes all of it.
#[test]
fn a_withdrawal_cut_at_any_step_is_finished_on_the_next_start() {
    for step in 0..3 {
        let mut phone = Phone::capturing();
        for text in ["一", "二", "三"] {
            phone.see(phone.message("王经理", &format!("{TEXT}{text}")));
        }
        let (plain, wrapped) = key_bytes(&phone, Category::Messages);
        if step == 2 {
            // All but the signature: the key store never answered.
            phone.signer.refuses.store(true, Ordering::SeqCst);
            phone
                .decide(&[Category::Messages], Decision::Withdrawn)
                .expect_err("it refuses");
            phone.signer.refuses.store(false, Ordering::SeqCst);
        }
        phone.agent = None;
        let mut keys = keys::Keys::open(&phone.dir.path().join("keys"), &[4; 32]).expect("keys");
        keys.destroy(Category::Messages).expect("destroyed");
        if step == 1 {
            let cap = buffer::Cap {
                bytes: 1 << 30,
                age_ms: i64::MAX / 4,
            };
            let dir = phone.dir.path();
            let mut buffer =
                buffer::Buffer::open(dir, [0; 32], &keys, cap, 1 << 20).expect("opened");
            buffer
                .withdraw(&keys, Category::Messages)
                .expect("withdrawn");
        }
        drop(keys);
        phone.start();
        let status = phone.agent().status();
        assert!(!status.granted.contains(&"messages"), "step {step}");
        assert_eq!(status.consent.get("messages"), Some(&"withdrawn"));
        assert!(phone.waiting().is_empty(), "step {step}");
        let gone: u64 = phone.gaps().iter().map(|gap| gap.counts[0].count).sum();
        assert_eq!(gone, 3, "step {step}");
        let signed = phone.agent().consents().expect("read");
        let newest = signed.iter().max_by_key(|it| it.seq).expect("one");
        let consent = newest.consent.as_ref().expect("signed");
        let consent = pb::Consent::decode(&*consent.payload).expect("a consent");
        assert_eq!(consent.decisions[0].decision(), Decision::Withdrawn);
        assert!(!is_in_files(phone.dir.path(), &plain));
        assert!(!is_in_files(phone.dir.path(), &wrapped));
    }
}

/// Another enrolment is another device, and maybe another person: no consent, no content, no ring of the
/// earlier one goes on under it.
#[test]
fn enrolling_again_begins_without_the_earlier_consent() {
    let mut phone = Phone::capturing();
    phone.see(phone.message("王经理", TEXT));
    phone.agent = None;
    let mut identity = phone.company.identity(phone.signer.as_ref());
    identity.device_id = vec![6; 16];
    identity.store(phone.dir.path()).expect("stored");
    for _ in 0..2 {
        phone.start();
        let status = phone.agent().status();
        assert!(status.granted.is_empty());
        assert_eq!((status.policy_version, status.epoch), (0, 2));
        assert!(phone.waiting().is_empty());
        let hello = phone.agent().shared.core().hello().expect("a hello");
        assert_eq!((hello.consents.len(), hello.first_seq), (0, 1));
        let gone: u64 = phone.gaps().iter().map(|gap| gap.counts[0].count).sum();
        assert_eq!(gone, 1);
    }
}
