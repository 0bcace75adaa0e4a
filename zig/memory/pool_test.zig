//! The pool, one promise at a time.

const std = @import("std");
const mapped = @import("mapped.zig");
const pool_module = @import("pool.zig");
const Pool = pool_module.Pool;
const slabs = @import("slabs.zig");

const testing = std.testing;

pub fn small(kind_bytes: u32, max_bytes: u64) pool_module.Options {
    return .{
        .kind = .{ .slab_bytes = kind_bytes },
        .max_bytes = max_bytes,
        .buffer_size = 1024,
        .receive_count = 8,
    };
}

pub fn open(options: pool_module.Options) !*Pool {
    const pools = try mapped.allocate(Pool, 1);
    try pools[0].init(options);
    return &pools[0];
}

pub fn close(pool: *Pool, idle: bool) void {
    pool.deinit(idle);
    const pools: [*]Pool = @ptrCast(pool);
    mapped.free(Pool, pools[0..1]);
}

test "a block is free only after its last reference, and its handle is stale then" {
    const pool = try open(small(1 << 16, 1 << 16));
    defer close(pool, true);
    const name = pool.take(600).?;
    const state = pool.state(name);
    const generation = state.generation();
    try testing.expectEqual(@as(u32, 1024), state.bytes);
    try testing.expect(pool.take_from_script(name));
    try testing.expect(pool.retain(name));
    try testing.expect(pool.release(name) == null);
    try testing.expect(pool.valid(name, generation));
    try testing.expect(pool.release(name) != null);
    try testing.expect(!pool.valid(name, generation));
    try testing.expectEqual(@as(u64, 0), pool.in_use_bytes());
}

test "a script gives back only what it holds" {
    const pool = try open(small(1 << 16, 1 << 16));
    defer close(pool, true);
    const name = pool.take_for_backend().?;
    pool.received(name, 3, 4);
    try testing.expect(!pool.take_from_script(name));
    try testing.expect(pool.script_retain(name));
    try testing.expectEqual(@as(u64, 1), pool.leases);
    try testing.expect(pool.take_from_script(name));
    try testing.expect(!pool.take_from_script(name));
    try testing.expect(pool.release(name) == null);
    const freed = pool.release(name).?;
    try testing.expect(freed.received);
    try testing.expectEqual(@as(u32, 3), freed.account);
}

test "exhaustion is null, for the script and for receiving apart" {
    const pool = try open(small(1 << 16, 1 << 16));
    defer close(pool, true);
    var taken: u32 = 0;
    while (pool.take(1024)) |_| taken += 1;
    try testing.expectEqual(@as(u32, 56), taken);
    for (0..8) |_| try testing.expect(pool.take_for_backend() != null);
    try testing.expectEqual(@as(?u32, null), pool.take_for_backend());
    try testing.expect(pool.refused >= 2);
}

test "slabs are mapped as they are needed, and never more than may be" {
    const pool = try open(small(1 << 17, 1 << 20));
    defer close(pool, true);
    const kind_slabs = pool.arena().slab_count;
    var blocks: u32 = 0;
    while (pool.take(1 << 14)) |_| blocks += 1;
    try testing.expectEqual(@as(u32, (1 << 20) / (1 << 14) - 1), blocks);
    try testing.expect(pool.arena().slab_count > kind_slabs);
    try testing.expect(pool.arena().mapped_bytes <= 1 << 20);
    try testing.expectEqual(@as(?u32, null), pool.take(1 << 14));
}

test "runs of pages above the largest class" {
    const pool = try open(small(16 << 20, 32 << 20));
    defer close(pool, true);
    const run = pool.take((5 << 20) + 1).?;
    try testing.expectEqual(@as(u32, (5 << 20) + 4096), pool.state(run).bytes);
    try testing.expectEqual(@as(?u32, null), pool.take((16 << 20) + 1));
    @memset(pool.pointer(run)[0..pool.state(run).bytes], 1);
    _ = pool.take_from_script(run);
    try testing.expect(pool.release(run) != null);
    try testing.expectEqual(@as(u64, 0), pool.supply.held_bytes);
}

test "a freed block is overwritten, and not given out again before its time" {
    var options = small(1 << 16, 1 << 16);
    options.poison = true;
    options.quarantine_ms = 10;
    const pool = try open(options);
    defer close(pool, true);
    pool.supply.tick(std.time.ns_per_s);
    const name = pool.take(512).?;
    @memset(pool.pointer(name)[0..512], 1);
    try free(pool, name);
    for (pool.pointer(name)[0..512]) |byte| {
        try testing.expectEqual(pool_module.poison_byte, byte);
    }
    for (0..20) |_| {
        const other = pool.take(512).?;
        try testing.expect(other != name);
    }
    pool.supply.tick(std.time.ns_per_s + 9 * std.time.ns_per_ms);
    try testing.expectEqual(@as(u32, 1), pool.supply.quarantine.count);
    pool.supply.tick(std.time.ns_per_s + 10 * std.time.ns_per_ms);
    try testing.expectEqual(@as(u32, 0), pool.supply.quarantine.count);
    try testing.expectEqual(name, pool.take(512).?);
}

