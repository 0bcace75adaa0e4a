//! What a simulated script is told: each event is one that may come now, and is answered at random.

const std = @import("std");
const layout = @import("../layout.zig");
const actions = @import("actions.zig");
const Borrow = @import("host.zig").Borrow;
const Host = @import("host.zig").Host;
const leases = @import("leases.zig");
const Link = @import("link.zig").Link;
const messages = @import("messages.zig");
const moves = @import("moves.zig");
const relays = @import("relays.zig");
const sends = @import("sends.zig");
const Socket = @import("../backend/simulated/socket.zig").Socket;

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
        .resolved,
        .descriptors,
        .datagram,
        .socket_error,
        .socket_drain,
        .socket_closed,
        => host.fail("an event of no kind", .{}),
        .memory_released => memory_released(host, event),
        .open => opened(host, event),
        .data => data(host, event),
        .message, .message_part => message(host, event),
        .unsegmented => unsegmented(host, event),
        .end => ended(host, event),
        .drain => drained(host, event),
        .closed => closed(host, event),
        .timer => timer(host, event),
        .listener_error => _ = find_listener(host, event),
        .listener_closed => listener_closed(host, event),
        .attempt_failed => _ = find_any(host, event),
        .detached => if (find_any(host, event)) |link| moves.detached(host, link),
    }
    // Slots must not be given out again before the script has read of their end.
    if (host.world.one_in(16)) actions.listen(host);
    if (host.world.one_in(16)) _ = actions.connect(host);
}

