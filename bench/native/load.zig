//! `twinpoll-load`: the project's own load generator for echo servers.
//!
//! A closed loop: every connection has `--depth` messages in flight and sends the next when a
//! reply is complete. Every byte that comes back is compared. Prints one JSON object (or a line for
//! people) and ends with 1 when anything was wrong. Never hangs: connecting, running and draining
//! have deadlines, and a reply that does not come is an error.

const std = @import("std");
const linux = std.os.linux;
const session_module = @import("load/session.zig");
const engine_epoll = @import("load/engine_epoll.zig");
const engine_io_uring = @import("load/engine_io_uring.zig");
const connect = @import("load/connect.zig");

const Engine = session_module.Engine;
const Options = session_module.Options;
const Session = session_module.Session;

const usage =
    \\twinpoll-load --port P --conns N --size BYTES --seconds S [options]
    \\
    \\  --host A.B.C.D     IPv4 address of the server (127.0.0.1)
    \\  --port P           port of the server
    \\  --conns N          connections (1)
    \\  --size BYTES       message size (64)
    \\  --depth N          messages in flight per connection (1)
    \\  --seconds S        length of the measured window (1)
    \\  --warmup S         time before it (0.2)
    \\  --engine NAME      auto, io_uring or epoll (auto)
    \\  --spin-us N        look for replies this long before sleeping (200)
    \\  --pid PID          also measure the CPU time of this process over the window
    \\  --count            with --pid: count its system calls and instructions, too (slower)
    \\  --json             print JSON
    \\
;

const bytes_in_flight_max = 64 * 1024 * 1024;

pub fn main(init: std.process.Init.Minimal) u8 {
    const options = parse(init.args) catch |problem| {
        if (problem == error.Help) {
            write(1, usage);
            return 0;
        }
        complain("{s}; see --help\n", .{@errorName(problem)});
        return 2;
    };
    var arena: std.heap.ArenaAllocator = .init(std.heap.page_allocator);
    defer arena.deinit();
    return run(arena.allocator(), options) catch |problem| {
        complain("{s}\n", .{@errorName(problem)});
        return 1;
    };
}

fn run(gpa: std.mem.Allocator, options: Options) !u8 {
    var session: Session = try .init(gpa, options);
    connect.openAll(&session) catch |problem| {
        complain("opening connections: {s}\n", .{@errorName(problem)});
        session.errors += 1;
        report(&session, options.engine);
        return 1;
    };
    const engine = try drive(&session, gpa);
    session.finish();
    report(&session, engine);
    const right = session.errors == 0 and session.mismatches == 0 and session.histogram.total > 0;
    return if (right) 0 else 1;
}

/// Runs the session with the engine that was asked for, or the best there is.
fn drive(session: *Session, gpa: std.mem.Allocator) !Engine {
    if (session.options.engine != .epoll) {
        if (engine_io_uring.run(session, gpa)) |_| {
            return .io_uring;
        } else |problem| {
            const fall_back = problem == error.Unavailable and session.options.engine == .auto;
            if (!fall_back) return problem;
        }
    }
    try engine_epoll.run(session);
    return .epoll;
}

const ParseError = error{ Help, UnknownOption, MissingValue, BadValue, MissingPort };

fn parse(args: std.process.Args) ParseError!Options {
    var options: Options = .{};
    var iterator: std.process.Args.Iterator = .init(args);
    _ = iterator.skip();
    while (iterator.next()) |name| {
        if (equal(name, "--help")) return error.Help;
        if (equal(name, "--json")) {
            options.json = true;
            continue;
        }
        if (equal(name, "--count")) {
            options.count = true;
            continue;
        }
        const value = iterator.next() orelse return error.MissingValue;
        try set(&options, name, value);
    }
    if (options.port == 0) return error.MissingPort;
    const in_flight = @as(u64, options.size) * options.depth;
    const counts_bad = options.connections == 0 or options.size == 0 or options.depth == 0;
    const times_bad = !(options.seconds > 0 and options.seconds <= 3600) or
        !(options.warmup >= 0 and options.warmup <= 3600);
    if (counts_bad or times_bad or in_flight > bytes_in_flight_max) return error.BadValue;
    return options;
}

