//! What a misspelt word was probably meant to be.

use crate::visible::typed;

/// The longest word that could be meant for another; a longer one would take its time.
const LONGEST: usize = 200;

/// The word of `known` closest to `word`, if one is close.
///
/// Close is one slip of the keyboard (a letter more, less, other, or swapped with its neighbour)
/// for every three letters, at least one; upper and lower case, `-` and `_` count as the same. A
/// known word that `word` begins with, or the other way round, is close too, from three letters on.
/// The first of equally close ones wins.
pub fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    if word.len() > LONGEST {
        return None;
    }
    let word = plain(word);
    let allowed = (word.chars().count() / 3).max(1);
    let closest = known
        .iter()
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, candidate)| candidate);
    let begun = || {
        known.iter().find(|candidate| {
            let candidate = plain(candidate);
            let (short, long) = if word.len() < candidate.len() {
                (&word, &candidate)
            } else {
                (&candidate, &word)
            };
            short.chars().count() >= 3 && long.starts_with(short.as_str())
        })
    };
    closest
        .or_else(begun)
        .map(|candidate| (*candidate).to_owned())
}

/// The message for a word that is none of `known`: ``unknown key `gama`: did you mean `gamma`? (lr,
/// gamma)``.
pub fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    let meant = did_you_mean(word, known);
    let word = typed(word);
    match meant {
        Some(meant) => format!("unknown {what} `{word}`: did you mean `{meant}`? ({list})"),
        None => format!("unknown {what} `{word}` ({list})"),
    }
}

fn plain(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = [
        "constant",
        "linear",
        "cosine",
        "step",
        "fixed",
        "linear-decay",
    ];

    #[test]
    fn slips_are_understood() {
        for (word, meant) in [
            ("cosin", "cosine"),
            ("csoine", "cosine"),
            ("Cosine", "cosine"),
            ("setp", "step"),
            ("const", "constant"),
            ("CosineAnnealingLR", "cosine"),
            ("linear_decay", "linear-decay"),
            ("linear", "linear"),
        ] {
            assert_eq!(did_you_mean(word, &KNOWN).as_deref(), Some(meant), "{word}");
        }
    }

    #[test]
    fn what_is_far_from_everything_stays_unknown() {
        for word in ["", "x", "st", "exponential", "été"] {
            assert_eq!(did_you_mean(word, &KNOWN), None, "{word}");
        }
        assert_eq!(did_you_mean("cosine", &[]), None);
    }

    #[test]
    fn the_message_lists_what_there_is() {
        assert_eq!(
            unknown("key", "gama", &["lr", "gamma"]),
            "unknown key `gama`: did you mean `gamma`? (lr, gamma)"
        );
        assert_eq!(
            unknown("key", "momentum", &["lr", "gamma"]),
            "unknown key `momentum` (lr, gamma)"
        );
    }
}
