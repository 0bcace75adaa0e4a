//! Relays of a simulated script: two of its connections are joined, and from then on what a peer
//! sends to one must arrive at the peer of the other, behind what the script has sent itself.

const std = @import("std");
const layout = @import("../layout.zig");
const Socket = @import("../backend/simulated/socket.zig").Socket;
const no_relay = @import("../net/relays.zig").none;
const actions = @import("actions.zig");
const Connection = @import("../net/connection.zig").Connection;
const Borrow = @import("host.zig").Borrow;
const Host = @import("host.zig").Host;
const Link = @import("link.zig").Link;
const messages = @import("messages.zig");
const sends = @import("sends.zig");
const World = @import("world.zig").World;

/// Joins two random connections, or tries to where that must be refused.
pub fn join_any(host: *Host) void {
    if (!host.world.has_relays) return;
    const first = host.pick_link() orelse return;
    const second = host.pick_link() orelse return;
    if (host.world.one_in(8)) refuse(host, first, second);
    join(host, first, second);
}

/// What a proxy does with a client: a connection of its own to wherever, and a relay.
pub fn join_new(host: *Host, client: *Link) void {
    if (!host.world.has_relays) return;
    const target = actions.connect(host) orelse return;
    join(host, client, target);
}

fn is_free(link: *const Link) bool {
    const is_segmented = messages.is_segmented(&link.segmenter);
    return link.may_send() and !is_segmented and link.relayed == null and link.socket != null;
}

fn join(host: *Host, first: *Link, second: *Link) void {
    const world = host.world;
    if (world.is_ending or !world.has_relays or first == second) return;
    if (!is_free(first) or !is_free(second)) return;
    const sockets = [2]*Socket{ first.socket.?, second.socket.? };
    if (goes_round(world, sockets[0], sockets[1])) return;
    if (goes_round(world, sockets[1], sockets[0])) return;
    const options = choose(host, first, second);
    const rc = host.instance.relay(&options);
    const stale = rc == @intFromEnum(layout.Status.stale_handle);
    host.trace("relay of {d} and {d}: {d}", .{ first.slot, second.slot, rc });
    // One may have ended in this turn, which the script has not heard of.
    if (rc != 0 and !stale) return host.fail("a relay is refused with {d}", .{rc});
    if (stale) return;
    host.asleep = false;
    const has_limit = options.idle_timeout_ms + options.half_open_timeout_ms > 0;
    for ([2]*Link{ first, second }, [2]*Link{ second, first }) |link, other| {
        link.relayed = .{
            .other = other,
            .has_limit = has_limit,
            .queued = host.instance.loop.channel.queued[link.slot],
        };
        link.paused = false;
        link.is_paused = false;
        link.drain_wanted = false;
        world.stream(link.socket.?).source = .{
            .socket = other.socket.?,
            .offset = other.received,
            .is_whole = true,
        };
    }
}

fn choose(host: *Host, first: *const Link, second: *const Link) layout.RelayOptions {
    const random = host.world.random();
    const least = 2 * host.instance.pool.buffer_size;
    const has_limits = host.world.one_in(3);
    return .{
        .size = @sizeOf(layout.RelayOptions),
        .first_slot = first.slot,
        .first_generation = first.generation,
        .second_slot = second.slot,
        .second_generation = second.generation,
        .high_water_mark = least << random.uintAtMost(u5, 2),
        .idle_timeout_ms = if (has_limits) random.intRangeAtMost(u32, 1, 2000) else 0,
        .half_open_timeout_ms = if (has_limits) random.intRangeAtMost(u32, 0, 500) else 0,
    };
}

/// Whether bytes that arrive at `from` would come round to it again if they left at `to`.
fn goes_round(world: *World, from: *const Socket, to: *const Socket) bool {
    var arrives = from;
    for (0..world.streams.items.len + 1) |_| {
        const sender = arrives.peer orelse return false;
        if (sender == to) return true;
        const source = world.stream(sender).source orelse return false;
        arrives = source.socket;
    }
    return true;
}

/// What must be refused, and do nothing.
fn refuse(host: *Host, first: *const Link, second: *const Link) void {
    host.flush();
    var options = choose(host, first, second);
    var expected: i32 = @intFromEnum(layout.Status.bad_argument);
    switch (host.world.random().uintLessThan(u8, 4)) {
        0 => {
            options.second_slot = first.slot;
            options.second_generation = first.generation;
        },
        1 => options.high_water_mark = host.instance.pool.buffer_size,
        2 => options.idle_timeout_ms = std.math.maxInt(u32),
        else => {
            options.first_generation +%= 1;
            if (first.slot == second.slot) return;
            expected = @intFromEnum(layout.Status.stale_handle);
        },
    }
    const rc = host.instance.relay(&options);
    if (rc != expected) host.fail("a bad relay is answered with {d}", .{rc});
}

/// Data that was on its way to the script when it joined the connections.
pub fn forward(host: *Host, link: *Link, borrow: Borrow) void {
    const other = link.relayed.?.other;
    if (other.state == .closed or other.closing) return;
    if (host.free_sends < 1) return actions.abort(host, link);
    other.relayed.?.queued += @intCast(borrow.bytes.len);
    sends.submit_relayed(host, other, borrow);
}

/// One side is closed by its script: what its peer had sent is not owed to the other any more.
pub fn let_go(host: *Host, link: *const Link) void {
    const relayed = link.relayed orelse return;
    for ([2]*const Link{ link, relayed.other }) |side| {
        const source = &host.world.stream(side.socket.?).source;
        if (source.*) |*present| present.is_whole = false;
    }
}

/// The other side is read up to the mark, and a buffer beyond; what is left once it has failed or
/// is closed goes on all the same.
fn check_mark(host: *Host, slot: u32, connection: *const Connection, mark: u32) void {
    const link = host.links[slot] orelse return;
    const relayed = link.relayed orelse return;
    const other = &host.instance.work.net.streams.connections[relayed.other.slot];
    if (other.failure != 0 or connection.state != .open) return;
    const most = relayed.queued + mark + host.instance.pool.buffer_size;
    if (connection.queue.bytes <= most) return;
    host.fail("{d} bytes wait at connection {d}, whose relay may have {d}", .{
        connection.queue.bytes,
        slot,
        most,
    });
}

/// Relays and their sides are the same ones, and no more waits than may.
pub fn check(host: *Host) void {
    const streams = &host.instance.work.net.streams;
    var sides: u32 = 0;
    for (streams.connections[0..streams.slots.fresh], 0..) |*connection, index| {
        if (connection.state == .free or connection.relay == no_relay) continue;
        const slot: u32 = @intCast(index);
        const relay = streams.relays.at(connection.relay);
        if (relay.sides[0] != slot and relay.sides[1] != slot) {
            host.fail("connection {d} is in a relay that does not know it", .{slot});
        }
        const other_slot = relay.other(slot) orelse {
            sides += 2;
            continue;
        };
        sides += 1;
        const other = &streams.connections[other_slot];
        if (other.state == .free or other.relay != connection.relay) {
            host.fail("connection {d} is relayed to {d}, which is not", .{ slot, other_slot });
        }
        check_mark(host, slot, connection, relay.options.high_water_mark);
    }
    if (sides == 2 * streams.relays.open_count) return;
    host.fail("{d} relays are open, with {d} sides", .{ streams.relays.open_count, sides });
}
