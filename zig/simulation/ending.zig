//! The end of each seed: faults stop, and then everything must come to an end within a bounded
//! number of rounds. What was sent and not reset arrives, every connection that closes is closed,
//! every wanted drain and every timer comes, and nothing is left in use.

const std = @import("std");
const layout = @import("../layout.zig");
const actions = @import("actions.zig");
const Host = @import("host.zig").Host;
const leases = @import("leases.zig");
const Link = @import("link.zig").Link;
const messages = @import("messages.zig");
const moves = @import("moves.zig");
const World = @import("world.zig").World;

const rounds_max = 2000;
/// At the longest step that is some seconds, more than any time limit.
const idle_rounds_max = 100;
const step_least_ns = 20 * std.time.ns_per_us;
const step_longest_ns = 50 * std.time.ns_per_ms;

pub fn play(world: *World) void {
    world.network.trace("faults stop", .{});
    world.network.faults = .{};
    world.is_ending = true;
    for (world.active_hosts()) |*host| let_go(host);
    moves.let_go(world);
    run_until(world, "deliver", delivered);
    if (world.failed()) return;
    for (world.active_hosts()) |*host| close_all(host);
    run_until(world, "close", all_closed);
    for (world.active_hosts()) |*host| {
        if (world.failed()) return;
        check_idle(host);
        host.close();
    }
    if (world.failed()) return;
    const open = world.network.descriptors_open;
    if (open > 0) world.fail("{d} descriptors are left open", .{open});
}

/// The script keeps nothing back any more.
fn let_go(host: *Host) void {
    leases.release_all(host);
    for (host.links) |link| {
        if (link) |open_link| actions.unpause(host, open_link);
    }
    for (&host.timers) |*timer| timer.fired = false;
}

fn close_all(host: *Host) void {
    for (0..host.timers.len) |slot| actions.stop(host, @intCast(slot));
    for (host.links) |link| {
        if (link) |open_link| actions.close(host, open_link);
    }
    for (host.listeners.items) |*listener| {
        if (listener.closing) continue;
        listener.closing = true;
        host.handle(.listener_close, listener.slot, listener.generation);
    }
}

/// Rounds of turns until `done`, with time passing ever faster while nothing happens.
fn run_until(world: *World, what: []const u8, done: *const fn (*World) ?Stuck) void {
    var step_ns: u64 = step_least_ns;
    var idle_rounds: u32 = 0;
    for (0..rounds_max) |_| {
        if (world.failed() or done(world) == null) return;
        const finished = progress_of(world);
        round(world, step_ns);
        idle_rounds += 1;
        step_ns = @min(step_ns * 5 / 4, step_longest_ns);
        if (progress_of(world) != finished or untie_if(world, idle_rounds)) {
            idle_rounds = 0;
            step_ns = step_least_ns;
        }
        if (idle_rounds > idle_rounds_max) break;
    }
    const stuck = done(world) orelse return;
    for (world.active_hosts()) |*host| describe(host);
    world.fail("no progress, {s}: host {d}, {s} {d}", .{
        what,
        stuck.host,
        stuck.what,
        stuck.slot,
    });
}

fn round(world: *World, step_ns: u64) void {
    const until_ns = world.network.now_ns + step_ns;
    for (world.active_hosts()) |*host| {
        host.step();
        if (world.failed()) return;
        host.advance_clock(step_ns);
    }
    world.network.wait(until_ns, null);
}

/// Whether there was a knot, which is undone: connections whose credits or answers all wait to be
/// sent to each other, or which leave and do not read any more, are stuck for good, and that is
/// their scripts' doing.
fn untie_if(world: *World, idle_rounds: u32) bool {
    if (idle_rounds < idle_rounds_max) return false;
    var found = false;
    for (world.active_hosts()) |*host| {
        const streams = &host.instance.work.net.streams;
        for (streams.connections[0..streams.slots.fresh], 0..) |*connection, slot| {
            const link = host.links[slot] orelse continue;
            if (connection.state != .open or link.closing) continue;
            const is_out_of_credits = connection.buffers >= streams.allowance(connection);
            if (!connection.held_back and !is_out_of_credits and !link.leaving) continue;
            actions.abort(host, link);
            found = true;
        }
    }
    return found;
}

