/**
 * From completions to handlers.
 *
 * Reads the completions of a turn in order and calls one handler for each. Nothing here allocates
 * for data. A handler may do anything, even close the loop: the cursor lives in the loop's state,
 * and a completion whose handle has ended meanwhile is dropped.
 *
 * @module
 */

import { ConnectionHandle } from "./connection_handle.ts";
import { leave } from "./detach.ts";
import { readDescriptors } from "./passed_descriptors.ts";
import type { DatagramSocketHandle } from "./datagram_handle.ts";
import { deniedAdvice } from "./denied.ts";
import { formatAddress } from "./socket_address.ts";
import { errorOfStatus, type IoError } from "./io_error.ts";
import { attemptError, namedError } from "./named_connect.ts";
import type { LoopState } from "./loop_state.ts";
import { completionWords, message, unsegmented } from "./messages.ts";
import { Completion, Event, Operation, ready_error, Status, Syscall } from "./native/abi.ts";
import { watchEnd } from "./watch.ts";

/** Dispatches `count` completions. Errors of handlers go to `loop.fail`. */
export function dispatch(loop: LoopState, count: number): void {
  loop.cursor = loop.completionsAt;
  loop.cursorEnd = loop.completionsAt + count * completionWords;
  loop.dispatches += 1;
  while (loop.cursor < loop.cursorEnd) {
    try {
      dispatchRest(loop);
    } catch (error) {
      loop.fail(error);
      loop.answering = null;
      loop.currentLease?.expire();
      loop.currentSource?.end();
      abandon(loop.currentConnection, error);
    }
  }
}

/** A handler has thrown: its connection or socket ends, and `close` hears why. */
function abandon(handle: LoopState["currentConnection"], error: unknown): void {
  if (handle === null) return;
  handle.abortReason ??= error;
  handle.abort();
}

function dispatchRest(loop: LoopState): void {
  const words = loop.words;
  while (loop.cursor < loop.cursorEnd) {
    const at = loop.cursor;
    loop.cursor = at + completionWords;
    switch (words[at + Completion.event]) {
      case Event.data:
        data(loop, at);
        break;
      case Event.datagram:
        datagram(loop, at);
        break;
      case Event.message:
        messages(loop, at);
        break;
      case Event.unsegmented:
        asked(loop, at);
        break;
      case Event.open:
        open(loop, at);
        break;
      case Event.drain:
        drain(loop, at);
        break;
      case Event.timer:
        timer(loop, at);
        break;
      case Event.end:
        end(loop, at);
        break;
      case Event.closed:
        closed(loop, at);
        break;
      case Event.listener_error:
        listenerError(loop, at);
        break;
      case Event.listener_closed:
        listenerClosed(loop, at);
        break;
      case Event.memory_released:
        memoryReleased(loop, at);
        break;
      case Event.ready:
        ready(loop, at);
        break;
      case Event.rung:
        rung(loop, at);
        break;
      case Event.resolved:
        resolved(loop, at);
        break;
      case Event.attempt_failed:
        attemptFailed(loop, at);
        break;
      case Event.detached:
        detached(loop, at);
        break;
      case Event.descriptors:
        descriptors(loop, at);
        break;
      case Event.socket_drain:
        socketDrain(loop, at);
        break;
      case Event.socket_error:
        socketError(loop, at);
        break;
      case Event.socket_closed:
        socketClosed(loop, at);
        break;
    }
  }
}

/** The connection that a completion is about; it is aborted if its handler throws. */
function connectionAt(loop: LoopState, at: number): ConnectionHandle | null {
  const conn = loop.connections[loop.words[at + Completion.slot]] ?? null;
  if (conn === null || conn.generation !== loop.words[at + Completion.generation]) return null;
  loop.currentConnection = conn;
  return conn;
}

function data(loop: LoopState, at: number): void {
  const conn = connectionAt(loop, at);
  // A buffer that nobody is told of goes back with the next turn by itself.
  if (conn === null || conn.state !== "open" || conn.voidIn === loop.dispatches) {
    if (conn !== null && conn.leaving !== null) giveBack(loop, at);
    return;
  }
  if (conn.relay !== null) return forward(loop, conn, at);
  const handlers = conn.handlers;
  if (handlers.data === undefined) return;
  const words = loop.words;
  const lease = loop.pool.borrow(
    words[at + Completion.buffer],
    words[at + Completion.buffer_generation],
    words[at + Completion.offset],
    words[at + Completion.length],
  );
  loop.currentLease = lease;
  loop.answering = conn;
  handlers.data(conn, lease);
  loop.answering = null;
  lease.expire();
}

/** It goes with a connection that is leaving. */
function giveBack(loop: LoopState, at: number): void {
  const words = loop.words;
  loop.queue.undeliver(
    words[at + Completion.slot],
    words[at + Completion.generation],
    words[at + Completion.buffer],
    words[at + Completion.buffer_generation],
    words[at + Completion.offset],
    words[at + Completion.length],
  );
}

