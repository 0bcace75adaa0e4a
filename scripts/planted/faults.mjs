// Bugs to plant, so that the simulator shows that it finds them. Each is a change of one place: a
// text that occurs once in its file, and what stands there instead.

/**
 * @typedef {object} Fault
 * @property {string} about What is wrong then.
 * @property {string} file
 * @property {string} text
 * @property {string} instead
 */

const forwarding = "zig/net/forwarding.zig";
const relay = "zig/net/relay.zig";
const relays = "zig/net/relays.zig";
const sending = "zig/net/sending.zig";
const receiving = "zig/net/receiving.zig";
const framing = "zig/net/framing.zig";
const resegmenting = "zig/net/resegmenting.zig";
const unsegmented = "zig/net/unsegmented.zig";
const streams = "zig/net/streams.zig";
const ending = "zig/net/ending.zig";
const listeners = "zig/net/listeners.zig";
const detaching = "zig/net/detaching.zig";
const loop = "zig/loop/loop.zig";
const pool = "zig/memory/pool.zig";

/** @type {readonly Fault[]} */
export const faults = [
  {
    about: "a receive that was disarmed with data is not armed again",
    file: receiving,
    text: "if (!completion.more) {",
    instead: "if (!completion.more and completion.result <= 0) {",
  },
  {
    about: "an accept that was disarmed with a connection is not armed again",
    file: listeners,
    text: "if (!completion.more) {",
    instead: "if (!completion.more and completion.result < 0) {",
  },
  {
    about: "a short send is taken for the whole",
    file: sending,
    text: "var rest = length;",
    instead: "var rest = connection.queue.bytes;",
  },
  {
    about: "a send takes no reference: its buffer is free too early",
    file: sending,
    text: "pool.retain(entry.buffer);",
    instead: "pool.valid(entry.buffer, entry.buffer_generation);",
  },
  {
    about: "a buffer is free before its last reference goes",
    file: pool,
    text: "return if (held.references > 0) null else self.free(name, held);",
    instead: "return if (held.references > 1) null else self.free(name, held);",
  },
  {
    about: "what was lent is given to the backend while the script reads it",
    file: loop,
    text: "self.publish();\n            user.publish();\n            return if (rc < 0",
    instead: "self.end_borrows(user);\n            self.refill();\n            self.publish();\n" +
      "            user.publish();\n            return if (rc < 0",
  },
  {
    about: "a stale handle of a connection is taken",
    file: streams,
    text: "if (connection.state == .free or connection.generation != generation) return null;",
    instead: "if (connection.state == .free or connection.generation < generation) return null;",
  },
  {
    about: "a stale handle of a listener is taken",
    file: listeners,
    text: "if (!listener.accepts() or listener.generation != generation) return null;",
    instead: "if (!listener.accepts() or listener.generation == generation -% 2) return null;",
  },
  {
    about: "a stale handle of a buffer is taken",
    file: pool,
    text: "if (found.tag.load(.acquire) != slabs.tag_of(generation, self.number())) return false;",
    instead: "if (found.owner() != self.number() or generation > found.generation()) return false;",
  },
  {
    about: "lost wake-up: a send that was queued is not looked at",
    file: sending,
    text: "if (passed) |index| streams.passing.queue(index);\n" +
      "            streams.attention.push(streams.connections, entry.slot);",
    instead: "if (passed) |index| streams.passing.queue(index);",
  },
  {
    about: "lost wake-up: what the script asks of a connection is not looked at",
    file: streams,
    text: "self.attention.push(self.connections, entry.slot);\n            return true;",
    instead: "return true;",
  },
  {
    about: "lost wake-up: a credit that comes back does not let its connection read on",
    file: streams,
    text: "self.attention.push(self.connections, freed.account);",
    instead: "",
  },
  {
    about: "lost wake-up: an operation for which there was no room is not tried again",
    file: sending,
    text: "if (!connection.sending) streams.attention.push(streams.connections, slot);",
    instead: "",
  },
  {
    about: "a second closed",
    file: ending,
    text: "loop.counters.closed += 1;",
    instead: "loop.counters.closed += 1;\n            if (connection.peer_ended) " +
      "loop.channel.emit(plain(.closed, slot, connection.generation, connection.outcome));",
  },
  {
    about: "a credit is not given back",
    file: streams,
    text: "connection.buffers -= 1;",
    instead: "if (!connection.paused) connection.buffers -= 1;",
  },
  {
    about: "a drain that waits for buffers is forgotten",
    file: sending,
    text: "return streams.bufferless.push(streams.connections, slot);",
    instead: "return;",
  },
  {
    about: "a drain is forgotten when there is no room at first",
    file: sending,
    text: "if (!has_room(connection)) return;",
    instead: "if (!has_room(connection)) {\n                connection.drain_wanted = false;\n" +
      "                return;\n            }",
  },
  {
    about: "data that arrives during a pause is dropped",
    file: receiving,
    text: "const nodes = streams.nodes_of(connection);\n                if (!connection.held.push(",
    instead: "if (connection.paused) return streams.release(part.buffer);\n" +
      "                const nodes = streams.nodes_of(connection);\n" +
      "                if (!connection.held.push(",
  },
  {
    about: "data overtakes what is held back",
    file: receiving,
    text: "const first = connection.held.count == 0;",
    instead: "const first = true;",
  },
  {
    about: "the end is told before what is held back",
    file: receiving,
    text: "if (connection.held.count > 0 or connection.paused) return;",
    instead: "if (connection.paused) return;",
  },
  {
    about: "a cancelled receive is taken for the end of the connection",
    file: receiving,
    text: "kernel.negative(.CANCELED), kernel.negative(.AGAIN), kernel.negative(.INTR) => {},",
    instead: "kernel.negative(.AGAIN), kernel.negative(.INTR) => {},",
  },
  {
    about: "a slot is free while a send is under way",
    file: ending,
    text: "if (connection.has_operations()) {",
    instead: "if (connection.receiving or connection.connecting) {",
  },
  {
    about: "a batch of completions loses its last",
    file: loop,
    text: "for (self.batch[0..count]) |completion| {",
    instead: "for (self.batch[0 .. count - @intFromBool(count == 3)]) |completion| {",
  },
  {
    about: "accepting does not start again after EMFILE",
    file: listeners,
    text: "self.loop.start_user_timer(self.first_port + slot, listener.retry_ms);",
    instead: "",
  },
  {
    about: "a connection that is accepted without a slot is forgotten",
    file: "zig/net/parked.zig",
    text: "if (self.count == parked_max) return false;",
    instead: "if (self.count == 0) return true;",
  },
  {
    about: "a listener's slot is given out before the script knows of its end",
    file: listeners,
    text: "if (listener.generation == 0 or listener.freed_turn != turn) return @intCast(slot);",
    instead: "if (listener.generation == 0 or listener.freed_turn <= turn) return @intCast(slot);",
  },
  {
    about: "a connection's slot is given out before the script knows of its end",
    file: "zig/net/slots.zig",
    text: "if (connections[slot].freed_turn != turn) {",
    instead: "if (connections[slot].freed_turn <= turn) {",
  },
  {
    about: "timers of one shot never fire",
    file: loop,
    text: "self.channel.emit(channel_module.plain(.timer, id, timer.generation, 0));",
    instead: "if (timer.period_ns > 0) self.channel.emit(\n" +
      "                    channel_module.plain(.timer, id, timer.generation, 0),\n" +
      "                );",
  },
  {
    about: "periodic timers fire once",
    file: loop,
    text: "self.timers.start(id, timer.deadline_ns);",
    instead: "",
  },
  {
    about: "a stopped timer fires",
    file: loop,
    text: "self.timers.stop(entry.slot);",
    instead: "",
  },
  {
    about: "the loop's own timers never fire",
    file: loop,
    text: "user.timer_fired(id - @as(u32, @intCast(self.script_timers.len)));",
    instead: "if (self.armed) user.timer_fired(id - @as(u32, @intCast(self.script_timers.len)));",
  },
  {
    about: "the script's view of what is queued is not put right",
    file: sending,
    text: "mirror(streams, slot);\n            if (connection.relay != no_relay) Relay",
    instead: "if (connection.relay != no_relay) Relay",
  },
  {
    about: "our direction ends before everything is sent",
    file: sending,
    text: "if (connection.queue.bytes > 0 or connection.sending) return;",
    instead: "if (connection.sending) return;",
  },
  {
    about: "an abort ends in order, as if everything had been sent",
    file: ending,
    text: "connection.reset = reset;",
    instead: "connection.reset = reset and outcome != @intFromEnum(layout.Status.aborted);",
  },
  {
    about: "a connect that is called off ends in order",
    file: ending,
    text: "peer is to take nothing for everything.\n" +
      "                .connecting => end(streams, slot, aborted, true),",
    instead: "peer is to take nothing.\n" +
      "                .connecting => end(streams, slot, aborted, false),",
  },
  {
    about: "receiving that stopped for want of a buffer does not go on",
    file: streams,
    text: "self.advance(self.starved.pop(self.connections).?);",
    instead: "_ = self.starved.pop(self.connections).?;",
  },
  {
    about: "a descriptor is left open",
    file: "zig/net/listener_ports.zig",
    text: "if (is_forgotten) sockets.close(descriptor);",
    instead: "if (is_forgotten and !listener.retrying) sockets.close(descriptor);",
  },
  {
    about: "places in send queues are lost with a connection that ends",
    file: sending,
    text: "while (connection.queue.bytes > 0) {",
    instead: "if (connection.queue.bytes > 0) {",
  },
  {
    about: "a cancellation for which there was no room is not tried again",
    file: ending,
    text: "if (!connection.cancelled) streams.attention.push(streams.connections, slot);",
    instead: "",
  },
  {
    about: "data that nobody wants any more keeps its buffer",
    file: receiving,
    text: "if (connection.state != .open or connection.failure == no_buffers) {",
    instead: "if (connection.state == .ending) return;\n" +
      "            if (connection.state != .open or connection.failure == no_buffers) {",
  },
  {
    about: "an error overtakes the data that arrived before it",
    file: streams,
    text: "if (!undelivered) return End.end_now",
    instead: "_ = undelivered;\n                return End.end_now",
  },
  {
    about: "attempts go on after another one has won",
    file: "zig/net/attempts.zig",
    text: "self.end_attempts(race, index);",
    instead: "if (index == none) self.end_attempts(race, index);",
  },
  {
    about: "attempts go on although their connection was called off",
    file: "zig/net/attempts.zig",
    text: "self.end_attempts(race, none);",
    instead: "if (index == none) self.end_attempts(race, none);",
  },
  {
    about: "a loop that closes does not wait for its operations",
    file: "zig/abi/work.zig",
    text: "if (before == 0) return true;",
    instead: "if (before <= 1) return true;",
  },
  {
    about: "the end of adopted memory is not told",
    file: loop,
    text: "while (self.pool.released_count > 0 and self.channel.room() > 0) {",
    instead: "while (self.pool.released_count > 1 and self.channel.room() > 0) {",
  },
  {
    about: "the end of a joined message is shown again",
    file: framing,
    text: "take_first(streams, connection, frame.ready);",
    instead: "",
  },
  {
    about: "messages of one buffer take no reference: it is free too early",
    file: framing,
    text: "const counted = pool.retain(part.buffer);",
    instead: "const counted = true;",
  },
  {
    about: "the beginning of a message that never ends is leaked",
    file: framing,
    text: "if (frame.join.has_buffer()) streams.release(frame.join.buffer);",
    instead: "",
  },
  {
    about: "lost wake-up: a message that waits for memory is forgotten",
    file: framing,
    text: "streams.bufferless.push(streams.connections, slot);",
    instead: "if (frame.waiting_parts > 1 << 20) {\n                " +
      "streams.bufferless.push(streams.connections, slot);\n            }",
  },
  {
    about: "parts of a message take all credits, and it never ends",
    file: framing,
    text: "return connection.reading_stopped(streams.allowance(connection));",
    instead: "return false;",
  },
  {
    about: "an end inside of a message is none",
    file: framing,
    text: "frame.verdict = truncated_message;",
    instead: "return true;",
  },
  {
    about: "the header of a message is shown although it is stripped",
    file: framing,
    text: "const first = std.math.clamp(strip.start, place, end);",
    instead: "const first = place;",
  },
  {
    about: "a message that follows a new segmenter is cut by the old one",
    file: resegmenting,
    text: "if (loan.completion < dispatched) break;",
    instead: "if (loan.completion <= dispatched) break;",
  },
  {
    about: "a new segmenter loses the beginning of the message under way",
    file: resegmenting,
    text: "Ask.put_back_join(streams, connection, 0);",
    instead: "streams.release(connection.frame.join.buffer);\n" +
      "            connection.frame.join = .empty;",
  },
  {
    about: "what the script's segmenter has seen ahead is shown to it again",
    file: unsegmented,
    text: "Frames.take_first(streams, connection, lookahead);",
    instead: "",
  },
  {
    about: "a relay does not pass the end on",
    file: relay,
    text: "streams.connections[other_slot].shutdown_wanted = true;",
    instead: "",
  },
  {
    about: "a relay does not pass on an end of which the script has been told",
    file: relay,
    text: "connection.end_reported = false;",
    instead: "",
  },
  {
    about: "a relay keeps what was held back when it began",
    file: streams,
    text: "Relay.pass_held(self, slot, connection);",
    instead: "",
  },
  {
    about: "a pause that was asked for before a relay began holds the relay up",
    file: streams,
    text: "connection.paused = connection.relay == relays_module.none,",
    instead: "connection.paused = true,",
  },
  {
    about: "lost wake-up: what a relay has queued is not sent",
    file: relay,
    text: "Send.mirror(streams, other_slot);\n" +
      "            streams.attention.push(streams.connections, other_slot);",
    instead: "Send.mirror(streams, other_slot);",
  },
  {
    about: "an error of one side of a relay leaves the other as it is",
    file: relay,
    text: "End.reset_when_sent(streams, other_slot);",
    instead: "",
  },
  {
    about: "a relay is not given back",
    file: relays,
    text: "self.open_count -= 1;",
    instead: "if (relay.half_open) self.open_count -= 1;",
  },
  {
    about: "a relay takes as much as there is",
    file: relay,
    text: "return other.queue.bytes > relay.options.high_water_mark / divisor;",
    instead: "return divisor == 0 and other.queue.bytes > relay.options.high_water_mark;",
  },
  {
    about: "a relay that forwards overtakes what waits",
    file: forwarding,
    text: "return other.queue.bytes > 0 or other.sending;",
    instead: "return other.queue.bytes > 0 and other.sending and other.failure != 0;",
  },
  {
    about: "what the other side of a relay did not take at once is lost",
    file: forwarding,
    text: "if (connection.failure == 0) queue_rest(streams, slot, sent, bytes - sent);",
    instead: "if (connection.failure != 0) queue_rest(streams, slot, sent, bytes - sent);",
  },
  {
    about: "a relay that forwards ignores the peer's end",
    file: forwarding,
    text: "0 => Receive.note_end(connection),",
    instead: "0 => if (connection.forward_run > small_run) Receive.note_end(connection),",
  },
  {
    about: "what comes back to a connection that leaves stands behind what is held",
    file: detaching,
    text: "return connection.returned.pop(pool, nodes) orelse connection.held.pop(pool, nodes);",
    instead: "return connection.held.pop(pool, nodes) orelse connection.returned.pop(pool, nodes);",
  },
  {
    about: "a connection that leaves rests under its operations",
    file: detaching,
    text: "if (connection.has_operations() or connection.queue.bytes > 0) return;",
    instead: "if (connection.queue.bytes > 0) return;",
  },
  {
    about: "a connection that leaves goes without what is queued",
    file: detaching,
    text: "if (connection.has_operations() or connection.queue.bytes > 0) return;",
    instead: "if (connection.has_operations()) return;",
  },
  {
    about: "an idle limit ends a connection that rests and got it then",
    file: streams,
    text: "if (connection.state != .open or connection.detach == .rest) return;",
    instead: "if (connection.state != .open) return;",
  },
  {
    about: "what a connection had received is delivered before it opens at its new loop",
    file: "zig/net/arriving.zig",
    text: "connection.open_owed = true;",
    instead: "connection.open_owed = options.idle_timeout_ms > 0;",
  },
  {
    about: "a script shuts down a connection that a relay has",
    file: streams,
    text: "if (connection.relay != relays_module.none) return false;",
    instead: "",
  },
];
