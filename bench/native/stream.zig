//! `twinpoll-stream`: one-way streams of 64 KiB messages to or from a server, as fast as it goes.
//!
//! A connection begins with one byte: `U`, and everything after it is for the server, which answers
//! the end with the number of bytes that came (eight bytes, the lowest first); or `D`, and the
//! server sends for ever. The byte at place n of a stream is n modulo 256. Uploads are compared by
//! their number; of downloads each sixteenth read is compared byte by byte, and the others are
//! discarded in the kernel, so that it is not this side that limits. Nothing here waits for ever.

const std = @import("std");
const linux = std.os.linux;
const clock = @import("load/clock.zig");
const Counter = @import("load/counters.zig").Counter;

const message_bytes = 64 * 1024;
const connections_max = 256;
/// A read takes as much as a busy receiver's window has.
const read_bytes = 4 * message_bytes;
const compared_of = 16;
const socket_timeout_s = 5;
const drain_limit_ns = 5 * std.time.ns_per_s;

const Options = struct {
    port: u16 = 0,
    connections: u32 = 1,
    upload: bool = false,
    seconds: f64 = 1,
    warmup: f64 = 0.2,
    server_pid: i32 = 0,
    count: bool = false,
};

const Connection = struct { descriptor: i32, bytes: u64 = 0, reads: u32 = 0 };

const Failure = error{ Usage, Socket, Connect, Epoll, Ended, Mismatch, Lost, Deadline };

var pattern: [2 * read_bytes]u8 = undefined;
var buffer: [read_bytes]u8 = undefined;
var connections: [connections_max]Connection = undefined;

pub fn main(init: std.process.Init.Minimal) u8 {
    const options = parse(init.args) catch {
        print(2, "usage: twinpoll-stream --mode up|down --port P [--conns N] [--seconds S] " ++
            "[--warmup S] [--pid PID] [--count]\n", .{});
        return 2;
    };
    for (&pattern, 0..) |*byte, place| byte.* = @truncate(place);
    run(&options) catch |failure| {
        print(2, "twinpoll-stream: {s}\n", .{@errorName(failure)});
        return 1;
    };
    return 0;
}

fn parse(args: std.process.Args) Failure!Options {
    var options: Options = .{};
    var iterator: std.process.Args.Iterator = .init(args);
    _ = iterator.skip();
    while (iterator.next()) |name| {
        if (std.mem.eql(u8, name, "--count")) {
            options.count = true;
            continue;
        }
        const value = iterator.next() orelse return error.Usage;
        set(&options, name, value) catch return error.Usage;
    }
    const is_known = options.connections >= 1 and options.connections <= connections_max and
        options.seconds > 0 and options.seconds < 3600 and options.warmup >= 0;
    return if (is_known and options.port > 0) options else error.Usage;
}

fn set(options: *Options, name: []const u8, value: []const u8) !void {
    if (std.mem.eql(u8, name, "--mode")) {
        options.upload = std.mem.eql(u8, value, "up");
    } else if (std.mem.eql(u8, name, "--port")) {
        options.port = try std.fmt.parseInt(u16, value, 10);
    } else if (std.mem.eql(u8, name, "--conns")) {
        options.connections = try std.fmt.parseInt(u32, value, 10);
    } else if (std.mem.eql(u8, name, "--pid")) {
        options.server_pid = try std.fmt.parseInt(i32, value, 10);
    } else if (std.mem.eql(u8, name, "--seconds")) {
        options.seconds = try std.fmt.parseFloat(f64, value);
    } else if (std.mem.eql(u8, name, "--warmup")) {
        options.warmup = try std.fmt.parseFloat(f64, value);
    } else return error.Usage;
}

/// What of a run was measured.
const Window = struct {
    start: clock.Reading = .{},
    end: clock.Reading = .{},
    start_bytes: u64 = 0,
    end_bytes: u64 = 0,
    idle_ns: u64 = 0,
};

fn run(options: *const Options) Failure!void {
    const epoll: i32 = @intCast(try checked(linux.epoll_create1(linux.EPOLL.CLOEXEC), error.Epoll));
    const open = connections[0..options.connections];
    for (open, 0..) |*connection, index| {
        connection.* = .{ .descriptor = try connect(options) };
        const events: u32 = if (options.upload) linux.EPOLL.OUT else linux.EPOLL.IN;
        var event: linux.epoll_event = .{ .events = events, .data = .{ .u64 = index } };
        const descriptor = connection.descriptor;
        _ = try checked(
            linux.epoll_ctl(epoll, linux.EPOLL.CTL_ADD, descriptor, &event),
            error.Epoll,
        );
    }
    const calls = if (options.count) Counter.syscalls(options.server_pid) else Counter{};
    const window = try stream(options, epoll, open, &calls);
    if (options.upload) {
        for (open) |connection| try confirm(connection);
    }
    report(options, &window, &calls);
}

/// Moves bytes through the warm-up and the measured window.
fn stream(
    options: *const Options,
    epoll: i32,
    open: []Connection,
    calls: *const Counter,
) Failure!Window {
    var window: Window = .{};
    const begun = clock.monotonic();
    const measure_at = begun + nanoseconds(options.warmup);
    const end_at = measure_at + nanoseconds(options.seconds);
    var measures = false;
    while (true) {
        const now = clock.monotonic();
        if (!measures and now >= measure_at) {
            measures = true;
            window = .{ .start = clock.read(options.server_pid, now), .start_bytes = sum(open) };
            calls.start();
        }
        if (now >= end_at) break;
        var events: [64]linux.epoll_event = undefined;
        const ready = linux.epoll_wait(epoll, &events, events.len, 100);
        if (linux.errno(ready) == .INTR) continue;
        const count = try checked(ready, error.Epoll);
        window.idle_ns += clock.monotonic() - now;
        for (events[0..count]) |event| {
            const connection = &open[event.data.u64];
            try if (options.upload) send(connection) else receive(connection);
        }
    }
    calls.stop();
    window.end = clock.read(options.server_pid, clock.monotonic());
    window.end_bytes = sum(open);
    return window;
}

