//! Calls: a deadline for each attempt, repetitions, the token and the routing header.
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Status, metadata::MetadataValue};

use crate::{
    call::Call,
    clock::{Chance, Clock, ServerTime, SystemClock},
    retry::{RetryPolicy, Verdict, verdict},
    token::{TokenError, TokenSource},
    transport::Transport,
};

/// What a client can be told; the defaults suit a person's device.
#[derive(Default)]
pub struct ClientOptions {
    /// How calls are repeated.
    pub retry: RetryPolicy,
    /// The local clock; None: the operating system's.
    pub clock: Option<Arc<dyn Clock>>,
    /// Seed of all ids and jitter; None: the operating system's randomness.
    pub seed: Option<u64>,
}

/// One device of one user. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    transport: Transport,
    tokens: Box<dyn TokenSource>,
    retry: RetryPolicy,
    time: ServerTime,
    chance: Chance,
    failed_attempts: AtomicU64,
}

/// Why a call failed, after all repetitions.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {}", code_name(.status.code()), .status.message())]
pub struct CallError {
    /// What the last attempt ended with.
    pub status: Status,
    /// Every attempt was refused by the server: it certainly changed nothing.
    pub refused: bool,
    /// How many attempts were made.
    pub attempts: u32,
}

impl Client {
    /// A client with default options.
    pub fn new(transport: Transport, tokens: impl TokenSource) -> Self {
        Self::with_options(transport, tokens, ClientOptions::default())
    }

    /// A client.
    pub fn with_options(transport: Transport, tokens: impl TokenSource, options: ClientOptions) -> Self {
        let clock = options.clock.unwrap_or_else(|| Arc::new(SystemClock));
        Self(Arc::new(Inner {
            transport,
            tokens: Box::new(tokens),
            retry: options.retry,
            time: ServerTime::new(clock),
            chance: Chance::new(options.seed),
            failed_attempts: AtomicU64::new(0),
        }))
    }

    /// The server's time in Unix milliseconds, as its stream told it; before that, the local clock's.
    pub fn server_time_ms(&self) -> i64 {
        self.0.time.unix_ms()
    }

    /// Whether a stream has told the server's time. Ids that are made before may be refused, when the local clock is
    /// wrong.
    pub fn knows_server_time(&self) -> bool {
        self.0.time.is_told()
    }

    /// Waits until a stream has told the server's time: for ever, when nothing attaches. Safe to cancel.
    pub async fn server_time_told(&self) {
        self.0.time.told().await;
    }

    /// How many attempts of calls failed without settling their outcome, by all clones of this client: most were repeated.
    /// Refusals are not counted, nor are streams (see [`AttachStats`](crate::AttachStats)).
    pub fn failed_attempts(&self) -> u64 {
        self.0.failed_attempts.load(Ordering::Relaxed)
    }

    /// A client id of now, for a request that is no [`Mutation`](crate::Mutation). One request has one id, however often it
    /// is sent.
    pub fn id(&self) -> String {
        self.chance().id(self.server_time_ms())
    }

    /// Calls the method that the request belongs to, and repeats it while that may help: it is safe for every
    /// method of the API. For changes with a client id see [`Client::send`].
    ///
    /// # Errors
    /// What the last attempt ended with.
    pub async fn call<C: Call>(&self, request: C) -> Result<C::Answer, CallError> {
        let began = Instant::now();
        let mut attempts = 0;
        let mut refused = true;
        let mut stale: Option<String> = None;
        loop {
            attempts += 1;
            let error = match self.attempt(&request, &mut stale).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let verdict = verdict(&error.status);
            if verdict != Verdict::Refused {
                self.0.failed_attempts.fetch_add(1, Ordering::Relaxed);
            }
            let pause = match verdict {
                Verdict::Refused => return Err(error.after(attempts, refused)),
                Verdict::Broken => return Err(error.after(attempts, false)),
                // A token that came back unchanged, or a new one that is refused as well, won't do.
                Verdict::Unauthenticated if error.hopeless => return Err(error.after(attempts, refused)),
                Verdict::Unauthenticated => std::time::Duration::ZERO,
                Verdict::Later(after) => after + self.pause(attempts),
                Verdict::Unknown(after) => {
                    refused = false;
                    after.unwrap_or_default() + self.pause(attempts)
                }
            };
            if began.elapsed() + pause > self.0.retry.give_up_after {
                return Err(error.after(attempts, refused));
            }
            tracing::debug!(error = %error.status, attempts, ?pause, "a call failed; trying again");
            sleep(pause).await;
        }
    }

    fn pause(&self, attempts: u32) -> std::time::Duration {
        self.0.retry.backoff.pause(attempts - 1, &self.0.chance)
    }

    async fn attempt<C: Call>(
        &self,
        request: &C,
        stale: &mut Option<String>,
    ) -> Result<C::Answer, AttemptError> {
        let deadline = self.0.retry.attempt_timeout;
        let second_token = stale.is_some();
        let token = match self.0.tokens.token(stale.as_deref()).await {
            Ok(token) => token,
            Err(TokenError::Unavailable(why)) => return Err(Status::unavailable(why).into()),
            Err(TokenError::Refused(why)) => {
                return Err(AttemptError { status: Status::unauthenticated(why), hopeless: true });
            }
        };
        let mut call = self.authorized(request.clone(), &token)?;
        call.set_timeout(deadline);
        if let Some(conversation) = request.conversation().and_then(|id| MetadataValue::try_from(id).ok()) {
            call.metadata_mut().insert("nexus-conversation", conversation);
        }
        match timeout(deadline, C::transmit(self.0.transport.clone(), call)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => {
                if status.code() == Code::Unauthenticated {
                    *stale = Some(token);
                }
                Err(AttemptError { status, hopeless: second_token })
            }
            Err(_) => Err(Status::deadline_exceeded("the server didn't answer in time").into()),
        }
    }

    /// A request with the token in its header.
    pub(crate) fn authorized<T>(&self, message: T, token: &str) -> Result<Request<T>, Status> {
        let mut value = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Status::unauthenticated("the token holds characters that no token has"))?;
        value.set_sensitive(true);
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }

    pub(crate) fn transport(&self) -> Transport {
        self.0.transport.clone()
    }

    pub(crate) fn tokens(&self) -> &dyn TokenSource {
        &*self.0.tokens
    }

    pub(crate) fn time(&self) -> &ServerTime {
        &self.0.time
    }

    pub(crate) fn chance(&self) -> &Chance {
        &self.0.chance
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

struct AttemptError {
    status: Status,
    /// Another token would not help.
    hopeless: bool,
}

impl AttemptError {
    fn after(self, attempts: u32, refused: bool) -> CallError {
        CallError { status: self.status, refused, attempts }
    }
}

impl From<Status> for AttemptError {
    fn from(status: Status) -> Self {
        Self { status, hopeless: false }
    }
}

/// A code as the gRPC documentation writes it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
