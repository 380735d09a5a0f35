//! Random frames, waits, restarts and reloads: nothing panics, a frame sent again right after
//! itself gets the same answer and books nothing, and a server that replays the ledger has the same
//! state.

use std::net::{Ipv4Addr, SocketAddrV4};

use posgate::engine::gbk;
use posgate::engine::model::order::{Holder, KeyText, Note, Operator, Purpose};
use posgate::engine::model::{
    AccountId, Act, Balance, CardNo, Civil, EntrySeq, Key, Kind, MachineNo, Mark, Money, Order, Subject, UnitNo, Way,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::world::{Event, Happened, World, bench};

/// A configuration with every rule, so that frames meet them all.
const CONFIG: &str = "
config server
  option rate_source 0
  option offline_max 50.00
config device
  option machine 00001
  list place canteen
  list group staff
config device
  option machine 00002
  option serial 1234567890
config period
  option name lunch
  option from 10:30
  option to 13:30
  list place canteen
  option uses_max 2
config period
  option name dinner
  option from 16:30
  option to 19:00
  list place canteen
  option price 3.00
config door
  option machine 00003
  option door 1
  option pin card
  option open_pin 2468
  option passback_s 10
config door
  option machine 00003
  option door 2
  list group staff
  option from 06:00
  option to 23:00
";

/// Two tables, since a reload or restart may install the other.
const CARDS: [&str; 2] = [
    "card,account,name,status,balance,subsidy,uses,groups,pin,duress_pin,charge_max,day_max,credit,code
1,,甲,,20.00,3.00,3,staff,1234,4321,,,,M1
2,F1,乙,,5.00,,0,staff,,,,,2.00,M2
3,F1,丙,,,,,,1111,,3.00,6.00,,
4,,丁,lost,9.00,2.50,9,staff,1234,,,,,M4
",
    "card,account,name,status,balance,subsidy,uses,groups,pin,duress_pin,charge_max,day_max,credit,code
1,,甲,frozen,1.00,3.00,1,staff,1234,4321,,,,M1
2,F1,乙,,50.00,,0,staff,,,,,2.00,M2
3,F1,丙,,,,,,1111,,3.00,6.00,,
4,,丁,,9.00,2.50,9,staff,1234,,,,,M4
5,,戊,,7.00,1.00,0,,,,,,,
",
];

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a handful of them in a test")]
enum Op {
    /// A frame, from this address; a position and a byte to spoil it with.
    Send { from: u8, frame: String, spoiled: Option<(usize, u8)> },
    /// Time passes.
    Wait(u64),
    /// A kill and a start, with this table.
    Restart(usize),
    /// A SIGHUP, with this table.
    Reload(usize),
    /// Somebody sets the wall clock by this many seconds ahead or back.
    StepClock(i64),
    /// An operator gives an order, and then the same order with the same key.
    Order(Order),
}

/// When the run begins.
const NOON: &[u8] = b"2026-11-23 12:00:00";

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0..90_i64).prop_map(|second| civil(second).to_string()),
        2 => (-100_000..100_000_i64).prop_map(|second| civil(second).to_string()),
        1 => select(vec!["0000-00-00 00:00:00", "2012-04-20 11:12:13", "", "noon"]).prop_map(str::to_owned),
    ]
}

fn civil(after_s: i64) -> Civil {
    Civil::parse(NOON).expect("a date").minus_s(-after_s)
}

fn card() -> impl Strategy<Value = &'static str> {
    select(vec!["1", "0000000001", "2", "3", "4", "5", "9", ""])
}

fn amount() -> impl Strategy<Value = &'static str> {
    select(vec!["1.00", "1.00", "2.5", "0.00", "4", "60.00", "x"])
}

fn serial() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", ",1234567890", ",5555555555"])
}

