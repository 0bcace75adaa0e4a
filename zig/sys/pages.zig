//! The mapping of slabs: what memory was asked for, what the kernel granted, and the errno of each
//! refusal. Everything is best effort, in this order: pages, exclusion from forks, NUMA node,
//! population, lock. The node comes before any page is touched, because it decides where a page
//! comes from and moves none.
//!
//! Invariant: memory that is handed out can be touched without a signal. Huge pages are therefore
//! there, all of them, before anybody sees them, and stay: a touch that finds none left is SIGBUS.
//! No state, any thread; populating a GiB takes a tenth of a second and more.

const std = @import("std");
const kernel = @import("kernel.zig");

const system = switch (@import("system.zig").family) {
    .linux => @import("pages_linux.zig"),
    .bsd => @import("pages_bsd.zig"),
};

pub const Memory = []align(std.heap.page_size_min) u8;

const page_bytes = std.heap.page_size_min;
pub const huge_2m_bytes = 2 << 20;
pub const huge_1g_bytes = 1 << 30;
const least_bytes = 64 << 10;

pub const Kind = enum(u32) {
    small = 0,
    huge_2m = 1,
    huge_1g = 2,
    /// Only as a grant: ordinary pages with MADV_HUGEPAGE, on a kernel that heeds it when it can.
    transparent = 3,
};

pub const Request = struct {
    /// A power of two, at least 64 KiB.
    bytes: usize,
    /// What is not to be had falls from 1 GiB to 2 MiB to ordinary pages with MADV_HUGEPAGE. Never
    /// `transparent`. `small` asks for no advice, so there the setting of the machine holds.
    kind: Kind,
    /// Never to be written to swap. Counts against RLIMIT_MEMLOCK, except huge pages.
    lock: bool = false,
    /// All pages now, instead of each with its first touch.
    prefault: bool = false,
    numa_node: ?u32 = null,
};

/// An errno is 0 where nothing was asked or nothing refused.
pub const Grant = struct {
    /// Zeroed, and aligned to its length, or to 2 MiB at least where it is longer.
    memory: Memory,
    kind: Kind,
    /// Of the first refusal: EINVAL where the length is no multiple of the page, or the kernel
    /// knows no pages of that size; ENOMEM where its pool has not enough of them; EFAULT where it
    /// has, but none for the node or the control group; ENOSYS where a program cannot ask.
    kind_errno: u32 = 0,
    /// Huge pages always are when asked: they are never swapped.
    locked: bool = false,
    /// ENOMEM or EPERM: RLIMIT_MEMLOCK. EAGAIN: a page is not to be had. ENOSYS: a kernel that
    /// locks pages only once they are there, and they are not.
    lock_errno: u32 = 0,
    /// Huge pages always are.
    prefaulted: bool = false,
    prefault_errno: u32 = 0,
    /// Pages come from the node and from no other.
    bound: bool = false,
    /// EINVAL: no such node, or none that this process may use. EPERM: often a container's filter
    /// of system calls, which CAP_SYS_NICE opens. ENOSYS: a kernel without NUMA.
    numa_errno: u32 = 0,
};

/// Null only when not even ordinary memory is to be had, or for a length that is not allowed.
pub fn map(request: Request) ?Grant {
    if (request.bytes < least_bytes or !std.math.isPowerOfTwo(request.bytes)) return null;
    const ladder: []const Kind = switch (request.kind) {
        .huge_1g => &.{ .huge_1g, .huge_2m },
        .huge_2m => &.{.huge_2m},
        .small, .transparent => &.{},
    };
    var first_refusal: u32 = 0;
    for (ladder) |kind| switch (system.map_huge(request, kind)) {
        .granted => |granted| {
            var grant = granted;
            grant.kind_errno = first_refusal;
            return grant;
        },
        .refused => |errno| if (first_refusal == 0) {
            first_refusal = errno;
        },
    };
    var grant = map_ordinary(request) orelse return null;
    if (first_refusal != 0) grant.kind_errno = first_refusal;
    return grant;
}

pub fn unmap(memory: Memory) void {
    kernel.unmap(memory);
}

/// Gives the pages of ordinary memory back; what was locked will be again, page by page where the
/// kernel can. Huge pages stay.
pub fn discard(memory: Memory, locked: bool) void {
    system.discard(memory, locked);
}

/// Leaves a mapping out of the children of this process: a slab, because of copy on write (the
/// kernel would go on with a transfer into the old page, and the parent have a new one); a ring or
/// a channel, because a child would write into the parent's. Where it fails a child has the memory
/// too, and is told by `fork.zig` to leave it alone.
pub fn exclude_from_fork(memory: []align(std.heap.page_size_min) const u8) void {
    system.exclude_from_fork(@constCast(memory));
}

/// Whether all of the range is mapped; an empty one needs no more than an address that is not null.
/// Mapped is not readable (hosts reserve addresses with PROT_NONE), and another thread may unmap it
/// a moment later: this finds mistakes and licenses nothing.
pub fn is_mapped(address: usize, length: usize) bool {
    if (address == 0) return false;
    if (length == 0) return true;
    const last = std.math.add(usize, address, length - 1) catch return false;
    return system.is_mapped(address, last);
}

/// What came of asking for huge pages; an errno where they were refused.
pub const Attempt = union(enum) { granted: Grant, refused: u32 };

