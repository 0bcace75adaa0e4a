//! A loop's pool as its options ask for it, and what became of them.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const host = @import("../sys/host.zig");
const arena = @import("../memory/arena.zig");
const Pool = @import("../memory/pool.zig").Pool;
const members = @import("../memory/members.zig");

const kib = 1024;

/// `options` are checked and complete.
pub fn open(pool: *Pool, options: *const layout.LoopOptions) contract.InitError!void {
    const yes = @intFromEnum(layout.Wish.yes);
    try pool.init(.{
        .kind = .{
            .slab_bytes = options.slab_kib * kib,
            .pages = @enumFromInt(options.pages),
            .lock = options.lock == yes,
            .prefault = options.prefault == yes,
            .numa_node = if (options.numa_node == 0) null else options.numa_node - 1,
        },
        .max_bytes = @as(u64, options.max_kib) * kib,
        .buffer_size = options.buffer_size,
        .receive_count = options.receive_buffers,
        .quarantine_count = options.quarantine_count,
        .quarantine_ms = options.quarantine_ms,
        .poison = options.poison == yes,
    });
}

/// The first wish that was not granted: the index of its field in `LoopOptions`, and why.
pub const Refusal = struct { field: u32, errno: u32 };

pub fn refusal(pool: *Pool) ?Refusal {
    const grants = pool.arena().report().grants;
    const fixed: layout.MemoryGrant = pool.devices.grant_of_backend() orelse
        .{ .asked = 0, .granted = 0, .slabs = 0, .error_errno = 0 };
    inline for (.{
        .{ grants.pages, "pages" },
        .{ grants.lock, "lock" },
        .{ grants.prefault, "prefault" },
        .{ grants.numa, "numa_node" },
        .{ fixed, "fixed_buffers" },
    }) |case| {
        const grant: layout.MemoryGrant, const name = case;
        if (grant.granted != grant.asked) return .{
            .field = comptime std.meta.fieldIndex(layout.LoopOptions, name).?,
            .errno = grant.error_errno,
        };
    }
    return null;
}

pub fn report(pool: *Pool, out: *layout.PoolReport) void {
    const shared = pool.arena().report();
    const receive_bytes = @as(u64, pool.with_backend) * pool.buffer_size;
    const transit_bytes = members.in_transit_bytes(pool.number());
    out.slabs = shared.slabs;
    out.slab_bytes = @floatFromInt(pool.arena().kind.slab_bytes);
    out.max_bytes = @floatFromInt(pool.supply.max_bytes);
    out.held_bytes = @floatFromInt(pool.supply.held_bytes + transit_bytes);
    out.in_use_bytes = @floatFromInt(pool.in_use_bytes());
    out.receive_bytes = @floatFromInt(receive_bytes);
    out.cached_bytes = @floatFromInt(pool.supply.cache.bytes());
    out.quarantined_bytes = @floatFromInt(pool.supply.quarantine.bytes);
    out.in_transit_bytes = @floatFromInt(transit_bytes);
    out.free_bytes = @floatFromInt(shared.free_bytes);
    out.lost_bytes = @floatFromInt(shared.lost_bytes);
    out.adopted_bytes = @floatFromInt(pool.adopted_bytes);
    out.refused = @floatFromInt(pool.refused);
    out.released_early = @floatFromInt(pool.supply.released_early);
    out.buffers_in_use = pool.buffers_in_use;
    out.leases = @intCast(pool.leases);
    out.pages = shared.grants.pages;
    out.lock = shared.grants.lock;
    out.prefault = shared.grants.prefault;
    out.numa = shared.grants.numa;
    out.fixed = pool.devices.grant_of_backend() orelse std.mem.zeroes(layout.MemoryGrant);
}

var process_key: std.atomic.Value(u32) = .init(0);

/// Tells the memory of this process from that of another one, to which a handle may have gone
/// astray; never 0.
pub fn key() u32 {
    const known = process_key.load(.monotonic);
    if (known != 0) return known;
    const process: u64 = @intCast(host.process_number());
    var generator: std.Random.SplitMix64 = .init(host.now_ns() ^ process << 40);
    const made: u32 = @truncate(generator.next() | 1);
    return process_key.cmpxchgStrong(0, made, .monotonic, .monotonic) orelse made;
}

/// The child of a fork has its own.
pub fn reset() void {
    process_key.store(0, .monotonic);
}
