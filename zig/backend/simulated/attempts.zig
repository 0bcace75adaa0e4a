//! What a simulated kernel does when it gets to an operation: completes it, or leaves it for later.

const std = @import("std");
const layout = @import("../../layout.zig");
const kernel = @import("../../sys/kernel.zig");
const slabs = @import("../../memory/slabs.zig");
const contract = @import("../contract.zig");
const messages = @import("messages.zig");
const no_operation = @import("completions.zig").no_operation;
const Operation = @import("operation.zig").Operation;
const Simulated = @import("../simulated.zig").Simulated;
const Socket = @import("socket.zig").Socket;

/// Completions of one operation before others get their turn.
const burst_max = 8;
/// Unanswered attempts to connect after which the kernel gives up.
const connect_attempts_max = 6;

pub fn attempt(backend: *Simulated, index: u32) void {
    const operation = &backend.operations[index];
    const network = backend.network;
    if (operation.cancelled) return attempt_cancelled(backend, index);
    const spurious = network.random().uintLessThan(u8, 16) == 0 and
        network.hit(network.faults.spurious_end);
    if (spurious and operation.kind != .connect) {
        const results = [_]kernel.E{ .AGAIN, .INTR, .CANCELED };
        const result = results[network.random().uintLessThan(usize, results.len)];
        return end(backend, index, kernel.negative(result));
    }
    for (0..burst_max) |_| {
        if (operation.state != .running or operation.due_ns > network.now_ns) return;
        if (backend.completions.room() == 0) return;
        if (!step(backend, index)) return;
    }
}

/// It ends now; it may still have succeeded.
fn attempt_cancelled(backend: *Simulated, index: u32) void {
    const network = backend.network;
    if (backend.completions.room() == 0) return;
    backend.operations[index].many = false;
    if (network.hit(network.faults.cancel_race) and step(backend, index)) return;
    end(backend, index, kernel.negative(.CANCELED));
}

/// Whether it completed.
fn step(backend: *Simulated, index: u32) bool {
    return switch (backend.operations[index].kind) {
        .accept => step_accept(backend, index),
        .receive => step_receive(backend, index),
        .readable => step_readable(backend, index),
        .send => step_send(backend, index),
        .connect => step_connect(backend, index),
        .poll => step_poll(backend, index),
        .send_messages => messages.step_send(backend, index),
        .receive_message => {
            const goes_on_now = goes_on(backend, &backend.operations[index]);
            return messages.step_receive(backend, index, goes_on_now);
        },
        .message, .released => unreachable,
    };
}

fn end(backend: *Simulated, index: u32, result: i32) void {
    backend.complete(index, false, result, contract.no_buffer);
}

fn end_with(backend: *Simulated, index: u32, code: kernel.E) bool {
    end(backend, index, kernel.negative(code));
    return true;
}

fn goes_on(backend: *Simulated, operation: *const Operation) bool {
    const network = backend.network;
    return operation.many and !network.hit(network.faults.disarmed);
}

fn step_accept(backend: *Simulated, index: u32) bool {
    const network = backend.network;
    const operation = &backend.operations[index];
    const listener = operation.socket;
    if (listener.state != .listening) return end_with(backend, index, .INVAL);
    if (listener.backlog.items.len == 0) {
        return listener.nonblocking and end_with(backend, index, .AGAIN);
    }
    if (network.hit(network.faults.accept_exhausted)) return end_with(backend, index, .MFILE);
    if (network.hit(network.faults.accept_aborted)) {
        network.reset(listener.backlog.orderedRemove(0));
        return end_with(backend, index, .CONNABORTED);
    }
    const descriptor = network.assign_descriptor(listener.backlog.items[0]);
    if (descriptor < 0) return end_with(backend, index, .MFILE);
    const accepted = listener.backlog.orderedRemove(0);
    network.trace("socket {d}: accepted as descriptor {d}", .{ accepted.serial, descriptor });
    backend.complete(index, goes_on(backend, operation), descriptor, contract.no_buffer);
    return true;
}

fn step_receive(backend: *Simulated, index: u32) bool {
    const network = backend.network;
    const operation = &backend.operations[index];
    const socket = operation.socket;
    const pipe = &socket.incoming;
    if (pipe.visible == 0) {
        const failure = socket.take_failure();
        if (failure == 0 and !socket.is_ended()) return false;
        end(backend, index, failure);
        return true;
    }
    if (network.hit(network.faults.no_buffers)) return end_with(backend, index, .NOBUFS);
    const buffer = backend.free.take() orelse return end_with(backend, index, .NOBUFS);
    var most = backend.pool.buffer_size;
    if (network.hit(network.faults.short_receive)) {
        most = network.random().intRangeAtMost(u32, 1, most);
    }
    const count = pipe.read(backend.pool.pointer(buffer)[0..most]);
    backend.complete(index, goes_on(backend, operation), @intCast(count), buffer);
    return true;
}

