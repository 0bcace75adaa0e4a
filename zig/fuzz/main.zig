//! `twinpoll-fuzz`: drives every exported function of the library with arbitrary arguments, from
//! several threads, over every backend, and scribbles on whatever memory a script shares with it.
//!
//! This process only watches: a child runs the inputs, and when it crashes or hangs the input that
//! it was running is written to a file and the fuzzer ends with 1. Linux only.

const std = @import("std");
const linux = std.os.linux;
const host = @import("../sys/host.zig");
const kernel = @import("../sys/kernel.zig");
const features = @import("features.zig");
const files = @import("files.zig");
const input = @import("input.zig");
const session = @import("session.zig");
const Shared = session.Shared;

const usage =
    \\twinpoll-fuzz [options]
    \\
    \\  --seconds N        how long; 0 runs the corpus and nothing else (10)
    \\  --seed N           where random numbers start (the time)
    \\  --threads N        threads that run steps, 1 to 4 (2)
    \\  --corpus DIR       inputs to start from (tests/corpus)
    \\  --keep DIR         at the end, write there the inputs that cover what was seen
    \\  --failures DIR     where to write an input that fails (.test-results/fuzz)
    \\  --input FILE       run one input, once on each backend, and tell what it does
    \\
;

const input_limit_ns = 30 * std.time.ns_per_s;
const progress_ns = 5 * std.time.ns_per_s;
const kept_max = 48;

const Options = struct {
    seconds: u32 = 10,
    seed: ?u64 = null,
    threads: u32 = 2,
    corpus: []const u8 = "tests/corpus",
    keep: ?[]const u8 = null,
    failures: []const u8 = ".test-results/fuzz",
    input: ?[]const u8 = null,
};

pub fn main(init: std.process.Init.Minimal) u8 {
    const options = parse(init.args) catch |problem| {
        std.debug.print("{s}", .{usage});
        if (problem == error.Help) return 0;
        std.debug.print("{t}\n", .{problem});
        return 2;
    };
    const shared = share() orelse {
        std.debug.print("no memory\n", .{});
        return 2;
    };
    if (!load(shared, options)) return 2;
    return watch(shared, options);
}

const ParseError = error{ Help, UnknownOption, MissingValue, BadValue };

fn parse(args: std.process.Args) ParseError!Options {
    var options: Options = .{};
    var iterator: std.process.Args.Iterator = .init(args);
    _ = iterator.skip();
    while (iterator.next()) |name| {
        if (std.mem.eql(u8, name, "--help")) return error.Help;
        const value = iterator.next() orelse return error.MissingValue;
        if (!std.mem.startsWith(u8, name, "--")) return error.UnknownOption;
        const Flag = std.meta.FieldEnum(Options);
        switch (std.meta.stringToEnum(Flag, name[2..]) orelse return error.UnknownOption) {
            .seconds => options.seconds = try integer(u32, value),
            .seed => options.seed = try integer(u64, value),
            .threads => options.threads = try integer(u32, value),
            .corpus => options.corpus = value,
            .keep => options.keep = value,
            .failures => options.failures = value,
            .input => options.input = value,
        }
    }
    if (options.threads == 0 or options.threads > input.threads_max) return error.BadValue;
    return options;
}

fn integer(comptime Integer: type, text: []const u8) ParseError!Integer {
    return std.fmt.parseInt(Integer, text, 10) catch error.BadValue;
}

/// Memory that children write to and this process reads.
fn share() ?*Shared {
    const rc = linux.mmap(null, @sizeOf(Shared), .{ .READ = true, .WRITE = true }, .{
        .TYPE = .SHARED,
        .ANONYMOUS = true,
        .NORESERVE = true,
    }, -1, 0);
    return if (linux.errno(rc) == .SUCCESS) @ptrFromInt(rc) else null;
}

fn load(shared: *Shared, options: Options) bool {
    if (options.input) |path| {
        var buffer: [input.bytes_max]u8 = undefined;
        const bytes = files.read(path, &buffer) orelse {
            std.debug.print("cannot read {s}\n", .{path});
            return false;
        };
        shared.corpus.add(bytes);
    } else {
        const Loader = struct {
            shared: *Shared,
            folder: []const u8,

            fn visit(self: @This(), name: []const u8) void {
                var path: files.Path = undefined;
                var buffer: [input.bytes_max]u8 = undefined;
                const full = files.join(&path, self.folder, name) orelse return;
                self.shared.corpus.add(files.read(full, &buffer) orelse return);
            }
        };
        const loader: Loader = .{ .shared = shared, .folder = options.corpus };
        if (!files.each(options.corpus, loader, Loader.visit)) {
            std.debug.print("no corpus in {s}\n", .{options.corpus});
        }
    }
    shared.given = shared.corpus.count;
    if (shared.given > 0 or options.seconds > 0) return true;
    std.debug.print("nothing to run\n", .{});
    return false;
}

