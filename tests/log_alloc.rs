//! The log as a process sees it: what goes where, that a line allocates nothing, and that a reader
//! who leaves does no harm.
//!
//! The tests start this same program again as a child whose streams they hold. The child's part is
//! the test that is ignored: it does what the variable `LOG_CHILD` names and leaves before the test
//! harness writes more.

use std::alloc::System;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use log::{LevelFilter, debug, error, info, warn};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// As the modules of the server are named.
const LOG: &str = "posgate::engine::server";

/// Stands between what the harness and what the log wrote to stdout.
const READY: &str = "--ready--\n";

fn child(part: &str, rust_log: &str) -> Child {
    Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "the_child", "--ignored", "--nocapture", "--test-threads=1"])
        .env("LOG_CHILD", part)
        .env("RUST_LOG", rust_log)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the child starts")
}

/// Exit code, stdout from the mark on, stderr.
fn outcome(child: Child) -> (i32, String, String) {
    let output = child.wait_with_output().expect("the child ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let out = text(output.stdout);
    let out = out.split_once(READY).map_or("", |(_, log)| log).to_owned();
    (output.status.code().expect("no signal ended it"), out, text(output.stderr))
}

#[test]
#[ignore = "the tests below start it"]
fn the_child() {
    let part = std::env::var("LOG_CHILD").expect("the tests say which part");
    posgate::host::logging::init(LevelFilter::Info);
    std::io::stdout().write_all(READY.as_bytes()).expect("the parent listens still");
    match part.as_str() {
        "levels" => {
            error!(target: LOG, "one");
            warn!(target: LOG, "two");
            info!(target: LOG, "three");
            debug!(target: LOG, "four");
            posgate::host::logging::set_level(LevelFilter::Debug);
            debug!(target: LOG, "five");
        }
        "allocations" => {
            posgate::host::logging::set_level(LevelFilter::Debug);
            info!(target: LOG, "warm");
            warn!(target: LOG, "warm");
            // Of three rounds one must be without: the harness's own thread may allocate once while
            // it begins to wait for us, and every thread is counted.
            let quiet = (0..3).map(|_| {
                let region = Region::new(ALLOCATOR);
                for frame in 0..2000_u32 {
                    info!(target: LOG, "sale machine={:05} card=****8888 frame={frame:05} amount=5.50", frame % 7);
                    debug!(target: LOG, "datagram {:1$}", "x", posgate::host::logging::LINE_LEN_KEPT - 100);
                    warn!(target: LOG, "drop source=192.168.1.{} reason=rate\n", frame % 256);
                }
                let change = region.change();
                usize::from(change.allocations + change.reallocations == 0)
            });
            std::process::exit(i32::from(quiet.sum::<usize>() == 0));
        }
        "reader gone" => {
            // The parent closes our stdin after it has closed our stdout and stderr.
            let _ = std::io::stdin().read(&mut [0]);
            for _ in 0..5000 {
                info!(target: LOG, "nobody hears this");
                error!(target: LOG, "nor this");
            }
        }
        "reader asleep" => {
            // More than any pipe holds.
            for line in 0..50_000 {
                info!(target: LOG, "nobody reads line {line}");
            }
            warn!(target: LOG, "done");
            // The parent reads from now on.
            let _ = std::io::stdin().read(&mut [0]);
        }
        _ => unreachable!(),
    }
    std::process::exit(0);
}

#[test]
fn each_stream_has_its_levels_and_the_configured_level_holds() {
    let (code, out, err) = outcome(child("levels", ""));
    assert_eq!((code, out.as_str(), err.as_str()), (0, "three\ndebug: five\n", "error: one\nwarn: two\n"));
}

#[test]
fn rust_log_overrides_the_configured_level() {
    let (_, out, err) = outcome(child("levels", "error"));
    assert_eq!((out.as_str(), err.as_str()), ("", "error: one\n"));
    let (_, out, _) = outcome(child("levels", "debug"));
    assert_eq!(out, "three\ndebug: four\ndebug: five\n");
}

#[test]
fn a_line_allocates_nothing() {
    let (code, out, err) = outcome(child("allocations", ""));
    assert_eq!(code, 0, "something was allocated");
    // The parent reads as fast as it can; what it was too slow for was lost, not waited for.
    assert!(out.contains("amount=5.50\n") && err.contains("reason=rate\\x0a\n"));
}

#[test]
fn a_reader_who_leaves_does_not_end_the_server() {
    let mut child = child("reader gone", "");
    let mut heard = Vec::new();
    let out = child.stdout.as_mut().expect("a pipe");
    while !heard.ends_with(READY.as_bytes()) {
        let mut byte = [0];
        out.read_exact(&mut byte).expect("the child says when it is ready");
        heard.extend(byte);
    }
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().expect("the child ends").success());
}

#[test]
fn a_reader_who_sleeps_does_not_stop_the_server_and_hears_how_much_was_lost() {
    let mut child = child("reader asleep", "");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut told = String::new();
    stderr.read_line(&mut told).expect("the child waits for nobody");
    let lost = told.trim_end().strip_prefix("warn: log lost=").expect("what was lost, before anything else");
    let lost: usize = lost.parse().expect("a count");
    stdin.write_all(b"!").expect("the child lives");
    let mut heard = String::new();
    stdout.read_to_string(&mut heard).expect("what the pipe held, and what came when it was read");
    assert!(child.wait().expect("the child ends").success());
    let lines = heard.lines().filter(|line| line.contains("nobody reads")).count();
    assert_eq!(lost + lines, 50_000, "what was not written is counted");
}
