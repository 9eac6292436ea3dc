// What an error means to a client that never gives up too early and never sends twice.

import { Code, ConnectError } from '@connectrpc/connect';

/**
 * `refused`: the server has definitely not done it and won't: show it. `signed-out`: the token is no good any
 * more. `retry`: the outcome may be unknown, or it may go later: again with the same id.
 */
export type Outcome = 'refused' | 'signed-out' | 'retry';

const refusals = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
]);

export function outcome(error: unknown): Outcome {
  const { code } = ConnectError.from(error);
  if (code === Code.Unauthenticated) return 'signed-out';
  return refusals.has(code) ? 'refused' : 'retry';
}

/** Whether a definite refusal says that an earlier attempt may have succeeded all the same. */
export function beyondHorizon(error: unknown): boolean {
  return ConnectError.from(error).code === Code.OutOfRange;
}

/** One sentence for a person. */
export function explain(error: unknown): string {
  const { code, rawMessage } = ConnectError.from(error);
  switch (code) {
    case Code.Unavailable:
    case Code.Unknown:
    case Code.Internal:
    case Code.Canceled:
      return rawMessage && code === Code.Unavailable ? rawMessage : 'The server can’t be reached.';
    case Code.DeadlineExceeded:
      return 'The server didn’t answer in time.';
    default:
      return rawMessage || `The server refused this (${Code[code]}).`;
  }
}
