//! What `pages.zig` asks of Linux. Source: mmap(2), madvise(2), mbind(2), mlock(2), mincore(2),
//! Documentation/admin-guide/mm/hugetlbpage.rst.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");
const machine = @import("machine.zig");
const read_transparent = @import("memory_facts_linux.zig").read_transparent;
const pages = @import("pages.zig");
const Attempt = pages.Attempt;
const Grant = pages.Grant;
const Kind = pages.Kind;
const Memory = pages.Memory;
const Request = pages.Request;

const page_bytes = std.heap.page_size_min;
const huge_2m_bytes = pages.huge_2m_bytes;
const huge_1g_bytes = pages.huge_1g_bytes;

/// Without NORESERVE, so that a pool with too few pages refuses here. A reservation is a number for
/// the whole machine, though: a node or a control group may still have no page for us.
pub fn map_huge(request: Request, kind: Kind) Attempt {
    const huge_bytes: usize = if (kind == .huge_1g) huge_1g_bytes else huge_2m_bytes;
    if (request.bytes % huge_bytes != 0) return .{ .refused = number(.INVAL) };
    const access: linux.PROT = .{ .READ = true, .WRITE = true };
    const rc = linux.mmap(null, request.bytes, access, huge_flags(huge_bytes), -1, 0);
    if (kernel.result(rc) < 0) return .{ .refused = errno_of(rc) };
    const start: [*]align(page_bytes) u8 = @ptrFromInt(rc);
    var grant: Grant = .{ .memory = start[0..request.bytes], .kind = kind };
    exclude_from_fork(grant.memory);
    pages.bind(&grant, request.numa_node);
    const errno = populate(grant.memory, huge_bytes);
    if (errno != 0) {
        kernel.unmap(grant.memory);
        return .{ .refused = errno };
    }
    grant.prefaulted = true;
    // mlock would change nothing, but count against RLIMIT_MEMLOCK.
    grant.locked = request.lock;
    return .{ .granted = grant };
}

/// The size of a page goes as its logarithm into the upper six bits (Linux 3.8).
fn huge_flags(huge_bytes: usize) linux.MAP {
    const flags: linux.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .HUGETLB = true };
    const size = @as(u32, std.math.log2_int(usize, huge_bytes)) << linux.HUGETLB_FLAG_ENCODE_SHIFT;
    return @bitCast(@as(u32, @bitCast(flags)) | size);
}

/// The errno of MADV_HUGEPAGE, or 0.
pub fn advise_huge(memory: Memory) u32 {
    return errno_of(linux.madvise(memory.ptr, memory.len, linux.MADV.HUGEPAGE));
}

/// A process may have been started without transparent huge pages, whatever the machine's setting
/// (PR_SET_THP_DISABLE, Linux 3.15). 3, since 6.18, means everywhere but where madvise asks.
pub fn advice_is_heeded() bool {
    if (read_transparent() == .never) return false;
    const rc = linux.prctl(@intFromEnum(linux.PR.GET_THP_DISABLE), 0, 0, 0, 0);
    return kernel.result(rc) != 1;
}

const policy_bind = 2;
const nodes_max = 1024;

/// mbind(2), Linux 2.6.7. The kernel takes one bit less of the set than it is told.
pub fn bind(memory: Memory, node: u32) u32 {
    var nodes: [nodes_max / 64]u64 = @splat(0);
    if (node < nodes_max) nodes[node / 64] = @as(u64, 1) << @intCast(node % 64);
    const base = @intFromPtr(memory.ptr);
    const set = @intFromPtr(&nodes);
    const bits = nodes_max + 1;
    // An empty set, for a node that cannot be, is EINVAL as well.
    return errno_of(linux.syscall6(.mbind, base, memory.len, policy_bind, set, bits, 0));
}

/// Linux 5.14; not in Zig's library.
const madv_populate_write = 23;

/// The positive errno, or 0 when every page is there.
pub fn populate(memory: Memory, step_bytes: usize) u32 {
    const errno = errno_of(linux.madvise(memory.ptr, memory.len, madv_populate_write));
    return if (errno == number(.INVAL)) touch(memory, step_bytes) else errno;
}

