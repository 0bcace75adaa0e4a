//! Plays seeds, on every CPU: memory of loops is process-wide, so each CPU gets a process of its
//! own. The parent watches: a seed that crashes, or that does not end, is a failure as any other.
//!
//! A failure prints the seed, what went wrong, the last lines of the trace, and the command that
//! plays it again.

const std = @import("std");
const linux = std.os.linux;
const host = @import("../sys/host.zig");
const kernel = @import("../sys/kernel.zig");
const machine = @import("../sys/machine.zig");
const mapped = @import("../memory/mapped.zig");
const world = @import("world.zig");

const jobs_max = 64;
/// A seed that takes longer hangs.
const seed_limit_ns = 20 * std.time.ns_per_s;
const watch_ns = 20 * std.time.ns_per_ms;
/// One seed in so many is played again, to see that it goes the same way.
const twice_every = 64;
/// Lines of the trace that a failure shows.
const tail_lines = 60;
const exit_failed = 1;

/// What a worker tells its parent, in shared memory.
const Progress = extern struct {
    /// 1 + the seed under way; 0 between seeds.
    seed: std.atomic.Value(u64) = .init(0),
    played: std.atomic.Value(u64) = .init(0),
};

const Worker = struct {
    process: i32,
    running: bool,
    seed: u64,
    since_ns: u64,
};

/// Plays `count` seeds from `first` on. The exit code.
pub fn run(first: u64, count: u64, jobs_wanted: u32) u8 {
    const jobs_asked = if (jobs_wanted == 0) machine.cpus_online() else jobs_wanted;
    const jobs = std.math.clamp(jobs_asked, 1, jobs_max);
    const started_ns = host.now_ns();
    const shared = share() orelse return exit_failed;
    var workers: [jobs_max]Worker = undefined;
    for (workers[0..jobs], 0..) |*worker, index| {
        const process = kernel.result(linux.fork());
        if (process == 0) linux.exit_group(work(&shared[index], first, count, index, jobs));
        worker.* = .{
            .process = process,
            .running = process > 0,
            .seed = 0,
            .since_ns = started_ns,
        };
    }
    const failed = watch(workers[0..jobs], shared);
    var played: u64 = 0;
    for (shared[0..jobs]) |*progress| played += progress.played.load(.monotonic);
    if (failed) |seed| return report(seed);
    const seconds = @as(f64, @floatFromInt(host.now_ns() - started_ns)) / std.time.ns_per_s;
    std.debug.print("{d} seeds passed in {d:.1} s\n", .{ played, seconds });
    return if (played == count) 0 else exit_failed;
}

fn share() ?*[jobs_max]Progress {
    const rc = linux.mmap(null, std.heap.page_size_min, .{ .READ = true, .WRITE = true }, .{
        .TYPE = .SHARED,
        .ANONYMOUS = true,
    }, -1, 0);
    return if (linux.errno(rc) == .SUCCESS) @ptrFromInt(rc) else null;
}

/// A worker's share of the seeds: each one that is its own modulo the number of workers.
fn work(progress: *Progress, first: u64, count: u64, index: usize, jobs: u32) u8 {
    var arena: std.heap.ArenaAllocator = .init(std.heap.page_allocator);
    var text: [512]u8 = undefined;
    var offset: u64 = index;
    while (offset < count) : (offset += jobs) {
        progress.seed.store(first + offset + 1, .monotonic);
        const seed = first + offset;
        if (world.run(&arena, seed, null, &text) != null) return exit_failed;
        if (seed % twice_every == 0 and !is_repeatable(&arena, seed)) return exit_failed;
        progress.seed.store(0, .monotonic);
        _ = progress.played.fetchAdd(1, .monotonic);
    }
    return 0;
}

/// Whether a seed leads to the same trace each time.
fn is_repeatable(arena: *std.heap.ArenaAllocator, seed: u64) bool {
    var text: [512]u8 = undefined;
    var digests: [2]u64 = undefined;
    for (&digests) |*digest| {
        trace_digest = 0;
        _ = world.run(arena, seed, digest_line, &text);
        digest.* = trace_digest;
    }
    if (digests[0] == digests[1]) return true;
    std.debug.print("seed {d} goes another way each time\n", .{seed});
    return false;
}

var trace_digest: u64 = 0;

