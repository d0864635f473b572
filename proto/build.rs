//! Compiles the protobuf files with protox, so that building needs no protoc.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 8] = [
        "mingjing/v1/activity.proto",
        "mingjing/v1/app.proto",
        "mingjing/v1/enrollment.proto",
        "mingjing/v1/notice.proto",
        "mingjing/v1/policy.proto",
        "mingjing/v1/record.proto",
        "mingjing/v1/session.proto",
        "mingjing/v1/signal.proto",
    ];
    const NAMES: &str = "#[derive(strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]\
        #[strum(serialize_all = \"snake_case\")]";
    let root = Path::new("proto");
    for file in FILES {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(FILES, [root])?;
    const NAMED: [&str; 10] = [
        "Category",
        "Confidence",
        "Decision",
        "Direction",
        "GapReason",
        "HoldReason",
        "Kind",
        "RefusalReason",
        "SignedKind",
        "Source",
    ];
    let mut builder = tonic_prost_build::configure().codec_path("crate::codec::Small");
    for name in NAMED {
        builder = builder.enum_attribute(format!(".mingjing.v1.{name}"), NAMES);
    }
    builder
        .boxed(".mingjing.v1.Signal.body.notification")
        .bytes(".mingjing.v1.RecordFrame.body")
        .bytes(".mingjing.v1.Batch.deflated")
        .compile_fds(descriptors)?;
    Ok(())
}
