//! What a simulated script is told: each event is one that may come now, and is answered at random.

const std = @import("std");
const layout = @import("../layout.zig");
const actions = @import("actions.zig");
const Borrow = @import("host.zig").Borrow;
const Host = @import("host.zig").Host;
const leases = @import("leases.zig");
const Link = @import("link.zig").Link;
const sends = @import("sends.zig");

pub fn dispatch(host: *Host, event: layout.Completion) void {
    host.trace("{t} {d}/{d}, result {d}, {d} bytes", .{
        event.event,
        event.slot,
        event.generation,
        event.result,
        event.length,
    });
    switch (event.event) {
        .none,
        .ready,
        .rung,
        .datagram,
        .socket_error,
        .socket_drain,
        .socket_closed,
        => host.fail("an event of no kind", .{}),
        .memory_released => memory_released(host, event),
        .open => opened(host, event),
        .data => data(host, event),
        .end => ended(host, event),
        .drain => drained(host, event),
        .closed => closed(host, event),
        .timer => timer(host, event),
        .listener_error => _ = find_listener(host, event),
        .listener_closed => listener_closed(host, event),
    }
    // Slots must not be given out again before the script has read of their end.
    if (host.world.one_in(16)) actions.listen(host);
    if (host.world.one_in(16)) actions.connect(host);
}

/// The connection of an event, which must be open, and not on its way out.
fn find(host: *Host, event: layout.Completion) ?*Link {
    const link = find_any(host, event) orelse return null;
    if (!link.is_closing) return link;
    host.fail("{t} for connection {d}/{d}, which is closed", .{
        event.event,
        event.slot,
        event.generation,
    });
    return null;
}

fn find_any(host: *Host, event: layout.Completion) ?*Link {
    if (event.slot < host.links.len) {
        if (host.links[event.slot]) |link| {
            if (link.generation == event.generation) return link;
        }
    }
    host.fail("{t} for connection {d}/{d}, which there is not", .{
        event.event,
        event.slot,
        event.generation,
    });
    return null;
}

fn opened(host: *Host, event: layout.Completion) void {
    if (event.result < 0) {
        const link = find(host, event) orelse return;
        if (link.state != .connecting) host.fail("connection {d} opens twice", .{event.slot});
        link.state = .open;
        host.world.stream(link.socket.?).is_open = true;
        return;
    }
    if (host.links[event.slot] != null) {
        return host.fail("slot {d} is given out while it is open", .{event.slot});
    }
    const connection = &host.instance.work.net.streams.connections[event.slot];
    const is_there = connection.generation == event.generation and connection.state != .free;
    const network = &host.world.network;
    const link = host.world.gpa.create(Link) catch @panic("out of memory");
    link.* = .{
        .slot = event.slot,
        .generation = event.generation,
        .socket = if (is_there) network.find(connection.descriptor) else null,
        .state = .open,
        .options = connection.options,
    };
    host.links[event.slot] = link;
    if (link.socket) |socket| host.world.stream(socket).is_open = true;
    if (host.world.is_ending) actions.close(host, link);
}

fn data(host: *Host, event: layout.Completion) void {
    const link = find(host, event) orelse return;
    if (link.state != .open or link.ended) host.fail("data for connection {d}", .{event.slot});
    if (link.is_paused) host.fail("data for connection {d}, which is paused", .{event.slot});
    const pool = &host.instance.pool;
    if (!pool.valid(event.buffer, event.buffer_generation)) {
        return host.fail("data in a buffer that is not valid", .{});
    }
    const bytes = pool.pointer(event.buffer)[event.offset..][0..event.length];
    check_bytes(host, link, bytes);
    link.received += bytes.len;
    const borrow = host.borrowed.addOne(host.world.gpa) catch @panic("out of memory");
    borrow.* = .{
        .buffer = event.buffer,
        .generation = event.buffer_generation,
        .offset = event.offset,
        .bytes = host.world.gpa.dupe(u8, bytes) catch @panic("out of memory"),
    };
    answer(host, link, borrow.*);
}

/// What arrives is what was sent, from the first byte on.
fn check_bytes(host: *Host, link: *Link, bytes: []const u8) void {
    const socket = link.socket orelse return;
    const sent = host.world.stream(socket.peer.?).sent.items;
    const fits = link.received + bytes.len <= sent.len and
        std.mem.eql(u8, bytes, sent[link.received..][0..bytes.len]);
    if (fits) return;
    host.fail("connection {d} (socket {d}): {d} bytes at {d} are not what was sent", .{
        link.slot,
        socket.serial,
        bytes.len,
        link.received,
    });
}

