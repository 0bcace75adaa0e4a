//! What `random.zig` is made of on macOS and FreeBSD. Source: arc4random_buf(3).

extern "c" fn arc4random_buf(bytes: [*]u8, count: usize) void;

pub fn fill(bytes: []u8) void {
    arc4random_buf(bytes.ptr, bytes.len);
}