test "a quarantine by count yields to exhaustion, one by time does not" {
    var options = small(1 << 16, 1 << 16);
    options.quarantine_count = 65_536;
    const counted = try open(options);
    defer close(counted, true);
    for (0..200) |_| try free(counted, counted.take(1024).?);
    try testing.expect(counted.supply.released_early > 0);
    options.quarantine_ms = 1000;
    const timed = try open(options);
    defer close(timed, true);
    var served: u32 = 0;
    while (timed.take(1024)) |name| : (served += 1) try free(timed, name);
    try testing.expectEqual(@as(u32, 64), served);
    try testing.expectEqual(@as(u64, 0), timed.supply.released_early);
}

test "what a closed pool still held is another's, but not what the kernel may write to" {
    const kind_bytes = 1 << 18;
    const first = try open(small(kind_bytes, kind_bytes));
    const arena = first.arena();
    while (first.take(1024)) |_| {}
    close(first, true);
    try testing.expectEqual(@as(u64, kind_bytes), arena.report().free_bytes);
    const second = try open(small(kind_bytes, kind_bytes));
    _ = second.take(1024).?;
    close(second, false);
    try testing.expectEqual(@as(u64, 1024), arena.report().lost_bytes);
    try testing.expectEqual(@as(u64, kind_bytes - 1024), arena.report().free_bytes);
}

test "a quarantine by count and time yields to exhaustion once the time is over" {
    var options = small(1 << 16, 1 << 16);
    options.quarantine_count = 65_536;
    options.quarantine_ms = 10;
    const pool = try open(options);
    defer close(pool, true);
    pool.supply.tick(0);
    while (pool.take(1024)) |name| try free(pool, name);
    try testing.expect(!pool.may_take(1024));
    pool.supply.tick(9 * std.time.ns_per_ms);
    try testing.expectEqual(@as(?u32, null), pool.take(1024));
    pool.supply.tick(20 * std.time.ns_per_ms);
    try testing.expect(pool.may_take(1024));
    try free(pool, pool.take(1024).?);
    try testing.expectEqual(@as(u64, 1), pool.supply.released_early);
}

pub fn free(pool: *Pool, name: u32) !void {
    try testing.expect(pool.take_from_script(name));
    _ = pool.release(name);
}

test "a block goes back to an arena whose loops are gone, and its memory to the kernel" {
    const far = try open(small(1 << 21, 1 << 21));
    const near = try open(small(1 << 20, 1 << 20));
    const arena = far.arena();
    const name = far.take(4096).?;
    far.pointer(name)[0] = 1;
    const generation = far.state(name).generation();
    _ = try far.transfer(name, generation, 1);
    try testing.expect(near.receive(name, generation));
    close(far, true);
    try free(near, name);
    try testing.expectEqual(@as(u8, 0), near.pointer(name)[0]);
    try testing.expectEqual(@as(u64, 1 << 21), arena.report().free_bytes);
    try testing.expectEqual(@as(u64, 1 << 21), arena.buddies.free_bytes);
    close(near, true);
}

test "a block that came from another arena goes back there" {
    const kinds = [_]u32{ 1 << 22, 1 << 19 };
    const near = try open(small(kinds[0], kinds[0]));
    const far = try open(small(kinds[1], kinds[1]));
    const sizes = [_]u32{ 512, 1024, 1024, 4096, 512, 16_384, 512 };
    for (0..3) |round| {
        var names: [sizes.len]u32 = undefined;
        for (&names, sizes) |*name, bytes| {
            name.* = far.take(bytes).?;
            const generation = far.state(name.*).generation();
            _ = try far.transfer(name.*, generation, 1);
            try testing.expect(near.receive(name.*, generation));
        }
        // In the last round the loop ends with all of them.
        if (round == 2) break;
        for (names) |name| try free(near, name);
        try testing.expectEqual(@as(u64, 0), near.in_use_bytes());
        try testing.expectEqual(near.supply.cache.bytes(), near.supply.held_bytes);
    }
    const arenas = .{ near.arena(), far.arena() };
    close(near, true);
    close(far, true);
    try testing.expectEqual(@as(u64, kinds[0]), arenas[0].report().free_bytes);
    try testing.expectEqual(@as(u64, kinds[1]), arenas[1].report().free_bytes);
}
