//! A loop that cannot have all the memory that it needs is not opened, and leaves nothing behind,
//! over every backend.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const mapped = @import("../memory/mapped.zig");
const Instance = @import("instance.zig").Instance;
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
const small_options = @import("script_test.zig").small_options;

const testing = std.testing;
const arrays_max = 200;

/// The lowest: any that was left behind has taken its place.
fn free_descriptor() !i32 {
    const descriptor = kernel.result(linux.dup(0));
    try testing.expect(descriptor >= 0);
    kernel.close(descriptor);
    return descriptor;
}

fn check_opening(comptime Backend: type, trigger: layout.Trigger) !void {
    // What the process keeps is there from then on.
    var options = small_options();
    (try open(Backend, trigger, &options)).close();
    const before = mapped.account.there;
    const free = try free_descriptor();
    defer mapped.account.left = std.math.maxInt(u32);
    var failures: u32 = 0;
    for (0..arrays_max) |arrays| {
        options = small_options();
        options.trigger = @intFromEnum(trigger);
        var failure: contract.Failure = .{};
        mapped.account.left = @intCast(arrays);
        if (Instance(Backend).open(&options, 0, &failure)) |instance| {
            const was_enough = mapped.account.left > 0;
            mapped.account.left = std.math.maxInt(u32);
            instance.close();
            if (was_enough) break;
        } else |err| {
            try testing.expectEqual(error.OutOfMemory, err);
            failures += 1;
        }
        errdefer std.debug.print("with {d} arrays\n", .{arrays});
        try testing.expectEqual(before, mapped.account.there);
        try testing.expectEqual(free, try free_descriptor());
    } else return error.TooManyArrays;
    try testing.expect(failures > 10);
    try testing.expectEqual(before, mapped.account.there);
}

test "a loop that finds too little memory leaves nothing behind" {
    try over_rows(check_opening);
}