/// For kernels before 5.14. It is getcpu(2) that writes, so a page that is not to be had is EFAULT;
/// a write of our own would be a signal.
fn touch(memory: Memory, step_bytes: usize) u32 {
    var offset: usize = 0;
    while (offset < memory.len) : (offset += step_bytes) {
        const word: *volatile u32 = @ptrCast(@alignCast(memory.ptr + offset));
        const errno = errno_of(linux.syscall3(.getcpu, @intFromPtr(word), 0, 0));
        if (errno != 0) return errno;
        word.* = 0;
    }
    return 0;
}

/// Pages that are there now and those to come (MLOCK_ONFAULT, Linux 4.4), or before 4.4 all of
/// them, which is the same once they have been asked for. The positive errno, or 0.
pub fn lock(memory: Memory, populated: bool) u32 {
    var errno = errno_of(linux.mlock2(memory.ptr, memory.len, .{ .ONFAULT = true }));
    if (errno == number(.NOSYS) and populated) {
        errno = errno_of(linux.mlock(memory.ptr, memory.len));
    }
    // A call that fails may have locked a part.
    if (errno != 0) _ = linux.munlock(memory.ptr, memory.len);
    return errno;
}

/// Huge pages refuse MADV_FREE (Linux 4.5), while MADV_DONTNEED would take them (5.18).
pub fn discard(memory: Memory, locked: bool) void {
    if (locked) _ = linux.munlock(memory.ptr, memory.len);
    const rc = linux.madvise(memory.ptr, memory.len, linux.MADV.FREE);
    if (kernel.result(rc) == 0) kernel.discard(memory);
    if (locked) _ = lock(memory, false);
}

/// Linux 2.6.16. It fails only where the process has as many mappings as it may.
pub fn exclude_from_fork(memory: Memory) void {
    _ = linux.madvise(memory.ptr, memory.len, linux.MADV.DONTFORK);
}

/// mincore(2) in steps of 1,024 pages.
pub fn is_mapped(address: usize, last: usize) bool {
    const page = machine.page_bytes();
    var residency: [1024]u8 = undefined;
    var at = std.mem.alignBackward(usize, address, page);
    var count = (last - at) / page + 1;
    while (true) {
        const step = @min(count, residency.len);
        const bytes = step * page;
        const rc = linux.syscall3(.mincore, at, bytes, @intFromPtr(&residency));
        if (kernel.result(rc) != 0) return false;
        count -= step;
        if (count == 0) return true;
        at += bytes;
    }
}

fn errno_of(rc: usize) u32 {
    return kernel.errno_of(kernel.result(rc));
}

fn number(code: kernel.E) u32 {
    return @intFromEnum(code);
}

const exit_code_of_child = @import("fork.zig").exit_code_of_child;

const expect_sound = pages.expect_sound;
const map = pages.map;
const memory_facts = @import("memory_facts.zig");
const record = @import("record_test.zig");

const lazy: Request = .{ .bytes = 2 << 20, .kind = .small };
const eager: Request = .{ .bytes = 2 << 20, .kind = .small, .prefault = true };
const lazy_lock: Request = .{ .bytes = 2 << 20, .kind = .small, .lock = true };
const eager_lock: Request = .{ .bytes = 2 << 20, .kind = .small, .lock = true, .prefault = true };

fn resident_pages(memory: Memory) !usize {
    var residency: [huge_2m_bytes / page_bytes]u8 = undefined;
    const rc = linux.mincore(memory.ptr, memory.len, &residency);
    try std.testing.expectEqual(@as(i32, 0), kernel.result(rc));
    var count: usize = 0;
    for (residency[0 .. memory.len / page_bytes]) |byte| count += byte & 1;
    return count;
}

