//! Pipes for tests of watched descriptors: no runtime makes one whose descriptors are the system's.
//!
//! The adapters bind functions by the library's own names and signatures, so each function here has
//! the name of one with the signature that it needs.

const std = @import("std");
const linux = std.os.linux;

fn result(rc: usize) i32 {
    return @truncate(@as(isize, @bitCast(rc)));
}

/// Makes a pipe that does not block: two words, the end to read from and the end to write to.
export fn tp_probe(ends: [*]u8, length: u32) i32 {
    var pair: [2]i32 = undefined;
    if (length != @sizeOf(@TypeOf(pair))) return -1;
    const rc = linux.pipe2(&pair, .{ .CLOEXEC = true, .NONBLOCK = true });
    @memcpy(ends[0..@sizeOf(@TypeOf(pair))], std.mem.asBytes(&pair));
    return result(rc);
}

/// Closes a descriptor.
export fn tp_loop_close(descriptor: u32) i32 {
    return result(linux.close(@bitCast(descriptor)));
}

/// Reads.
export fn tp_listen(descriptor: u32, bytes: [*]u8, length: u32) i32 {
    return result(linux.read(@bitCast(descriptor), bytes, length));
}

/// Writes.
export fn tp_connect(descriptor: u32, bytes: [*]u8, length: u32) i32 {
    return result(linux.write(@bitCast(descriptor), bytes, length));
}
