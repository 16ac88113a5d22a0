//! A client that asks the gateway all the time, and forgets no answer.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Between two requests: a person's load, for as long as the test runs.
const INTERVAL: Duration = Duration::from_millis(20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// So many requests show both versions: v2 gets one in ten.
const REQUESTS_MIN: u64 = 200;

pub(crate) struct Traffic {
    stop: oneshot::Sender<()>,
    client: JoinHandle<BTreeMap<String, u64>>,
}

impl Traffic {
    pub(crate) fn start(url: String) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, client: tokio::spawn(ask(url, stopped)) }
    }

    /// Ends it. Every answer must have been a service's, and each version must have answered.
    pub(crate) async fn stop_and_check(self) {
        self.stop.send(()).expect("the client runs");
        let answers = self.client.await.unwrap();
        let total: u64 = answers.values().sum();
        assert!(total >= REQUESTS_MIN, "too few requests to say anything: {answers:?}");
        assert_eq!(answers.keys().collect::<Vec<_>>(), ["v1", "v2"], "{answers:?}");
    }
}

/// Counts the answers; what went wrong counts as an answer of its own.
async fn ask(url: String, mut stop: oneshot::Receiver<()>) -> BTreeMap<String, u64> {
    let client = reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build().unwrap();
    let mut answers = BTreeMap::new();
    while stop.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        let answer = match client.get(&url).send().await {
            Ok(answer) => {
                let status = answer.status();
                let text = answer.text().await.unwrap_or_else(|error| error.to_string());
                if status == 200 { text.trim().to_owned() } else { format!("{status}: {text}") }
            }
            Err(error) => format!("{error:?}"),
        };
        *answers.entry(answer).or_default() += 1;
        tokio::time::sleep(INTERVAL).await;
    }
    answers
}
