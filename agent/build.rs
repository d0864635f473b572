//! Turns the packs compiled in from the YAML their authors write into the JSON a phone reads.

use std::path::Path;

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo names it");
    println!("cargo::rerun-if-changed=packs");
    for name in ["both", "wechat", "wecom"] {
        let path = format!("packs/{name}.yaml");
        let yaml = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let pack: serde_json::Value =
            serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{path}: {error}"));
        let json = Path::new(&out).join(format!("{name}.json"));
        std::fs::write(&json, pack.to_string())
            .unwrap_or_else(|error| panic!("{}: {error}", json.display()));
    }
}
