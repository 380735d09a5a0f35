//! What holds for any bytes and any values.

use posgate::engine::limits::DATAGRAM_LEN_MAX;
use posgate::engine::wire::{Buffer, Code, PinKind, Reply, Request, parse};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::notation::{Meaning, code_word, pin_kind_word};

/// Reads the bytes in every way there is, and writes what they mean.
fn chew(bytes: &[u8]) {
    let mut out = Buffer::new();
    if let Ok(request) = parse(bytes) {
        // Unreadable fields are not kept, and of a time what is no GBK; all else comes back.
        request.emit(&mut out);
        // An empty serial is not written: a NUL that stood before it then ends the frame, and is no
        // part of what is read again.
        while let Some(0 | b'\r' | b'\n' | b' ' | b'\t') = out.last() {
            out.pop();
        }
        let again = parse(&out).expect("what was emitted is a frame");
        if !matches!(&request, Request::Device(frame) if matches!(frame.body, posgate::engine::wire::Body::Malformed(_)))
        {
            let mut once_more = Buffer::new();
            again.emit(&mut once_more);
            assert_eq!(once_more, out);
        }
        let mut tiny = heapless::Vec::<u8, 20>::new();
        request.emit(&mut tiny);
    }
    if let Some(reply) = Reply::parse(bytes) {
        out.clear();
        reply.emit(&mut out);
        let mut tiny = heapless::Vec::<u8, 20>::new();
        reply.emit(&mut tiny);
    }
}

/// A field as `emit` writes it: no commas, no blanks at its ends.
fn field() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>().prop_map(|byte| if byte == b',' { b';' } else { byte }), 0..20)
        .prop_map(|bytes| bytes.trim_ascii().to_vec())
        .prop_filter("NUL at a frame's end is no part of it", |bytes| bytes.last() != Some(&0))
        .prop_map(|bytes| bytes.trim_ascii().to_vec())
}

/// GBK in whole characters; what looks like `\`, `{`, `|`, `}` and digits may be a second byte.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let character = prop_oneof![
        (0x20..0x7F_u8).prop_map(|byte| vec![byte]),
        (0x81..0xFE_u8, select(vec![0x5C, 0x7B, 0x7C, 0x7D, 0x40, 0xFE]))
            .prop_map(|(first, second)| vec![first, second]),
    ];
    vec(character, 0..100).prop_map(|characters| characters.concat())
}

fn digits(len_max: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex(&format!("[0-9]{{1,{len_max}}}")).expect("a pattern")
}

fn pattern(pattern: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(pattern).expect("a pattern")
}

fn device_time() -> impl Strategy<Value = String> {
    prop_oneof![pattern("20[0-9]{2}-[01][0-9]-[0-3][0-9] [012][0-9]:[0-5][0-9]:[0-5][0-9]"), pattern("[!-+.-~]{0,32}")]
}

fn amount() -> impl Strategy<Value = String> {
    pattern("[0-9]{1,7}(\\.[0-9]{1,2})?")
}

/// Eight characters at least: a shorter number would be a 103's mode.
fn serial() -> impl Strategy<Value = Option<String>> {
    option::of(pattern("[0-9A-Z]{8,20}"))
}

fn common(word: &'static str) -> impl Strategy<Value = Meaning> {
    (digits(10), field(), field(), digits(10), serial()).prop_map(move |(seq, device, host, machine, serial)| {
        Meaning::new(word)
            .with("seq", seq)
            .with("device", device)
            .with("host", host)
            .with("machine", machine)
            .with_some("serial", serial)
    })
}

fn found() -> impl Strategy<Value = Meaning> {
    let address = pattern("[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}");
    (option::of(digits(10)), address, field(), field(), field(), field(), serial()).prop_map(
        |(seq, device, mask, gateway, host, port, serial)| {
            Meaning::new("found")
                .with_some("seq", seq)
                .with("device", device)
                .with("mask", mask)
                .with("gateway", gateway)
                .with("host", host)
                .with("port", port)
                .with_some("serial", serial)
        },
    )
}

