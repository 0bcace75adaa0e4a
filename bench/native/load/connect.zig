//! Opens the connections of a session: in waves, and a connection counts as open only after it has
//! echoed a first small message, so that no server's backlog overflows and the run starts with
//! every connection accepted. Blocking sockets with time limits: nothing here waits for ever.

const std = @import("std");
const linux = std.os.linux;
const Session = @import("session.zig").Session;
const clock = @import("clock.zig");

pub const Error = error{ DescriptorLimit, Socket, Connect, NoPorts, Hello, Deadline };

/// Below the smallest usual backlog (128), so that no connection request is dropped.
const wave = 100;
const hello_bytes_max = 512;
const deadline_ns = 30 * std.time.ns_per_s;
const step_timeout_s = 5;
/// The kernel's range of ephemeral ports is about 28,000 per source address.
const connections_per_source = 20_000;
const sources_max = 64;

pub fn openAll(session: *Session) Error!void {
    try raiseDescriptorLimit(session.options.connections + 64);
    const deadline = clock.monotonic() + deadline_ns;
    var source: u8 = 1;
    var first: usize = 0;
    while (first < session.connections.len) : (first += wave) {
        const last = @min(first + wave, session.connections.len);
        for (first..last) |index| {
            if (clock.monotonic() > deadline) return error.Deadline;
            if (index > 0 and index % connections_per_source == 0) source += 1;
            session.connections[index].fd = try open(session, &source);
        }
        for (first..last) |index| try helloSend(session, index);
        for (first..last) |index| {
            if (clock.monotonic() > deadline) return error.Deadline;
            try helloReceive(session, index);
        }
    }
}

fn raiseDescriptorLimit(needed: u64) Error!void {
    var limit: linux.rlimit = undefined;
    if (failed(linux.getrlimit(.NOFILE, &limit))) return error.DescriptorLimit;
    if (limit.cur >= needed) return;
    limit = .{ .cur = needed, .max = @max(limit.max, needed) };
    if (failed(linux.setrlimit(.NOFILE, &limit))) return error.DescriptorLimit;
}

fn open(session: *const Session, source: *u8) Error!i32 {
    while (source.* <= sources_max) : (source.* += 1) {
        const socket = linux.socket(linux.AF.INET, linux.SOCK.STREAM | linux.SOCK.CLOEXEC, 0);
        if (failed(socket)) return error.Socket;
        const fd: i32 = @intCast(socket);
        const result = connectFrom(session, fd, source.*);
        if (!failed(result)) return fd;
        _ = linux.close(fd);
        if (linux.errno(result) != .ADDRNOTAVAIL) return error.Connect;
    }
    return error.NoPorts;
}

fn connectFrom(session: *const Session, fd: i32, source: u8) usize {
    setOption(fd, linux.IPPROTO.TCP, linux.TCP.NODELAY, i32, 1);
    // The cheapest congestion control there is (no pacing, no model): ours must not be the side
    // that limits. The server keeps the system's own.
    _ = linux.setsockopt(fd, linux.IPPROTO.TCP, linux.TCP.CONGESTION, "reno", 4);
    const timeout: linux.timeval = .{ .sec = step_timeout_s, .usec = 0 };
    setOption(fd, linux.SOL.SOCKET, linux.SO.SNDTIMEO, linux.timeval, timeout);
    setOption(fd, linux.SOL.SOCKET, linux.SO.RCVTIMEO, linux.timeval, timeout);
    const host = session.options.host;
    if (host[0] == 127) {
        // Choose the port at connect time: it then need be free only for this destination.
        setOption(fd, linux.IPPROTO.IP, linux.IP.BIND_ADDRESS_NO_PORT, i32, 1);
        const from = address(.{ 127, 0, 0, source }, 0);
        const result = linux.bind(fd, @ptrCast(&from), @sizeOf(linux.sockaddr.in));
        if (failed(result)) return result;
    }
    const to = address(host, session.options.port);
    return linux.connect(fd, &to, @sizeOf(linux.sockaddr.in));
}

fn helloSend(session: *Session, index: usize) Error!void {
    const connection = &session.connections[index];
    const length = @min(session.options.size, hello_bytes_max);
    connection.unsent = length;
    const bytes = session.outgoing(index);
    const result = linux.sendto(connection.fd, bytes.ptr, length, linux.MSG.NOSIGNAL, null, 0);
    if (failed(result) or result != length) return error.Hello;
    session.sent(index, length);
    connection.in_flight = length;
}

fn helloReceive(session: *Session, index: usize) Error!void {
    const connection = &session.connections[index];
    var buffer: [hello_bytes_max]u8 = undefined;
    while (connection.in_flight > 0) {
        const result = linux.recvfrom(connection.fd, &buffer, connection.in_flight, 0, null, null);
        if (failed(result) or result == 0) return error.Hello;
        const received = buffer[0..result];
        if (!std.mem.eql(u8, received, session.pattern[connection.receive_offset..][0..result])) {
            session.mismatches += 1;
            return error.Hello;
        }
        session.skip(index, @intCast(result));
    }
}

fn setOption(fd: i32, level: i32, name: u32, comptime Value: type, value: Value) void {
    _ = linux.setsockopt(fd, level, name, std.mem.asBytes(&value), @sizeOf(Value));
}

fn address(host: [4]u8, port: u16) linux.sockaddr.in {
    return .{ .port = std.mem.nativeToBig(u16, port), .addr = @bitCast(host) };
}

fn failed(result: usize) bool {
    return linux.errno(result) != .SUCCESS;
}
