//! The simulator: `zig build simulate -- --seeds 20000`, or `-- --seed N` to play one again.

const std = @import("std");
const seeds = @import("simulation/seeds.zig");

const usage =
    \\simulate [--seeds COUNT] [--first N] [--jobs COUNT]
    \\simulate --seed N
    \\
    \\  --seeds COUNT  seeds to play (1000)
    \\  --first N      the first of them (0)
    \\  --jobs COUNT   processes to share them (one for each CPU)
    \\  --seed N       plays one seed and tells what happens
    \\
    \\
;

pub const panic = std.debug.FullPanic(seeds.panicked);

const Options = struct {
    count: u64 = 1000,
    first: u64 = 0,
    jobs: u32 = 0,
    single: ?u64 = null,
};

pub fn main(init: std.process.Init.Minimal) u8 {
    const options = parse(init.args) catch |problem| {
        if (problem != error.Help) std.debug.print("{t}\n", .{problem});
        std.debug.print(usage, .{});
        return if (problem == error.Help) 0 else 2;
    };
    if (options.single) |seed| return seeds.replay(seed);
    return seeds.run(options.first, options.count, options.jobs);
}

fn parse(args: std.process.Args) !Options {
    var options: Options = .{};
    var iterator = args.iterate();
    _ = iterator.next();
    while (iterator.next()) |name| {
        if (std.mem.eql(u8, name, "--help")) return error.Help;
        const value = try std.fmt.parseInt(u64, iterator.next() orelse return error.Usage, 10);
        if (std.mem.eql(u8, name, "--seeds")) {
            options.count = value;
        } else if (std.mem.eql(u8, name, "--first")) {
            options.first = value;
        } else if (std.mem.eql(u8, name, "--jobs")) {
            options.jobs = std.math.cast(u32, value) orelse return error.Usage;
        } else if (std.mem.eql(u8, name, "--seed")) {
            options.single = value;
        } else {
            return error.Usage;
        }
    }
    return options;
}
