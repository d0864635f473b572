//! Named values beside the records: policy, notice, anchors, receipts, and the newest consents.
//!
//! Invariants: each value is sealed under the control key and bound to its name; the newest consent
//! of a category is written in the batch that gives it its seq and is kept for good.

use mingjing_proto::pb::{self, Category};
use prost::Message;

use super::format::{Header, state_key};
use super::store::{Changes, Store};
use super::{Buffer, BufferError};
use crate::keys::Keys;

fn aad(name: &str) -> Vec<u8> {
    [b"mingjing-state-1", name.as_bytes()].concat()
}

fn consent_name(category: Category) -> String {
    format!("consent/{}", category as i32)
}

impl Buffer {
    /// The value called `name`; `None` when there is none or it was damaged.
    pub fn state(&self, keys: &Keys, name: &str) -> Result<Option<Vec<u8>>, BufferError> {
        let key = state_key(name);
        let mut value = Vec::new();
        for entry in self.store.range(&key, &key)? {
            value.extend(entry?.1);
        }
        let Some((nonce, sealed)) = value.split_first_chunk::<12>() else {
            return Ok(None);
        };
        let opened = keys.control().open(&aad(name), *nonce, sealed.to_vec());
        if opened.is_none() {
            tracing::error!(name, "a stored value was damaged and counts as absent");
        }
        Ok(opened)
    }

    /// The value called `name`, decoded.
    pub fn message<M: Message + Default>(
        &self,
        keys: &Keys,
        name: &str,
    ) -> Result<Option<M>, BufferError> {
        let bytes = self.state(keys, name)?;
        Ok(bytes.and_then(|bytes| M::decode(&*bytes).ok()))
    }

    /// Writes values in one batch (`None` removes one) and flushes.
    pub fn set_state(
        &mut self,
        keys: &Keys,
        values: &[(&str, Option<Vec<u8>>)],
    ) -> Result<(), BufferError> {
        self.ready(keys)?;
        let mut changes = Changes::default();
        for (name, value) in values {
            self.put_state(keys, &mut changes, name, value.as_deref())?;
        }
        self.store.apply(changes)?;
        self.store.flush()
    }

    pub(super) fn put_state(
        &self,
        keys: &Keys,
        changes: &mut Changes,
        name: &str,
        value: Option<&[u8]>,
    ) -> Result<(), BufferError> {
        let key = state_key(name);
        for entry in self.store.range(&key, &key)? {
            changes.remove(entry?.0);
        }
        if let Some(value) = value {
            let (nonce, sealed) = keys.control().seal(&aad(name), value.to_vec())?;
            Store::put_parts(changes, &key, 0, &[&nonce[..], &sealed].concat());
        }
        Ok(())
    }

    pub(super) fn put_consent(
        &self,
        keys: &Keys,
        changes: &mut Changes,
        category: Category,
        header: &Header,
        body: &[u8],
    ) -> Result<(), BufferError> {
        let Ok(pb::Control {
            body: Some(pb::control::Body::Consent(consent)),
            ..
        }) = pb::Control::decode(body)
        else {
            return Ok(());
        };
        let newest = pb::NewestConsent {
            epoch: header.epoch,
            seq: header.first_seq,
            consent: Some(consent),
            receipt: None,
        };
        let value = newest.encode_to_vec();
        self.put_state(keys, changes, &consent_name(category), Some(&value))
    }

    /// The newest consent of each category, with its category.
    pub fn consents(&self, keys: &Keys) -> Result<Vec<(Category, pb::NewestConsent)>, BufferError> {
        let mut consents = Vec::new();
        for category in Category::CONSENTED {
            if let Some(newest) = self.message(keys, &consent_name(category))? {
                consents.push((category, newest));
            }
        }
        Ok(consents)
    }

    /// Forgets the newest consents: they were of another enrolment.
    pub fn forget_consents(&mut self, keys: &Keys) -> Result<(), BufferError> {
        let names = Category::CONSENTED.map(consent_name);
        let values: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
        self.set_state(keys, &values)
    }

    /// Rewrites the seqs of consents whose records moved.
    pub(super) fn move_consents(
        &self,
        keys: &Keys,
        changes: &mut Changes,
        from: (u64, u64),
        to: (u64, u64),
    ) -> Result<(), BufferError> {
        for (category, mut newest) in self.consents(keys)? {
            if (newest.epoch, newest.seq) == from {
                (newest.epoch, newest.seq) = to;
                let value = newest.encode_to_vec();
                self.put_state(keys, changes, &consent_name(category), Some(&value))?;
            }
        }
        Ok(())
    }
}
