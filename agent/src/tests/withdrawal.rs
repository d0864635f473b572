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
