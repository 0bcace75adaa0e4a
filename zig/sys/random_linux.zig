//! What `random.zig` is made of on Linux. Source: getrandom(2), which gives up to 256 bytes whole
//! once the machine has started; before that, or where a filter refuses it, the bytes stay as they
//! are.

const linux = @import("std").os.linux;

pub fn fill(bytes: []u8) void {
    _ = linux.getrandom(bytes.ptr, bytes.len, 0);
}
