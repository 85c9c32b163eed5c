//! X
use crate::domain::Domain;
#[derive(Debug, Default, clap::Args)]
pub struct Size {}
pub const DEMO_LOGIN: &str = "demo";
pub const DEMO_PASSWORD: &str = "x";
pub async fn run(_: &Domain, _: &Size) -> anyhow::Result<()> {
    Ok(())
}
pub async fn run_once(_: &Domain, _: &Size) -> anyhow::Result<()> {
    Ok(())
}