fn answer(host: *Host, link: *Link, borrow: Borrow) void {
    const random = host.world.random();
    if (host.world.is_ending) return;
    switch (random.uintLessThan(u8, 12)) {
        0, 1 => leases.retain(host, borrow),
        2, 3, 4 => _ = sends.send_borrowed(host, link, borrow, layout.send_flag_answer),
        5 => if (host.pick_link()) |other| {
            _ = sends.send_borrowed(host, other, borrow, 0);
        },
        6 => actions.close(host, link),
        7 => actions.pause(host, link),
        8 => leases.release_borrowed(host, borrow),
        else => {},
    }
}

fn ended(host: *Host, event: layout.Completion) void {
    const link = find(host, event) orelse return;
    if (link.ended) host.fail("connection {d} ends twice", .{event.slot});
    if (link.is_paused) host.fail("connection {d} ends while it is paused", .{event.slot});
    link.ended = true;
    if (link.options.allow_half_open == 0) link.close_itself();
    check_complete(host, link);
    if (host.world.is_ending or host.world.one_in(2)) actions.close(host, link);
}

/// The end follows the last byte, unless a reset has swallowed some.
fn check_complete(host: *Host, link: *Link) void {
    const socket = link.socket orelse return;
    const peer = socket.peer.?;
    if (socket.broken) return;
    const sent = host.world.stream(peer).sent.items.len;
    if (link.received != sent) {
        host.fail("connection {d} (socket {d}) ends at {d} of {d} bytes", .{
            link.slot,
            socket.serial,
            link.received,
            sent,
        });
    }
}

fn drained(host: *Host, event: layout.Completion) void {
    const link = find(host, event) orelse return;
    if (!link.drain_wanted) host.fail("connection {d}: drain out of nothing", .{event.slot});
    link.drain_wanted = false;
    if (host.world.one_in(2)) sends.send(host, link);
}

fn closed(host: *Host, event: layout.Completion) void {
    const link = find_any(host, event) orelse return;
    if (!link.may_end_with(event.result)) {
        host.fail("connection {d} (socket {d}) ends with {d} for no reason", .{
            event.slot,
            link.socket.?.serial,
            event.result,
        });
    }
    check_read(host, link);
    link.state = .closed;
    host.links[event.slot] = null;
    host.stale.append(host.world.gpa, .{
        .slot = event.slot,
        .generation = event.generation,
    }) catch @panic("out of memory");
}

/// What was read before an error is delivered before it, unless the script does not want it.
fn check_read(host: *Host, link: *const Link) void {
    const socket = link.socket orelse return;
    if (link.closing or link.is_paused or link.failed_paused) return;
    if (link.received >= socket.read_before_error orelse 0) return;
    host.fail("connection {d} (socket {d}) is closed at {d} of {d} bytes that were read", .{
        link.slot,
        socket.serial,
        link.received,
        socket.read_before_error.?,
    });
}

fn timer(host: *Host, event: layout.Completion) void {
    const running = &host.timers[event.slot];
    if (!running.running or running.generation != event.generation) {
        return host.fail("timer {d}/{d} fires and does not run", .{ event.slot, event.generation });
    }
    if (host.now_ns() < running.due_ns) host.fail("timer {d} fires too early", .{event.slot});
    if (running.period_ns == 0) running.running = false;
    running.due_ns += running.period_ns;
    running.fired = true;
}

/// Once for each adoption, when nobody holds it any more.
fn memory_released(host: *Host, event: layout.Completion) void {
    for (host.leases.items) |lease| {
        if (lease.buffer != event.buffer or lease.generation != event.buffer_generation) continue;
        host.fail("memory {d} is released, and the script holds it", .{event.buffer});
    }
    for (host.adopted.items, 0..) |adopted, index| {
        if (adopted.slot != event.buffer) continue;
        if (adopted.generation != event.buffer_generation) continue;
        _ = host.adopted.swapRemove(index);
        return;
    }
    host.fail("memory {d}/{d} is released, and was not adopted", .{
        event.buffer,
        event.buffer_generation,
    });
}

fn find_listener(host: *Host, event: layout.Completion) ?usize {
    for (host.listeners.items, 0..) |listener, index| {
        if (listener.slot == event.slot and listener.generation == event.generation) return index;
    }
    host.fail("{t} for listener {d}/{d}, which there is not", .{
        event.event,
        event.slot,
        event.generation,
    });
    return null;
}

fn listener_closed(host: *Host, event: layout.Completion) void {
    const index = find_listener(host, event) orelse return;
    if (!host.listeners.items[index].closing) host.fail("a listener closes by itself", .{});
    _ = host.listeners.swapRemove(index);
}
