//! Chinese sentences for refusals, by reason word. The sentence in the answer itself, which names
//! cards and amounts, is always English.

/// The Chinese sentence for a reason word; `None` if the word is unknown, such as one of a later
/// version.
pub fn in_chinese(reason: &str) -> Option<&'static str> {
    SENTENCES.iter().find(|(word, _)| *word == reason).map(|(_, sentence)| *sentence)
}

/// Reason words with their sentences. A sentence fits every refusal with its word.
const SENTENCES: &[(&str, &str)] = &[
    ("unknown-card", "卡表和账本里都没有这张卡：核对卡号，或者加进卡表再重读"),
    ("not-in-table", "卡表里没有这张卡，或者没有接替它的那张：加进卡表再重读；只动这张卡的钱，也可以用 adjust、payout"),
    ("closed", "这张卡已注销：请写在用的卡；已注销的用 adjust、payout 结清；要换新卡，用 `account` 把新卡放到它的账户"),
    ("replaced", "这张卡已补办新卡：请写新卡号，`posgate ctl card` 可以看到"),
    ("table-says", "这是卡表里写的状态：在卡表里改，再重读"),
    ("other-state", "这张卡不是这个状态：用与它的状态对应的命令；已注销的不能恢复"),
    ("zero", "什么也不会变：请写大于 0.00 的金额，或者次数"),
    ("negative", "金额是负的：不要写负号，或者用 adjust"),
    ("too-much", "超过一次操作的上限：请写小一些"),
    ("overdraw", "账户里没有这么多：每个钱包最多只能拿出里面有的；补贴不能退成现金"),
    ("busy", "正在给所有人的补贴清零：请稍后再办，`posgate ctl status` 可以看进度"),
    ("cleared", "这笔补贴之后已经清零：没有可以收回的了"),
    ("no-such-entry", "这里的账本没有这条流水：用 `posgate ledger show` 核对流水号；已归档的用 adjust 补"),
    ("unreadable", "读不出这条流水：请执行 `posgate ledger verify`；其间可以用 adjust 改余额"),
    ("not-a-sale", "这条流水不是已入账的消费、充值或补贴：只有这些能撤销"),
    ("already-voided", "这一笔已经全部撤销"),
    ("more-than-left", "这一笔没有这么多可以撤销"),
    ("not-a-claim", "这条流水不是未入账的脱机消费：`--about` 要写详情里有 claimed= 的那条"),
    ("other-card", "这条流水是别的卡的：请写那张卡，或者接替它的卡"),
    ("already-settled", "这条流水已经补记过：要改就用不带 `--about` 的 adjust"),
    ("too-old", "这笔消费太早，不知道是否撤销过：用 adjust"),
    ("purse-unknown", "付这笔消费的账户后来换过两次名，不知道现在是哪个：用 adjust"),
    ("same-card", "卡不能补给自己：先写旧卡，再写新卡"),
    ("new-card-has-account", "新卡已经有人用过：换一张没人用过的"),
    ("new-card-has-figures", "卡表给新卡写了余额、补贴或次数：把这几列清空，再重读"),
    ("new-card-stopped", "新卡不是正常状态：先恢复它，或者换一张"),
    ("own-account", "以 @ 开头的只能是卡自己的账户：请写卡表里那样的编号，例如学号"),
    ("same-account", "这张卡已经在这个账户上：不用做什么"),
    ("no-such-account", "卡表和账本里都没有这个账户：用 `posgate ctl cards --search` 核对"),
    ("account-taken", "这个编号已经有人用：换一个，或者用 `account` 逐张把卡放过去"),
    ("too-many-cards", "卡太多：删掉卡表里不用的卡，或者用 `account` 逐张把卡放过去"),
    ("same-holder", "卡表里还没有写新的持卡人：写上没有人用的编号，重读，再 reissue"),
    ("too-many-links", "连续补办的卡太多，卡表里一张也没有：把最新的加进卡表，再重读"),
    (
        "key-used",
        "这个操作编号、或者这张卡在这个名称下，已经办过别的事：单笔请换一个操作编号；批量文件里请把这一行改回原样，确实还要办的，只把这一行另写一个文件、另起名称（整份文件换名称会重复入账）；同一个名称下按卡号办过的，不能再按工号办，反过来也一样",
    ),
    ("name-forgotten", "这个名称用得太早，记不清做过哪些：看 `posgate ledger show`，没做过的用另一个名称"),
    ("other-holder", "卡表里的持卡人不是这个姓名：核对卡号或姓名"),
    ("full", "账本写不进：给它所在的盘腾出空间，再来一遍"),
    ("no-name", "这个服务器不能给分支编号：请带配置启动"),
    ("not-rolled-back", "没有要确认的旧副本：不用做什么"),
    ("not-seen", "启动以来没有收到过这个机号的报文，不知道它的地址：先让它发一次"),
    ("quarantined", "没有 `config device` 登记这个机号，没登记的不服务：加一段，再重读"),
    ("no-door", "没有 `config door` 写着这扇门：加一段，再重读"),
    ("clock-unset", "时钟还不可信：校准它，或者用 `posgate ctl clock-accept` 认可"),
    ("bad-text", "要显示的文字是一行，不为空，没有半角逗号：逗号写成 ，换行写成 \\n"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::server::Refused;

    #[test]
    fn every_reason_has_a_sentence_and_every_sentence_a_reason() {
        for word in Refused::WORDS {
            assert!(in_chinese(word).is_some_and(|sentence| !sentence.is_ascii()), "{word}");
        }
        for (word, _) in SENTENCES {
            assert!(Refused::WORDS.contains(word), "{word}");
        }
        assert_eq!(in_chinese("of-a-later-version"), None);
    }
}
