//! The visitors: a cookie for each, and the number of views that the server counted for them.

use anyhow::{Context as _, Result, ensure};
use ureq::Agent;

#[derive(Clone, Debug)]
pub(crate) struct Visitors {
    pub(crate) cookies: Vec<String>,
    /// How many requests they made.
    pub(crate) requests: u64,
}

impl Visitors {
    pub(crate) fn new(port: u16, count: usize) -> Result<Self> {
        let agent = Agent::new_with_defaults();
        let mut cookies = Vec::new();
        for _ in 0..count {
            let (views, cookie) = visit(&agent, port, None)?;
            cookies.extend(cookie);
            // A server without sessions counts all visits together.
            ensure!(cookies.is_empty() || views == 1, "a first visit is counted as number {views}");
        }
        ensure!(cookies.is_empty() || cookies.len() == count, "some visitors have no cookie");
        // A second visit shows that the session is stored.
        for cookie in &cookies {
            let (views, _) = visit(&agent, port, Some(cookie))?;
            ensure!(views == 2, "a second visit is counted as number {views}");
        }
        let requests = 2 * cookies.len() as u64;
        Ok(Self { cookies, requests })
    }

    /// Returns how many requests were answered and not counted.
    pub(crate) fn lost(&self, port: u16) -> Result<u64> {
        let agent = Agent::new_with_defaults();
        let mut counted = 0;
        for cookie in &self.cookies {
            let (views, _) = visit(&agent, port, Some(cookie))?;
            counted += views - 1;
        }
        // The server may also have counted requests whose answer came too late.
        Ok(self.requests.saturating_sub(counted))
    }
}

/// Returns the number of views, and the cookie that is set.
fn visit(agent: &Agent, port: u16, cookie: Option<&str>) -> Result<(u64, Option<String>)> {
    let mut request = agent.get(format!("http://127.0.0.1:{port}/"));
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let mut response = request.call()?;
    let cookie = response.headers().get("set-cookie").map(|cookie| cookie.to_str()).transpose()?;
    let cookie = cookie.and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
    let body = response.body_mut().read_to_string()?;
    let views = body.split(['>', '<', ' ']).find_map(|word| word.parse().ok());
    Ok((views.with_context(|| format!("no number of views in {body}"))?, cookie))
}
