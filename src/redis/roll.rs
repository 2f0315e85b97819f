//! How many processes share the limits: each says every second that it lives, and is told how many do.

use super::{connection::Redis, counters, error::RedisError, race::sleep, script::Script};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// So long a process counts after its last word: as long as leases last by default.
const COUNTS: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_secs(1);
/// Nobody's request waits for it.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many answers are remembered, of which the greatest counts: a server that has lost its memory has heard of the
/// others again when the last of these is gone.
const ANSWERS: usize = 4;

/// This process on the roll, and what it was told.
#[derive(Debug)]
pub(super) struct Roll {
    process: String,
    key: String,
    script: Script,
    answers: Mutex<[u64; ANSWERS]>,
}

impl Roll {
    pub(super) fn new(redis: &Redis) -> Self {
        Self {
            process: format!("{:016x}", fastrand::u64(..)),
            key: redis.names().name("processes", &[]),
            script: Script::new(concat!(
                include_str!("scripts/prelude.lua"),
                include_str!("scripts/roll.lua")
            )),
            answers: Mutex::default(),
        }
    }

    fn answers(&self) -> MutexGuard<'_, [u64; ANSWERS]> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it was last known; 0 before the first answer.
    pub(super) fn processes(&self) -> u64 {
        self.answers().iter().copied().max().unwrap_or(0)
    }

    fn heard(&self, processes: u64) {
        let mut answers = self.answers();
        answers.rotate_right(1);
        answers[0] = processes;
    }

    async fn say(&self, redis: &Redis) -> Result<(), RedisError> {
        let counts = COUNTS.as_millis().to_string();
        let arguments = [&b""[..], self.process.as_bytes(), counts.as_bytes()];
        let answer = counters::integers(redis.run(&self.script, &[&self.key], &arguments, PATIENCE).await?)?;
        let [time, processes] = *answer else { return Err(RedisError::Reply) };
        redis.saw_server_time(time);
        self.heard(processes.unsigned_abs());
        Ok(())
    }

    /// For as long as the process lives.
    pub(super) async fn keep_saying(&self, redis: &Redis) {
        loop {
            // Where that fails, what was known goes on to count.
            let _unheard = self.say(redis).await;
            sleep(BEAT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::server::RedisServer, *};

    #[test]
    fn the_greatest_of_the_last_answers_counts() {
        let roll = Roll::new(&Redis::new("redis://127.0.0.1:1").unwrap());
        assert_eq!(roll.processes(), 0);
        let told = [3, 1, 1, 1, 1, 5].map(|processes| {
            roll.heard(processes);
            roll.processes()
        });
        assert_eq!(told, [3, 3, 3, 3, 1, 5]);
    }

    /// What was said before would count for as long as the step is.
    #[test]
    fn a_clock_that_was_set_back_makes_nobody_count_for_longer() {
        let Some(server) = RedisServer::start() else { return };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let redis = Redis::new(&server.url()).unwrap();
            let roll = Roll::new(&redis);
            let early = ::redis::cmd("ZADD").arg(&roll.key).arg("99999999999999").arg("gone").to_owned();
            redis.call(&early, PATIENCE).await.unwrap();
            roll.say(&redis).await.unwrap();
            assert_eq!(roll.processes(), 1);
        });
    }
}
