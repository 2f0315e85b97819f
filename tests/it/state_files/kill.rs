//! `kill -9` between any two words of the victim. The victim is this test binary, started again.

use super::{Place, Process};
use crate::support::run;
use std::{
    io::{Read, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};
use tower_gateway::{
    api_key::ApiKey,
    redb::{StateFile, StateFileError},
};

const PATH: &str = "TOWER_GATEWAY_STATE_FILE";
const LIMIT: u64 = 200_000;
/// Said before the file is opened, and when it is.
const OPENING: &str = "[opening]";
const READY: &str = "[ready]";

/// Does nothing unless it is the victim. It says `?` before each request, `+` after one that was admitted, `x` and ends
/// when the quota is exhausted, and the id of each key that it has added, in brackets.
#[test]
fn victim() {
    let Some(path) = std::env::var_os(PATH) else { return };
    say(OPENING);
    run(async {
        let process = Process::start(Path::new(&path), LIMIT);
        let keys = process.keys.clone();
        let first = keys.len();
        say(READY);
        let adding = std::thread::spawn(move || {
            for number in first.. {
                let id = format!("key-{number}");
                if keys.add(ApiKey::new(&id).value(format!("{id}-0123456789abcdefghij"))).is_err() {
                    return;
                }
                say(&format!("[{id}]"));
            }
        });
        loop {
            say("?");
            match process.ask().await {
                200 => say("+"),
                429 => break,
                other => panic!("{other}"),
            }
            // Others want the one processor too: the writer, the background, the keys.
            tokio::task::yield_now().await;
        }
        say("x");
        process.plans.hand_back().await;
        process.file.close();
        drop(adding.join());
    });
}

/// At once: what lies in a buffer dies with the process.
fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).unwrap();
}

/// What a victim has said.
#[derive(Debug, Default)]
struct Said {
    admitted: u64,
    pending: u64,
    exhausted: bool,
    keys: Vec<String>,
}

impl Said {
    fn read(text: &str) -> Self {
        let mut said = Self::default();
        // What the test runner prints before is not the victim's.
        let text = text.split_once(READY).map_or("", |(_, text)| text);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let mut length = 1;
            match first {
                '?' => said.pending += 1,
                '+' => (said.admitted, said.pending) = (said.admitted + 1, said.pending - 1),
                'x' => {
                    said.exhausted = true;
                    break;
                }
                '[' => match rest.find(']') {
                    Some(end) => {
                        said.keys.push(rest[1..end].to_owned());
                        length = end + 1;
                    }
                    None => break,
                },
                _ => {}
            }
            rest = &rest[length..];
        }
        said
    }
}

fn start(path: &Path) -> Child {
    let binary = std::env::current_exe().unwrap();
    let mut command = Command::new(binary);
    command.args(["state_files::kill::victim", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(PATH, path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Everything that the victim said, when it is killed as soon as it has said so many bytes after a word.
fn kill_after(mut child: Child, word: &str, bytes: usize) -> Said {
    let mut output = child.stdout.take().unwrap();
    let seen = read_until(&mut output, |seen| {
        seen.find(word).is_some_and(|at| seen.len() >= at + word.len() + bytes)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    Said::read(&(seen + &rest))
}

/// What is said until that is enough, or until the end.
fn read_until(output: &mut impl Read, is_enough: impl Fn(&str) -> bool) -> String {
    let (mut seen, mut byte) = (String::new(), [0]);
    while !is_enough(&seen) && output.read(&mut byte).unwrap() == 1 {
        seen.push(char::from(byte[0]));
    }
    seen
}

#[test]
fn fifty_kills_never_admit_too_much_and_name_what_is_unknown() {
    let place = Place::new("killed");
    let (mut admitted, mut most_unknown, mut kills_at_work) = (0_u64, 0, 0);
    let mut known_keys = Vec::new();
    for round in 0..50 {
        // Every fifth while it opens the file, the others between any two words.
        let said = match round % 5 {
            0 => kill_after(start(&place.0), OPENING, 0),
            _ => kill_after(start(&place.0), READY, (fastrand_like(round) % 6_000) as usize),
        };
        kills_at_work += u64::from(said.admitted > 0);
        known_keys.extend(said.keys);
        run(async {
            let process = Process::start(&place.0, LIMIT);
            for key in &known_keys {
                assert!(process.keys.get(key).is_some(), "{key} was acknowledged in round {round}");
            }
            let (used, unknown) = process.reported().await;
            let listed: u64 = process.file.unknown_usage().unwrap().iter().map(|unknown| unknown.units).sum();
            assert_eq!(listed, unknown, "nothing is held by the living");
            let truth = admitted + said.admitted;
            assert!(used <= truth + said.pending, "round {round}: {used} > {truth} + {}", said.pending);
            assert!(truth <= used + unknown, "round {round}: {truth} > {used} + {unknown}");
            assert!(used + unknown <= LIMIT, "round {round}: {used} + {unknown}");
            most_unknown = most_unknown.max(unknown);
            // An access log knows what was used; some operators have none and take all of it, which may be half of what was
            // left: late, or nothing would be left to be killed at.
            let exact = round < 40 || round % 3 != 0;
            process.file.reconcile(|unknown| if exact { truth - used } else { unknown.units }).unwrap();
            let (used, unknown) = process.reported().await;
            assert_eq!(unknown, 0);
            assert!(used >= truth || exact);
            admitted = used;
            assert!(admitted <= LIMIT);
        });
    }
    // Whatever was taken for used is gone; everything else is there to the last unit.
    let mut last = start(&place.0);
    let mut text = String::new();
    last.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(last.wait().unwrap().success());
    let said = Said::read(&text);
    assert!(said.exhausted);
    assert_eq!(admitted + said.admitted, LIMIT);
    println!(
        "{kills_at_work} of 50 kills while requests were admitted, at most {most_unknown} units unknown, {} keys",
        known_keys.len()
    );
    assert!(kills_at_work >= 30, "{kills_at_work}");
}

/// Fixed, so that a failure can be repeated.
fn fastrand_like(round: u64) -> u64 {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}

#[test]
fn another_process_is_told_that_the_file_is_in_use() {
    let place = Place::new("in-use");
    let mut child = start(&place.0);
    let mut output = child.stdout.take().unwrap();
    read_until(&mut output, |seen| seen.ends_with(READY));
    let refused = StateFile::open(&place.0);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(refused, Err(StateFileError::InUse { .. })), "{refused:?}");
    assert!(StateFile::open(&place.0).is_ok(), "a dead process holds nothing");
}
