//! Entries that name nothing or are malformed: each must be dropped and counted, and do nothing.

const std = @import("std");
const layout = @import("../layout.zig");
const no_relay = @import("../net/relays.zig").none;
const Host = @import("host.zig").Host;
const Link = @import("link.zig").Link;

/// Has one bad entry taken by itself.
pub fn submit(host: *Host) void {
    host.flush();
    const before = host.instance.loop.counters.rejected;
    const random = host.world.random();
    switch (random.uintLessThan(u8, 5)) {
        0 => if (!connection(host)) return,
        1 => if (!buffer(host)) return,
        2 => if (!message(host)) return,
        3 => timer(host),
        else => nothing(host),
    }
    host.flush();
    if (host.instance.loop.counters.rejected == before + 1) return;
    const raw = host.instance.loop.channel.submissions[0];
    host.fail("a bad entry was taken: {any}", .{raw});
}

/// Its end of the direction is not the script's any more.
fn is_relayed(host: *Host, link: *const Link) bool {
    const streams = &host.instance.work.net.streams;
    const side = streams.find(link.slot, link.generation) orelse return false;
    return side.relay != no_relay;
}

/// A connection or a listener that has ended, or that never was, or one that a relay has.
fn connection(host: *Host) bool {
    const random = host.world.random();
    const operations = [_]layout.Operation{
        .pause, .unpause, .shutdown, .close, .abort, .want_drain,
    };
    const operation = operations[random.uintLessThan(usize, operations.len)];
    if (host.listeners.items.len > 0 and random.uintLessThan(u8, 4) == 0) {
        const listener = host.listeners.items[0];
        host.handle(.listener_close, listener.slot, listener.generation -% 1);
    } else if (host.stale.items.len > 0 and random.boolean()) {
        const handle = host.stale.items[random.uintLessThan(usize, host.stale.items.len)];
        host.handle(operation, handle.slot, handle.generation);
    } else if (host.pick_link()) |link| {
        if (is_relayed(host, link) and random.boolean()) {
            host.handle(.shutdown, link.slot, link.generation);
        } else {
            host.handle(operation, link.slot, link.generation +% 1);
        }
    } else {
        host.handle(operation, random.int(u32) | 1 << 31, 0);
    }
    return true;
}

fn buffer(host: *Host) bool {
    const random = host.world.random();
    if (host.leases.items.len == 0) return false;
    const lease = host.leases.items[random.uintLessThan(usize, host.leases.items.len)];
    host.submit(std.mem.zeroInit(layout.BufferEntry, .{
        .operation = if (random.boolean()) layout.Operation.retain else .release,
        .buffer = lease.buffer,
        .buffer_generation = lease.generation -% 1,
    }));
    return true;
}

/// A send of a good buffer on a connection that has ended, or of more than there is.
fn message(host: *Host) bool {
    const random = host.world.random();
    if (host.leases.items.len == 0) return false;
    const lease = host.leases.items[random.uintLessThan(usize, host.leases.items.len)];
    var entry = std.mem.zeroInit(layout.SendEntry, .{
        .operation = .send,
        .buffer = lease.buffer,
        .buffer_generation = lease.generation,
        .length = 1,
    });
    if (host.stale.items.len > 0 and random.boolean()) {
        const handle = host.stale.items[random.uintLessThan(usize, host.stale.items.len)];
        entry.slot = handle.slot;
        entry.generation = handle.generation;
    } else {
        const link = host.pick_link() orelse return false;
        entry.slot = link.slot;
        entry.generation = link.generation;
        switch (random.uintLessThan(u8, 3)) {
            0 => entry.length = 0,
            1 => entry.length = std.math.maxInt(u32),
            else => entry.offset = std.math.maxInt(u32),
        }
    }
    host.submit(entry);
    return true;
}

fn timer(host: *Host) void {
    const random = host.world.random();
    const times = [_]f64{ -1, std.math.nan(f64), std.math.inf(f64), 1 << 60 };
    var entry = std.mem.zeroInit(layout.TimerEntry, .{ .operation = .timer_start });
    switch (random.uintLessThan(u8, 3)) {
        0 => entry.slot = std.math.maxInt(u32),
        1 => entry.delay_us = times[random.uintLessThan(usize, times.len)],
        else => entry.period_us = 0.25,
    }
    host.submit(entry);
}

/// No operation at all.
fn nothing(host: *Host) void {
    const random = host.world.random();
    var raw: [8]u32 = undefined;
    for (&raw) |*word| word.* = random.int(u32);
    const last = std.meta.fields(layout.Operation).len - 1;
    const unknown = random.intRangeAtMost(u32, last + 1, 255);
    raw[0] = (raw[0] & ~@as(u32, 255)) | if (random.boolean()) unknown else 0;
    host.submit(raw);
}