/// A frame of any code, as its meaning.
fn request() -> impl Strategy<Value = Meaning> {
    let boot = (common(code_word(Code::Boot)), device_time()).prop_map(|(common, time)| common.with("time", time));
    let inquiry = (common(code_word(Code::Inquiry)), digits(10)).prop_map(|(common, card)| common.with("card", card));
    let charge = (common(code_word(Code::Charge)), digits(10), amount(), device_time(), option::of(digits(7)))
        .prop_map(|(common, card, amount, time, mode)| {
            common.with("card", card).with("amount", amount).with("time", time).with_some("mode", mode)
        });
    let meal = (common(code_word(Code::Meal)), digits(10), device_time())
        .prop_map(|(common, card, time)| common.with("card", card).with("time", time));
    let basis = option::of(select(vec!["amount", "count"]));
    let offline = (common(code_word(Code::Offline)), field(), field(), field(), basis, field(), field()).prop_map(
        |(common, card, amount, time, basis, record, held)| {
            common
                .with("card", card)
                .with("amount", amount)
                .with("time", time)
                .with_some("basis", basis)
                .with("record", record)
                .with("held", held)
        },
    );
    let keys = (common(code_word(Code::Keys)), field()).prop_map(|(common, keys)| common.with("keys", keys));
    let confirm =
        (common(code_word(Code::Confirm)), pattern("([!-~]([ -~]{0,50}[!-~])?)?")).prop_map(|(mut common, rest)| {
            common.values.retain(|(key, _)| key != "serial");
            common.with("rest", rest)
        });
    let code = pattern("([!-~]([ -~]{0,100}[!-~])?)?");
    let scan = (common(code_word(Code::Scan)), pattern("[!-+.-~]{1,20}"), amount(), device_time(), code).prop_map(
        |(common, command, amount, time, code)| {
            common.with("command", command).with("amount", amount).with("time", time).with("code", code)
        },
    );
    let pin =
        (select(PinKind::ALL.to_vec()), option::of(digits(8)), option::of(digits(10))).prop_map(|(kind, pin, card)| {
            let card = if kind == PinKind::DoorPin { card } else { card.or(Some("7".to_owned())) };
            (pin_kind_word(kind), pin.filter(|_| kind != PinKind::None), card.unwrap_or_default())
        });
    let access = (common(code_word(Code::Access)), digits(10), digits(10), any::<u32>(), pin, device_time()).prop_map(
        |(common, reader, door, open, (kind, pin, card), time)| {
            common
                .with("card", card)
                .with("reader", reader)
                .with("door", door)
                .with("open", open.to_string())
                .with("pin_kind", kind)
                .with_some("pin", pin)
                .with("time", time)
        },
    );
    let unknown_code = (0..1000_u16).prop_filter("a known code", |code| {
        *code != 100
            && Code::from_number(*code).is_none()
            && posgate::engine::wire::ReplyCode::from_number(*code).is_none()
    });
    let unknown = (unknown_code, digits(10))
        .prop_map(|(code, seq)| Meaning::new("unknown").with("code", format!("{code:03}")).with("seq", seq));
    prop_oneof![found(), unknown, boot, inquiry, charge, meal, offline, keys, confirm, scan, access]
}

