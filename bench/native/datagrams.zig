//! `twinpoll-datagrams`: the load on a server that echoes UDP datagrams.
//!
//! A closed loop: every socket has `--depth` datagrams in flight and sends one for each reply. Each
//! carries its socket, its number and a pattern that follows from them, all of which is compared.
//! Datagrams may be lost where a socket's buffer is full: one that has not come back within a while
//! is sent again, and counted. Prints one JSON object; ends with 1 when a byte was wrong.
//!
//! With `--gso` a socket's datagrams leave as one message that the kernel cuts (UDP_SEGMENT), with
//! `--gro` those that came as one are received as one (UDP_GRO) and cut here, as QUIC's clients do.

const std = @import("std");
const linux = std.os.linux;
const clock = @import("load/clock.zig");
const Counter = @import("load/counters.zig").Counter;
const Histogram = @import("load/histogram.zig").Histogram;

const sockets_max = 256;
const depth_max = 64;
const size_least = 16;
const size_max = 1400;
/// How long a reply may take before its datagram counts as lost.
const lost_ns = 100 * std.time.ns_per_ms;
/// How long nothing must come at the end, and how long to wait for that.
const drain_quiet_ms = 50;
const drain_longest_ns = std.time.ns_per_s;
/// How long to look for replies before sleeping.
const spin_ns = 200 * std.time.ns_per_us;
const receive_buffer_bytes: u32 = 1 << 20;
/// UDP_SEGMENT and UDP_GRO (linux/udp.h), and how much the kernel cuts at most (udp(7)).
const udp_segment = 103;
const udp_gro = 104;
const segments_max = 64;
const segmented_bytes_max = 65_000;
/// What came as one is not longer. Not a power of two: buffers would share lines of the cache.
const joined_max = 65_536 + 64;

const Options = struct {
    port: u16 = 0,
    sockets: u32 = 16,
    size: u32 = 64,
    depth: u32 = 16,
    seconds: f64 = 1,
    warmup: f64 = 0.2,
    server_pid: i32 = 0,
    count: bool = false,
    /// Sends are cut by the kernel; what comes is joined by it.
    gso: bool = false,
    gro: bool = false,
};

/// A datagram in flight.
const Flight = struct { number: u64 = 0, sent_ns: u64 = 0 };

const Socket = struct {
    descriptor: i32,
    next: u64 = 0,
    in_flight: [depth_max]Flight = undefined,
    replies: u64 = 0,
};

const Header = extern struct { message: linux.msghdr, bytes: u32 };

/// Room for what the kernel tells beside a message: the size of those that it joined.
const Control = extern struct {
    header: linux.cmsghdr,
    value: i32,
    padding: i32,
};

const Totals = struct {
    replies: u64 = 0,
    lost: u64 = 0,
    mismatches: u64 = 0,
    idle_ns: u64 = 0,
};

const Failure = error{ Usage, Socket, Connect, Epoll, Offload, Refused };

var sockets: [sockets_max]Socket = undefined;
var outgoing: [depth_max * size_max]u8 = undefined;
var incoming: [depth_max * joined_max]u8 = undefined;
var controls: [depth_max]Control = undefined;
var vectors: [2][depth_max]std.posix.iovec = undefined;
var headers: [2][depth_max]Header = undefined;
var histogram: Histogram = .{};
var totals: Totals = .{};

pub fn main(init: std.process.Init.Minimal) u8 {
    const options = parse(init.args) catch {
        print(2, "usage: twinpoll-datagrams --port P [--sockets N] [--depth N] [--size N] " ++
            "[--seconds S] [--warmup S] [--pid PID] [--count] [--gso] [--gro]\n", .{});
        return 2;
    };
    run(&options) catch |failure| {
        print(2, "twinpoll-datagrams: {s}\n", .{@errorName(failure)});
        return 1;
    };
    return if (totals.mismatches == 0 and histogram.total > 0) 0 else 1;
}

fn parse(args: std.process.Args) Failure!Options {
    var options: Options = .{};
    var iterator: std.process.Args.Iterator = .init(args);
    _ = iterator.skip();
    while (iterator.next()) |name| {
        if (flag(&options, name)) |wanted| {
            wanted.* = true;
            continue;
        }
        const value = iterator.next() orelse return error.Usage;
        set(&options, name, value) catch return error.Usage;
    }
    const fits = options.sockets >= 1 and options.sockets <= sockets_max and
        options.depth >= 1 and options.depth <= depth_max and
        options.size >= size_least and options.size <= size_max;
    const lasts = options.seconds > 0 and options.seconds < 3600 and options.warmup >= 0;
    return if (fits and lasts and options.port > 0) options else error.Usage;
}

