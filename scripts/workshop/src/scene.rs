#[derive(clap::Args)]
pub struct Args {}
pub fn scene(_: &Args) -> anyhow::Result<i32> {
    Ok(0)
}
