//! The five calls Android makes: `start record sync status stop`, protobuf bytes both ways
//! (proto: `app.proto`, and `FromApp`).
//!
//! Invariants:
//! - every entry runs inside [`guarded`]: an error or a panic becomes an `AgentException`, the agent
//!   lives on, and nothing unwinds into the virtual machine;
//! - no handle crosses: one process has one agent, kept here;
//! - nothing is decided here: bytes are decoded, handed over, and answers encoded;
//! - Rust calls back for two things only, `sign` and `onMessage`; an exception thrown there ends in an
//!   error here and is cleared.
#![allow(
    unsafe_code,
    reason = "Java finds native methods by exported name; `jni_mangle` writes `#[unsafe(export_name)]`, and there is no other unsafe code"
)]

mod callbacks;
#[cfg(feature = "jni-probe")]
pub mod probe;
mod view;

use std::sync::{Arc, PoisonError, RwLock};

use jni::errors::ErrorPolicy;
use jni::objects::{JByteArray, JClass, JObject};
use jni::strings::JNIString;
use jni::{Env, EnvUnowned, jni_mangle, jni_str};
use mingjing_proto::pb;
use prost::Message;
use zeroize::Zeroizing;

use crate::clock::{Clock, SystemClock, Timekeeper};
use crate::config::Config;
use crate::identity::{EnrolError, Identity, IdentityError, PhoneFacts, Token, enrol};
use crate::{Agent, AgentError, Parts};
use callbacks::Callbacks;

static AGENT: RwLock<Option<Arc<Agent>>> = RwLock::new(None);

/// Why a call failed; its text becomes the exception's message.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("the virtual machine refused: {0}")]
    Java(#[from] jni::errors::Error),
    #[error("the message from the app can't be read")]
    Message(#[from] prost::DecodeError),
    #[error("the wrapping key has {0} bytes instead of 32")]
    WrappingKey(usize),
    #[error("the agent is not started")]
    NotStarted,
    #[error("enrolling needs a thread")]
    Thread(#[source] std::io::Error),
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// Throws `AgentException` and returns nothing.
#[derive(Debug)]
struct Throw;

impl Throw {
    fn throw(env: &mut Env<'_>, text: &str) {
        if env.exception_check() {
            return;
        }
        let class = jni_str!("io/mingjing/phone/agent/AgentException");
        // `throw_new` reports the exception it has just made as an error; Java gets it on return.
        if let Err(error) = env.throw_new(class, JNIString::from(text))
            && !env.exception_check()
        {
            tracing::error!(%error, "an error could not be thrown");
        }
    }
}

impl<T: Default> ErrorPolicy<T, CallError> for Throw {
    type Captures<'frame: 'call, 'call> = ();

    fn on_error<'frame: 'call, 'call>(
        env: &mut Env<'frame>,
        (): &mut (),
        error: CallError,
    ) -> jni::errors::Result<T> {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        Self::throw(env, &text);
        Ok(T::default())
    }

    fn on_panic<'frame: 'call, 'call>(
        env: &mut Env<'frame>,
        (): &mut (),
        _payload: Box<dyn std::any::Any + Send + 'static>,
    ) -> jni::errors::Result<T> {
        // The payload may quote data: the exception does not.
        Self::throw(env, "a bug in the agent was caught");
        Ok(T::default())
    }
}

/// What every entry passes through.
fn guarded<'local, T: Default>(
    mut env: EnvUnowned<'local>,
    call: impl FnOnce(&mut Env<'local>) -> Result<T, CallError>,
) -> T {
    env.with_env(call).resolve::<Throw>()
}

fn agent() -> Result<Arc<Agent>, CallError> {
    let agent = AGENT.read().unwrap_or_else(PoisonError::into_inner);
    agent.clone().ok_or(CallError::NotStarted)
}

fn replace(agent: Option<Agent>) {
    let old = std::mem::replace(
        &mut *AGENT.write().unwrap_or_else(PoisonError::into_inner),
        agent.map(Arc::new),
    );
    // Outside the lock: the session's thread may be inside a callback that calls in again.
    if let Some(old) = old {
        old.stop();
    }
}

fn reply<'local>(
    env: &mut Env<'local>,
    message: &impl Message,
) -> Result<JByteArray<'local>, CallError> {
    Ok(env.byte_array_from_slice(&message.encode_to_vec())?)
}

