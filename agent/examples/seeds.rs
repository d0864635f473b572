//! Writes the corpus as the encoded signals the fuzz target reads: `seeds FIXTURES FOLDER`, for `agent/fuzz/run`.

use std::path::Path;

use mingjing_proto::{json, pb};
use prost::Message;

#[derive(serde::Deserialize)]
struct Case {
    #[serde(alias = "name")]
    case: String,
    signals: Vec<serde_json::Value>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let fixtures = arguments.next().expect("the folder of fixtures");
    let folder = arguments.next().expect("the folder to write to");
    for part in ["corpus", "heldout"] {
        let files = Path::new(&fixtures).join(part);
        for file in std::fs::read_dir(files).expect("a folder") {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
            for line in text.lines().filter(|it| !it.trim().is_empty()) {
                let case: Case = serde_json::from_str(line).expect("a case");
                let signals = case
                    .signals
                    .iter()
                    .filter_map(|signal| json::signal_from_line(&signal.to_string()).ok());
                let signals = pb::Signals {
                    signals: signals.collect(),
                    ..pb::Signals::default()
                };
                let seed = Path::new(&folder).join(&case.case);
                std::fs::write(seed, signals.encode_to_vec()).expect("written");
            }
        }
    }
}
