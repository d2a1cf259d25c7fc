//! `/api/v1/settings`: the configuration in force, each value with where it comes from.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Asked;
use crate::settings::Setting;

/// The configuration in force.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SettingsView {
    /// The form of this document; it only gains members.
    pub schema_version: u32,
    /// Every key that has a value.
    pub settings: Vec<Setting>,
}

pub(super) async fn list(State(asked): State<Asked>) -> Json<SettingsView> {
    Json(SettingsView { schema_version: 1, settings: asked.settings.borrow().to_vec() })
}
