/**
 * Giving an open connection another segmenter, also in the middle of what a turn has delivered.
 *
 * @module
 */

import type { ConnectionHandle } from "./connection_handle.ts";
import { errorOfStatus } from "./io_error.ts";
import { completionWords } from "./messages.ts";
import { SegmenterOptions, Status } from "./native/abi.ts";
import { checkSegmenter, type Segmenter, writeSegmenter } from "./segmenter.ts";

/** Makes messages of what `conn` receives after the last one that was delivered. */
export function changeSegmenter(conn: ConnectionHandle, segmenter: Segmenter | null): void {
  const { loop } = conn;
  const checked = checkSegmenter(segmenter, conn.handlers, loop.pool);
  const words = new Uint32Array(SegmenterOptions.byte_length / 4);
  words[SegmenterOptions.size] = SegmenterOptions.byte_length;
  words[SegmenterOptions.slot] = conn.slot;
  words[SegmenterOptions.generation] = conn.generation;
  words[SegmenterOptions.dispatched] = (loop.cursor - loop.completionsAt) / completionWords;
  words[SegmenterOptions.consumed] = conn.consumed;
  writeSegmenter(words, SegmenterOptions.segmenter, checked);
  // An answer of the function that was asked before may be among them.
  if (loop.queue.count > 0) loop.queue.flush();
  const bytes = new Uint8Array(words.buffer);
  const status = loop.functions.tp_connection_segmenter(loop.handle, bytes, bytes.length);
  if (status < 0 && status !== Status.stale_handle) {
    throw errorOfStatus(status, "set a segmenter");
  }
  conn.wasSegmented = true;
  conn.segmenter = checked;
  // A connection that is gone already is about to be told closed.
  if (status !== 0) conn.voidIn = loop.dispatches;
  loop.wakeSoon();
}