fn flag(options: *Options, name: []const u8) ?*bool {
    if (std.mem.eql(u8, name, "--count")) return &options.count;
    if (std.mem.eql(u8, name, "--gso")) return &options.gso;
    if (std.mem.eql(u8, name, "--gro")) return &options.gro;
    return null;
}

fn set(options: *Options, name: []const u8, value: []const u8) !void {
    if (std.mem.eql(u8, name, "--port")) {
        options.port = try std.fmt.parseInt(u16, value, 10);
    } else if (std.mem.eql(u8, name, "--sockets")) {
        options.sockets = try std.fmt.parseInt(u32, value, 10);
    } else if (std.mem.eql(u8, name, "--depth")) {
        options.depth = try std.fmt.parseInt(u32, value, 10);
    } else if (std.mem.eql(u8, name, "--size")) {
        options.size = try std.fmt.parseInt(u32, value, 10);
    } else if (std.mem.eql(u8, name, "--pid")) {
        options.server_pid = try std.fmt.parseInt(i32, value, 10);
    } else if (std.mem.eql(u8, name, "--seconds")) {
        options.seconds = try std.fmt.parseFloat(f64, value);
    } else if (std.mem.eql(u8, name, "--warmup")) {
        options.warmup = try std.fmt.parseFloat(f64, value);
    } else return error.Usage;
}

const Window = struct { start: clock.Reading = .{}, end: clock.Reading = .{} };

fn run(options: *const Options) Failure!void {
    const created = linux.epoll_create1(linux.EPOLL.CLOEXEC);
    const epoll: i32 = @intCast(try checked(created, error.Epoll));
    const open = sockets[0..options.sockets];
    for (open) |*socket| {
        socket.* = .{ .descriptor = try connect(options) };
        const fd = socket.descriptor;
        var event: linux.epoll_event = .{ .events = linux.EPOLL.IN, .data = .{ .fd = fd } };
        const added = linux.epoll_ctl(epoll, linux.EPOLL.CTL_ADD, fd, &event);
        _ = try checked(added, error.Epoll);
    }
    prepare(options);
    const calls = if (options.count) Counter.syscalls(options.server_pid) else Counter{};
    const window = try drive(options, epoll, open, &calls);
    report(&window, &calls);
}

fn connect(options: *const Options) Failure!i32 {
    const kind = linux.SOCK.DGRAM | linux.SOCK.CLOEXEC | linux.SOCK.NONBLOCK;
    const descriptor: i32 =
        @intCast(try checked(linux.socket(linux.AF.INET, kind, 0), error.Socket));
    const bytes = std.mem.asBytes(&receive_buffer_bytes);
    _ = linux.setsockopt(descriptor, linux.SOL.SOCKET, linux.SO.RCVBUF, bytes, bytes.len);
    if (options.gso) try offload(descriptor, udp_segment, options.size);
    if (options.gro) try offload(descriptor, udp_gro, 1);
    const to: linux.sockaddr.in = .{
        .port = std.mem.nativeToBig(u16, options.port),
        .addr = std.mem.nativeToBig(u32, 0x7f00_0001),
    };
    const connected = linux.connect(descriptor, @ptrCast(&to), @sizeOf(linux.sockaddr.in));
    _ = try checked(connected, error.Connect);
    return descriptor;
}

fn offload(descriptor: i32, name: u32, value: u32) Failure!void {
    const bytes = std.mem.asBytes(&value);
    const set_to = linux.setsockopt(descriptor, linux.IPPROTO.UDP, name, bytes, bytes.len);
    _ = try checked(set_to, error.Offload);
}

/// Headers of single datagrams never change.
fn prepare(options: *const Options) void {
    const places = .{ &outgoing, &incoming };
    const strides = .{ out_stride(options), in_stride(options) };
    inline for (places, strides, 0..) |buffers, stride, way| {
        for (&vectors[way], &headers[way], 0..) |*vector, *header, place| {
            const len = if (way == 0) options.size else stride;
            vector.* = .{ .base = buffers[place * stride ..].ptr, .len = len };
            header.* = .{
                .message = std.mem.zeroInit(linux.msghdr, .{
                    .iov = @as([*]std.posix.iovec, @ptrCast(vector)),
                    .iovlen = 1,
                }),
                .bytes = 0,
            };
            if (way == 1 and options.gro) header.message.control = &controls[place];
        }
    }
}

/// Datagrams that the kernel cuts lie next to each other.
fn out_stride(options: *const Options) usize {
    return if (options.gso) options.size else size_max;
}

