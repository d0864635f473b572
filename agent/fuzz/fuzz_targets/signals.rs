//! Arbitrary bytes as signals: `cargo fuzz run signals`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mingjing_agent::pack::PackSet;
use mingjing_agent::recognise::{Recogniser, Watch};
use mingjing_proto::pb;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let Ok(signals) = pb::Signals::decode(bytes) else {
        return;
    };
    let private = |_: &str| false;
    let watch = Watch {
        own_name: "",
        since_ms: 0,
        private: &private,
    };
    let mut recogniser = Recogniser::new(PackSet::builtin());
    for signal in &signals.signals {
        recogniser.recognise(signal, &watch);
    }
});
