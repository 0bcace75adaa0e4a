//! Drives a session with epoll where there is no io_uring: level-triggered, one receive per event,
//! sends at once; writability is watched only while the kernel takes no more.

const std = @import("std");
const linux = std.os.linux;
const Session = @import("session.zig").Session;
const clock = @import("clock.zig");

const events_max = 512;
const sleep_ms_max = 100;

const State = struct {
    session: *Session,
    epoll: i32,
    buffer: [64 * 1024]u8 = undefined,
    events: [events_max]linux.epoll_event = undefined,
};

pub fn run(session: *Session) !void {
    const result = linux.epoll_create1(linux.EPOLL.CLOEXEC);
    if (linux.errno(result) != .SUCCESS) return error.Epoll;
    var state: State = .{ .session = session, .epoll = @intCast(result) };
    for (session.connections, 0..) |connection, index| {
        const nonblocking: u32 = @bitCast(linux.O{ .NONBLOCK = true });
        _ = linux.fcntl(connection.fd, linux.F.SETFL, nonblocking);
        try watch(&state, index, linux.EPOLL.CTL_ADD, linux.EPOLL.IN);
    }
    session.start();
    for (0..session.connections.len) |index| try send(&state, index);
    try loop(&state);
}

fn loop(state: *State) !void {
    var now = clock.monotonic();
    while (state.session.advance(now)) {
        var count = try wait(state, 0);
        if (count == 0) {
            const since = clock.monotonic();
            count = try awaitEvents(state, since);
            now = clock.monotonic();
            state.session.idled(since, now);
        } else {
            now = clock.monotonic();
        }
        for (state.events[0..count]) |event| try dispatch(state, event, now);
    }
}

/// Looks for events for a while, then sleeps until there is one or a phase ends.
fn awaitEvents(state: *State, since: u64) !usize {
    const edge = state.session.nextEdge();
    const spin_end = @min(edge, since + @as(u64, state.session.options.spin_us) * 1000);
    while (clock.monotonic() < spin_end) {
        const count = try wait(state, 0);
        if (count > 0) return count;
    }
    const now = clock.monotonic();
    if (now >= edge) return 0;
    return wait(state, @intCast(@min(sleep_ms_max, (edge - now) / std.time.ns_per_ms + 1)));
}

fn wait(state: *State, timeout_ms: i32) !usize {
    const result = linux.epoll_wait(state.epoll, &state.events, events_max, timeout_ms);
    return switch (linux.errno(result)) {
        .SUCCESS => result,
        .INTR => 0,
        else => error.Epoll,
    };
}

fn dispatch(state: *State, event: linux.epoll_event, now: u64) !void {
    const index: usize = event.data.u32;
    const connection = &state.session.connections[index];
    if (!connection.open) return;
    if (event.events & linux.EPOLL.OUT != 0) try send(state, index);
    if (event.events & ~@as(u32, linux.EPOLL.OUT) == 0 or !connection.open) return;
    const result = linux.recvfrom(connection.fd, &state.buffer, state.buffer.len, 0, null, null);
    switch (linux.errno(result)) {
        .SUCCESS => {
            if (result == 0) return state.session.fail(index);
            if (state.session.receive(index, state.buffer[0..result], now)) try send(state, index);
        },
        .AGAIN, .INTR => {},
        else => state.session.fail(index),
    }
    if (!connection.open) try watch(state, index, linux.EPOLL.CTL_DEL, 0);
}

fn send(state: *State, index: usize) !void {
    const connection = &state.session.connections[index];
    while (connection.open) {
        const bytes = state.session.outgoing(index);
        if (bytes.len == 0) break;
        const flags = linux.MSG.NOSIGNAL;
        const result = linux.sendto(connection.fd, bytes.ptr, bytes.len, flags, null, 0);
        switch (linux.errno(result)) {
            .SUCCESS => state.session.sent(index, @intCast(result)),
            .INTR => {},
            .AGAIN => {
                if (connection.sending) return;
                connection.sending = true;
                return watch(state, index, linux.EPOLL.CTL_MOD, linux.EPOLL.IN | linux.EPOLL.OUT);
            },
            else => return state.session.fail(index),
        }
    }
    if (!connection.sending or !connection.open) return;
    connection.sending = false;
    try watch(state, index, linux.EPOLL.CTL_MOD, linux.EPOLL.IN);
}

fn watch(state: *State, index: usize, operation: u32, events: u32) !void {
    var event: linux.epoll_event = .{ .events = events, .data = .{ .u32 = @intCast(index) } };
    const fd = state.session.connections[index].fd;
    const result = linux.epoll_ctl(state.epoll, operation, fd, &event);
    if (linux.errno(result) != .SUCCESS) return error.Epoll;
}