fn in_stride(options: *const Options) usize {
    return if (options.gro) joined_max else size_max;
}

fn drive(
    options: *const Options,
    epoll: i32,
    open: []Socket,
    calls: *const Counter,
) Failure!Window {
    var window: Window = .{};
    const begun = clock.monotonic();
    const measure_at = begun + nanoseconds(options.warmup);
    const end_at = measure_at + nanoseconds(options.seconds);
    var measures = false;
    var idle_since = begun;
    var checked_ns = begun;
    for (open, 0..) |*socket, index| {
        for (0..options.depth) |place| socket.in_flight[place].number = place;
        socket.next = options.depth;
        for (0..options.depth) |place| write(options, @intCast(index), @intCast(place), place);
        try send(options, socket, options.depth);
        for (0..options.depth) |place| socket.in_flight[place].sent_ns = clock.monotonic();
    }
    while (true) {
        const now = clock.monotonic();
        if (!measures and now >= measure_at) {
            measures = true;
            histogram.reset();
            totals.idle_ns = 0;
            totals.lost = 0;
            window.start = clock.read(options.server_pid, now);
            calls.start();
        }
        if (now >= end_at) break;
        var received: u32 = 0;
        for (open, 0..) |*socket, index| received += try receive(options, socket, @intCast(index));
        if (now - checked_ns >= lost_ns) {
            checked_ns = now;
            for (open, 0..) |*socket, index| try repeat(options, socket, @intCast(index), now);
        }
        const after = clock.monotonic();
        if (received > 0) {
            idle_since = after;
            continue;
        }
        totals.idle_ns += after - now;
        if (after - idle_since < spin_ns) continue;
        var events: [1]linux.epoll_event = undefined;
        _ = linux.epoll_wait(epoll, &events, events.len, 5);
        totals.idle_ns += clock.monotonic() - after;
    }
    calls.stop();
    window.end = clock.read(options.server_pid, clock.monotonic());
    drain(options, epoll);
    return window;
}

/// Waits for what is under way: a server is not to be told that nobody is there any more.
fn drain(options: *const Options, epoll: i32) void {
    const limit_ns = clock.monotonic() + drain_longest_ns;
    while (clock.monotonic() < limit_ns) {
        var events: [sockets_max]linux.epoll_event = undefined;
        const ready = linux.epoll_wait(epoll, &events, events.len, drain_quiet_ms);
        if (linux.errno(ready) == .INTR) continue;
        if (linux.errno(ready) != .SUCCESS or ready == 0) return;
        for (events[0..ready]) |event| {
            _ = take(options, event.data.fd);
        }
    }
}

/// What came back, and one more datagram for each.
fn receive(options: *const Options, socket: *Socket, index: u32) Failure!u32 {
    const got = take(options, socket.descriptor);
    switch (linux.errno(got)) {
        .SUCCESS => {},
        .AGAIN, .INTR => return 0,
        else => return error.Refused,
    }
    const now = clock.monotonic();
    var count: u32 = 0;
    for (0..got) |message| {
        const received = @min(headers[1][message].bytes, in_stride(options));
        var rest: []const u8 = incoming[message * in_stride(options) ..][0..received];
        const part_bytes = segment_of(options, message, rest.len);
        while (true) {
            const part = rest[0..@min(part_bytes, rest.len)];
            rest = rest[part.len..];
            if (accept(options, socket, index, part, now)) |place| {
                socket.in_flight[place] = .{ .number = socket.next, .sent_ns = now };
                write(options, index, socket.next, count);
                socket.next += 1;
                count += 1;
            }
            if (rest.len == 0) break;
        }
    }
    if (count > 0) try send(options, socket, count);
    return count;
}

/// As many messages as there are, into `incoming`; what the system call answered.
fn take(options: *const Options, descriptor: i32) usize {
    if (options.gro) {
        for (headers[1][0..options.depth]) |*header| header.message.controllen = @sizeOf(Control);
    }
    const socket: usize = @intCast(descriptor);
    const first = @intFromPtr(&headers[1]);
    return linux.syscall5(.recvmmsg, socket, first, options.depth, linux.MSG.DONTWAIT, 0);
}

/// Bytes of each but the last of the datagrams that came as one; of the one that it is.
fn segment_of(options: *const Options, message: usize, length: usize) usize {
    if (!options.gro or headers[1][message].message.controllen == 0) return length;
    const control = &controls[message];
    const is_size = control.header.level == linux.IPPROTO.UDP and control.header.type == udp_gro;
    return if (is_size and control.value > 0) @intCast(control.value) else length;
}

