//! Arbitrary bytes as signals: `./agent/fuzz/run [SECONDS]`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mingjing_agent::pack::PackSet;
use mingjing_agent::recognise::{Recogniser, Watch};
use mingjing_proto::{limits, pb};
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let Ok(signals) = pb::Signals::decode(bytes) else {
        return;
    };
    // Both ways of watching: everything, and with a name, a beginning and a private chat.
    let watches: [(&str, i64, &dyn Fn(&str) -> bool); 2] = [
        ("", 0, &|_| false),
        ("小周", 1_772_416_800_000, &|title| title.ends_with('家')),
    ];
    for (own_name, since_ms, private) in watches {
        let watch = Watch {
            own_name,
            since_ms,
            private,
        };
        let mut recogniser = Recogniser::new(PackSet::builtin());
        for signal in &signals.signals {
            for activity in recogniser.recognise(signal, &watch) {
                assert!(activity.text.len() <= limits::TEXT_BYTES, "a text within its limit");
                assert!(activity.peer.len() <= limits::NAME_BYTES, "a name within its limit");
                assert!(activity.members.len() <= limits::MEMBERS, "members within their limit");
            }
        }
    }
});