/// `StartRequest` in, `StartReply` out.
#[jni_mangle("io.mingjing.phone.agent.NativeAgent")]
pub fn native_start<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    request: JByteArray<'local>,
    callbacks: JObject<'local>,
) -> JByteArray<'local> {
    guarded(env, |env| {
        let bytes = Zeroizing::new(env.convert_byte_array(&request)?);
        let mut request = pb::StartRequest::decode(&**bytes)?;
        let wrapping_key = Zeroizing::new(std::mem::take(&mut request.wrapping_key));
        let callbacks = Arc::new(Callbacks::new(env, &callbacks, &mut request)?);
        let reply_message = start(request, &wrapping_key, callbacks)?;
        reply(env, &reply_message)
    })
}

fn start(
    request: pb::StartRequest,
    wrapping_key: &[u8],
    callbacks: Arc<Callbacks>,
) -> Result<pb::StartReply, CallError> {
    let wrapping_key: [u8; 32] = wrapping_key
        .try_into()
        .map_err(|_| CallError::WrappingKey(wrapping_key.len()))?;
    let wrapping_key = Zeroizing::new(wrapping_key);
    replace(None);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut config = Config::new(&request.dir);
    config.language.clone_from(&request.language);
    if !request.token.is_empty() {
        enrol_now(&request, &config, &callbacks, clock.clone())?;
    }
    let company = match Identity::load(&config.dir, callbacks.as_ref()) {
        Ok(identity) => identity.company,
        Err(IdentityError::Missing { .. }) => return Ok(pb::StartReply::default()),
        Err(error) => return Err(AgentError::from(error).into()),
    };
    let agent = Agent::start(Parts {
        config,
        wrapping_key,
        signer: callbacks.clone(),
        clock,
        host: callbacks,
    })?;
    replace(Some(agent));
    Ok(pb::StartReply {
        enrolled: true,
        company,
    })
}

fn enrol_now(
    request: &pb::StartRequest,
    config: &Config,
    callbacks: &Arc<Callbacks>,
    clock: Arc<dyn Clock>,
) -> Result<(), CallError> {
    let token: Token = request.token.parse()?;
    let facts = PhoneFacts {
        manufacturer: request.manufacturer.clone(),
        model: request.model.clone(),
        serial: request.serial.clone(),
        os_version: request.os_version.clone(),
        attestation_chain: request.attestation_chain.clone(),
    };
    std::fs::create_dir_all(&config.dir).map_err(CallError::Thread)?;
    let time = Arc::new(Timekeeper::new(clock, None, 0));
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CallError::Thread)?
        .block_on(enrol(&config.dir, &token, callbacks.as_ref(), &time, facts))?;
    Ok(())
}

/// `FromApp` in, `RecordReply` out; what was to be kept is on the disk.
#[jni_mangle("io.mingjing.phone.agent.NativeAgent")]
pub fn native_record<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    message: JByteArray<'local>,
) -> JByteArray<'local> {
    guarded(env, |env| {
        let bytes = Zeroizing::new(env.convert_byte_array(&message)?);
        let recorded = agent()?.record(pb::FromApp::decode(&**bytes)?)?;
        reply(
            env,
            &pb::RecordReply {
                events: recorded.events,
                dropped: recorded.dropped,
                consent_seq: recorded.consent_seq.unwrap_or(0),
            },
        )
    })
}

/// Connects now; returns at once.
#[jni_mangle("io.mingjing.phone.agent.NativeAgent")]
pub fn native_sync<'local>(env: EnvUnowned<'local>, _class: JClass<'local>) {
    guarded(env, |_| {
        agent()?.sync();
        Ok(())
    });
}

/// `StatusRequest` in, `StatusReply` out.
#[jni_mangle("io.mingjing.phone.agent.NativeAgent")]
pub fn native_status<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    request: JByteArray<'local>,
) -> JByteArray<'local> {
    guarded(env, |env| {
        let request = pb::StatusRequest::decode(&*env.convert_byte_array(&request)?)?;
        let view = view::of(&*agent()?, &request)?;
        reply(env, &view)
    })
}

/// Ends the session and closes the folder; without an agent it does nothing.
#[jni_mangle("io.mingjing.phone.agent.NativeAgent")]
pub fn native_stop<'local>(env: EnvUnowned<'local>, _class: JClass<'local>) {
    guarded(env, |_| {
        replace(None);
        Ok(())
    });
}