/// The place of the datagram that a reply answers; null when it is wrong, or came twice.
fn accept(
    options: *const Options,
    socket: *Socket,
    index: u32,
    bytes: []const u8,
    now: u64,
) ?usize {
    if (bytes.len != options.size or !is_right(bytes, index)) {
        totals.mismatches += 1;
        return null;
    }
    const number = std.mem.readInt(u64, bytes[0..8], .little);
    for (socket.in_flight[0..options.depth], 0..) |flight, place| {
        if (flight.number != number) continue;
        histogram.record(now - flight.sent_ns);
        totals.replies += 1;
        return place;
    }
    // The answer of one that was given up.
    return null;
}

fn write(options: *const Options, index: u32, number: u64, place: usize) void {
    const bytes = outgoing[place * out_stride(options) ..][0..options.size];
    std.mem.writeInt(u64, bytes[0..8], number, .little);
    std.mem.writeInt(u32, bytes[8..12], index, .little);
    @memset(bytes[12..], @truncate(number *% 31 +% index));
}

fn is_right(bytes: []const u8, index: u32) bool {
    const number = std.mem.readInt(u64, bytes[0..8], .little);
    if (std.mem.readInt(u32, bytes[8..12], .little) != index) return false;
    const expected: u8 = @truncate(number *% 31 +% index);
    for (bytes[12..]) |byte| if (byte != expected) return false;
    return true;
}

fn send(options: *const Options, socket: *Socket, count: u32) Failure!void {
    const messages = if (options.gso) join(options, count) else count;
    const descriptor: usize = @intCast(socket.descriptor);
    const first = @intFromPtr(&headers[0]);
    // What is not taken is lost, and sent again.
    const flags = linux.MSG.DONTWAIT | linux.MSG.NOSIGNAL;
    const sent = linux.syscall4(.sendmmsg, descriptor, first, messages, flags);
    if (linux.errno(sent) == .CONNREFUSED) return error.Refused;
}

/// Makes messages of the first `count` datagrams, each as long as the kernel cuts it; how many.
fn join(options: *const Options, count: u32) u32 {
    const each = @min(segments_max, segmented_bytes_max / options.size);
    const messages = std.math.divCeil(u32, count, each) catch unreachable;
    for (vectors[0][0..messages], 0..) |*vector, message| {
        const first: u32 = @intCast(message * each);
        vector.* = .{
            .base = outgoing[first * options.size ..].ptr,
            .len = @min(each, count - first) * options.size,
        };
    }
    return messages;
}

/// Sends again, under new numbers, what has not come back.
fn repeat(options: *const Options, socket: *Socket, index: u32, now: u64) Failure!void {
    var count: u32 = 0;
    for (socket.in_flight[0..options.depth]) |*flight| {
        if (now -| flight.sent_ns < lost_ns) continue;
        totals.lost += 1;
        flight.* = .{ .number = socket.next, .sent_ns = now };
        write(options, index, socket.next, count);
        socket.next += 1;
        count += 1;
    }
    if (count > 0) try send(options, socket, count);
}

fn report(window: *const Window, calls: *const Counter) void {
    const elapsed_ns = window.end.monotonic_ns - window.start.monotonic_ns;
    const seconds = @as(f64, @floatFromInt(elapsed_ns)) / std.time.ns_per_s;
    const replies: f64 = @floatFromInt(histogram.total);
    const cpu_ns = window.end.server_cpu_ns -| window.start.server_cpu_ns;
    const own_ns = window.end.own_cpu_ns -| window.start.own_cpu_ns;
    const busy = 1 - @as(f64, @floatFromInt(totals.idle_ns)) / @as(f64, @floatFromInt(elapsed_ns));
    print(1, "{{\"replies\":{d},\"lost\":{d},\"mismatches\":{d},\"seconds\":{d:.6}," ++
        "\"rate\":{d:.1},\"p50_us\":{d:.2},\"p99_us\":{d:.2},\"server_cpu_us\":{d:.0}," ++
        "\"cpu_us\":{d:.0},\"busy\":{d:.3},\"server_syscalls\":{?d}}}\n", .{
        histogram.total,
        totals.lost,
        totals.mismatches,
        seconds,
        replies / seconds,
        microseconds(histogram.percentile(0.5)),
        microseconds(histogram.percentile(0.99)),
        microseconds(cpu_ns),
        microseconds(own_ns),
        busy,
        calls.total(),
    });
}

fn microseconds(time_ns: u64) f64 {
    return @as(f64, @floatFromInt(time_ns)) / 1000;
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
