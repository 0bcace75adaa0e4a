//! Root of the fuzzer: the library's own sources, driven through their exported functions. A module
//! does not reach above its root, so the root is here.

const main_module = @import("fuzz/main.zig");

pub const main = main_module.main;

comptime {
    _ = @import("twinpoll.zig");
}
