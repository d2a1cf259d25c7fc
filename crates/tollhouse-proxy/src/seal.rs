//! The state that a server hands to a client to bring back, sealed.
//!
//! MCP 2026-07-28, multi round-trip requests: a server that needs something of the client first answers
//! `input_required`, and its `requestState` comes back with the retry. A server can judge whether a state is its own and
//! untouched, and some do. At the endpoint of several servers that is not enough: there a client could bring the state
//! of one server to another, and neither it nor the server would know. So a state leaves that endpoint sealed, bound to
//! the request it was given for, and what comes back is the server's own, to the byte, or nothing.
//!
//! The key is of this process: a state does not outlive the gateway that sealed it.
//!
//! Path: answer → **`seal`** → client → **`seal`** → retry.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{Context, Digest, SHA256};
use tokio::time::Instant;
use tollhouse_core::clock;
use tollhouse_core::ids::ServerId;
use tollhouse_core::record::Principal;
use tollhouse_core::wire::members;

use crate::call::Call;

/// How long a person may take over one question.
const LIFE: Duration = Duration::from_mins(15);
/// The moment at which it ends, before the state itself.
const MOMENT: usize = size_of::<u64>();

/// Seals and opens states. One for each process.
pub(crate) struct Seal {
    key: LessSafeKey,
    /// Moments are counted from here.
    made: Instant,
}

/// Why a state is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// It is none of ours, was changed, or was given for another request.
    #[error("`requestState` was not given for this request: bring it back as it came, with the same arguments")]
    Foreign,
    #[error("`requestState` has expired: begin again without it")]
    Expired,
}

impl Seal {
    /// With a key that nobody else has.
    pub(crate) fn new() -> Self {
        let mut key = [0; 32];
        clock::secret_bytes(&mut key);
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("the key has the length of the cipher");
        Self { key: LessSafeKey::new(key), made: Instant::now() }
    }

    /// The state `raw`, as it is written, for the client of `call`: a JSON string.
    pub(crate) fn close(&self, raw: &[u8], call: &Call, server: &ServerId) -> Vec<u8> {
        let end = self.made.elapsed() + LIFE;
        let mut text = Vec::with_capacity(MOMENT + raw.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(&millis(end).to_be_bytes());
        text.extend_from_slice(raw);
        // Random: at 2^32 states in the life of one process two would be the same with a chance of 2^-32.
        let mut nonce = [0; NONCE_LEN];
        clock::secret_bytes(&mut nonce);
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bond(call, server)), &mut text)
            .expect("a message is far smaller than the cipher's limit");
        format!("\"{}\"", URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat())).into_bytes()
    }

    /// The server's own state in the JSON value `sealed`, which `call` brings back.
    ///
    /// # Errors
    /// Nothing of it may be sent on.
    pub(crate) fn open(&self, sealed: &[u8], call: &Call, server: &ServerId) -> Result<Vec<u8>, Broken> {
        let sealed = members::text(sealed).ok_or(Broken::Foreign)?;
        let mut text = URL_SAFE_NO_PAD.decode(sealed.as_bytes()).map_err(|_| Broken::Foreign)?;
        let (nonce, text) = text.split_first_chunk_mut::<NONCE_LEN>().ok_or(Broken::Foreign)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text = self.key.open_in_place(nonce, Aad::from(bond(call, server)), text).map_err(|_| Broken::Foreign)?;
        let (end, state) = text.split_first_chunk::<MOMENT>().ok_or(Broken::Foreign)?;
        if u64::from_be_bytes(*end) <= millis(self.made.elapsed()) {
            return Err(Broken::Expired);
        }
        Ok(state.to_vec())
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// All that a state is bound to: who asks whom for what.
fn bond(call: &Call, server: &ServerId) -> Digest {
    let principal: &[u8] = match &call.principal {
        Principal::Anonymous => b"anonymous",
    };
    let name = call.upstream_name().unwrap_or_default();
    let arguments = call.params.arguments.map_or(&b""[..], |span| call.envelope.raw(span));
    let mut context = Context::new(&SHA256);
    for part in [server.as_str().as_bytes(), principal, call.method.as_bytes(), name.as_bytes(), arguments] {
        // With its length, so that nothing can move from one part to the next.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish()
}

#[cfg(test)]
mod tests;
