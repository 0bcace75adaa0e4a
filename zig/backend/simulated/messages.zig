//! Datagrams of a simulated kernel: sent in batches, lost only where a real kernel may lose them,
//! which is where the receiver has no room, and received one buffer each.

const std = @import("std");
const contract = @import("../contract.zig");
const datagrams = @import("../../sys/datagrams.zig");
const kernel = @import("../../sys/kernel.zig");
const Network = @import("network.zig").Network;
const Simulated = @import("../simulated.zig").Simulated;
const Socket = @import("socket.zig").Socket;
const sockets = @import("sockets.zig");
const starting = @import("starting.zig");

/// Datagrams of one socket that may be under way.
const under_way_max = 8;
/// Datagrams that wait at a socket until it has no room for more.
const mailbox_max = 32;
/// Bytes of the largest one.
const payload_max = 65_507;

pub const Datagram = struct {
    from: *Socket,
    from_port: u16,
    bytes: []const u8,
    arrives_ns: u64,
    arrived: bool,
};

pub fn send(
    backend: *Simulated,
    port: u32,
    epoch: u32,
    descriptor: i32,
    batch: *datagrams.Outgoing,
    waits: bool,
) i32 {
    const network = backend.network;
    backend.calls += 1;
    const socket = network.find(descriptor) orelse {
        network.violate("port {d}: messages to descriptor {d}, which is not open", .{
            port,
            descriptor,
        });
        return kernel.negative(.BADF);
    };
    if (network.hit(network.faults.partial_submission)) return 0;
    for (0..batch.count) |index| {
        const rc = send_one(network, socket, batch, @intCast(index));
        if (rc == 0) continue;
        if (index > 0) return @intCast(index);
        if (rc != kernel.negative(.AGAIN) or !waits) return rc;
        _ = starting.start(backend, .send_messages, port, epoch, descriptor) orelse
            return kernel.negative(.BUSY);
        return rc;
    }
    return @intCast(batch.count);
}

fn send_one(network: *Network, socket: *Socket, batch: *datagrams.Outgoing, index: u32) i32 {
    const failure = socket.take_failure();
    if (failure != 0) return failure;
    const address = batch.address_of(index);
    if (address == null and socket.remote_port == 0) return kernel.negative(.DESTADDRREQ);
    if (network.hit(network.faults.failed_send)) return kernel.negative(.NOBUFS);
    if (socket.under_way >= under_way_max) return kernel.negative(.AGAIN);
    var length: usize = 0;
    for (batch.parts(index)) |part| length += part.len;
    if (length > payload_max) return kernel.negative(.MSGSIZE);
    const bytes = network.gpa.alloc(u8, length) catch @panic("out of memory");
    var at: usize = 0;
    for (batch.parts(index)) |part| {
        @memcpy(bytes[at..][0..part.len], part.base[0..part.len]);
        at += part.len;
    }
    if (socket.port == 0) socket.port = network.ephemeral_port();
    const port = if (address) |to|
        std.mem.bigToNative(u16, to.storage.in4.port)
    else
        socket.remote_port;
    put(network, socket, port, bytes);
    return 0;
}

/// Whoever is not there, or has no room, does not get it; a connected sender hears of the former.
fn put(network: *Network, from: *Socket, port: u16, bytes: []const u8) void {
    const target = network.datagram_at(port) orelse {
        network.trace("socket {d}: nobody is at port {d}", .{ from.serial, port });
        if (from.remote_port != 0) from.failure = kernel.negative(.CONNREFUSED);
        return;
    };
    if (target.mailbox.items.len >= mailbox_max) {
        network.trace("socket {d}: a datagram is lost", .{target.serial});
        network.lost += 1;
        return;
    }
    from.under_way += 1;
    var arrives_ns = network.now_ns + network.latency_ns();
    if (target.mailbox.getLastOrNull()) |last| arrives_ns = @max(arrives_ns, last.arrives_ns);
    target.mailbox.append(network.gpa, .{
        .from = from,
        .from_port = from.port,
        .bytes = bytes,
        .arrives_ns = arrives_ns,
        .arrived = false,
    }) catch @panic("out of memory");
}

/// What is due arrives.
pub fn progress(network: *Network, socket: *Socket) void {
    for (socket.mailbox.items) |*datagram| {
        if (datagram.arrived or datagram.arrives_ns > network.now_ns) continue;
        datagram.arrived = true;
        datagram.from.under_way -= 1;
    }
}

/// When the next one arrives; `never` where none does.
pub fn next_ns(socket: *const Socket, never: u64) u64 {
    for (socket.mailbox.items) |datagram| {
        if (!datagram.arrived) return datagram.arrives_ns;
    }
    return never;
}

/// Drops what nobody will read.
pub fn drop(socket: *Socket) void {
    for (socket.mailbox.items) |datagram| {
        if (!datagram.arrived) datagram.from.under_way -= 1;
    }
    socket.mailbox.clearRetainingCapacity();
}

/// Whether the operation completed.
pub fn step_send(backend: *Simulated, index: u32) bool {
    const socket = backend.operations[index].socket;
    if (socket.under_way >= under_way_max and socket.failure == 0) return false;
    backend.complete(index, false, 0, contract.no_buffer);
    return true;
}

/// Whether the operation completed.
pub fn step_receive(backend: *Simulated, index: u32, goes_on: bool) bool {
    const network = backend.network;
    const socket = backend.operations[index].socket;
    const failure = socket.take_failure();
    if (failure != 0) {
        backend.complete(index, false, failure, contract.no_buffer);
        return true;
    }
    if (socket.mailbox.items.len == 0 or !socket.mailbox.items[0].arrived) return false;
    const is_short = network.hit(network.faults.no_buffers);
    const buffer = (if (is_short) null else backend.free.take()) orelse {
        backend.complete(index, false, kernel.negative(.NOBUFS), contract.no_buffer);
        return true;
    };
    const datagram = socket.mailbox.orderedRemove(0);
    const bytes = backend.pool.pointer(buffer)[0..backend.pool.buffer_size];
    const length = write(bytes, socket, &datagram);
    // An empty message ends a multishot receive of the kernel.
    backend.complete(index, goes_on and length > 0, @intCast(length), buffer);
    return true;
}

/// Header, address and payload; the bytes of the payload that fit.
fn write(bytes: []u8, socket: *const Socket, datagram: *const Datagram) usize {
    const payload = bytes[contract.message_payload_offset..];
    const length = @min(payload.len, datagram.bytes.len);
    @memcpy(payload[0..length], datagram.bytes[0..length]);
    var address: sockets.SocketAddress = undefined;
    sockets.loopback(&address, socket.family, datagram.from_port);
    const cut: u32 = if (length < datagram.bytes.len) std.os.linux.MSG.TRUNC else 0;
    const header: contract.MessageHeader = .{
        .address_bytes = address.length(),
        .control_bytes = 0,
        .payload_bytes = @intCast(datagram.bytes.len),
        .flags = cut,
    };
    @memcpy(bytes[0..@sizeOf(contract.MessageHeader)], std.mem.asBytes(&header));
    const start: [*]const u8 = @ptrCast(&address);
    @memcpy(bytes[contract.message_address_offset..][0..address.length()], start);
    return length;
}