fn digest_line(line: []const u8) void {
    trace_digest = std.hash.Wyhash.hash(trace_digest, line);
}

/// Until all workers have ended, or one has failed: its seed.
fn watch(workers: []Worker, shared: *[jobs_max]Progress) ?u64 {
    while (true) {
        var running = false;
        for (workers, 0..) |*worker, index| {
            if (!worker.running) continue;
            running = true;
            if (!has_failed(worker, shared[index].seed.load(.monotonic))) continue;
            for (workers) |*other| stop(other);
            return shared[index].seed.load(.monotonic) -| 1;
        }
        if (!running) return null;
        const pause: linux.timespec = .{ .sec = 0, .nsec = watch_ns };
        _ = linux.nanosleep(&pause, null);
    }
}

fn has_failed(worker: *Worker, seed: u64) bool {
    var status: u32 = 0;
    const rc = kernel.result(linux.waitpid(worker.process, &status, linux.W.NOHANG));
    if (rc == worker.process) {
        worker.running = false;
        return status != 0;
    }
    const now = host.now_ns();
    if (seed != worker.seed) {
        worker.seed = seed;
        worker.since_ns = now;
    }
    return seed != 0 and now - worker.since_ns > seed_limit_ns;
}

fn stop(worker: *Worker) void {
    if (!worker.running) return;
    var status: u32 = 0;
    _ = linux.kill(worker.process, .KILL);
    _ = linux.waitpid(worker.process, &status, 0);
    worker.running = false;
}

/// Plays a seed that failed once more, in a process of its own, to tell how it went.
fn report(seed: u64) u8 {
    std.debug.print("seed {d} failed\n", .{seed});
    const process = kernel.result(linux.fork());
    if (process == 0) linux.exit_group(replay_tail(seed));
    const started_ns = host.now_ns();
    var worker: Worker = .{
        .process = process,
        .running = process > 0,
        .seed = seed + 1,
        .since_ns = started_ns,
    };
    while (worker.running and host.now_ns() - started_ns < seed_limit_ns) {
        _ = has_failed(&worker, seed + 1);
        const pause: linux.timespec = .{ .sec = 0, .nsec = watch_ns };
        _ = linux.nanosleep(&pause, null);
    }
    if (worker.running) std.debug.print("it does not end\n", .{});
    stop(&worker);
    std.debug.print("again: zig build simulate -- --seed {d}\n", .{seed});
    return exit_failed;
}

/// Plays one seed and prints all that happens. The exit code.
pub fn replay(seed: u64) u8 {
    var arena: std.heap.ArenaAllocator = .init(std.heap.page_allocator);
    var text: [512]u8 = undefined;
    const violation = world.run(&arena, seed, print_line, &text) orelse {
        std.debug.print("seed {d} passed\n", .{seed});
        return 0;
    };
    std.debug.print("seed {d}: {s}\n", .{ seed, violation });
    return exit_failed;
}

fn print_line(line: []const u8) void {
    std.debug.print("{s}\n", .{line});
}

const line_bytes_max = 256;
var tail: [tail_lines][line_bytes_max]u8 = undefined;
var tail_lengths: [tail_lines]usize = @splat(0);
var tail_count: usize = 0;

fn replay_tail(seed: u64) u8 {
    var arena: std.heap.ArenaAllocator = .init(std.heap.page_allocator);
    var text: [512]u8 = undefined;
    const violation = world.run(&arena, seed, keep_line, &text);
    print_tail();
    if (violation) |what| std.debug.print("seed {d}: {s}\n", .{ seed, what });
    return exit_failed;
}

fn keep_line(line: []const u8) void {
    const place = tail_count % tail_lines;
    const length = @min(line.len, line_bytes_max);
    @memcpy(tail[place][0..length], line[0..length]);
    tail_lengths[place] = length;
    tail_count += 1;
}

fn print_tail() void {
    const shown = @min(tail_count, tail_lines);
    for (tail_count - shown..tail_count) |index| {
        const place = index % tail_lines;
        std.debug.print("{s}\n", .{tail[place][0..tail_lengths[place]]});
    }
}

/// An assertion of the code under test: the trace leads there.
pub fn panicked(message: []const u8, address: ?usize) noreturn {
    @branchHint(.cold);
    if (tail_count == 0) linux.exit_group(exit_failed);
    print_tail();
    std.debug.defaultPanic(message, address);
}
