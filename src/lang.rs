//! The language in which this program speaks to people: English or Chinese.
//!
//! What always holds: a text and its Chinese stand side by side where they are used, as a [`Text`]
//! or in [`tr!`](crate::tr), so that nobody adds one without the other. What scripts read stays as
//! it is in every language: the log, the ledger, status and metrics, JSON, and each word, name of a
//! column or exit code in a message.
//!
//! The language belongs to the thread: it is chosen once in `main`, before anything is said, and
//! tests do not disturb each other.

pub use crate::tr;

use std::cell::Cell;
use std::ffi::{OsStr, OsString};

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// English, where nothing else is asked for.
    En,
    /// Chinese, simplified.
    Zh,
}

thread_local! {
    static SPOKEN: Cell<Lang> = const { Cell::new(Lang::En) };
}

/// The language spoken. Not inlined, for size: every sentence asks.
#[inline(never)]
pub fn spoken() -> Lang {
    SPOKEN.get()
}

/// Speaks this language from now on.
pub fn speak(lang: Lang) {
    SPOKEN.set(lang);
}

impl Lang {
    /// As `--lang` names it.
    pub fn from_word(word: &OsStr) -> Option<Self> {
        match word.to_str()? {
            "en" => Some(Self::En),
            "zh" => Some(Self::Zh),
            _ => None,
        }
    }

    /// What the environment asks for: of LC_ALL, LC_MESSAGES and LANG the first that is not empty
    /// decides, as POSIX has it.
    pub fn of_locale(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(variable);
        let locale = set.into_iter().find(|locale| !locale.is_empty()).unwrap_or_default();
        if locale.as_encoded_bytes().starts_with(b"zh") { Self::Zh } else { Self::En }
    }
}

/// A text in both languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// In English.
    pub en: &'static str,
    /// In Chinese.
    pub zh: &'static str,
}

impl Text {
    /// No text.
    pub const NONE: Self = Self::new("", "");

    /// English, Chinese.
    pub const fn new(en: &'static str, zh: &'static str) -> Self {
        Self { en, zh }
    }

    /// In a language.
    pub const fn of(self, lang: Lang) -> &'static str {
        match lang {
            Lang::En => self.en,
            Lang::Zh => self.zh,
        }
    }

    /// In the language spoken.
    pub fn words(self) -> &'static str {
        self.of(spoken())
    }
}

/// A fixed text in the language spoken.
pub fn tr(en: &'static str, zh: &'static str) -> &'static str {
    Text::new(en, zh).words()
}

/// What `format!` makes of the text in the language spoken:
/// `tr!("line {line} is empty", "第 {line} 行是空的")`.
#[macro_export]
macro_rules! tr {
    ($en:literal, $zh:literal $(, $($argument:tt)*)?) => {
        match $crate::lang::spoken() {
            $crate::lang::Lang::En => ::std::format!($en $(, $($argument)*)?),
            $crate::lang::Lang::Zh => ::std::format!($zh $(, $($argument)*)?),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_not_empty_decides() {
        let locale = |all: &str, messages: &str, lang: &str| {
            let set = [("LC_ALL", all), ("LC_MESSAGES", messages), ("LANG", lang)];
            Lang::of_locale(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        for (all, messages, lang, wanted) in [
            ("", "", "", Lang::En),
            ("zh_CN.UTF-8", "en_US.UTF-8", "C", Lang::Zh),
            ("C", "zh_CN.UTF-8", "zh_CN.UTF-8", Lang::En),
            ("POSIX", "zh_CN", "zh_CN", Lang::En),
            ("", "zh_TW", "en_US", Lang::Zh),
            ("", "en_US", "zh_CN", Lang::En),
            ("", "", "zh", Lang::Zh),
            ("", "", "C.UTF-8", Lang::En),
            ("", "", "de_CH.UTF-8", Lang::En),
        ] {
            assert_eq!(locale(all, messages, lang), wanted, "{all} {messages} {lang}");
        }
        assert_eq!(Lang::of_locale(|_| None), Lang::En);
    }

    #[test]
    fn a_text_is_told_in_the_language_spoken() {
        let line = 3;
        let said = |lang| {
            speak(lang);
            (tr("empty", "空"), tr!("line {line}: {}", "第 {line} 行：{}", "x"))
        };
        assert_eq!(said(Lang::Zh), ("空", "第 3 行：x".to_owned()));
        assert_eq!(said(Lang::En), ("empty", "line 3: x".to_owned()));
    }

    #[test]
    fn only_two_languages_are_known() {
        let known = |word: &str| Lang::from_word(OsStr::new(word));
        assert_eq!([known("zh"), known("en")], [Some(Lang::Zh), Some(Lang::En)]);
        for word in ["", "fr", "ZH", "zh_CN", "English"] {
            assert_eq!(known(word), None, "{word}");
        }
    }
}
