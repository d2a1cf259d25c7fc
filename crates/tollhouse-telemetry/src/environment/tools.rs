//! Tools that are left out, by their exposed names, their own, or their servers'.

/// Names, in which `*` stands for any characters and `?` for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tools(Vec<String>);

impl Tools {
    /// Reads a list with commas.
    pub fn read(list: &str) -> Self {
        Self(list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is one of these names among them?
    pub fn hold(&self, names: &[&str]) -> bool {
        self.0.iter().any(|pattern| names.iter().any(|name| fits(pattern.as_bytes(), name.as_bytes())))
    }
}

/// Does a name fit a pattern? Looks at each byte a few times at most: after a mismatch the last star takes one more.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star = None;
    while read < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == name[read] => {
                at += 1;
                read += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    read = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_left_out_by_any_of_its_names() {
        let tools = Tools::read(" files , *secret*, read_?, ");
        for (names, held) in [
            (["files__read", "read", "files"], true),
            (["web__get_secrets", "get_secrets", "web"], true),
            (["web__read_1", "read_1", "web"], true),
            (["web__read_12", "read_12", "web"], false),
            (["filesystem__x", "x", "filesystem"], false),
        ] {
            assert_eq!(tools.hold(&names), held, "{names:?}");
        }
        assert!(!Tools::read("").hold(&[""]), "no list holds nothing");
    }
}
