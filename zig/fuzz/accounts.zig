//! What a process must have again once all loops are closed: as many descriptors as before, and
//! slabs whose every byte is free, lost for a known reason, or left in transit by a loop that is
//! gone. Looks into the library's tables. Only while no loop is open.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("../sys/kernel.zig");
const arena_module = @import("../memory/arena.zig");
const lookups = @import("../net/resolve/requests.zig");
const members = @import("../memory/members.zig");
const sockets = @import("../sys/sockets.zig");
const slabs = @import("../memory/slabs.zig");

/// Open descriptors of this process, and the one that looks; not those of threads that are kept for
/// lookups.
pub fn descriptors() u32 {
    const folder = kernel.result(linux.open("/proc/self/fd", .{ .DIRECTORY = true }, 0));
    if (folder < 0) return 0;
    defer kernel.close(folder);
    var count: u32 = 0;
    var buffer: [4096]u8 align(8) = undefined;
    while (true) {
        const length = kernel.result(linux.getdents64(folder, &buffer, buffer.len));
        if (length <= 0) return count - lookups.thread_count();
        var at: usize = 0;
        while (at < length) : (count += 1) {
            const entry: *align(1) const linux.dirent64 = @ptrCast(&buffer[at]);
            at += entry.reclen;
        }
    }
}

/// Lookups of loops that are closed end soon; until then they have sockets.
fn await_lookups() void {
    for (0..5000) |_| {
        if (lookups.is_idle()) return;
        _ = sockets.ready_within(-1, 1, .{});
    }
    @panic("a lookup does not end");
}

pub fn check(descriptors_before: u32) void {
    await_lookups();
    const now = descriptors();
    if (now != descriptors_before) {
        std.debug.panic("{d} descriptors before, {d} afterwards", .{ descriptors_before, now });
    }
    check_slabs();
    for (slabs.first_adopted()..slabs.numbers_max) |number| {
        const name = slabs.name_of(@intCast(number), 0);
        if (slabs.state(name).owner() != slabs.Owner.nobody) @panic("memory is still adopted");
    }
    // The lowest number that nobody has is the first, when nobody has any.
    const number = members.join() orelse @panic("pools are left");
    if (number & (members.members_max - 1) != 0) @panic("a pool is left");
    _ = members.leave(number);
}

const Sums = struct { free: u64 = 0, lost: u64 = 0, transit: u64 = 0 };

fn check_slabs() void {
    var found: Sums = .{};
    var told: Sums = .{};
    var orphaned: i64 = 0;
    var seen: std.StaticBitSet(256) = .initEmpty();
    for (0..slabs.slab_count()) |index| {
        const number: u32 = @intCast(index);
        check_slab(number, &found);
        const slab = slabs.slab_at(number);
        if (seen.isSet(slab.arena)) continue;
        seen.set(slab.arena);
        const arena = arena_module.of_block(slabs.name_of(number, 0));
        if (arena.loops != 0 or arena.limit_bytes != 0) @panic("an arena still has loops");
        const report = arena.report();
        told.free += report.free_bytes;
        told.lost += report.lost_bytes;
        orphaned += arena.orphaned_bytes.load(.monotonic);
    }
    told.transit = @intCast(orphaned);
    if (!std.meta.eql(found, told)) {
        std.debug.panic("the slabs hold {any}, the accounts say {any}", .{ found, told });
    }
}

fn check_slab(number: u32, sums: *Sums) void {
    const slab = slabs.slab_at(number);
    var unit: u32 = 0;
    while (unit < slab.units) {
        const name = slabs.name_of(number, unit);
        const state = slabs.state(name);
        if (state.bytes == 0 or state.references != 0) {
            std.debug.panic("buffer {x}: {d} bytes, {d} references", .{
                name,
                state.bytes,
                state.references,
            });
        }
        switch (state.owner()) {
            slabs.Owner.arena => sums.free += state.bytes,
            slabs.Owner.lost => sums.lost += state.bytes,
            slabs.Owner.transit => sums.transit += state.bytes,
            else => |owner| std.debug.panic("buffer {x} is still that of {x}", .{ name, owner }),
        }
        unit += state.bytes / slabs.unit_bytes;
    }
}
