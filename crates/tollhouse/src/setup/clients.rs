//! Where MCP clients keep the servers they start, per operating system, and how they write them.

use std::path::{Path, PathBuf};

use crate::config::env::Environment;

/// A client whose file is read and changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    /// Claude Desktop.
    ClaudeDesktop,
    /// Claude Code; the servers of all projects.
    ClaudeCode,
    /// Cursor; likewise.
    Cursor,
    /// Visual Studio Code; likewise.
    VsCode,
    /// Windsurf.
    Windsurf,
    /// Gemini CLI.
    Gemini,
    /// Codex: the command line, the editor extension and the app.
    Codex,
}

impl Client {
    /// In the order they are looked for.
    pub(crate) const ALL: [Self; 7] =
        [Self::ClaudeDesktop, Self::ClaudeCode, Self::Cursor, Self::VsCode, Self::Windsurf, Self::Gemini, Self::Codex];

    /// The word for it on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "claude-desktop",
            Self::ClaudeCode => "claude-code",
            Self::Cursor => "cursor",
            Self::VsCode => "vscode",
            Self::Windsurf => "windsurf",
            Self::Gemini => "gemini",
            Self::Codex => "codex",
        }
    }

    /// What people call it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::VsCode => "VS Code",
            Self::Windsurf => "Windsurf",
            Self::Gemini => "Gemini CLI",
            Self::Codex => "Codex",
        }
    }

    /// Where it keeps its servers; `None` without a home directory.
    pub(crate) fn file(self, env: &dyn Environment) -> Option<PathBuf> {
        let folder = |name: &str| env.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = folder("HOME").or_else(|| folder("USERPROFILE"))?;
        let apps = if cfg!(target_os = "macos") {
            home.join("Library/Application Support")
        } else if cfg!(windows) {
            folder("APPDATA").unwrap_or_else(|| home.join("AppData/Roaming"))
        } else {
            folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"))
        };
        Some(match self {
            Self::ClaudeDesktop => apps.join("Claude/claude_desktop_config.json"),
            Self::ClaudeCode => folder("CLAUDE_CONFIG_DIR").unwrap_or(home).join(".claude.json"),
            Self::Cursor => home.join(".cursor/mcp.json"),
            Self::VsCode => apps.join("Code/User/mcp.json"),
            Self::Windsurf => home.join(".codeium/windsurf/mcp_config.json"),
            Self::Gemini => home.join(".gemini/settings.json"),
            Self::Codex => folder("CODEX_HOME").unwrap_or_else(|| home.join(".codex")).join("config.toml"),
        })
    }

    /// Whose file it is, by its name, and where that says nothing by its content: VS Code alone writes `servers`.
    pub(crate) fn of(file: &Path, text: &str) -> Self {
        let ends = |tail: &str| file.ends_with(tail);
        if ends("claude_desktop_config.json") {
            Self::ClaudeDesktop
        } else if ends(".cursor/mcp.json") {
            Self::Cursor
        } else if ends("mcp_config.json") {
            Self::Windsurf
        } else if ends(".gemini/settings.json") {
            Self::Gemini
        } else if super::layout::is_toml(file) {
            Self::Codex
        } else if !text.contains("\"mcpServers\"") && text.contains("\"servers\"") {
            Self::VsCode
        } else {
            Self::ClaudeCode
        }
    }

    /// How it writes the value of the variable `name` of its own environment; `None` if it fills nothing in.
    pub(crate) fn reference(self, name: &str) -> Option<String> {
        match self {
            Self::ClaudeDesktop => None,
            Self::ClaudeCode | Self::Gemini | Self::Codex => Some(format!("${{{name}}}")),
            Self::Cursor | Self::VsCode | Self::Windsurf => Some(format!("${{env:{name}}}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_client_is_found_where_it_keeps_its_servers_and_known_again_by_its_file() {
        let env = BTreeMap::from([("HOME", "/h")]);
        for client in Client::ALL {
            let file = client.file(&env).unwrap();
            assert!(file.starts_with("/h"), "{file:?}");
            let text = if client == Client::VsCode { "{\"servers\": {}}" } else { "" };
            assert_eq!(Client::of(&file, text), client);
        }
        let moved = BTreeMap::from([("HOME", "/h"), ("CODEX_HOME", "/c"), ("CLAUDE_CONFIG_DIR", "/k")]);
        assert_eq!(Client::Codex.file(&moved).as_deref(), Some(Path::new("/c/config.toml")));
        assert_eq!(Client::ClaudeCode.file(&moved).as_deref(), Some(Path::new("/k/.claude.json")));
    }
}