fn watch(shared: *Shared, options: Options) u8 {
    const start_ns = host.now_ns();
    const seed = options.seed orelse start_ns;
    files.tell("seed {d}, {d} threads, {d} inputs to start from", .{
        seed,
        options.threads,
        shared.given,
    });
    var progress: Progress = .{ .start_ns = start_ns, .next_ns = start_ns + progress_ns };
    while (!shared.is_done.load(.acquire)) {
        const child = std.c.fork();
        if (child == 0) {
            session.live(shared, .{
                .seed = seed,
                .threads = options.threads,
                .deadline_ns = start_ns + @as(u64, options.seconds) * std.time.ns_per_s,
                .trace = options.input != null,
            });
            linux.exit_group(0);
        }
        if (child < 0) {
            std.debug.print("no child\n", .{});
            return 2;
        }
        const end = await_end(shared, child, &progress);
        if (end != .fine) return report(shared, options, end);
    }
    if (options.keep) |folder| keep(shared, folder);
    progress.line(shared, "clean");
    return 0;
}

const Progress = struct {
    start_ns: u64,
    next_ns: u64,

    fn tick(self: *Progress, shared: *const Shared) void {
        if (host.now_ns() < self.next_ns) return;
        self.next_ns += progress_ns;
        self.line(shared, "running");
    }

    fn line(self: *const Progress, shared: *const Shared, state: []const u8) void {
        files.tell("{d} s: {d} inputs, {d} calls, {d} features, {d} kept: {s}", .{
            (host.now_ns() - self.start_ns) / std.time.ns_per_s,
            shared.inputs.load(.monotonic),
            shared.calls.load(.monotonic),
            shared.corpus.all.count(),
            shared.corpus.count,
            state,
        });
    }
};

const End = enum { fine, crashed, hung };

fn await_end(shared: *Shared, child: i32, progress: *Progress) End {
    var seen: u64 = 0;
    var since_ns = host.now_ns();
    while (true) {
        var status: u32 = 0;
        const waited = kernel.result(linux.waitpid(child, &status, linux.W.NOHANG));
        if (waited == child) {
            const is_fine = linux.W.IFEXITED(status) and linux.W.EXITSTATUS(status) == 0;
            return if (is_fine) .fine else .crashed;
        }
        const inputs = shared.inputs.load(.acquire);
        if (inputs != seen) {
            seen = inputs;
            since_ns = host.now_ns();
        } else if (host.now_ns() - since_ns > input_limit_ns) {
            _ = linux.kill(child, .KILL);
            _ = linux.waitpid(child, &status, 0);
            return .hung;
        }
        progress.tick(shared);
        const pause: linux.timespec = .{ .sec = 0, .nsec = 5 * std.time.ns_per_ms };
        _ = linux.nanosleep(&pause, null);
    }
}

/// Writes the input that failed to a file that is named after its bytes.
fn report(shared: *const Shared, options: Options, end: End) u8 {
    files.make_folder(options.failures);
    const bytes = shared.draft.bytes();
    var name_buffer: [32]u8 = undefined;
    const name = name_of(&name_buffer, bytes);
    var path_buffer: files.Path = undefined;
    const path = files.join(&path_buffer, options.failures, name) orelse return 1;
    const is_written = files.write(path, bytes);
    std.debug.print("{d} inputs, {d} calls, {d} features: {t}; {s} {s}\n", .{
        shared.inputs.load(.monotonic),
        shared.calls.load(.monotonic),
        shared.corpus.all.count(),
        end,
        if (is_written) "run it with --input" else "could not write",
        path,
    });
    return 1;
}

fn name_of(buffer: *[32]u8, bytes: []const u8) []const u8 {
    const hash = std.hash.Wyhash.hash(0, bytes);
    return std.fmt.bufPrint(buffer, "{x:0>16}", .{hash}) catch unreachable;
}

/// Writes the inputs that together show what all have shown, the best first.
fn keep(shared: *const Shared, folder: []const u8) void {
    files.make_folder(folder);
    var covered: features.Set = .initEmpty();
    for (0..kept_max) |_| {
        const entry = shared.corpus.best(&covered) orelse break;
        var name: [32]u8 = undefined;
        var path_buffer: files.Path = undefined;
        const path = files.join(&path_buffer, folder, name_of(&name, entry.bytes())) orelse return;
        if (!files.write(path, entry.bytes())) std.debug.print("cannot write {s}\n", .{path});
    }
    files.tell("kept inputs show {d} features", .{covered.count()});
}
