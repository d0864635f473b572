//! Who may speak: enrolment codes, certificates of every wrong sort, renewal (wire.md §7).

use mingjing_proto::pb::{self, RefusalReason, from_device};
use mingjing_tests::harness::PASSWORD;
use mingjing_tests::raw::{self, RawPhone};
use mingjing_tests::scene::{Scene, on_each_engine};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::CertificateDer;

const DAY_MS: i64 = 86_400_000;

fn refusal(error: &anyhow::Error) -> tonic::Code {
    error
        .downcast_ref::<tonic::Status>()
        .map_or(tonic::Code::Ok, tonic::Status::code)
}

#[tokio::test]
async fn a_code_is_good_once_for_one_key_and_a_lost_reply_costs_nothing() {
    on_each_engine(async |scene: Scene| {
        let token = scene.collector.token(&scene.holder).await.unwrap();
        let key = KeyPair::generate().unwrap();
        let first = raw::enroll(&token, &key).await.unwrap();
        let again = raw::enroll(&token, &key).await.unwrap();
        assert_eq!(first.device_id, again.device_id);
        let thief = KeyPair::generate().unwrap();
        let error = raw::enroll(&token, &thief).await.unwrap_err();
        assert_eq!(refusal(&error), tonic::Code::PermissionDenied);
    })
    .await;
}

#[tokio::test]
async fn a_guessed_or_expired_code_enrols_nobody() {
    on_each_engine(async |scene: Scene| {
        let token = scene.collector.token(&scene.holder).await.unwrap();
        let key = KeyPair::generate().unwrap();
        let server = scene.collector.addresses().enrollment.clone();
        let channel = raw::channel(&server, raw::connector(None).unwrap())
            .await
            .unwrap();
        let guess = pb::EnrollRequest {
            secret: vec![1; 32],
            csr_der: raw::csr(&key).unwrap(),
            ..Default::default()
        };
        let status = pb::enrollment_client::EnrollmentClient::new(channel)
            .enroll(guess)
            .await
            .unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        scene.collector.clock().jump(25 * 3_600_000);
        let error = raw::enroll(&token, &key).await.unwrap_err();
        assert_eq!(refusal(&error), tonic::Code::PermissionDenied);
        assert_eq!(
            scene
                .collector
                .number("select count(*) from devices")
                .await
                .unwrap(),
            0
        );
    })
    .await;
}

/// A certificate that says what a phone's says, by an authority of its own.
fn self_signed(device: &[u8]) -> (KeyPair, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, hex::encode(device));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (key, certificate)
}

#[tokio::test]
async fn self_signed_and_wrong_usage_certificates_open_no_session() {
    on_each_engine(async |scene: Scene| {
        let honest = scene.phone().await.unwrap();
        let (key, certificate) = self_signed(&honest.enrolled.device_id);
        let mut forged = RawPhone::new(key, honest.enrolled.clone()).unwrap();
        forged.chain = vec![certificate];
        assert!(forged.open().await.is_err());

        // The company's own server certificate is no phone's.
        let names = ["localhost".to_owned()];
        let identity = scene
            .collector
            .shared
            .ca
            .server_identity(&names, scene.now())
            .unwrap();
        let key = KeyPair::try_from(identity.key.secret_pkcs8_der()).unwrap();
        let mut server = RawPhone::new(key, honest.enrolled.clone()).unwrap();
        server.chain = identity.chain;
        assert!(server.open().await.is_err());

        honest.open().await.unwrap();
    })
    .await;
}