test "memory is populated when asked and not before" {
    const later = map(lazy) orelse return error.OutOfMemory;
    defer kernel.unmap(later.memory);
    try std.testing.expectEqual(@as(usize, 0), try resident_pages(later.memory));
    const now = map(eager) orelse return error.OutOfMemory;
    defer kernel.unmap(now.memory);
    try std.testing.expect(now.prefaulted);
    try std.testing.expectEqual(@as(usize, 512), try resident_pages(now.memory));
    try expect_sound(now, huge_2m_bytes);
}

fn pool_can_grow(comptime folder: []const u8) bool {
    const path = "/sys/kernel/mm/hugepages/" ++ folder ++ "/nr_overcommit_hugepages";
    var buffer: [64]u8 = undefined;
    const text = kernel.read_file(path, &buffer) orelse return false;
    return (kernel.first_number(text) orelse 0) > 0;
}

test "huge pages are granted where there are any, and otherwise the next best" {
    const testing = std.testing;
    const facts = memory_facts.read();
    const may_2m = facts.huge_2m_total > 0 or pool_can_grow("hugepages-2048kB");
    const may_1g = facts.huge_1g_total > 0 or pool_can_grow("hugepages-1048576kB");
    for ([_]Kind{ .huge_2m, .huge_1g }) |kind| for ([_]usize{ 4 << 20, 1 << 30 }) |bytes| {
        const grant = map(.{ .bytes = bytes, .kind = kind }) orelse return error.OutOfMemory;
        defer kernel.unmap(grant.memory);
        if (bytes == 4 << 20 or grant.kind == .huge_1g) try expect_sound(grant, bytes);
        try testing.expectEqual(grant.kind != kind, grant.kind_errno != 0);
        if (kind == .huge_1g and bytes < huge_1g_bytes) {
            try testing.expectEqual(number(.INVAL), grant.kind_errno);
        }
        switch (grant.kind) {
            .huge_1g => try testing.expect(may_1g and bytes == huge_1g_bytes and grant.prefaulted),
            .huge_2m => try testing.expect(may_2m and grant.prefaulted),
            .transparent => try testing.expect(facts.transparent != .never),
            .small => try testing.expect(facts.transparent != .always or !advice_is_heeded()),
        }
    };
}

test "memory comes from a node that exists, and from anywhere when it does not" {
    const testing = std.testing;
    const one_node = memory_facts.read().numa_nodes == 1;
    for ([_]u32{ 0, 63, 64, 1000, 1023, 1024, std.math.maxInt(u32) }) |node| {
        var request = eager;
        request.numa_node = node;
        const grant = map(request) orelse return error.OutOfMemory;
        defer kernel.unmap(grant.memory);
        try expect_sound(grant, huge_2m_bytes);
        try testing.expect(grant.bound != (grant.numa_errno != 0));
        if (node >= 1000 or node > 0 and one_node) try testing.expect(!grant.bound);
        var policy: u32 = 0;
        const base = @intFromPtr(grant.memory.ptr);
        // 2: of an address.
        const rc = linux.syscall5(.get_mempolicy, @intFromPtr(&policy), 0, 0, base, 2);
        if (kernel.result(rc) == 0 and grant.bound) try testing.expectEqual(policy_bind, policy);
    }
}

fn is_locked(memory: Memory) bool {
    const rc = linux.madvise(memory.ptr, memory.len, linux.MADV.DONTNEED);
    return errno_of(rc) == number(.INVAL);
}

fn is_limit(errno: u32) bool {
    // It has no mlock2(2).
    if (record.on_valgrind() and errno == number(.NOSYS)) return true;
    return errno == number(.NOMEM) or errno == number(.PERM) or errno == number(.AGAIN);
}

test "a lock holds, or says why not" {
    for ([_]Request{ lazy_lock, eager_lock }) |request| {
        const grant = map(request) orelse return error.OutOfMemory;
        defer kernel.unmap(grant.memory);
        try std.testing.expect(grant.locked or is_limit(grant.lock_errno));
        try std.testing.expectEqual(grant.locked, is_locked(grant.memory));
        try std.testing.expectEqual(request.prefault, grant.prefaulted);
    }
}