fn step_readable(backend: *Simulated, index: u32) bool {
    const socket = backend.operations[index].socket;
    const has_news = socket.failure != 0 or socket.is_ended();
    if (socket.incoming.visible == 0 and !has_news) return false;
    end(backend, index, 0);
    return true;
}

fn step_send(backend: *Simulated, index: u32) bool {
    const network = backend.network;
    const operation = &backend.operations[index];
    const socket = operation.socket;
    const failure = socket.take_failure();
    if (failure != 0) {
        end(backend, index, failure);
        return true;
    }
    if (socket.state != .connected or socket.send_ended) {
        return end_with(backend, index, .PIPE);
    }
    if (network.hit(network.faults.failed_send)) {
        socket.broken = true;
        return end_with(backend, index, .NOBUFS);
    }
    if (network.hit(network.faults.empty_send)) {
        end(backend, index, 0);
        return true;
    }
    const peer = socket.peer.?;
    var most = peer.incoming.room();
    if (most == 0) return false;
    if (network.hit(network.faults.short_send)) {
        most = network.random().intRangeAtMost(u32, 1, most);
    }
    const sent = write(backend, operation, peer, most);
    if (network.hit(network.faults.late_release)) hold(backend, operation);
    end(backend, index, @intCast(sent));
    network.schedule(peer);
    return true;
}

/// Keeps the buffers of a send that succeeds for a while longer.
fn hold(backend: *Simulated, operation: *const Operation) void {
    const network = backend.network;
    for (operation.segments[0..operation.segment_count]) |segment| {
        // Room for the send's own completion is left.
        if (backend.completions.room() < 2 or segment.buffer == contract.no_buffer) return;
        if (!backend.pool.retain(segment.buffer)) return;
        const delay_ns = network.random().uintAtMost(u64, 5 * std.time.ns_per_ms);
        backend.completions.push(.{
            .operation = no_operation,
            .ready_ns = network.now_ns + delay_ns,
            .completion = .{
                .kind = .released,
                .more = false,
                .port = 0,
                .epoch = 0,
                .result = 0,
                .buffer = segment.buffer,
            },
        });
        backend.held += 1;
    }
}

/// Reads the caller's memory only now: whoever gave it up too early finds other bytes sent.
fn write(backend: *Simulated, operation: *const Operation, peer: *Socket, most: u32) u32 {
    var sent: u32 = 0;
    for (operation.segments[0..operation.segment_count]) |segment| {
        if (!is_held(backend, segment.pointer)) {
            backend.network.violate("port {d}: sends from a buffer that nobody holds", .{
                operation.port,
            });
        }
        const part = segment.pointer[0..@min(segment.length, most - sent)];
        sent += peer.incoming.write(part);
        if (sent == most) break;
    }
    return sent;
}

fn is_held(backend: *const Simulated, pointer: [*]const u8) bool {
    for (0..slabs.slab_count()) |number| {
        const slab = slabs.slab_at(@intCast(number));
        const address = @intFromPtr(pointer);
        const base = @intFromPtr(slab.base);
        if (address < base or address >= base + slab.bytes) continue;
        var unit: u32 = 0;
        while (unit < slab.units) {
            const state = &slab.states[unit];
            const start = base + @as(usize, unit) * slabs.unit_bytes;
            if (address < start + state.bytes) {
                return state.references > 0 and state.owner() == backend.pool.number();
            }
            // Other tests make slabs without blocks.
            unit += @max(1, state.bytes / slabs.unit_bytes);
        }
    }
    // Memory of the application.
    return true;
}

fn step_poll(backend: *Simulated, index: u32) bool {
    const listener = backend.operations[index].socket;
    if (listener.state == .listening and listener.backlog.items.len == 0) return false;
    end(backend, index, layout.ready_readable);
    return true;
}

fn step_connect(backend: *Simulated, index: u32) bool {
    const network = backend.network;
    const operation = &backend.operations[index];
    const socket = operation.socket;
    if (network.hit(network.faults.connect_refused)) return end_with(backend, index, .CONNREFUSED);
    const listener = network.listener_at(operation.remote_port) orelse
        return end_with(backend, index, .CONNREFUSED);
    const full = listener.backlog.items.len >= listener.backlog_limit;
    if (full or network.hit(network.faults.connect_lost)) {
        operation.attempts += 1;
        if (operation.attempts > connect_attempts_max) return end_with(backend, index, .TIMEDOUT);
        const wait_ns = @as(u64, 10 * std.time.ns_per_ms) << @intCast(operation.attempts);
        operation.due_ns = network.now_ns + wait_ns;
        return false;
    }
    network.establish(socket, listener);
    end(backend, index, 0);
    return true;
}