fn map_ordinary(request: Request) ?Grant {
    const memory = map_aligned(request.bytes) orelse return null;
    exclude_from_fork(memory);
    var grant: Grant = .{ .memory = memory, .kind = .small };
    if (request.kind != .small) {
        grant.kind_errno = system.advise_huge(memory);
        if (grant.kind_errno == 0 and system.advice_is_heeded()) grant.kind = .transparent;
    }
    bind(&grant, request.numa_node);
    if (request.prefault) {
        grant.prefault_errno = system.populate(memory, page_bytes);
        grant.prefaulted = grant.prefault_errno == 0;
    }
    if (request.lock) {
        grant.lock_errno = system.lock(memory, request.prefault);
        grant.locked = grant.lock_errno == 0;
    }
    return grant;
}

/// More than is needed, less its ends. An end that stays mapped, because the process has as many
/// mappings as it may, costs nothing but addresses.
fn map_aligned(bytes: usize) ?Memory {
    const alignment = @min(bytes, huge_2m_bytes);
    const more = std.math.add(usize, bytes, alignment) catch return null;
    const around = kernel.map(more) orelse return null;
    const address = @intFromPtr(around.ptr);
    const before = std.mem.alignForward(usize, address, alignment) - address;
    const memory: Memory = @alignCast(around[before..][0..bytes]);
    const after: Memory = @alignCast(around[before + bytes ..]);
    if (before > 0) kernel.unmap(around[0..before]);
    if (after.len > 0) kernel.unmap(after);
    return memory;
}

/// Before any page is there.
pub fn bind(grant: *Grant, numa_node: ?u32) void {
    const node = numa_node orelse return;
    grant.numa_errno = system.bind(grant.memory, node);
    grant.bound = grant.numa_errno == 0;
}

/// For tests: what was granted agrees with itself, is zeroed, and can be written.
pub fn expect_sound(grant: Grant, bytes: usize) !void {
    const testing = std.testing;
    const page: usize = if (grant.kind == .huge_1g) huge_1g_bytes else huge_2m_bytes;
    try testing.expect(std.mem.isAligned(@intFromPtr(grant.memory.ptr), @min(bytes, page)));
    try testing.expectEqual(bytes, grant.memory.len);
    try testing.expect(!grant.locked or grant.lock_errno == 0);
    try testing.expect(!grant.prefaulted or grant.prefault_errno == 0);
    try testing.expect(!grant.bound or grant.numa_errno == 0);
    var offset: usize = 0;
    while (offset < bytes) : (offset += page_bytes) {
        try testing.expectEqual(@as(u8, 0), grant.memory[offset]);
        grant.memory[offset + page_bytes - 1] = 1;
    }
}

const exit_code_of_child = @import("fork.zig").exit_code_of_child;

test "ordinary memory is aligned, zeroed and no more than was asked" {
    for ([_]usize{ 64 << 10, 1 << 20, 2 << 20, 4 << 20, 64 << 20 }) |bytes| {
        const grant = map(.{ .bytes = bytes, .kind = .small }) orelse return error.OutOfMemory;
        defer kernel.unmap(grant.memory);
        try expect_sound(grant, bytes);
        try std.testing.expectEqual(Grant{ .memory = grant.memory, .kind = .small }, grant);
    }
}

test "lengths that are not allowed, and more than there is, are null" {
    const most = std.math.maxInt(usize);
    for ([_]Kind{ .small, .huge_2m, .huge_1g, .transparent }) |kind| {
        for ([_]usize{ 0, 1, 4096, 3 << 20, (2 << 20) + 1, most, 1 << 63, 1 << 62 }) |bytes| {
            try std.testing.expect(map(.{ .bytes = bytes, .kind = kind }) == null);
        }
    }
}

test "a child does not have the memory" {
    const Child = struct {
        fn look(memory: Memory) u8 {
            return @intFromBool(is_mapped(@intFromPtr(memory.ptr), 1));
        }
    };
    const eager: Request = .{ .bytes = 2 << 20, .kind = .small, .prefault = true };
    const excluded = map(eager) orelse return error.OutOfMemory;
    defer kernel.unmap(excluded.memory);
    try std.testing.expectEqual(@as(u8, 0), try exit_code_of_child(excluded.memory, Child.look));
    const inherited = kernel.map(page_bytes) orelse return error.OutOfMemory;
    defer kernel.unmap(inherited);
    try std.testing.expectEqual(@as(u8, 1), try exit_code_of_child(inherited, Child.look));
}

test "ranges are mapped when all of them is" {
    const testing = std.testing;
    const memory = kernel.map(16 << 20) orelse return error.OutOfMemory;
    const base = @intFromPtr(memory.ptr);
    const hole: Memory = @alignCast(memory[8 << 20 ..][0..page_bytes]);
    kernel.unmap(hole);
    defer kernel.unmap(memory);
    try testing.expect(is_mapped(base, 8 << 20));
    try testing.expect(!is_mapped(base, (8 << 20) + 1));
    try testing.expect(!is_mapped(base, 16 << 20));
    try testing.expect(is_mapped(base + (8 << 20) + page_bytes, (8 << 20) - page_bytes));
    try testing.expect(is_mapped(@intFromPtr(&base), @sizeOf(usize)));
    const most = std.math.maxInt(usize);
    for ([_][2]usize{
        .{ 0, 0 },    .{ 0, 1 },       .{ 0, most },    .{ 1, 1 },              .{ base, most },
        .{ most, 1 }, .{ most, most }, .{ 1 << 63, 8 }, .{ most - 4095, 4096 },
    }) |range| try testing.expect(!is_mapped(range[0], range[1]));
}

test {
    _ = system;
}
