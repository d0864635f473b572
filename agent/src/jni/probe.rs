//! What only the tests of the boundary call: never part of a library that ships.

use std::fs::File;

use jni::EnvUnowned;
use jni::jni_mangle;
use jni::objects::{JByteArray, JClass};

use super::{CallError, guarded};

/// Panics on purpose, to see that a panic ends in an exception.
#[jni_mangle("io.mingjing.phone.agent.Probe")]
pub fn panic<'local>(env: EnvUnowned<'local>, _class: JClass<'local>) {
    guarded(env, |_| -> Result<(), CallError> {
        panic!("asked for by a test");
    });
}

/// Writes everything the agent would ever log into the file of this name (UTF-8), to be searched.
#[jni_mangle("io.mingjing.phone.agent.Probe")]
pub fn log<'local>(env: EnvUnowned<'local>, _class: JClass<'local>, path: JByteArray<'local>) {
    guarded(env, |env| {
        let path = env.convert_byte_array(&path)?;
        let file = File::create(&*String::from_utf8_lossy(&path)).map_err(CallError::Thread)?;
        let started = tracing_subscriber::fmt()
            // `jni` logs while a thread's locals are destroyed, where the writer's own is gone already.
            .with_env_filter(tracing_subscriber::EnvFilter::new(
                "debug,jni=off,mingjing_agent=trace",
            ))
            .with_writer(file)
            .with_ansi(false)
            .try_init();
        if started.is_err() {
            tracing::debug!("there is a log already");
        }
        Ok(())
    });
}
