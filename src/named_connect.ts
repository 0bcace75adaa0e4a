/**
 * What is told of a connection to a name that failed: of each address that was tried, and of the
 * whole.
 *
 * @module
 */

import type { ConnectionHandle } from "./connection_handle.ts";
import { deniedAdvice } from "./denied.ts";
import { errorOfStatus, type IoError } from "./io_error.ts";
import { describeHost } from "./ip_address.ts";
import type { LoopState } from "./loop_state.ts";
import { Completion, Status, Syscall } from "./native/abi.ts";

/** The first twelve bytes of the IPv6 address that stands for an IPv4 one. */
const mappedPrefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** The error of one attempt, of which the completion at word `at` tells. */
export function attemptError(loop: LoopState, at: number): IoError {
  const { words, signed } = loop;
  const start = words.byteOffset + 4 * (at + Completion.buffer);
  const bytes = new Uint8Array(words.buffer, start, 16);
  const isMapped = mappedPrefix.every((byte, index) => bytes[index] === byte);
  const { host } = describeHost(
    isMapped
      ? { family: 4, bytes: bytes.slice(12), scope: 0 }
      : { family: 6, bytes: bytes.slice(), scope: 0 },
  );
  const result = signed[at + Completion.result];
  const advice = deniedAdvice(result, "connect", "ip");
  return errorOfStatus(result, `connect to ${host}`, Syscall.connect, advice);
}

/** The error with which a connection to a name ends before it was open. */
export function namedError(conn: ConnectionHandle, result: number, reason: unknown): IoError {
  const errors = conn.failedAttempts ?? [];
  const attempt = `connect ${conn.namedEndpoint}`;
  const syscall = errors.length > 0 ? Syscall.connect : Syscall.none;
  if (result === Status.aborted || errors.length === 0) {
    return errorOfStatus(result, attempt, syscall, { cause: reason });
  }
  const [first] = errors;
  const cause = errors.length === 1
    ? first
    : new AggregateError(errors, errors.map(({ message }) => message).join("; "));
  const advice = deniedAdvice(result, "connect", "ip");
  return errorOfStatus(result, `${attempt} (${errors.length} tried)`, syscall, {
    cause,
    ...advice,
  });
}