fn set(options: *Options, name: []const u8, value: []const u8) ParseError!void {
    if (equal(name, "--host")) {
        options.host = try parseHost(value);
    } else if (equal(name, "--port")) {
        options.port = try integer(u16, value);
    } else if (equal(name, "--conns")) {
        options.connections = try integer(u20, value);
    } else if (equal(name, "--size")) {
        options.size = try integer(u26, value);
    } else if (equal(name, "--depth")) {
        options.depth = try integer(u12, value);
    } else if (equal(name, "--spin-us")) {
        options.spin_us = try integer(u20, value);
    } else if (equal(name, "--pid")) {
        options.server_pid = try integer(i32, value);
    } else if (equal(name, "--seconds")) {
        options.seconds = std.fmt.parseFloat(f64, value) catch return error.BadValue;
    } else if (equal(name, "--warmup")) {
        options.warmup = std.fmt.parseFloat(f64, value) catch return error.BadValue;
    } else if (equal(name, "--engine")) {
        options.engine = std.meta.stringToEnum(Engine, value) orelse return error.BadValue;
    } else {
        return error.UnknownOption;
    }
}

fn parseHost(text: []const u8) ParseError![4]u8 {
    var host: [4]u8 = undefined;
    var parts = std.mem.splitScalar(u8, text, '.');
    for (&host) |*byte| byte.* = try integer(u8, parts.next() orelse return error.BadValue);
    return if (parts.next() == null) host else error.BadValue;
}

fn integer(comptime Integer: type, text: []const u8) ParseError!Integer {
    return std.fmt.parseInt(Integer, text, 10) catch error.BadValue;
}

fn equal(left: []const u8, right: []const u8) bool {
    return std.mem.eql(u8, left, right);
}

fn report(session: *const Session, engine: Engine) void {
    const histogram = &session.histogram;
    const start = session.measure_start;
    const end = session.measure_end;
    const window_ns = end.monotonic_ns -| start.monotonic_ns;
    const seconds = @as(f64, @floatFromInt(window_ns)) / std.time.ns_per_s;
    const ops: f64 = @floatFromInt(histogram.total);
    const busy = if (window_ns == 0) 0 else 1 - @as(f64, @floatFromInt(session.idle_ns)) /
        @as(f64, @floatFromInt(window_ns));
    const json =
        \\{{"ops":{d},"errors":{d},"mismatches":{d},"seconds":{d:.6},"rate":{d:.1},
        \\"p50_us":{d:.2},"p90_us":{d:.2},"p99_us":{d:.2},"p999_us":{d:.2},"max_us":{d:.2},
        \\"verified_bytes":{d},"engine":"{s}","busy":{d:.3},"cpu_us":{d:.0},"server_cpu_us":{d:.0},
        \\"server_syscalls":{?d},"server_instructions":{?d},"starved":{d}}}
    ;
    const people =
        \\{d} replies, {d} errors, {d} mismatches in {d:.3} s: {d:.0}/s,
        \\p50 {d:.1} p90 {d:.1} p99 {d:.1} p99.9 {d:.1} max {d:.1} µs,
        \\{d} bytes verified, {s}, busy {d:.2}, CPU {d:.0} µs, server CPU {d:.0} µs,
        \\server system calls {?d}, instructions {?d}, {d} connections starved
    ;
    const values = .{
        histogram.total,
        session.errors,
        session.mismatches,
        seconds,
        if (seconds > 0) ops / seconds else 0,
        microseconds(histogram.percentile(0.5)),
        microseconds(histogram.percentile(0.9)),
        microseconds(histogram.percentile(0.99)),
        microseconds(histogram.percentile(0.999)),
        microseconds(histogram.value_max),
        session.verified_bytes,
        @tagName(engine),
        busy,
        microseconds(end.own_cpu_ns -| start.own_cpu_ns),
        microseconds(end.server_cpu_ns -| start.server_cpu_ns),
        session.syscalls.total(),
        session.instructions.total(),
        session.starved,
    };
    var buffer: [1024]u8 = undefined;
    const text = if (session.options.json)
        std.fmt.bufPrint(&buffer, json, values)
    else
        std.fmt.bufPrint(&buffer, people, values);
    const line = text catch return;
    // One line, whatever the formats above look like.
    for (line) |*byte| if (byte.* == '\n') {
        byte.* = ' ';
    };
    write(1, line);
    write(1, "\n");
}

fn microseconds(nanoseconds: u64) f64 {
    return @as(f64, @floatFromInt(nanoseconds)) / 1000;
}

fn complain(comptime format: []const u8, values: anytype) void {
    var buffer: [4096]u8 = undefined;
    write(2, "twinpoll-load: ");
    write(2, std.fmt.bufPrint(&buffer, format, values) catch return);
}

fn write(fd: i32, bytes: []const u8) void {
    var rest = bytes;
    while (rest.len > 0) {
        const result = linux.write(fd, rest.ptr, rest.len);
        if (linux.errno(result) != .SUCCESS) return;
        rest = rest[result..];
    }
}

test {
    _ = @import("load/histogram.zig");
}
