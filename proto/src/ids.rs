//! Identities that cross the wire, each its own type.

use std::fmt;
use std::str::FromStr;

/// A phone, as its certificate names it: 16 random bytes chosen by the collector.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub [u8; 16]);

/// An id that is not 32 hexadecimal digits (or 16 bytes).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a device id is 32 hexadecimal digits")]
pub struct BadDeviceId;

impl DeviceId {
    /// From exactly 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BadDeviceId> {
        bytes.try_into().map(Self).map_err(|_| BadDeviceId)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

impl FromStr for DeviceId {
    type Err = BadDeviceId;
    fn from_str(text: &str) -> Result<Self, BadDeviceId> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(|_| BadDeviceId)?;
        Ok(Self(id))
    }
}
