//! What a readiness backend does with a port that is ready: it tries what the port waits for, a
//! bounded number of times, and tells of what came of it.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
const contract = @import("contract.zig");
const messages = @import("readiness_messages.zig");
const Port = @import("readiness_port.zig").Port;
const Writer = @import("readiness_port.zig").Writer;

/// Connections accepted from one listener per visit.
const accepts_per_visit = 8;
/// Buffers filled from one connection per visit.
const receives_per_visit = 8;
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
    var left: u32 = receives_per_visit;
    while (left > 0) {
        if (backend.free_count == 0) {
            state.receiving = false;
            writer.put(state.receive_kind(), false, kernel.negative(.NOBUFS));
            return;
        }
        const many = state.is_bulk and !state.receiving_one;
        const count = if (many) @min(left, backend.free_count) else 1;
        backend.calls += 1;
        const rc = receive(backend, state.descriptor, count);
        if (rc > 0) {
            const bytes: u32 = @intCast(rc);
            state.receiving = !state.receiving_one;
            const used = hand_out(backend, state, bytes, writer);
            // One message may just fill one buffer.
            state.is_bulk = used > 1 or left < receives_per_visit;
            left -= used;
            // A stream that filled less than it was given is empty; more, or the end, will
            // be told of (epoll(7), question 9).
            const given = @as(u64, count) * backend.pool.buffer_size;
            const is_empty = bytes < given and !state.ending and !state.keeps_parts;
            if (is_empty) state.readable = false;
            if (state.receiving and state.readable) continue;
        } else if (rc == kernel.negative(.AGAIN)) {
            state.readable = false;
        } else if (rc == kernel.negative(.INTR)) {
            left -= 1;
            continue;
        } else {
            state.receiving = false;
            writer.put(state.receive_kind(), false, rc);
        }
        return;
    }
}

/// Into the first `count` of the free buffers.
fn receive(backend: anytype, descriptor: i32, count: u32) i32 {
    const pool = backend.pool;
    const top = backend.free[backend.free_count - count ..][0..count];
    if (count == 1) {
        return sockets.receive(descriptor, pool.pointer(top[0])[0..pool.buffer_size]);
    }
    var vectors: [receives_per_visit]std.posix.iovec = undefined;
    for (vectors[0..count], 1..) |*vector, place| {
        vector.* = .{ .base = pool.pointer(top[count - place]), .len = pool.buffer_size };
    }
    return sockets.receive_vectors(descriptor, vectors[0..count]);
}

/// Tells of the buffers that were filled; how many these are.
fn hand_out(backend: anytype, state: *const Port, bytes: u32, writer: *Writer) u32 {
    var left = bytes;
    var used: u32 = 0;
    while (left > 0) : (used += 1) {
        const length = @min(left, backend.pool.buffer_size);
        backend.free_count -= 1;
        left -= length;
        const buffer = backend.free[backend.free_count];
        writer.put_buffer(.receive, state.receiving, @intCast(length), buffer);
    }
    return used;
}
