pub fn clean() -> anyhow::Result<i32> {
    Ok(0)
}