/// A process without CAP_IPC_LOCK that may lock so much and no more.
fn lock_under_limit(limit_bytes: u64) u8 {
    const limit: linux.rlimit = .{ .cur = limit_bytes, .max = limit_bytes };
    if (kernel.result(linux.setrlimit(.MEMLOCK, &limit)) < 0) return 1;
    // Refused where we are not root, and then there is nothing to give up.
    _ = linux.setresuid(65534, 65534, 65534);
    for ([_]Request{ lazy_lock, eager_lock }) |request| {
        const grant = map(request) orelse return 2;
        if (grant.locked) return 3;
        if (!is_limit(grant.lock_errno)) return 4;
        if (grant.prefaulted != request.prefault) return 5;
        if (is_locked(grant.memory)) return 6;
    }
    return 0;
}

test "a lock beyond the limit is refused and the memory is there all the same" {
    for ([_]u64{ 64 << 10, 0 }) |limit_bytes| {
        const code = try exit_code_of_child(limit_bytes, lock_under_limit);
        try std.testing.expectEqual(@as(u8, 0), code);
    }
}

const Instruction = extern struct { code: u16, if_true: u8 = 0, if_false: u8 = 0, operand: u32 };

/// Has the kernel answer like one before 4.4: no mlock2, no MADV_POPULATE_WRITE. seccomp(2).
fn become_old() bool {
    const load = 0x20;
    const jump_if_equal = 0x15;
    const answer = 0x06;
    const advice = 16 + 2 * @sizeOf(u64);
    const refuse = linux.SECCOMP.RET.ERRNO;
    const lines = [_]Instruction{
        .{ .code = load, .operand = 0 },
        .{ .code = jump_if_equal, .if_true = 4, .operand = @intFromEnum(linux.SYS.mlock2) },
        .{ .code = jump_if_equal, .if_false = 2, .operand = @intFromEnum(linux.SYS.madvise) },
        .{ .code = load, .operand = advice },
        .{ .code = jump_if_equal, .if_true = 2, .operand = madv_populate_write },
        .{ .code = answer, .operand = linux.SECCOMP.RET.ALLOW },
        .{ .code = answer, .operand = refuse | number(.NOSYS) },
        .{ .code = answer, .operand = refuse | number(.INVAL) },
    };
    const Program = extern struct { length: u16, lines: [*]const Instruction };
    const program: Program = .{ .length = lines.len, .lines = &lines };
    _ = linux.prctl(@intFromEnum(linux.PR.SET_NO_NEW_PRIVS), 1, 0, 0, 0);
    return kernel.result(linux.seccomp(linux.SECCOMP.SET_MODE_FILTER, 0, &program)) == 0;
}

const no_filters = 8;

fn map_on_old_kernel(_: void) u8 {
    if (!become_old()) return no_filters;
    const later = map(lazy_lock) orelse return 1;
    if (later.locked or later.lock_errno != number(.NOSYS) or later.prefaulted) return 2;
    const now = map(eager_lock) orelse return 3;
    if (!now.prefaulted or (resident_pages(now.memory) catch 0) != 512) return 4;
    if (!now.locked and !is_limit(now.lock_errno)) return 5;
    for (now.memory) |byte| if (byte != 0) return 6;
    return if (now.locked == is_locked(now.memory)) 0 else 7;
}

test "a kernel that has neither call is asked with what it has" {
    if (record.on_valgrind()) return record.skip("valgrind: it has no seccomp(2)", .{});
    const code = try exit_code_of_child({}, map_on_old_kernel);
    if (code == no_filters) return record.skip("kernel: no seccomp filters", .{});
    try std.testing.expectEqual(@as(u8, 0), code);
}

test "populating where nothing is to be had is an errno, not a signal" {
    const memory = kernel.map(4 * page_bytes) orelse return error.OutOfMemory;
    defer kernel.unmap(memory);
    kernel.unmap(@alignCast(memory[2 * page_bytes ..][0..page_bytes]));
    try std.testing.expectEqual(number(.NOMEM), populate(memory, page_bytes));
    try std.testing.expectEqual(number(.FAULT), touch(memory, page_bytes));
}
