//! Calls: bounded in time, counted, their errors told apart.

use super::{error, levels::Levels, metrics::Metrics};
use crate::store::StoreError;
use scylla::{
    client::session::Session,
    response::{PagingState, query_result::QueryRowsResult},
    serialize::row::SerializeRow,
    statement::prepared::PreparedStatement,
};
use std::{ops::ControlFlow, time::Duration};
use tokio::time::{Instant, timeout};

/// What a call may have done when it doesn't end in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Read,
    /// Anything.
    Write,
}

/// The connection to the database.
pub struct Client {
    /// The driver.
    pub session: Session,
    /// What it tells of itself.
    pub metrics: Metrics,
    /// With which consistency.
    pub levels: Levels,
    /// Longest time of a call.
    pub deadline: Duration,
}

impl Client {
    /// One call of the port, of however many requests.
    pub async fn call<T>(
        &self,
        name: &'static str,
        kind: Kind,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let answer = timeout(self.deadline, call).await.unwrap_or_else(|_| {
            let why = format!("{name} took more than {} ms", self.deadline.as_millis());
            Err(if kind == Kind::Read { StoreError::Unavailable(why) } else { StoreError::Unknown(why) })
        });
        self.metrics.seconds.with_label_values(&[name]).observe(start.elapsed().as_secs_f64());
        if let Err(error) = &answer {
            let kind = match error {
                StoreError::Unavailable(_) => "unavailable",
                StoreError::Unknown(_) => "unknown",
                StoreError::Corrupt(_) => "corrupt",
            };
            self.metrics.failures.with_label_values(&[name, kind]).inc();
        }
        answer
    }

    /// Reads rows page by page, until there are no more or `page` has enough.
    pub async fn pages(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
        mut page: impl FnMut(&QueryRowsResult) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut state = PagingState::start();
        loop {
            let answer = self.session.execute_single_page(statement, &values, state).await;
            let (result, next) = answer.map_err(error::read)?;
            let rows = result.into_rows_result().map_err(|e| error::corrupt("the answer to a read", e))?;
            if page(&rows)?.is_break() {
                return Ok(());
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(()),
                ControlFlow::Continue(next) => state = next,
            }
        }
    }

    /// Reads all rows at once, as a read that settles something must.
    pub async fn rows(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, StoreError> {
        let result = self.session.execute_unpaged(statement, values).await.map_err(error::read)?;
        result.into_rows_result().map_err(|e| error::corrupt("the answer to a read", e))
    }

    /// Writes what has no condition.
    pub async fn write(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        self.session.execute_unpaged(statement, values).await.map(drop).map_err(error::write)
    }
}