fn connect(options: *const Options) Failure!i32 {
    const kind = linux.SOCK.STREAM | linux.SOCK.CLOEXEC;
    const descriptor: i32 =
        @intCast(try checked(linux.socket(linux.AF.INET, kind, 0), error.Socket));
    const limit: linux.timeval = .{ .sec = socket_timeout_s, .usec = 0 };
    for ([_]u32{ linux.SO.RCVTIMEO, linux.SO.SNDTIMEO }) |name| {
        const bytes = std.mem.asBytes(&limit);
        _ = linux.setsockopt(descriptor, linux.SOL.SOCKET, name, bytes, bytes.len);
    }
    const to: linux.sockaddr.in = .{
        .port = std.mem.nativeToBig(u16, options.port),
        .addr = std.mem.nativeToBig(u32, 0x7f00_0001),
    };
    const connected = linux.connect(descriptor, @ptrCast(&to), @sizeOf(linux.sockaddr.in));
    _ = try checked(connected, error.Connect);
    const first: []const u8 = if (options.upload) "U" else "D";
    const sent = linux.sendto(descriptor, first.ptr, 1, linux.MSG.NOSIGNAL, null, 0);
    _ = try checked(sent, error.Connect);
    return descriptor;
}

fn send(connection: *Connection) Failure!void {
    const bytes = pattern[connection.bytes % 256 ..][0..message_bytes];
    const flags = linux.MSG.DONTWAIT | linux.MSG.NOSIGNAL;
    const sent = linux.sendto(connection.descriptor, bytes, bytes.len, flags, null, 0);
    if (linux.errno(sent) == .AGAIN) return;
    connection.bytes += try checked(sent, error.Ended);
}

fn receive(connection: *Connection) Failure!void {
    connection.reads += 1;
    const compares = connection.reads % compared_of == 0;
    const discards: u32 = if (compares) 0 else linux.MSG.TRUNC;
    const flags = linux.MSG.DONTWAIT | discards;
    const got = linux.recvfrom(connection.descriptor, &buffer, buffer.len, flags, null, null);
    if (linux.errno(got) == .AGAIN) return;
    const length = try checked(got, error.Ended);
    if (length == 0) return error.Ended;
    const expected = pattern[connection.bytes % 256 ..][0..length];
    if (compares and !std.mem.eql(u8, buffer[0..length], expected)) return error.Mismatch;
    connection.bytes += length;
}

/// The server has everything that was sent.
fn confirm(connection: Connection) Failure!void {
    const limit = clock.monotonic() + drain_limit_ns;
    _ = linux.shutdown(connection.descriptor, linux.SHUT.WR);
    var answer: [8]u8 = undefined;
    var length: usize = 0;
    while (length < answer.len) {
        const rest = answer[length..];
        const got = linux.recvfrom(connection.descriptor, rest.ptr, rest.len, 0, null, null);
        if (linux.errno(got) == .INTR) continue;
        if (clock.monotonic() > limit) return error.Deadline;
        const count = try checked(got, error.Deadline);
        if (count == 0) return error.Ended;
        length += count;
    }
    if (std.mem.readInt(u64, &answer, .little) != connection.bytes) return error.Lost;
}

fn report(options: *const Options, window: *const Window, calls: *const Counter) void {
    const elapsed_ns = window.end.monotonic_ns - window.start.monotonic_ns;
    const seconds = @as(f64, @floatFromInt(elapsed_ns)) / std.time.ns_per_s;
    const bytes: f64 = @floatFromInt(window.end_bytes - window.start_bytes);
    const messages = bytes / message_bytes;
    const cpu_ns = window.end.server_cpu_ns -| window.start.server_cpu_ns;
    const own_ns = window.end.own_cpu_ns -| window.start.own_cpu_ns;
    const busy = 1 - @as(f64, @floatFromInt(window.idle_ns)) / @as(f64, @floatFromInt(elapsed_ns));
    print(1, "{{\"upload\":{},\"messages\":{d:.1},\"seconds\":{d:.6},\"mib_per_s\":{d:.2}," ++
        "\"server_cpu_us\":{d:.0},\"cpu_us\":{d:.0},\"busy\":{d:.3}," ++
        "\"server_syscalls\":{?d}}}\n", .{
        options.upload,
        messages,
        seconds,
        bytes / (1 << 20) / seconds,
        @as(f64, @floatFromInt(cpu_ns)) / 1000,
        @as(f64, @floatFromInt(own_ns)) / 1000,
        busy,
        calls.total(),
    });
}

fn sum(open: []const Connection) u64 {
    var total: u64 = 0;
    for (open) |connection| total += connection.bytes;
    return total;
}

fn nanoseconds(seconds: f64) u64 {
    return @intFromFloat(seconds * std.time.ns_per_s);
}

fn checked(result: usize, comptime failure: Failure) Failure!usize {
    return if (linux.errno(result) == .SUCCESS) result else failure;
}

fn print(descriptor: i32, comptime format: []const u8, values: anytype) void {
    var text: [512]u8 = undefined;
    const line = std.fmt.bufPrint(&text, format, values) catch return;
    _ = linux.write(descriptor, line.ptr, line.len);
}
