//! What operators watch tells the truth and tells nothing about people.

use mingjing_tests::harness::PASSWORD;
use mingjing_tests::scene::{Scene, on_each_engine};

#[tokio::test]
async fn counters_follow_what_happened_and_name_nobody() {
    on_each_engine(async |scene: Scene| {
        let mut phone = scene.phone().await.unwrap();
        let mut session = phone.consented(PASSWORD).await.unwrap();
        let good = phone.messages("wx-wang", scene.now(), &["在吗", "在的"]);
        let foreign = phone.messages("wx-other", scene.now(), &["别的号"]);
        session.batch(1, vec![good, foreign]).await.unwrap();
        session.ack_through(phone.seq).await.unwrap();
        let (status, text) = scene.collector.watch("/metrics").await.unwrap();
        assert_eq!(status, 200);
        for line in [
            "mingjing_events_stored_total 2",
            "mingjing_events_refused_total{reason=\"account_not_in_policy\"} 1",
            "mingjing_sessions 1",
            "mingjing_enrolments_total 1",
            "mingjing_queue_batches 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        for private in ["wang", "wx-", "王", &hex::encode(&phone.enrolled.device_id)] {
            assert!(!text.contains(private), "{private} in\n{text}");
        }
        assert_eq!(scene.collector.watch("/health/live").await.unwrap().0, 200);
        assert_eq!(scene.collector.watch("/health/ready").await.unwrap().0, 200);
    })
    .await;
}
