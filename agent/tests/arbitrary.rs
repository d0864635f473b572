//! Whatever a phone hands over, the recogniser neither panics nor loops, and keeps its limits.

use mingjing_agent::pack::PackSet;
use mingjing_agent::recognise::{Recogniser, Watch};
use mingjing_proto::{limits, pb};
use proptest::prelude::*;

/// Texts around what the packs look for, and anything else.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("[2条]阿强: : [转账]".to_owned()),
        Just("你撤回了一条消息".to_owned()),
        Just("王芳头像".to_owned()),
        Just("¥1,234.50".to_owned()),
        Just("微信转账".to_owned()),
        Just("将联系人“王芳”删除，将同时删除与该联系人的聊天记录".to_owned()),
        Just("取消".to_owned()),
        Just("7位联系人".to_owned()),
        Just("通讯录".to_owned()),
        Just("09:41".to_owned()),
        Just("99月99日 99:99".to_owned()),
        "\\PC{0,24}",
        "[\\[\\]0-9条:： ]{0,12}",
        any::<String>(),
    ]
}

fn node() -> impl Strategy<Value = pb::Node> {
    let class = prop_oneof![
        Just("android.widget.TextView"),
        Just("android.widget.ImageView"),
        Just("android.widget.EditText"),
        Just("androidx.recyclerview.widget.RecyclerView"),
        Just(""),
    ];
    let edge = || prop_oneof![0..1200_i32, any::<i32>()];
    (
        class,
        words(),
        words(),
        [edge(), edge(), edge(), edge()],
        any::<bool>(),
        0..12_u32,
    )
        .prop_map(
            |(class, text, desc, [left, top, right, bottom], clickable, depth)| pb::Node {
                class: class.to_owned(),
                text,
                desc,
                id: String::new(),
                left,
                top,
                right,
                bottom,
                clickable,
                depth,
            },
        )
}

fn body() -> impl Strategy<Value = pb::signal::Body> {
    use pb::signal::Body;
    let window = prop_oneof![
        Just(".ui.LauncherUI"),
        Just(".ui.chatting.ChattingUI"),
        Just(".plugin.remittance.ui.RemittanceDetailUI"),
        Just(".plugin.luckymoney.ui.LuckyMoneyDetailUI"),
        Just(".plugin.profile.ui.ContactInfoUI"),
        Just(".plugin.account.ui.LoginUI"),
        Just(".plugin.voip.ui.VideoActivity"),
        Just("MessageListActivity"),
        Just(""),
    ];
    let screen = (
        window,
        0..4_i32,
        any::<i32>(),
        any::<i32>(),
        prop::collection::vec(node(), 0..30),
    )
        .prop_map(|(window, event, width, height, nodes)| {
            Body::Screen(pb::Screen {
                event,
                window: window.to_owned(),
                width,
                height,
                nodes,
            })
        });
    let message = (words(), words(), any::<i64>()).prop_map(|(sender, text, at_ms)| {
        pb::NotificationMessage {
            sender,
            text,
            at_ms,
        }
    });
    let notification = (
        0..3_i32,
        [words(), words(), words(), words(), words()],
        prop::collection::vec(words(), 0..4),
        prop::collection::vec(message, 0..4),
        any::<bool>(),
        any::<u32>(),
    )
        .prop_map(
            |(
                event,
                [title, text, big_text, ticker, conversation_title],
                lines,
                messages,
                is_group,
                number,
            )| {
                Body::Notification(Box::new(pb::Notification {
                    event,
                    title,
                    text,
                    big_text,
                    ticker,
                    conversation_title,
                    lines,
                    messages,
                    is_group,
                    number,
                    ..pb::Notification::default()
                }))
            },
        );
    let contact = (words(), words(), words()).prop_map(|(name, remark, id)| pb::ContactName {
        name,
        remark,
        id,
    });
    let contacts = (
        prop::collection::vec(contact, 0..6),
        any::<u32>(),
        any::<bool>(),
    )
        .prop_map(|(names, total, complete)| {
            Body::Contacts(pb::ContactList {
                names,
                total,
                complete,
            })
        });
    let kind = prop_oneof![
        Just("foreground"),
        Just("background"),
        Just("boot"),
        Just("shutdown"),
        Just("listener"),
        Just("")
    ];
    let state = (
        kind,
        prop_oneof![Just("com.tencent.mm".to_owned()), words()],
    )
        .prop_map(|(kind, value)| {
            Body::State(pb::DeviceState {
                kind: kind.to_owned(),
                value,
            })
        });
    prop_oneof![screen, notification, contacts, state]
}

fn signal() -> impl Strategy<Value = pb::Signal> {
    let at = prop_oneof![1_700_000_000_000..1_700_100_000_000_i64, any::<i64>()];
    let package = prop_oneof![
        4 => Just("com.tencent.mm"),
        2 => Just("com.tencent.wework"),
        1 => Just("")
    ];
    let offset = prop_oneof![Just(480), -900..900_i32, any::<i32>()];
    (at, offset, package, words(), prop::option::of(body())).prop_map(
        |(at_ms, utc_offset_min, package, app_version, body)| pb::Signal {
            at_ms,
            utc_offset_min,
            package: package.to_owned(),
            app_version,
            body,
            ..pb::Signal::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_signals_are_survived(signals in prop::collection::vec(signal(), 1..12), since_ms in any::<i64>()) {
        let mut recogniser = Recogniser::new(PackSet::builtin());
        let private = |title: &str| title == "王芳";
        let watch = Watch { own_name: "阿强: ", since_ms, private: &private };
        for signal in &signals {
            for activity in recogniser.recognise(signal, &watch) {
                prop_assert!(activity.text.len() <= limits::TEXT_BYTES);
                for name in [&activity.peer, &activity.sender, &activity.target] {
                    prop_assert!(name.len() <= limits::NAME_BYTES);
                }
                prop_assert!(activity.members.len() <= limits::MEMBERS);
                prop_assert_ne!(activity.kind, 0);
                prop_assert_ne!(&activity.peer, "王芳");
            }
        }
    }
}

#[test]
fn large_windows_and_texts_are_survived() {
    let mut recogniser = Recogniser::new(PackSet::builtin());
    let private = |_: &str| false;
    let watch = Watch {
        own_name: "",
        since_ms: 0,
        private: &private,
    };
    let node = |top: i32, text: &str| pb::Node {
        class: "android.widget.TextView".to_owned(),
        text: text.to_owned(),
        left: 100,
        top,
        right: 500,
        bottom: top + 40,
        depth: 3,
        ..pb::Node::default()
    };
    let signal = |nodes: Vec<pb::Node>| pb::Signal {
        at_ms: 1_700_000_000_000,
        package: "com.tencent.mm".to_owned(),
        body: Some(pb::signal::Body::Screen(pb::Screen {
            window: ".ui.chatting.ChattingUI".to_owned(),
            width: 1080,
            height: 2400,
            nodes,
            ..pb::Screen::default()
        })),
        ..pb::Signal::default()
    };
    let many = (0..20_000)
        .map(|top| node(top, "你撤回了一条消息"))
        .collect();
    recogniser.recognise(&signal(many), &watch);
    let long = "长".repeat(400_000);
    let activities =
        recogniser.recognise(&signal(vec![node(60, "王芳"), node(900, &long)]), &watch);
    let message = activities
        .iter()
        .find(|it| it.truncated)
        .expect("a cut message");
    assert_eq!(message.full_bytes, 1_200_000);
    assert!(message.text.len() <= limits::TEXT_BYTES);
}
