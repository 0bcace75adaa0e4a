//! What a buffer costs: taking one and giving it back, from a loop's pool and from `malloc`.
//!
//!     twinpoll-memory [seconds per visit] [core] [core]
//!
//! Prints one line of JSON per figure. The pool is the library's own, built as it is shipped. A
//! figure is the processor time of the thread that measures, so other programs disturb it little;
//! contestants take turns in rounds, and the median counts.

const std = @import("std");
const twinpoll = @import("twinpoll");
const linux = std.os.linux;
const Pool = twinpoll.Pool;

extern fn malloc(bytes: usize) ?[*]u8;
extern fn free(memory: ?[*]u8) void;
extern fn aligned_alloc(alignment: usize, bytes: usize) ?[*]u8;

const sizes = [_]u32{ 512, 4096, 16_384, 65_536, 1 << 20 };
/// How many are held at a time.
const depths = [_]u32{ 1, 64 };
const rounds = 7;
const batch = 4096;

const Contestant = enum { pool, malloc };

pub fn main(init: std.process.Init) !u8 {
    const arena = init.arena.allocator();
    const arguments = try init.minimal.args.toSlice(arena);
    const seconds = if (arguments.len > 1) try std.fmt.parseFloat(f64, arguments[1]) else 0.05;
    const cores = if (arguments.len > 3)
        [2]u32{ try core(arguments[2]), try core(arguments[3]) }
    else
        null;
    if (cores) |pair| pin(pair[0]);
    const pool = try open();
    const visit_ns: u64 = @intFromFloat(seconds * std.time.ns_per_s);
    for (sizes) |size| {
        for (depths) |depth| {
            var figures: [2][rounds]f64 = undefined;
            for (0..rounds) |round| {
                figures[0][round] = visit(pool, size, depth, visit_ns);
                figures[1][round] = visit(null, size, depth, visit_ns);
            }
            for (&figures, [_]Contestant{ .pool, .malloc }) |*values, contestant| {
                print("{{\"contestant\":\"{t}\",\"bytes\":{d},\"held\":{d},\"ns\":{d:.2}}}\n", .{
                    contestant, size, depth, median(values),
                });
            }
        }
    }
    if (cores) |pair| try together(pair, visit_ns);
    return 0;
}

fn core(text: []const u8) !u32 {
    return std.fmt.parseInt(u32, text, 10);
}

/// In pages of its own, as a loop's pool is: two that share a cache line would hinder each other.
fn open() !*Pool {
    const pool = try std.heap.page_allocator.create(Pool);
    try pool.init(.{
        .kind = .{ .slab_bytes = 8 << 20 },
        .max_bytes = 256 << 20,
        .buffer_size = 16_384,
        .receive_count = 1024,
    });
    return pool;
}

/// Nanoseconds of processor time per buffer taken and given back.
fn visit(pool: ?*Pool, bytes: u32, depth: u32, visit_ns: u64) f64 {
    const start = thread_ns();
    var count: u64 = 0;
    while (true) {
        if (pool) |ours| use_pool(ours, bytes, depth) else use_malloc(bytes, depth);
        count += batch;
        const spent = thread_ns() - start;
        if (spent >= visit_ns) {
            return @as(f64, @floatFromInt(spent)) / @as(f64, @floatFromInt(count));
        }
    }
}

fn use_pool(pool: *Pool, bytes: u32, depth: u32) void {
    var held: [64]u32 = undefined;
    for (0..batch / depth) |_| {
        for (held[0..depth]) |*name| name.* = pool.take(bytes) orelse @panic("no buffer");
        for (held[0..depth]) |name| {
            if (!pool.take_from_script(name)) @panic("not ours");
            _ = pool.release(name);
        }
    }
}

fn use_malloc(bytes: u32, depth: u32) void {
    var held: [64]?[*]u8 = undefined;
    for (0..batch / depth) |_| {
        for (held[0..depth]) |*memory| {
            memory.* = malloc(bytes);
            std.mem.doNotOptimizeAway(memory.*);
        }
        for (held[0..depth]) |memory| free(memory);
    }
}

const Side = struct {
    core: u32,
    visit_ns: u64,
    go: *std.atomic.Value(u32),
    /// Buffers per second of the side's own processor time.
    rate: f64 = 0,

    fn run(self: *Side) void {
        pin(self.core);
        const pool = open() catch @panic("no pool");
        _ = visit(pool, 16_384, 64, self.visit_ns / 4);
        _ = self.go.fetchSub(1, .acq_rel);
        while (self.go.load(.acquire) > 0) std.atomic.spinLoopHint();
        self.rate = std.time.ns_per_s / visit(pool, 16_384, 64, self.visit_ns);
        pool.deinit(true);
        std.heap.page_allocator.destroy(pool);
    }
};

/// Two loops at once, each against its own lone rate.
fn together(cores: [2]u32, visit_ns: u64) !void {
    var shares: [2][rounds]f64 = undefined;
    for (0..rounds) |round| {
        var lone: [2]f64 = undefined;
        for (cores, &lone) |one, *rate| {
            var go: std.atomic.Value(u32) = .init(1);
            var side: Side = .{ .core = one, .visit_ns = visit_ns, .go = &go };
            const thread = try std.Thread.spawn(.{}, Side.run, .{&side});
            thread.join();
            rate.* = side.rate;
        }
        var go: std.atomic.Value(u32) = .init(2);
        var sides: [2]Side = undefined;
        var threads: [2]std.Thread = undefined;
        for (&sides, &threads, cores) |*side, *thread, one| {
            side.* = .{ .core = one, .visit_ns = visit_ns, .go = &go };
            thread.* = try std.Thread.spawn(.{}, Side.run, .{side});
        }
        for (threads) |thread| thread.join();
        for (&shares, sides, lone) |*values, side, rate| values[round] = side.rate / rate;
    }
    for (&shares, 0..) |*values, index| {
        print("{{\"contestant\":\"pool\",\"loop\":{d},\"ofLoneRate\":{d:.3}}}\n", .{
            index, median(values),
        });
    }
}

fn median(values: *[rounds]f64) f64 {
    std.mem.sort(f64, values, {}, std.sort.asc(f64));
    return values[rounds / 2];
}

fn thread_ns() u64 {
    var time: linux.timespec = undefined;
    _ = linux.clock_gettime(.THREAD_CPUTIME_ID, &time);
    return @as(u64, @intCast(time.sec)) * std.time.ns_per_s + @as(u64, @intCast(time.nsec));
}

fn pin(number: u32) void {
    var set: linux.cpu_set_t = @splat(0);
    set[number / @bitSizeOf(usize)] = @as(usize, 1) << @intCast(number % @bitSizeOf(usize));
    linux.sched_setaffinity(0, &set) catch {};
}

fn print(comptime format: []const u8, arguments: anytype) void {
    var line: [256]u8 = undefined;
    const text = std.fmt.bufPrint(&line, format, arguments) catch return;
    _ = linux.write(1, text.ptr, text.len);
}
