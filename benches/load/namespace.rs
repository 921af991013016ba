//! The namespace in which a load works: it must be empty before, and the load removes from it what it made.

use strongroom_client::Client;
use tokio::task::JoinSet;

use crate::messages::{MADE_BY, Messages};

/// The requests at a time while secrets are made or removed.
const AT_A_TIME: usize = 16;

pub type Failure = Box<dyn std::error::Error>;

/// A namespace of the load.
pub struct Namespace {
    client: Client,
    name: String,
}

impl Namespace {
    pub fn new(client: &Client, name: &str) -> Self {
        Self { client: client.in_namespace(name), name: name.to_owned() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fails if the namespace holds any secret.
    pub async fn expect_empty(&self) -> Result<(), Failure> {
        match self.client.list().page_size(1).stream().next().await.transpose()? {
            None => Ok(()),
            Some(_) => Err(format!(
                "the namespace {} holds secrets already. Give another one, or remove what an earlier load left there: --clean",
                self.name
            )
            .into()),
        }
    }

    /// Creates the secrets that the load needs.
    pub async fn fill(&self, messages: &Messages) -> Result<(), Failure> {
        let create = |number| {
            let (secrets, message) = (self.client.secrets(), messages.prepared(number));
            async move { secrets.create(message).await.map(drop) }
        };
        in_turns((0..messages.secrets).map(create)).await
    }

    /// Deletes every secret that a load made in it. Gives their number.
    pub async fn remove(&self) -> Result<usize, Failure> {
        let mut removed = 0;
        // Until there are none: a create that was given up can end late.
        loop {
            let mut made = self.client.list().page_size(1000).matching(MADE_BY.0, MADE_BY.1).stream();
            let mut names = Vec::new();
            while let Some(secret) = made.next().await {
                names.push(secret?.name);
            }
            if names.is_empty() {
                return Ok(removed);
            }
            removed += names.len();
            let delete = |name: String| {
                let client = self.client.clone();
                async move { client.delete(name).await.map(drop) }
            };
            in_turns(names.into_iter().map(delete)).await?;
        }
    }
}

/// Makes calls, some of them at a time. Ends at the first that fails.
async fn in_turns<F>(calls: impl Iterator<Item = F>) -> Result<(), Failure>
where
    F: Future<Output = Result<(), strongroom_client::Error>> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    for call in calls {
        if under_way.len() == AT_A_TIME
            && let Some(ended) = under_way.join_next().await
        {
            ended??;
        }
        under_way.spawn(call);
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(())
}
