//! What Android's set-up reads from the QR code that makes the app the owner of a company phone.
//!
//! Invariants: the code is made only when the app's address and its signer's checksum are set, so that
//! a phone installs the company's own file or none; the enrolment code and the wireless network's
//! password are in the answer of the request that made them and are stored nowhere.

use serde_json::{Map, Value, json};

use crate::apk;
use crate::config::Phones;
use crate::error::{Error, Result};

/// The receiver that becomes device owner (`android/app/src/main/AndroidManifest.xml`).
const COMPONENT: &str = "io.mingjing.phone/io.mingjing.phone.enrol.OwnerReceiver";
const EXTRA: &str = "android.app.extra.PROVISIONING_";

/// A wireless network the phone joins during its set-up; without a name there is none.
#[derive(Clone, Default)]
pub struct Wifi {
    /// The network's name.
    pub ssid: String,
    /// Its WPA password; empty for an open network.
    pub password: String,
}

impl std::fmt::Debug for Wifi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wifi")
    }
}

impl Wifi {
    /// Refuses what no phone could join.
    pub fn check(&self) -> Result<()> {
        if self.ssid.len() > 32 {
            return Err(Error::Invalid(
                "a network's name has 32 bytes or less".into(),
            ));
        }
        if self.ssid.is_empty() && !self.password.is_empty() {
            return Err(Error::Invalid("a password needs its network's name".into()));
        }
        if !self.password.is_empty() && !(8..=63).contains(&self.password.len()) {
            return Err(Error::Invalid("a WPA password has 8 to 63 bytes".into()));
        }
        Ok(())
    }
}

/// Where and what the phone enrols with.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// The enrolment code.
    pub token: &'a str,
    /// `https://host:port` of the enrolment listener.
    pub server: &'a str,
    /// SHA-256 of the root's public key.
    pub root_spki_sha256: &'a [u8; 32],
}

/// The QR code's text; `None` when the settings name no app.
pub fn text(settings: &Phones, enrolment: &Enrolment<'_>, wifi: &Wifi) -> Result<Option<String>> {
    wifi.check()?;
    let (false, Some(signer)) = (settings.apk_url.is_empty(), &settings.apk_signer_sha256) else {
        return Ok(None);
    };
    let mut extras = Map::new();
    let mut put = |name: &str, value: Value| {
        extras.insert(format!("{EXTRA}{name}"), value);
    };
    put("DEVICE_ADMIN_COMPONENT_NAME", json!(COMPONENT));
    put(
        "DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION",
        json!(settings.apk_url),
    );
    put(
        "DEVICE_ADMIN_SIGNATURE_CHECKSUM",
        json!(apk::checksum(signer)),
    );
    // WeChat and the rest of the company's image stay installed.
    put("LEAVE_ALL_SYSTEM_APPS_ENABLED", json!(true));
    put(
        "ADMIN_EXTRAS_BUNDLE",
        json!({
            "enrolment_token": enrolment.token,
            "server": enrolment.server,
            "root_sha256": hex::encode(enrolment.root_spki_sha256),
        }),
    );
    if !wifi.ssid.is_empty() {
        put("WIFI_SSID", json!(wifi.ssid));
        let open = wifi.password.is_empty();
        put(
            "WIFI_SECURITY_TYPE",
            json!(if open { "NONE" } else { "WPA" }),
        );
        if !open {
            put("WIFI_PASSWORD", json!(wifi.password));
        }
    }
    Ok(Some(Value::Object(extras).to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn settings(text: &str) -> Phones {
        Config::parse(text, Path::new("data")).unwrap().phones
    }

    const ENROLMENT: Enrolment<'_> = Enrolment {
        token: "mj1.abc",
        server: "https://c.example:8441",
        root_spki_sha256: &[0xab; 32],
    };

    #[test]
    fn the_code_holds_what_androids_set_up_and_the_app_read() {
        let signer = "00".repeat(32);
        let settings = settings(&format!(
            "[phones]\napk_url = \"https://c.example/mingjing.apk\"\napk_signer_sha256 = \"{signer}\""
        ));
        let wifi = Wifi {
            ssid: "办公".to_owned(),
            password: "12345678".to_owned(),
        };
        let text = text(&settings, &ENROLMENT, &wifi).unwrap().unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        let extra = |name: &str| read[&format!("{EXTRA}{name}")].clone();
        assert_eq!(extra("DEVICE_ADMIN_COMPONENT_NAME"), COMPONENT);
        assert_eq!(
            extra("DEVICE_ADMIN_SIGNATURE_CHECKSUM"),
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        );
        // `Managed.java` reads this name.
        assert_eq!(extra("ADMIN_EXTRAS_BUNDLE")["enrolment_token"], "mj1.abc");
        assert_eq!(extra("WIFI_SECURITY_TYPE"), "WPA");
        let manifest = include_str!("../../android/app/src/main/AndroidManifest.xml");
        assert!(manifest.contains(".enrol.OwnerReceiver"));
    }

    #[test]
    fn without_an_app_there_is_no_code_and_a_wrong_network_is_an_error() {
        let none = settings("");
        assert_eq!(text(&none, &ENROLMENT, &Wifi::default()).unwrap(), None);
        for (ssid, password) in [
            ("", "12345678"),
            ("office", "short"),
            (&*"x".repeat(33), ""),
        ] {
            let wifi = Wifi {
                ssid: ssid.to_owned(),
                password: password.to_owned(),
            };
            assert!(text(&none, &ENROLMENT, &wifi).is_err(), "{ssid}");
        }
    }
}
