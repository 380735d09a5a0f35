//! Reads `order …` and `would …` of the tables of steps as orders to the server.

use posgate::engine::gbk;
use posgate::engine::model::order::{Clearing, Holder, KeyText, Note, Operator, Purpose, Undone};
use posgate::engine::model::{
    AccountId, Act, Balance, CardNo, Done, EntrySeq, Figures, Key, MachineNo, Mark, Money, Order, Subject, UnitNo, Way,
};
use posgate::engine::server::Refused;

/// Reads the words of a step. `find` returns an entry by its label; without `key=` the key is
/// `fresh_key`.
pub fn read(words: &[String], fresh_key: &str, find: impl Fn(&str) -> Option<EntrySeq>) -> Result<Order, &'static str> {
    let mut plain = Vec::new();
    let mut key = Key::Own(KeyText::try_from(fresh_key).map_err(|_| "too long a key")?);
    let mut holder = Holder::new();
    let (mut by, mut note, mut more_uses) = (Operator::try_from("li").expect("two bytes"), Note::new(), 0);
    let (mut about, mut of_card) = (None, None);
    for word in words {
        match word.split_once('=') {
            Some(("key", text)) => key = Key::Own(KeyText::try_from(text).map_err(|_| "too long a key")?),
            Some(("for", text)) => {
                key = Key::For { name: Purpose::try_from(text).map_err(|_| "too long a name")?, nth: 1 };
            }
            Some(("nth", text)) => match &mut key {
                Key::For { nth, .. } => *nth = text.parse().map_err(|_| "which row?")?,
                Key::Own(_) => return Err("for=NAME before nth=N"),
            },
            Some(("name", text)) => holder = Holder::from_slice(&gbk::encode_data(text, 40)).expect("it was cut"),
            Some(("by", text)) => by = Operator::try_from(text).map_err(|_| "too long a name")?,
            Some(("note", text)) => note = Note::try_from(text).map_err(|_| "too long a note")?,
            Some(("about", text)) => about = Some(find(text).ok_or("no such label")?),
            Some(("card", text)) => of_card = Some(CardNo::parse(text.as_bytes()).ok_or("no card")?.padded()),
            Some(("uses", text)) => more_uses = text.parse().map_err(|_| "how many uses?")?,
            Some(_) => return Err("no such word: key for nth name by note about card uses"),
            None => plain.push(word.as_str()),
        }
    }
    let card = |text: &str| CardNo::parse(text.as_bytes()).ok_or("no card");
    let money = |text: &str| Balance::parse(text.as_bytes()).ok_or("no amount");
    let mark = |text: &str, mark| Ok::<_, &str>(Act::Mark { card: card(text)?, mark });
    let subject = |text: &str| match text.strip_prefix("account:") {
        Some(name) => AccountId::try_from(name).map(Subject::Account).map_err(|_| "too long a name"),
        None => card(text).map(Subject::Card),
    };
    let moves = |way, text: &str, amount| {
        Ok::<_, &str>(Act::Move { way, subject: subject(text)?, amount: money(amount)?, uses: more_uses })
    };
    let act = match plain.as_slice() {
        ["adjust", number, amount] if about.is_some() => Act::Settle {
            claim: about.unwrap_or_default(),
            card: card(number)?,
            amount: money(amount)?,
            uses: more_uses,
        },
        ["topup", card, amount] => moves(Way::TopUp, card, amount)?,
        ["subsidy", card, amount] => moves(Way::Subsidy, card, amount)?,
        ["clear", "all"] => Act::ClearAll,
        ["clear", card] => Act::Clear { subject: subject(card)? },
        ["payout", card, amount] => moves(Way::PayOut, card, amount)?,
        ["adjust", card, amount] => moves(Way::Adjust, card, amount)?,
        ["void", sale, rest @ ..] => {
            let amount = match rest {
                [] => None,
                [amount] => Some(Money::parse(amount.as_bytes()).ok_or("no amount")?),
                _ => return Err("void LABEL [AMOUNT]"),
            };
            Act::Void { sale: find(sale).ok_or("no such label")?, amount, card: of_card }
        }
        ["lost", card] => mark(card, Mark::Lost)?,
        ["found", card] => mark(card, Mark::Found)?,
        ["freeze", card] => mark(card, Mark::Frozen)?,
        ["unfreeze", card] => mark(card, Mark::Unfrozen)?,
        ["close", card] => mark(card, Mark::Closed)?,
        ["replace", old, new] => Act::Link { old: card(old)?, new: card(new)? },
        ["account", number, account] => {
            Act::Account { card: card(number)?, account: AccountId::try_from(*account).map_err(|_| "too long a name")? }
        }
        ["rename", old, new] => Act::Rename {
            old: AccountId::try_from(*old).map_err(|_| "too long a name")?,
            new: AccountId::try_from(*new).map_err(|_| "too long a name")?,
        },
        ["reissue", number] => Act::Reissue { card: card(number)? },
        ["open", machine, door] => Act::Open {
            machine: MachineNo::parse(machine.as_bytes()).ok_or("no machine")?,
            door: UnitNo::parse(door.as_bytes()).ok_or("no door")?,
        },
        _ => return Err("no such order"),
    };
    Ok(Order { act, key, holder, by, note })
}

/// An answer as a table of steps writes it.
pub fn answer(done: Result<Done, Refused>) -> String {
    match done {
        Ok(Done { is_again, account, undone, clearing, .. }) => {
            let mut words = vec![if is_again { "again" } else { "done" }.to_owned()];
            if let Some((id, Figures { balance, subsidy, uses })) = account {
                let subsidy = if subsidy == Balance::ZERO { String::new() } else { format!("+{subsidy}") };
                words.push(format!("{id} {balance}{subsidy} {uses}"));
            }
            let Undone { cash, subsidy, cleared, rest } = undone.unwrap_or_default();
            if cleared != Balance::ZERO {
                words.push(format!("cleared {cleared}"));
            }
            if rest != Money::ZERO && cash + subsidy <= Balance::ZERO {
                words.push(format!("rest {rest}"));
            }
            if let Some(clearing @ Clearing { accounts, sum, .. }) = clearing {
                words.push(format!("{accounts} accounts {sum}{}", if clearing.is_done() { "" } else { " so far" }));
            }
            words.join(" ")
        }
        Err(refused) => format!("refused {}: {refused}", refused.word()),
    }
}