fn body() -> impl Strategy<Value = (u16, String)> {
    prop_oneof![
        (time(), serial()).prop_map(|(time, serial)| (101, format!("{time}{serial}"))),
        (card(), serial()).prop_map(|(card, serial)| (102, format!("{card}{serial}"))),
        (card(), amount(), time(), serial())
            .prop_map(|(card, amount, time, serial)| (103, format!("{card},{amount},{time}{serial}"))),
        (card(), amount(), time(), serial())
            .prop_map(|(card, amount, time, serial)| (103, format!("{card},{amount},{time},2{serial}"))),
        (card(), time(), serial()).prop_map(|(card, time, serial)| (104, format!("{card},{time}{serial}"))),
        (card(), amount(), time(), 0..3_u8, 0..4_u8, serial()).prop_map(
            |(card, amount, time, kind, record, serial)| {
                (105, format!("{card},{amount},{time},{kind},{record},1{serial}"))
            }
        ),
        (select(vec!["F1", "F2"]), serial()).prop_map(|(keys, serial)| (106, format!("{keys}{serial}"))),
        select(vec!["", "008", "1", "00003", "junk"]).prop_map(|rest| (109, rest.to_owned())),
        (0..3_u8, amount(), time(), select(vec!["M1", "M2", "M4", "134567890123456789", "a,b"]), serial()).prop_map(
            |(command, amount, time, code, serial)| {
                let serial = if serial.is_empty() { "," } else { serial };
                (128, format!("{command},{amount},{time},0,{code}{serial}"))
            }
        ),
        (card(), 1..3_u8, 1..4_u8, select(vec![0, 30_u32]), 0..6_u8, select(vec!["", "1234", "4321", "2468"]), time())
            .prop_map(|(card, reader, door, open_s, kind, pin, time)| {
                (150, format!("{card},{reader},{door},{open_s},{kind},{pin},{time}"))
            }),
        Just((107, "?".to_owned())),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let number = || select(vec![1_u64, 2, 3, 4, 5, 9, 11, 12]).prop_map(CardNo::from_value);
    let way = select(vec![Way::TopUp, Way::Subsidy, Way::PayOut, Way::Adjust]);
    let amount = select(vec![-150_i64, 0, 1, 150, 400, 1_000_000_000]).prop_map(Balance::from_fen);
    let part =
        prop::option::of(select(vec![0_u32, 1, 50, 100, 250]).prop_map(|fen| Money::from_fen(fen).expect("few")));
    prop_oneof![
        4 => (way, number(), amount, select(vec![0, 0, 1, -1])).prop_map(|(way, card, amount, uses)| {
            Act::Move { way, subject: Subject::Card(card), amount, uses }
        }),
        2 => (number(), select(vec![150_i64, 400])).prop_map(|(card, amount)| {
            let (way, amount) = (Way::Subsidy, Balance::from_fen(amount));
            Act::Move { way, subject: Subject::Card(card), amount, uses: 0 }
        }),
        1 => select(vec!["F1", "@0000000001", "none"]).prop_map(|name| {
            let subject = Subject::Account(AccountId::try_from(name).expect("short"));
            Act::Move { way: Way::Subsidy, subject, amount: Balance::from_fen(150), uses: 0 }
        }),
        1 => number().prop_map(|card| Act::Clear { subject: Subject::Card(card) }),
        1 => Just(Act::ClearAll),
        6 => (1..60_u64, part).prop_map(|(sale, amount)| Act::Void { sale: EntrySeq(sale), amount, card: None }),
        3 => (number(), select(Mark::ALL.to_vec())).prop_map(|(card, mark)| Act::Mark { card, mark }),
        2 => (number(), number()).prop_map(|(old, new)| Act::Link { old, new }),
        1 => (1..5_u16, select(vec!["1", "2", "3"])).prop_map(|(machine, door)| Act::Open {
            machine: MachineNo::from_value(machine),
            door: UnitNo::parse(door.as_bytes()).expect("a digit"),
        }),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let own = (0..12_u8).prop_map(|key| Key::Own(KeyText::try_from(format!("k{key}").as_str()).expect("short")));
    let row = (0..2_u8, 1..3_u32)
        .prop_map(|(name, nth)| Key::For { name: Purpose::try_from(format!("f{name}").as_str()).expect("short"), nth });
    (act(), prop_oneof![4 => own, 1 => row]).prop_map(|(act, key)| {
        let (by, note) = (Operator::try_from("li").expect("short"), Note::new());
        Order { act, key, holder: Holder::new(), by, note }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let frame = (0..4_u8, 1..5_u8, 0..6_u32, body(), prop::option::weighted(0.05, (0..120_usize, any::<u8>())));
    let send = frame.prop_map(|(from, machine, seq, (code, body), spoiled)| {
        let from = if from == 0 { 99 } else { machine };
        Op::Send {
            from,
            frame: format!("{code},{seq:05},192.168.1.{machine},192.168.1.3,{machine:05},{body}"),
            spoiled,
        }
    });
    prop_oneof![
        30 => send,
        4 => (0..20_000_u64).prop_map(Op::Wait),
        1 => (0..7_200_000_u64).prop_map(Op::Wait),
        2 => (0..2_usize).prop_map(Op::Restart),
        1 => (0..2_usize).prop_map(Op::Reload),
        1 => select(vec![-4000, -50, 50, 4000, 100_000]).prop_map(Op::StepClock),
        14 => order().prop_map(Op::Order),
    ]
}

fn replies(happened: &[Happened]) -> Vec<(SocketAddrV4, Vec<u8>)> {
    let replies = happened.iter().filter_map(|happened| match &happened.event {
        Event::Reply { to, bytes, .. } => Some((*to, bytes.clone())),
        Event::Entry(_) | Event::Answer(_) => None,
    });
    // A device may get a 003 once per hour, whatever it sends.
    replies.filter(|(_, bytes)| !bytes.starts_with(b"003")).collect()
}

fn answer(happened: &[Happened]) -> String {
    let answers = happened.iter().filter_map(|happened| match &happened.event {
        Event::Answer(text) => Some(text.clone()),
        Event::Reply { .. } | Event::Entry(_) => None,
    });
    answers.collect()
}

fn play(ops: &[Op]) -> Result<(), String> {
    let mut bench = bench();
    let bench = &mut *bench;
    let mut world = World::new(CONFIG, CARDS[0]);
    world.begin_at(Civil::parse(NOON).expect("a date"));
    let mut ops = ops.iter();
    loop {
        let mut next_table = None;
        let mut server = world.boot(&mut bench.live, &mut bench.fx)?;
        for op in ops.by_ref() {
            match op {
                Op::Send { from, frame, spoiled } => {
                    let mut datagram = gbk::encode(frame);
                    if let Some((place, byte)) = spoiled
                        && let Some(spot) = datagram.get_mut(*place)
                    {
                        *spot = *byte;
                    }
                    let source = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, *from), 39_200);
                    world.take_happened();
                    world.deliver(source, &datagram, &mut server, &mut bench.fx)?;
                    let first = world.take_happened();
                    world.deliver(source, &datagram, &mut server, &mut bench.fx)?;
                    let again = world.take_happened();
                    if replies(&first) != replies(&again) {
                        return Err(format!("{frame} was answered {first:?} and then {again:?}"));
                    }
                    let is_committed =
                        |happened: &Happened| matches!(&happened.event, Event::Entry(entry) if entry.is_committed());
                    if let Some(committed) = again.iter().find(|happened| is_committed(happened)) {
                        return Err(format!("{frame} sent again led to {committed:?}"));
                    }
                }
                Op::Wait(ms) => world.pass(*ms, &mut server, &mut bench.fx)?,
                Op::Restart(table) => {
                    next_table = Some(*table);
                    break;
                }
                Op::Reload(table) => {
                    world.set_cards(CARDS[*table]);
                    // A table without too many of the cards is refused, and the old one stays.
                    if world.reload(&mut server, &mut bench.fx).is_err() {
                        world.set_cards(CARDS[1 - *table]);
                    }
                }
                Op::StepClock(seconds) => world.step_clock(*seconds),
                Op::Order(order) => {
                    world.take_happened();
                    world.order(order, &mut server, &mut bench.fx)?;
                    let first = answer(&world.take_happened());
                    world.order(order, &mut server, &mut bench.fx)?;
                    let happened = world.take_happened();
                    let again = answer(&happened);
                    // An order that was done gets the same answer again. A refused order is judged
                    // again.
                    let is_same = match first.strip_prefix("done") {
                        // The second answer may find it further.
                        Some(_) if matches!(order.act, Act::ClearAll) => again.starts_with("again"),
                        Some(rest) => again == format!("again{rest}"),
                        None => !again.starts_with("done"),
                    };
                    let has_entry = happened.iter().any(|happened| matches!(happened.event, Event::Entry(_)));
                    if !is_same || (has_entry && first.starts_with("done")) {
                        return Err(format!("{order:?} was answered {first:?} and then {happened:?}"));
                    }
                }
            }
        }
        world.check_life(&server, &mut bench.spare)?;
        check_voids(&world)?;
        match next_table {
            Some(table) => world.set_cards(CARDS[table]),
            None => return Ok(()),
        }
    }
}

/// Checks that voids never exceed their sale, and that a void in full gives all of it back.
fn check_voids(world: &World) -> Result<(), String> {
    let entries = world.ledger.entries()?;
    let voids =
        |sale: EntrySeq| entries.iter().filter(move |entry| entry.kind == Kind::Void && entry.about == Some(sale));
    for sale in entries.iter().filter(|entry| voids(entry.seq).next().is_some()) {
        let is_credit = matches!(sale.kind, Kind::TopUp | Kind::Subsidy);
        let back: i64 = voids(sale.seq).map(|void| void.undone().fen().abs()).sum();
        let uses: i32 = voids(sale.seq).map(|void| void.effect().uses.abs()).sum();
        let (took, used) = (sale.effect().money().fen().abs(), sale.effect().uses.abs());
        let cash: i64 = voids(sale.seq).map(|void| void.effect().balance.fen().abs()).sum();
        let whole = voids(sale.seq).filter(|void| !void.is_partial()).count();
        let is_right = match whole {
            0 => back < took && uses == 0,
            1 => back == took && uses == used,
            _ => false,
        };
        if !is_right || cash > sale.effect().balance.fen().abs() || (sale.sales() != 1 && !is_credit) {
            return Err(format!("of entry {} {took} and {used} were taken, {back} and {uses} given back", sale.seq));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 2, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_gives_the_same_state_and_a_repeated_frame_books_nothing(ops in prop::collection::vec(op(), 1..120)) {
        if let Err(what) = play(&ops) {
            return Err(TestCaseError::fail(what));
        }
    }
}