function detached(loop: LoopState, at: number): void {
  const conn = connectionAt(loop, at);
  if (conn === null || conn.leaving === null || conn.isAborted) return;
  leave(conn, conn.leaving, loop.signed[at + Completion.result]);
}

function descriptors(loop: LoopState, at: number): void {
  const conn = connectionAt(loop, at);
  const handlers = conn !== null && conn.state === "open" ? conn.handlers : null;
  const index = loop.words[at + Completion.result];
  const generation = loop.words[at + Completion.buffer_generation];
  const isWanted = handlers?.descriptors !== undefined;
  const received = readDescriptors(loop, index, generation, isWanted);
  if (received.length > 0) handlers?.descriptors?.(conn!, received);
}

function messages(loop: LoopState, at: number): void {
  const more = loop.words[at + Completion.result];
  loop.cursor += more * completionWords;
  const conn = connectionAt(loop, at);
  if (conn === null || conn.state !== "open" || conn.voidIn === loop.dispatches) return;
  message(loop, conn, at, more);
}

function asked(loop: LoopState, at: number): void {
  const conn = connectionAt(loop, at);
  if (conn === null || conn.state !== "open" || conn.voidIn === loop.dispatches) return;
  unsegmented(loop, conn, at);
}

/** Data of the turn in which a relay took the connection over. */
function forward(loop: LoopState, conn: ConnectionHandle, at: number): void {
  const words = loop.words;
  const lease = loop.pool.borrow(
    words[at + Completion.buffer],
    words[at + Completion.buffer_generation],
    words[at + Completion.offset],
    words[at + Completion.length],
  );
  loop.currentLease = lease;
  conn.relay?.forward(conn, lease);
  lease.expire();
}

function drain(loop: LoopState, at: number): void {
  const conn = connectionAt(loop, at);
  if (conn === null) return;
  conn.wantsDrain = false;
  if (conn.state === "open" && !conn.isShut) conn.handlers.drain?.(conn);
}

function timer(loop: LoopState, at: number): void {
  loop.currentConnection = null;
  const words = loop.words;
  const due = loop.timers.take(words[at + Completion.slot], words[at + Completion.generation]);
  due?.callback(due);
}

function open(loop: LoopState, at: number): void {
  const listenerSlot = loop.signed[at + Completion.result];
  if (listenerSlot < 0) return connected(loop, at);
  const slot = loop.words[at + Completion.slot];
  const generation = loop.words[at + Completion.generation];
  const listener = loop.listeners[listenerSlot] ?? null;
  if (listener === null || listener.closed && !listener.isDraining) {
    // Accepted before the script closed the listener: nobody is waiting for it any more.
    loop.queue.handle(Operation.abort, slot, generation);
    return;
  }
  const { handlers, highWaterMark, segmenter } = listener;
  const conn = new ConnectionHandle(
    loop,
    slot,
    generation,
    handlers,
    listener,
    highWaterMark,
    segmenter,
  );
  conn.passesDescriptors = listener.passesDescriptors;
  loop.addConnection(conn);
  loop.currentConnection = conn;
  handlers.open?.(conn);
  loop.shutdown?.opened(conn);
}

function connected(loop: LoopState, at: number): void {
  const conn = connectionAt(loop, at);
  if (conn === null) return;
  if (conn.hasArrived) {
    conn.hasArrived = false;
    if (conn.state === "open") conn.handlers.open?.(conn);
    loop.shutdown?.opened(conn);
    return;
  }
  if (conn.state !== "connecting") return;
  conn.opened();
  conn.handlers.open?.(conn);
  loop.shutdown?.opened(conn);
}

function end(loop: LoopState, at: number): void {
  const conn = connectionAt(loop, at);
  if (conn === null || conn.state !== "open" || conn.voidIn === loop.dispatches) return;
  // The relay carries it on.
  if (conn.relay !== null) return;
  if (conn.handlers.end !== undefined) conn.handlers.end(conn);
  else conn.close();
}

function closed(loop: LoopState, at: number): void {
  const conn = connectionAt(loop, at);
  if (conn === null) return;
  loop.connections[conn.slot] = null;
  loop.shutdown?.ended(conn);
  const result = loop.signed[at + Completion.result];
  conn.ended(result < 0 ? endError(conn, result) : null);
}

function endError(conn: ConnectionHandle, result: number): IoError {
  const cause = result === Status.aborted ? conn.abortReason : undefined;
  if (!conn.wasOpened && conn.namedEndpoint !== null) return namedError(conn, result, cause);
  if (conn.wasOpened || conn.knownRemote === null) {
    return errorOfStatus(result, "connection", Syscall.none, { cause });
  }
  const attempt = `connect ${formatAddress(conn.knownRemote)}`;
  const advice = deniedAdvice(result, "connect", conn.knownRemote.family);
  return errorOfStatus(result, attempt, Syscall.connect, { cause, ...advice });
}

