//! What `pages.zig` asks of macOS and FreeBSD: huge pages and nodes cannot be asked for, and memory
//! is locked only once it is there. Source: minherit(2), mlock(2), madvise(2), msync(2).

const std = @import("std");
const c = std.c;
const kernel = @import("kernel.zig");
const machine = @import("machine.zig");
const pages = @import("pages.zig");
const Attempt = pages.Attempt;
const Kind = pages.Kind;
const Memory = pages.Memory;
const Request = pages.Request;

const not_there: u32 = @intFromEnum(kernel.E.NOSYS);

pub fn map_huge(request: Request, kind: Kind) Attempt {
    _ = request;
    _ = kind;
    return .{ .refused = not_there };
}

pub fn advise_huge(memory: Memory) u32 {
    _ = memory;
    return not_there;
}

pub fn advice_is_heeded() bool {
    return false;
}

pub fn bind(memory: Memory, node: u32) u32 {
    _ = memory;
    _ = node;
    return not_there;
}

/// These kernels promise memory that they do not have as well, and no call has them keep the
/// promise without a write.
pub fn populate(memory: Memory, step_bytes: usize) u32 {
    var offset: usize = 0;
    while (offset < memory.len) : (offset += step_bytes) {
        const byte: *volatile u8 = &memory[offset];
        byte.* = 0;
    }
    return 0;
}

/// mlock(2) brings every page in, so memory that is to come with its first touch stays unlocked.
pub fn lock(memory: Memory, populated: bool) u32 {
    if (!populated) return not_there;
    return kernel.errno_of(kernel.result(c.mlock(memory.ptr, memory.len)));
}

/// The pages go when somebody needs them; what was locked is no more.
pub fn discard(memory: Memory, locked: bool) void {
    if (locked) _ = c.munlock(memory.ptr, memory.len);
    _ = c.madvise(memory.ptr, memory.len, c.MADV.FREE);
}

/// What a child gets of a mapping. `zero`: on FreeBSD only.
pub const Inheritance = enum(c_int) { none = 2, zero = 3 };
extern "c" fn minherit(address: *anyopaque, length: usize, inheritance: c_int) c_int;

pub fn set_inheritance(memory: Memory, inheritance: Inheritance) i32 {
    return kernel.result(minherit(memory.ptr, memory.len, @intFromEnum(inheritance)));
}

pub fn exclude_from_fork(memory: Memory) void {
    _ = set_inheritance(memory, .none);
}

/// msync(2) of both finds holes; with MS_ASYNC it does nothing to memory without a file.
pub fn is_mapped(address: usize, last: usize) bool {
    const page = machine.page_bytes();
    const start = std.mem.alignBackward(usize, address, page);
    const bytes = std.math.add(usize, last - start, 1) catch return false;
    // Nothing is ever mapped there, and no pointer may name it.
    if (start == 0) return false;
    return kernel.result(c.msync(@ptrFromInt(start), bytes, c.MSF.ASYNC)) == 0;
}