/// What stands still, for the reader of a trace.
fn describe(host: *Host) void {
    const pool = &host.instance.pool;
    const streams = &host.instance.work.net.streams;
    host.trace("asleep {}, with the backend {d}, received {d}, short {x}, nodes {d}", .{
        host.asleep,
        pool.with_backend,
        pool.received_in_use,
        pool.supply.short,
        streams.nodes.free_count,
    });
    host.trace("  held {d} of {d} bytes, cached {d}, in quarantine {d}, free in the arena {d}", .{
        pool.supply.held_bytes,
        pool.supply.max_bytes,
        pool.supply.cache.bytes(),
        pool.supply.quarantine.bytes,
        pool.arena().report().free_bytes,
    });
    for (streams.connections[0..streams.slots.fresh], 0..) |*connection, slot| {
        if (connection.state == .free) continue;
        host.trace("connection {d}: {t}, receiving {}, sending {}, held back {}, ended {}", .{
            slot,
            connection.state,
            connection.receiving,
            connection.sending,
            connection.held_back,
            connection.peer_ended,
        });
        host.trace("  held {d}, buffers {d}, queued {d}, attention {}, starved {}, squeezed {}", .{
            connection.held.count,
            connection.buffers,
            connection.queue.bytes,
            connection.attention.linked,
            connection.starved.linked,
            connection.squeezed.linked,
        });
        if (connection.drain_wanted) host.trace("  drain of {d} bytes, {d} of buffers", .{
            connection.drain_bytes,
            connection.drain_buffer_bytes,
        });
    }
}

fn progress_of(world: *World) u64 {
    var finished: u64 = 0;
    for (world.active_hosts()) |*host| {
        finished += host.instance.loop.backend.finished + host.instance.loop.counters.closed;
    }
    return finished;
}

const Stuck = struct { host: u32, what: []const u8, slot: u32 };

fn delivered(world: *World) ?Stuck {
    for (world.active_hosts()) |*host| {
        for (host.links) |present| {
            const link = present orelse continue;
            const what = owed(world, link) orelse continue;
            return .{ .host = host.index, .what = what, .slot = link.slot };
        }
        if (unaccepted(host)) |slot| {
            return .{ .host = host.index, .what = "backlog of listener", .slot = slot };
        }
        for (host.timers, 0..) |timer, slot| {
            if (!timer.running or timer.fired) continue;
            return .{ .host = host.index, .what = "timer", .slot = @intCast(slot) };
        }
    }
    return null;
}

/// A listener that does not accept although it could.
fn unaccepted(host: *Host) ?u32 {
    const network = &host.world.network;
    if (!host.instance.work.net.streams.accepts_more()) return null;
    if (network.descriptors_open >= network.options.descriptors) return null;
    for (host.listeners.items) |listener| {
        const descriptor = host.instance.work.net.listeners.listeners[listener.slot].descriptor;
        if (listener.closing) continue;
        const socket = network.find(descriptor) orelse continue;
        if (socket.backlog.items.len > 0) return listener.slot;
    }
    return null;
}

/// What a connection still waits for.
fn owed(world: *World, link: *const Link) ?[]const u8 {
    if (link.closing) return null;
    if (link.state == .connecting) return "opening of connection";
    // Its bytes are owed to the peer of the other.
    if (link.relayed != null) return null;
    const socket = link.socket orelse return null;
    const peer = socket.peer.?;
    // Nobody reads it before there is room for it.
    const is_waiting = !world.stream(peer).is_open and !peer.closed;
    if (socket.broken or is_waiting) return null;
    if (link.leaving) return "leaving of connection";
    if (link.drain_wanted) return "drain of connection";
    const sent = world.owed_bytes(peer);
    if (link.received < sent) {
        const rest = world.whole_of(peer)[link.received..sent];
        return if (messages.is_owed(link, rest)) "bytes of connection" else null;
    }
    const owes_end = world.owes_end(peer) and !link.was_segmented;
    return if (owes_end and !link.ended) "end of the peer of connection" else null;
}

fn all_closed(world: *World) ?Stuck {
    for (world.active_hosts()) |*host| {
        for (host.links) |link| {
            const open_link = link orelse continue;
            return .{ .host = host.index, .what = "end of connection", .slot = open_link.slot };
        }
        if (host.adopted.items.len > 0) {
            const buffer = host.adopted.items[0].slot;
            return .{ .host = host.index, .what = "release of memory", .slot = buffer };
        }
        for (host.listeners.items) |listener| {
            return .{ .host = host.index, .what = "end of listener", .slot = listener.slot };
        }
        // They outlive the connection that they were made for by their own end.
        const races = host.instance.work.net.attempts.open_count();
        if (races > 0) return .{ .host = host.index, .what = "end of attempts", .slot = races };
        const held = host.instance.loop.backend.holding();
        if (held > 0) return .{ .host = host.index, .what = "release of buffers", .slot = held };
    }
    return null;
}

/// After a last turn nothing of the loop is in use.
fn check_idle(host: *Host) void {
    host.asleep = false;
    host.step();
    const pool = &host.instance.pool;
    const streams = &host.instance.work.net.streams;
    if (pool.buffers_in_use > 0) host.fail("{d} buffers are left in use", .{pool.buffers_in_use});
    const relays_open = streams.relays.open_count;
    if (relays_open > 0) host.fail("{d} relays are left", .{relays_open});
    const open_count = streams.slots.open_count;
    if (open_count > 0) host.fail("{d} connections are left", .{open_count});
    const attempts = host.instance.work.net.attempts.open_count();
    if (attempts > 0) host.fail("{d} attempts are left", .{attempts});
    if (host.instance.work.net.waiting()) host.fail("there is something left to do", .{});
}
