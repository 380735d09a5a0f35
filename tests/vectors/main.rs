//! The protocol's vectors, bytes and meaning side by side, run in both directions; and what holds
//! for any bytes.

mod notation;
mod properties;

use notation::{Meaning, Vector, code_word, read};
use posgate::engine::limits::{DATAGRAM_LEN_MAX, REPLY_LEN_MAX, TEXT_LEN_MAX};
use posgate::engine::model::{CardNo, MachineNo};
use posgate::engine::wire::{Body, Buffer, Code, NotAFrame, Reply, Request, parse};

/// Every vector of what devices say.
pub fn requests() -> Vec<Vector> {
    read(include_str!("requests.txt"))
}

/// Every vector of what the server says.
pub fn replies() -> Vec<Vector> {
    read(include_str!("replies.txt"))
}

#[test]
fn every_request_means_what_stands_beside_it() {
    for vector in requests() {
        for bytes in vector.all_bytes() {
            let meaning = match parse(bytes) {
                Ok(request) => Meaning::of_request(&request).show(),
                Err(reason) => format!("! {reason}"),
            };
            assert_eq!(meaning, vector.meaning, "requests.txt:{}: {}", vector.line, notation::show(bytes));
        }
    }
}

#[test]
fn every_meaning_of_a_request_is_emitted_as_the_bytes_beside_it() {
    for vector in requests() {
        if let Some(normal) = &vector.normal {
            let mut out = Buffer::new();
            Meaning::read(&vector.meaning).request().emit(&mut out);
            assert_eq!(notation::show(&out), notation::show(normal), "requests.txt:{}", vector.line);
        }
    }
}

#[test]
fn every_reply_means_what_stands_beside_it() {
    for vector in replies() {
        for bytes in vector.all_bytes() {
            let meaning = Reply::parse(bytes).map(|reply| Meaning::of_reply(&reply).show());
            let meaning = meaning.unwrap_or_else(|| "! no-reply".to_owned());
            assert_eq!(meaning, vector.meaning, "replies.txt:{}: {}", vector.line, notation::show(bytes));
        }
    }
}

#[test]
fn every_meaning_of_a_reply_is_emitted_as_the_bytes_beside_it() {
    for vector in replies() {
        if let Some(normal) = &vector.normal {
            let meaning = Meaning::read(&vector.meaning);
            let reply = meaning.reply();
            let mut out = Buffer::new();
            reply.emit(&mut out);
            assert_eq!(notation::show(&out), notation::show(normal), "replies.txt:{}", vector.line);
            assert_eq!(reply.code().to_string().as_bytes(), &normal[..3]);
        }
    }
}

#[test]
fn every_code_reason_and_field_has_a_vector() {
    let requests = requests();
    let has = |start: &str| requests.iter().any(|vector| vector.meaning.starts_with(start));
    for code in Code::ALL {
        assert!(has(code_word(code)), "{code:?}");
        let malformed = format!("malformed code={} ", code.number());
        assert_eq!(has(&malformed), !matches!(code, Code::Offline | Code::Confirm), "{code:?}");
    }
    assert!(has("found seq=") && has("found device=") && has("unknown"));
    for reason in NotAFrame::ALL {
        // Its vector would be a long line: see below.
        assert!(reason == NotAFrame::TooLong || has(&format!("! {reason}")), "{reason}");
    }
    let replies = replies();
    for word in "discover ack ask-time set-clock decline approve show release admit refuse".split(' ') {
        assert!(replies.iter().any(|vector| vector.meaning.starts_with(word)), "{word}");
    }
}

#[test]
fn a_datagram_of_1024_bytes_is_a_frame_and_one_more_is_none() {
    let mut datagram = b"106,00009,192.168.1.1,192.168.1.3,00002,".to_vec();
    datagram.resize(DATAGRAM_LEN_MAX, b'7');
    let Ok(Request::Device(frame)) = parse(&datagram) else { panic!("a frame") };
    assert!(matches!(frame.body, Body::Keys { keys } if keys.len() == DATAGRAM_LEN_MAX - 40));
    datagram.push(b'7');
    assert_eq!(parse(&datagram), Err(NotAFrame::TooLong));
    datagram[DATAGRAM_LEN_MAX] = b'\n';
    assert_eq!(parse(&datagram), Err(NotAFrame::TooLong), "what a device's buffer cannot hold is no frame");
    assert_eq!(parse(b""), Err(NotAFrame::NoCode));
}

#[test]
fn a_text_that_is_too_long_is_cut_between_two_characters() {
    let text = posgate::engine::gbk::encode(&format!("a{}", "长".repeat(TEXT_LEN_MAX)));
    let machine = MachineNo::from_value(2);
    let card = CardNo::from_value(8_888_888_888);
    let mut out = Buffer::new();
    Reply::Refuse { machine, card: card.as_bytes(), text: &text, trailer: b"20,1,3" }.emit(&mut out);
    let Some(Reply::Refuse { text: cut, .. }) = Reply::parse(&out) else { panic!("a reply") };
    assert_eq!(cut.len(), TEXT_LEN_MAX - 1, "one byte and whole characters of two");
    assert!(text.starts_with(cut));
}

#[test]
fn the_longest_fields_of_a_request_still_fit_their_reply() {
    // An amount of a thousand digits is readable, and 008 echoes it: the text gives way.
    let amount = [&b"0".repeat(1000)[..], b"5.50"].concat();
    let text = posgate::engine::gbk::encode(&"长".repeat(50));
    let mut out = Buffer::new();
    let machine = MachineNo::from_value(2);
    Reply::Approve { machine, subject: b"8888888888", amount: &amount, text: &text, trailer: b"20,0,1" }.emit(&mut out);
    assert!(matches!(Reply::parse(&out), Some(Reply::Approve { amount: echoed, .. }) if echoed == amount));
    // And a 011 may put a longer time in the place of one that is no date.
    out.clear();
    let record = b"7".repeat(DATAGRAM_LEN_MAX - 20);
    let time = posgate::engine::wire::INVALID_TIME;
    Reply::Release { machine, card: b"", amount: b"", time, record: &record }.emit(&mut out);
    assert!(matches!(Reply::parse(&out), Some(Reply::Release { record: echoed, .. }) if echoed == record));
}

#[test]
fn a_reply_is_appended_whole_or_not_at_all() {
    let meaning = Meaning::read("approve machine=00002 subject=8888888888 amount=5.50 text=张三 trailer=20,0,1");
    let mut whole = Buffer::new();
    meaning.reply().emit(&mut whole);
    assert!(whole.len() < REPLY_LEN_MAX && whole.len() == 37);
    let mut exact = heapless::Vec::<u8, 41>::from_slice(b"....").expect("fits");
    meaning.reply().emit(&mut exact);
    assert_eq!(exact.as_slice(), [b"....", &whole[..]].concat());
    let mut short = heapless::Vec::<u8, 40>::from_slice(b"....").expect("fits");
    meaning.reply().emit(&mut short);
    assert_eq!(short, b"....");
}