function listenerError(loop: LoopState, at: number): void {
  loop.currentConnection = null;
  const listener = loop.listeners[loop.words[at + Completion.slot]] ?? null;
  if (listener === null || listener.generation !== loop.words[at + Completion.generation]) return;
  const attempt = `accept on ${listener.endpoint}`;
  listener.failed(errorOfStatus(loop.signed[at + Completion.result], attempt, Syscall.accept));
}

function ready(loop: LoopState, at: number): void {
  loop.currentConnection = null;
  const watch = loop.watches[loop.words[at + Completion.slot]] ?? null;
  if (watch === null || watch.generation !== loop.words[at + Completion.generation]) return;
  const result = loop.signed[at + Completion.result];
  if (result >= 0) return watch.handler(watch, result);
  watch.ended(watchEnd(watch, result));
  // Its reads and writes tell why; without a call a handler would wait for ever.
  watch.handler(watch, ready_error);
}

function rung(loop: LoopState, at: number): void {
  loop.currentConnection = null;
  const doorbell = loop.doorbells.get(loop.words[at + Completion.slot]);
  if (doorbell === undefined) return;
  if (doorbell.message.generation !== loop.words[at + Completion.generation]) return;
  doorbell.handler(doorbell);
}

function resolved(loop: LoopState, at: number): void {
  loop.currentConnection = null;
  const lookup = loop.lookups.get(loop.words[at + Completion.slot]);
  if (lookup?.generation !== loop.words[at + Completion.generation]) return;
  lookup.resolved(loop.signed[at + Completion.result]);
}

function attemptFailed(loop: LoopState, at: number): void {
  const conn = connectionAt(loop, at);
  if (conn === null) return;
  const error = attemptError(loop, at);
  if (conn.failedAttempts === null) conn.failedAttempts = [error];
  else conn.failedAttempts.push(error);
}

function memoryReleased(loop: LoopState, at: number): void {
  loop.currentConnection = null;
  const { words, pool } = loop;
  pool.memoryReleased(words[at + Completion.buffer], words[at + Completion.buffer_generation]);
}

function listenerClosed(loop: LoopState, at: number): void {
  const slot = loop.words[at + Completion.slot];
  const listener = loop.listeners[slot] ?? null;
  if (listener === null || listener.generation !== loop.words[at + Completion.generation]) return;
  loop.listeners[slot] = null;
  listener.ended();
  loop.shutdown?.listenerEnded();
}

/** The datagram socket that a completion is about; it is aborted if its handler throws. */
function socketAt(loop: LoopState, at: number): DatagramSocketHandle | null {
  const socket = loop.sockets[loop.words[at + Completion.slot]] ?? null;
  if (socket === null || socket.generation !== loop.words[at + Completion.generation]) return null;
  loop.currentConnection = socket;
  return socket;
}

function datagram(loop: LoopState, at: number): void {
  const socket = socketAt(loop, at);
  // A buffer that nobody is told of goes back with the next turn by itself.
  if (socket === null || socket.state !== "open") return;
  const { handlers, source } = socket;
  if (handlers.message === undefined) return;
  const words = loop.words;
  const lease = loop.pool.borrow(
    words[at + Completion.buffer],
    words[at + Completion.buffer_generation],
    words[at + Completion.offset],
    words[at + Completion.length],
  );
  loop.currentLease = lease;
  loop.currentSource = source;
  source.begin(loop.sourceAt(at), words[at + Completion.result]);
  handlers.message(socket, lease, source);
  source.end();
  lease.expire();
}

function socketDrain(loop: LoopState, at: number): void {
  const socket = socketAt(loop, at);
  if (socket === null) return;
  socket.wantsDrain = false;
  if (socket.state === "open") socket.handlers.drain?.(socket);
}

function socketError(loop: LoopState, at: number): void {
  const socket = socketAt(loop, at);
  if (socket === null || socket.state === "closed") return;
  const syscall = loop.words[at + Completion.length];
  const result = loop.signed[at + Completion.result];
  const verb = syscall === Syscall.send ? "send from" : "receive at";
  const attempt = `${verb} ${formatAddress(socket.localAddress)}`;
  const advice = deniedAdvice(result, "send", socket.localAddress.family);
  socket.handlers.error?.(socket, errorOfStatus(result, attempt, syscall, advice));
}

function socketClosed(loop: LoopState, at: number): void {
  const socket = socketAt(loop, at);
  if (socket === null) return;
  loop.sockets[socket.slot] = null;
  const result = loop.signed[at + Completion.result];
  const attempt = `socket ${formatAddress(socket.localAddress)}`;
  const cause = result === Status.aborted ? socket.abortReason : undefined;
  socket.ended(result < 0 ? errorOfStatus(result, attempt, Syscall.none, { cause }) : null);
}