/// The connection of an event, which must be open, and not on its way out.
fn find(host: *Host, event: layout.Completion) ?*Link {
    const link = find_any(host, event) orelse return null;
    if (!link.is_closing and !link.is_leaving) return link;
    host.fail("{t} for connection {d}/{d}, which is closed or leaving", .{
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
        if (link.is_named) link.socket = socket_of(host, event);
        if (link.socket) |socket| host.world.stream(socket).is_open = true;
        return;
    }
    if (host.links[event.slot] != null) {
        return host.fail("slot {d} is given out while it is open", .{event.slot});
    }
    const link = host.world.gpa.create(Link) catch @panic("out of memory");
    const options = &host.instance.work.net.streams.connections[event.slot].options;
    link.* = .{
        .slot = event.slot,
        .generation = event.generation,
        .socket = socket_of(host, event),
        .state = .open,
        .options = options.*,
        .segmenter = options.segmenter,
        .was_segmented = messages.is_segmented(&options.segmenter),
    };
    host.links[event.slot] = link;
    if (link.socket) |socket| host.world.stream(socket).is_open = true;
    if (host.world.is_ending) actions.close(host, link);
    if (host.world.one_in(6)) relays.join_new(host, link);
}

/// Null where the connection has ended already.
fn socket_of(host: *Host, event: layout.Completion) ?*Socket {
    const connection = &host.instance.work.net.streams.connections[event.slot];
    const is_there = connection.generation == event.generation and connection.state != .free;
    return if (is_there) host.world.network.find(connection.descriptor) else null;
}

/// The connection of an event about bytes, which may come now; null also where they come again.
fn find_reader(host: *Host, event: layout.Completion) ?*Link {
    const link = find(host, event) orelse return null;
    if (link.is_void) return null;
    if (link.state != .open or link.ended) host.fail("data for connection {d}", .{event.slot});
    if (link.is_paused) host.fail("data for connection {d}, which is paused", .{event.slot});
    if (!host.instance.pool.valid(event.buffer, event.buffer_generation)) {
        host.fail("data in a buffer that is not valid", .{});
        return null;
    }
    return link;
}

/// Notes what was lent.
fn note_borrow(host: *Host, event: layout.Completion) Borrow {
    const bytes = host.instance.pool.pointer(event.buffer)[event.offset..][0..event.length];
    const borrow = host.borrowed.addOne(host.world.gpa) catch @panic("out of memory");
    borrow.* = .{
        .buffer = event.buffer,
        .generation = event.buffer_generation,
        .offset = event.offset,
        .bytes = host.world.gpa.dupe(u8, bytes) catch @panic("out of memory"),
    };
    return borrow.*;
}

fn data(host: *Host, event: layout.Completion) void {
    const link = find_reader(host, event) orelse return;
    if (messages.is_segmented(&link.segmenter)) host.fail("data that is no message", .{});
    if (link.leaving) return moves.give_back(host, link, event);
    const borrow = note_borrow(host, event);
    check_bytes(host, link, borrow.bytes);
    link.received += borrow.bytes.len;
    if (link.is_relayed) host.fail("data for connection {d}, which is relayed", .{link.slot});
    if (link.relayed != null) return relays.forward(host, link, borrow);
    answer(host, link, borrow);
    if (host.world.one_in(12)) _ = messages.set(host, link, 0);
    if (host.world.has_moves and host.world.one_in(12)) moves.ask(host, link);
}

fn message(host: *Host, event: layout.Completion) void {
    const link = find_reader(host, event) orelse return;
    const borrow = note_borrow(host, event);
    if (event.event == .message) messages.begin(host, link, event);
    if (host.world.failed()) return;
    const is_complete = messages.take(host, link, borrow.bytes);
    if (borrow.bytes.len > 0) answer(host, link, borrow);
    if (is_complete and host.world.one_in(12)) _ = messages.set(host, link, 0);
}

fn unsegmented(host: *Host, event: layout.Completion) void {
    const link = find_reader(host, event) orelse return;
    const borrow = note_borrow(host, event);
    check_bytes(host, link, borrow.bytes);
    messages.answer(host, link, borrow, react);
}

/// To a message that the script's own segmenter has found.
fn react(host: *Host, link: *Link, borrow: Borrow, consumed: u32) bool {
    answer(host, link, borrow);
    if (link.closing) return false;
    return !host.world.one_in(12) or !messages.set(host, link, consumed);
}

/// What arrives is what was sent, from the first byte on.
fn check_bytes(host: *Host, link: *Link, bytes: []const u8) void {
    const socket = link.socket orelse return;
    if (host.world.was_sent(socket.peer.?, link.received, bytes)) return;
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
    if (link.is_void) return;
    if (link.ended) host.fail("connection {d} ends twice", .{event.slot});
    if (link.is_paused) host.fail("connection {d} ends while it is paused", .{event.slot});
    link.ended = true;
    if (link.is_relayed) return host.fail("connection {d} ends, and is relayed", .{link.slot});
    if (link.relayed != null) return;
    if (link.options.allow_half_open == 0) link.close_itself();
    // What came before it was given back.
    if (link.leaving) return;
    check_complete(host, link);
    if (host.world.is_ending or host.world.one_in(2)) actions.close(host, link);
}

/// The end follows the last byte, unless a reset has swallowed some.
fn check_complete(host: *Host, link: *Link) void {
    const socket = link.socket orelse return;
    const peer = socket.peer.?;
    if (socket.broken) return;
    const sent = host.world.owed_bytes(peer);
    if (link.received < sent) {
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
    // It was asked for before the connection was the relay's.
    if (link.relayed != null) return;
    if (!link.drain_wanted) host.fail("connection {d}: drain out of nothing", .{event.slot});
    link.drain_wanted = false;
    if (host.world.one_in(2)) sends.send(host, link);
}

fn closed(host: *Host, event: layout.Completion) void {
    const link = find_any(host, event) orelse return;
    const may_end = link.may_end_with(event.result) or
        messages.may_end_with(host, link, event.result);
    if (!may_end) {
        host.fail("connection {d} (socket {d}) ends with {d} for no reason", .{
            event.slot,
            link.socket.?.serial,
            event.result,
        });
    }
    // A limit that passed while the loop made no turn ends it before the kernel is looked at.
    if (event.result != @intFromEnum(layout.Status.idle_timeout)) check_read(host, link);
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
    if (link.relayed != null or link.leaving) return;
    const read = socket.read_before_error orelse 0;
    if (link.received >= read) return;
    const rest = messages.left(host, link).?;
    if (!messages.is_shown(link, rest[0 .. read - link.received])) return;
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