/// A reply of any code, as its meaning.
fn reply() -> impl Strategy<Value = Meaning> {
    let trailer = || pattern("[0-9]{1,2},[0-9],[0-9]");
    let to_machine =
        |word: &'static str| digits(10).prop_map(move |machine| Meaning::new(word).with("machine", machine));
    let shown = |meaning: Meaning, text: Vec<u8>, trailer: String| meaning.with("text", text).with("trailer", trailer);
    let ack = digits(10).prop_map(|seq| Meaning::new("ack").with("seq", seq));
    let set_clock = (to_machine("set-clock"), 0..4_000_000_000_i64)
        .prop_map(|(meaning, time)| meaning.with("time", posgate::engine::model::Civil(time).to_string()));
    let decline = (to_machine("decline"), field(), text(), trailer())
        .prop_map(move |(meaning, subject, text, trailer)| shown(meaning.with("subject", subject), text, trailer));
    let approve = (to_machine("approve"), field(), field(), text(), trailer()).prop_map(
        move |(meaning, subject, amount, text, trailer)| {
            shown(meaning.with("subject", subject).with("amount", amount), text, trailer)
        },
    );
    let show =
        (to_machine("show"), text(), trailer()).prop_map(move |(meaning, text, trailer)| shown(meaning, text, trailer));
    let release = (to_machine("release"), field(), field(), field(), field()).prop_map(
        |(meaning, card, amount, time, record)| {
            meaning.with("card", card).with("amount", amount).with("time", time).with("record", record)
        },
    );
    let admit = (to_machine("admit"), field(), text(), trailer(), digits(10), digits(10), any::<(u32, u32)>())
        .prop_map(move |(meaning, card, text, trailer, reader, door, (relay, left_open))| {
            shown(meaning.with("card", card), text, trailer)
                .with("reader", reader)
                .with("door", door)
                .with("relay", relay.to_string())
                .with("left_open", left_open.to_string())
        });
    let refuse = (to_machine("refuse"), field(), text(), trailer())
        .prop_map(move |(meaning, card, text, trailer)| shown(meaning.with("card", card), text, trailer));
    prop_oneof![
        Just(Meaning::new("discover")),
        ack,
        to_machine("ask-time"),
        set_clock,
        decline,
        approve,
        show,
        release,
        admit,
        refuse,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic_a_parser(bytes in vec(any::<u8>(), 0..DATAGRAM_LEN_MAX + 100)) {
        chew(&bytes);
    }

    #[test]
    fn no_fields_panic_a_parser(code in select(vec!["100", "101", "103", "105", "109", "128", "150", "008", "050"]),
                                fields in vec(field(), 0..16)) {
        chew(&[code.as_bytes(), &fields.join(&b","[..])].join(&b","[..]));
    }

    #[test]
    fn no_change_to_a_vector_panics_a_parser(
        which in any::<Index>(),
        changes in vec((any::<Index>(), prop_oneof![Just(b','), Just(b' '), Just(0), any::<u8>()], 0..4_u8), 1..8),
    ) {
        let vectors: Vec<_> = crate::requests().into_iter().chain(crate::replies()).collect();
        let all: Vec<_> = vectors.iter().flat_map(crate::Vector::all_bytes).collect();
        let mut bytes = (*which.get(&all)).clone();
        for (place, byte, change) in changes {
            let place = place.index(bytes.len() + 1);
            match change {
                0 => bytes.truncate(place),
                1 => bytes.insert(place, byte),
                2 if place < bytes.len() => bytes[place] = byte,
                _ if place < bytes.len() => { bytes.remove(place); }
                _ => (),
            }
        }
        chew(&bytes);
    }

    #[test]
    fn every_request_is_read_as_it_was_emitted(meaning in request()) {
        let request = meaning.request();
        let mut out = Buffer::new();
        request.emit(&mut out);
        let again = parse(&out).expect("a frame");
        prop_assert_eq!(&again, &request);
        // Numbers compare by value; their width is kept too.
        prop_assert_eq!(Meaning::of_request(&again), Meaning::of_request(&request));
    }

    #[test]
    fn every_reply_is_read_as_it_was_emitted(meaning in reply()) {
        let reply = meaning.reply();
        let mut out = Buffer::new();
        reply.emit(&mut out);
        let again = Reply::parse(&out).expect("a reply");
        prop_assert_eq!(&again, &reply);
        prop_assert_eq!(Meaning::of_reply(&again), Meaning::of_reply(&reply));
    }
}
