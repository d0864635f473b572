//! The two things Rust asks of Java: a signature, and to look at a message.

use jni::objects::{Global, JByteArray, JObject, JValue};
use jni::vm::JavaVM;
use jni::{Env, jni_sig, jni_str};
use mingjing_proto::pb;

use super::CallError;
use crate::Host;
use crate::identity::{SignError, Signer};

/// `Agent.Callbacks` on the Java side.
pub(super) struct Callbacks {
    vm: JavaVM,
    object: Global<JObject<'static>>,
    spki: Vec<u8>,
}

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Callbacks")
    }
}

impl Callbacks {
    pub(super) fn new(
        env: &mut Env<'_>,
        object: &JObject<'_>,
        request: &mut pb::StartRequest,
    ) -> Result<Self, CallError> {
        Ok(Self {
            vm: env.get_java_vm()?,
            object: env.new_global_ref(object)?,
            spki: std::mem::take(&mut request.public_key_spki),
        })
    }

    /// Runs `call` with the callbacks' object on whatever thread this is; a thrown exception is
    /// cleared and becomes an error.
    fn with<T>(
        &self,
        call: impl FnOnce(&mut Env<'_>, &JObject<'_>) -> jni::errors::Result<T>,
    ) -> jni::errors::Result<T> {
        self.vm.attach_current_thread(|env| {
            let result = call(env, self.object.as_ref());
            match env.exception_catch() {
                Ok(()) => result,
                Err(thrown) => Err(thrown),
            }
        })
    }
}

impl Signer for Callbacks {
    fn public_key_spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.with(|env, object| {
            let message = env.byte_array_from_slice(message)?;
            let signature = env
                .call_method(
                    object,
                    jni_str!("sign"),
                    jni_sig!("([B)[B"),
                    &[JValue::Object(&message)],
                )?
                .l()?;
            let signature = env.cast_local::<JByteArray>(signature)?;
            env.convert_byte_array(&signature)
        })
        .map_err(|error| SignError(error.to_string()))
    }
}

impl Host for Callbacks {
    fn on_message(&self, to_device: &[u8]) {
        let shown = self.with(|env, object| {
            let message = env.byte_array_from_slice(to_device)?;
            env.call_method(
                object,
                jni_str!("onMessage"),
                jni_sig!("([B)V"),
                &[JValue::Object(&message)],
            )?;
            Ok(())
        });
        if let Err(error) = shown {
            tracing::warn!(%error, "the app did not take a message");
        }
    }
}
