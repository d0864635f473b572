//! Stand-in for the recognition packs.

use std::sync::Arc;

use mingjing_proto::pb;

/// What a window is, by its class name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowRole {
    /// Shows the account's own id.
    AccountPage,
    /// Logging in.
    Login,
    /// Switching the account.
    SwitchAccount,
    /// Moments.
    Moments,
    /// Never read.
    Excluded,
    /// Anything else.
    Other,
}

/// A bad pack.
#[derive(Debug, thiserror::Error)]
#[error("not a pack")]
pub struct PackError;

/// The packs in force.
#[derive(Debug)]
pub struct PackSet {
    version: u32,
}

impl PackSet {
    /// The compiled-in packs.
    pub fn builtin() -> Arc<Self> {
        Arc::new(Self { version: 1 })
    }
    /// Packs from files.
    pub fn from_files(version: u32, files: &[(String, String)]) -> Result<Self, PackError> {
        if files.is_empty() {
            return Err(PackError);
        }
        Ok(Self { version })
    }
    /// Their version.
    pub fn version(&self) -> u32 {
        self.version
    }
    /// The role of a window.
    pub fn window(&self, _package: &str, class: &str) -> WindowRole {
        match class {
            c if c.ends_with(".SettingsPersonalInfoUI") => WindowRole::AccountPage,
            c if c.contains(".account.ui.Login") => WindowRole::Login,
            c if c.ends_with(".SettingsSwitchAccountUI") => WindowRole::SwitchAccount,
            c if c.contains(".plugin.sns.") => WindowRole::Moments,
            _ => WindowRole::Other,
        }
    }
    /// The id shown on the account's own page.
    pub fn shown_account_id<'a>(&self, package: &str, screen: &'a pb::Screen) -> Option<&'a str> {
        if self.window(package, &screen.window) != WindowRole::AccountPage {
            return None;
        }
        screen
            .nodes
            .iter()
            .find_map(|node| node.text.strip_prefix("微信号："))
    }
}