async fn renew(scene: &Scene, phone: &RawPhone) -> anyhow::Result<pb::RenewResponse> {
    let server = scene.collector.addresses().enrollment.clone();
    let channel = raw::channel(&server, phone.connector()?).await?;
    let request = pb::RenewRequest {
        csr_der: raw::csr(&phone.key)?,
    };
    let answer = pb::enrollment_client::EnrollmentClient::new(channel)
        .renew(request)
        .await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn an_expired_certificate_opens_no_session_but_renews_for_90_days() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let clock = scene.collector.clock();
        clock.jump(8 * DAY_MS);
        assert!(phone.open().await.is_err());
        let renewed = renew(&scene, &phone).await.unwrap();
        phone.chain = renewed
            .certificate_chain
            .into_iter()
            .map(CertificateDer::from)
            .collect();
        phone.open().await.unwrap();
        clock.jump((7 + 91) * DAY_MS);
        assert!(renew(&scene, &phone).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_consent_that_names_another_phone_counts_for_nobody() {
    on_each_engine(async |scene: Scene| {
        let other = scene.phone().await.unwrap();
        let mut phone = scene.phone().await.unwrap();
        phone.enrolled.device_id = other.enrolled.device_id.clone();
        let (mut session, _) = phone.open().await.unwrap();
        let notice = pb::Signed::default();
        let forged = phone.consent(&notice, pb::Decision::Granted, &[pb::Category::Messages]);
        session.batch(1, vec![forged]).await.unwrap();
        let refused = session.ack_through(1).await.unwrap();
        assert_eq!(refused[0].events[0].reason(), RefusalReason::Malformed);
        assert_eq!(
            scene
                .collector
                .number("select count(*) from consents")
                .await
                .unwrap(),
            0
        );
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_tiny_messages_slow_only_the_phone_that_sends_them() {
    on_each_engine(async |scene: Scene| {
        let mut good = scene.phone().await.unwrap();
        let mut good_session = good.consented(PASSWORD).await.unwrap();
        let noisy = scene.phone().await.unwrap();
        let (session, _) = noisy.open().await.unwrap();
        let flood = tokio::spawn(async move {
            for _ in 0..10_000 {
                let status = from_device::Body::Status(pb::Status::default());
                if session.send(status).await.is_err() {
                    break;
                }
            }
        });
        for n in 0..20 {
            let text = format!("照常处理{n}");
            let frame = good.messages("wx-wang", scene.now(), &[&text]);
            good_session.batch(1, vec![frame]).await.unwrap();
            good_session.ack_through(good.seq).await.unwrap();
        }
        flood.abort();
    })
    .await;
}

#[tokio::test]
async fn what_happened_off_hours_or_after_a_suspension_is_refused() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        drop(phone.consented(PASSWORD).await.unwrap());
        let shared = &scene.collector.shared;
        let (db, audit, changes) = (&shared.db, &shared.audit, &shared.changes);
        let now = scene.now();
        mingjing_collector::accounts::set_suspended(
            db,
            audit,
            changes,
            "wx-wang",
            Some(now - 1000),
            now,
            "it",
        )
        .await
        .unwrap();
        let (mut session, _) = phone.open().await.unwrap();
        let before = phone.messages("wx-wang", now - 2000, &["停用之前"]);
        let after = phone.messages("wx-wang", now, &["停用之后"]);
        session.batch(1, vec![before, after]).await.unwrap();
        let refused = session.ack_through(phone.seq).await.unwrap();
        assert_eq!(refused.len(), 1);
        assert_eq!(
            refused[0].events[0].reason(),
            RefusalReason::AccountSuspended
        );
        drop(session);

        mingjing_collector::accounts::set_suspended(db, audit, changes, "wx-wang", None, now, "it")
            .await
            .unwrap();
        let never = pb::Schedule {
            zone: "Asia/Shanghai".to_owned(),
            ..Default::default()
        };
        mingjing_collector::people::set_schedule(shared, &scene.holder.person, &never, "hr")
            .await
            .unwrap();
        let (mut session, _) = phone.open().await.unwrap();
        let frame = phone.messages("wx-wang", scene.now(), &["休息时间"]);
        session.batch(1, vec![frame]).await.unwrap();
        let refused = session.ack_through(phone.seq).await.unwrap();
        assert_eq!(refused[0].events[0].reason(), RefusalReason::OffHours);
    })
    .await;
}
