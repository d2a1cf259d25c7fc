//! TODO
use super::Site;
pub(super) fn take(_site: &Site<'_>) -> anyhow::Result<()> {
    anyhow::bail!("not there")
}
