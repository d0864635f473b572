//! Looks for a text in every file of a folder, in the encodings it could hide in.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The text's bytes as UTF-8, UTF-16 of both orders, and base64 at each of its three phases.
pub fn forms(text: &str) -> Vec<Vec<u8>> {
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let mut forms = vec![
        text.as_bytes().to_vec(),
        utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
        utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
    ];
    forms.extend(in_base64(text.as_bytes()));
    forms.retain(|form| form.len() >= 4);
    forms
}

/// Bytes as they are, in hexadecimal, and base64 at each of its three phases: how a key could hide.
pub fn forms_of_bytes(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![
        bytes.to_vec(),
        hex::encode(bytes).into_bytes(),
        hex::encode_upper(bytes).into_bytes(),
    ];
    forms.extend(in_base64(bytes));
    forms
}

fn in_base64(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..3).map(move |phase| {
        let padded = [&vec![0; phase][..], bytes].concat();
        let encoded = STANDARD_NO_PAD.encode(padded);
        // The first and last characters depend on the neighbours.
        let from = (phase * 8).div_ceil(6);
        let to = encoded.len().saturating_sub(2);
        encoded.as_bytes()[from.min(to)..to].to_vec()
    })
}

/// The files below `dir` that hold `text` in any of its [`forms`].
pub fn found_in(dir: &Path, text: &str) -> Vec<PathBuf> {
    found(dir, &forms(text))
}

/// The files below `dir` that hold any of these.
pub fn found(dir: &Path, forms: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && forms
                    .iter()
                    .any(|form| bytes.windows(form.len()).any(|window| window == form))
            {
                found.push(path);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The search itself must be able to find: a test that can't fail is a defect.
    #[test]
    fn every_form_is_found() {
        let text = "转账给我个人微信";
        for form in forms(text) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(
                dir.path().join("file"),
                [b"before", &form[..], b"after"].concat(),
            )
            .unwrap();
            assert_eq!(found_in(dir.path(), text).len(), 1);
        }
        let dir = tempfile::tempdir().unwrap();
        for prefix in ["", "a", "ab"] {
            let path = dir.path().join(format!("x{prefix}"));
            std::fs::write(&path, STANDARD_NO_PAD.encode(format!("{prefix}{text}…"))).unwrap();
        }
        assert_eq!(found_in(dir.path(), text).len(), 3);
    }
}
