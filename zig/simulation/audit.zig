//! Compares the accounts of a loop with what there is: every block of its memory is walked, and
//! every reference on it must be somebody's. After each turn, before the script reacts to it.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const slabs = @import("../memory/slabs.zig");
const Host = @import("host.zig").Host;
const leases = @import("leases.zig");
const relays = @import("relays.zig");

const none = layout.no_slot;

/// What the walk has found.
const Found = struct {
    in_use: u32 = 0,
    received: u32 = 0,
    script_bytes: u64 = 0,
    adopted_bytes: u64 = 0,
    free_bytes: u64 = 0,
    leased: u64 = 0,
    references: u64 = 0,
};

pub fn check(host: *Host) void {
    check_blocks(host);
    check_connections(host);
    relays.check(host);
    for (host.leases.items) |*lease| {
        leases.check(host, lease);
        const held = slabs.state(lease.buffer).script_references;
        if (held == lease.references) continue;
        host.fail("lease {d}: {d} references, and the script has {d}", .{
            lease.buffer,
            held,
            lease.references,
        });
    }
    check_kernel(host);
}

fn check_blocks(host: *Host) void {
    const pool = &host.instance.pool;
    var found: Found = .{};
    for (0..slabs.slab_count()) |number| walk(pool.number(), @intCast(number), &found);
    for (slabs.first_adopted()..slabs.numbers_max) |number| {
        walk_adopted(pool.number(), @intCast(number), &found);
    }
    expect(host, "adopted bytes", found.adopted_bytes, pool.adopted_bytes);
    expect(host, "buffers in use", found.in_use, pool.buffers_in_use);
    expect(host, "received buffers", found.received, pool.received_in_use);
    expect(host, "bytes of the script", found.script_bytes, pool.script_bytes);
    expect(host, "leases", found.leased, pool.leases);
    expect(host, "leases of the script", host.leases.items.len, pool.leases);
    const backend_bytes = @as(u64, pool.with_backend) * pool.buffer_size;
    const supply = &pool.supply;
    const free_bytes = backend_bytes + supply.cache.bytes() + supply.quarantine.bytes;
    expect(host, "free bytes", found.free_bytes, free_bytes);
    expect(host, "references", found.references, expected_references(host));
}

fn walk(owner: u32, number: u32, found: *Found) void {
    const slab = slabs.slab_at(number);
    var unit: u32 = 0;
    while (unit < slab.units) {
        const state = &slab.states[unit];
        unit += state.bytes / slabs.unit_bytes;
        if (state.owner() != owner) continue;
        if (state.references == 0) {
            found.free_bytes += state.bytes;
            continue;
        }
        found.in_use += 1;
        found.references += state.references;
        found.leased += @intFromBool(state.script_references > 0);
        switch (state.use) {
            .receive, .parts, .moved, .shared => found.received += 1,
            .script => found.script_bytes += state.bytes,
            .none, .adopted => {},
        }
    }
}

fn walk_adopted(owner: u32, number: u32, found: *Found) void {
    const state = &slabs.slab_at(number).states[0];
    if (state.owner() != owner or state.references == 0) return;
    found.adopted_bytes += state.bytes;
    found.references += state.references;
    found.leased += @intFromBool(state.script_references > 0);
}

/// Those of the script, of what was lent, of what is held back, of what waits to be sent, and of
/// what was sent and is not released yet.
fn expected_references(host: *Host) u64 {
    const channel = &host.instance.loop.channel;
    const streams = &host.instance.work.net.streams;
    var references: u64 = 0;
    for (host.leases.items) |lease| references += lease.references;
    for (channel.borrowed[0..channel.borrowed_count]) |name| {
        const state = slabs.state(name);
        const is_ours = state.owner() == host.instance.pool.number();
        references += @intFromBool(is_ours and state.borrowed > 0);
    }
    for (streams.connections[0..streams.slots.fresh]) |*connection| {
        if (connection.state == .free) continue;
        references += connection.held.count + connection.returned.count;
        references += @intFromBool(connection.frame.join.has_buffer());
    }
    references += host.instance.loop.backend.holding();
    references += @intFromBool(streams.forwards.buffer != contract.no_buffer);
    return references + streams.nodes.nodes.len - streams.nodes.free_count;
}

fn check_connections(host: *Host) void {
    const streams = &host.instance.work.net.streams;
    var open: u32 = 0;
    var nodes: usize = 0;
    for (streams.connections[0..streams.slots.fresh], 0..) |*connection, slot| {
        if (connection.state == .free) continue;
        open += 1;
        const counts = count_queue(host, connection.queue.head);
        nodes += counts.nodes;
        expect(host, "bytes queued", counts.bytes, connection.queue.bytes);
        const queued = host.instance.loop.channel.queued[slot];
        expect(host, "bytes queued, as the script sees it", counts.bytes, queued);
        const credits = count_credits(host, @intCast(slot), connection.generation);
        expect(host, "credits in use", credits, connection.buffers);
    }
    expect(host, "open connections", open, streams.slots.open_count);
    expect(host, "places in queues", nodes + streams.nodes.free_count, streams.nodes.nodes.len);
}

const Counts = struct { nodes: usize, bytes: u64 };

fn count_queue(host: *Host, head: u32) Counts {
    const nodes = &host.instance.work.net.streams.nodes;
    var counts: Counts = .{ .nodes = 0, .bytes = 0 };
    var index = head;
    while (index != none and counts.nodes <= nodes.nodes.len) {
        counts.nodes += 1;
        counts.bytes += nodes.nodes[index].length;
        index = nodes.nodes[index].next;
    }
    return counts;
}

/// Receive buffers for which a connection answers.
fn count_credits(host: *Host, slot: u32, generation: u32) u32 {
    const owner = host.instance.pool.number();
    var count: u32 = 0;
    for (0..slabs.slab_count()) |number| {
        const slab = slabs.slab_at(@intCast(number));
        var unit: u32 = 0;
        while (unit < slab.units) {
            const state = &slab.states[unit];
            unit += state.bytes / slabs.unit_bytes;
            if (state.owner() != owner or state.references == 0) continue;
            if (state.use != .receive or state.account != slot) continue;
            count += @intFromBool(state.account_generation == generation);
        }
    }
    return count;
}

/// Operations of the loop and of its kernel are the same ones.
fn check_kernel(host: *Host) void {
    const backend = &host.instance.loop.backend;
    const streams = &host.instance.work.net.streams;
    var under_way: u64 = 0;
    for (streams.connections[0..streams.slots.fresh]) |*connection| {
        if (connection.state == .free) continue;
        under_way += @intFromBool(connection.connecting);
        under_way += @intFromBool(connection.receiving);
        under_way += @intFromBool(connection.sending);
    }
    const attempts = &host.instance.work.net.attempts;
    for (attempts.attempts[0..attempts.free_attempts.fresh]) |attempt| {
        under_way += @intFromBool(attempt.state != .free and attempt.under_way);
    }
    for (host.instance.work.net.listeners.listeners) |listener| {
        under_way += @intFromBool(listener.state != .free and listener.accepting);
    }
    expect(host, "operations", under_way, backend.started - backend.finished);
    expect(host, "buffers of the kernel", backend.buffers_held(), host.instance.pool.with_backend);
}

fn expect(host: *Host, comptime what: []const u8, found: anytype, told: anytype) void {
    const seen: u64 = @intCast(found);
    const noted: u64 = @intCast(told);
    if (seen == noted) return;
    host.fail(what ++ ": there are {d}, and the account says {d}", .{ seen, noted });
}
