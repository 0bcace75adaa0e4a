//! What a readiness backend does with a port that is ready: it tries what the port waits for, a
//! bounded number of times, and tells of what came of it.

const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
const contract = @import("contract.zig");
const messages = @import("readiness_messages.zig");
const Port = @import("readiness_port.zig").Port;
const Writer = @import("readiness_port.zig").Writer;

/// Connections accepted from one listener per visit.
const accepts_per_visit = 8;
/// Buffers filled from one connection per visit.
const receives_per_visit = 4;
/// Most completions of one visit.
pub const completions_max = 4 + @max(accepts_per_visit, receives_per_visit);

/// How many completions it wrote.
pub fn visit(backend: anytype, port: u32, out: []contract.Completion) u32 {
    const state = &backend.ports[port];
    var writer: Writer = .{ .out = out, .port = port, .epoch = state.epoch };
    if (state.cancelled or state.failure != 0) {
        const cancelled = kernel.negative(.CANCELED);
        state.end_all(&writer, if (state.cancelled) cancelled else state.failure);
        return writer.count;
    }
    if (state.receive_cancelled) {
        state.receive_cancelled = false;
        const cancelled = kernel.negative(.CANCELED);
        writer.put(if (state.awaiting) .readable else state.receive_kind(), false, cancelled);
        state.receiving = false;
        state.awaiting = false;
    }
    if (state.polling and state.ready != 0) {
        writer.put(.poll, true, state.ready);
        state.ready = 0;
    }
    if (state.connecting) visit_connect(backend, state, &writer);
    if (state.sending) visit_send(state, &writer);
    if (state.accepting and state.readable) visit_accept(backend, state, &writer);
    if (state.sending_messages and state.writable) messages.visit_send(state, &writer);
    if (state.awaiting and state.readable) {
        state.awaiting = false;
        writer.put(.readable, false, 0);
    }
    if (state.receiving and state.readable) {
        if (state.receiving_messages) {
            messages.visit_receive(backend, state, &writer);
        } else {
            visit_receive(backend, state, &writer);
        }
    }
    return writer.count;
}

fn visit_connect(backend: anytype, state: *Port, writer: *Writer) void {
    if (state.connected == null and state.writable) {
        backend.calls += 1;
        state.connected = sockets.connect_outcome(state.descriptor);
    }
    const outcome = state.connected orelse return;
    state.connecting = false;
    state.connected = null;
    writer.put(.connect, false, outcome);
}

/// There is room for a send that did not fit: the caller sends again.
fn visit_send(state: *Port, writer: *Writer) void {
    if (state.sent != null or !state.writable) return;
    state.sending = false;
    writer.put(.send, false, 0);
}

fn visit_accept(backend: anytype, state: *Port, writer: *Writer) void {
    for (0..accepts_per_visit) |_| {
        backend.calls += 1;
        const rc = sockets.accept(state.descriptor);
        if (rc >= 0) {
            state.accepting = !state.accepting_one;
            writer.put(.accept, state.accepting, rc);
            if (!state.accepting) return;
            continue;
        }
        if (rc == kernel.negative(.INTR)) continue;
        if (rc == kernel.negative(.AGAIN)) {
            state.readable = false;
        } else {
            state.accepting = false;
            writer.put(.accept, false, rc);
        }
        return;
    }
}

fn visit_receive(backend: anytype, state: *Port, writer: *Writer) void {
    for (0..receives_per_visit) |_| {
        if (backend.free_count == 0) {
            state.receiving = false;
            writer.put(state.receive_kind(), false, kernel.negative(.NOBUFS));
            return;
        }
        const buffer = backend.free[backend.free_count - 1];
        const bytes = backend.pool.pointer(buffer)[0..backend.pool.buffer_size];
        backend.calls += 1;
        const rc = sockets.receive(state.descriptor, bytes);
        if (rc > 0) {
            backend.free_count -= 1;
            state.receiving = !state.receiving_one;
            writer.put_buffer(.receive, state.receiving, rc, buffer);
            // A stream that filled less than the buffer is empty; more, or the end, will
            // be told of (epoll(7), question 9).
            if (rc < bytes.len and !state.ending) state.readable = false;
            if (state.receiving and state.readable) continue;
        } else if (rc == kernel.negative(.AGAIN)) {
            state.readable = false;
        } else if (rc == kernel.negative(.INTR)) {
            continue;
        } else {
            state.receiving = false;
            writer.put(state.receive_kind(), false, rc);
        }
        return;
    }
}
