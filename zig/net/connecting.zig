//! From a connect that the script asked for to an open connection.
//!
//! A Unix listener with a full backlog refuses at once where others let the peer wait (EAGAIN), and
//! nothing tells when there is room: connecting is tried again from time to time then.
//!
//! Invariant: an address that the kernel reads stays where it is while its connect is under way.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const plain = @import("../loop/channel.zig").plain;
const address_module = @import("address.zig");
const may_pass = @import("messages.zig").may_pass;
const socket_options = @import("socket_options.zig");
const Connection = @import("connection.zig").Connection;
const Ports = @import("ports.zig").Ports;

const retry_ms = 10;

const connect_timeout = @intFromEnum(layout.Status.connect_timeout);

pub fn Connecting(comptime Streams: type) type {
    const sockets = Streams.sockets;
    const Backend = Streams.Backend;
    const Port = Ports(Streams);
    return struct {
        /// Starts to connect. The slot, or a negative status with `failed` naming the system call.
        pub fn connect(
            streams: *Streams,
            options: *const layout.ConnectOptions,
            failed: *layout.Syscall,
        ) i32 {
            const is_inproc = address_module.is_inproc(&options.address);
            if (is_inproc) return connect_to_name(streams, options);
            const address = address_module.to_kernel(&options.address) orelse
                return @intFromEnum(layout.Status.bad_argument);
            if (!streams.accepts_more()) return @intFromEnum(layout.Status.exhausted);
            if (!may_pass(&options.stream, address_module.family(&address))) {
                return @intFromEnum(layout.Status.bad_argument);
            }
            const descriptor = open_socket(streams, &address, &options.stream, failed);
            if (descriptor < 0) return descriptor;
            const slot = streams.take_slot();
            const connection = &streams.connections[slot];
            const family: layout.AddressFamily = @enumFromInt(options.address.family);
            connection.open(.connecting, descriptor, family, .of(&options.stream));
            streams.addresses[slot] = address;
            begin(streams, slot, options.timeout_ms);
            return @intCast(slot);
        }

        fn connect_to_name(streams: *Streams, options: *const layout.ConnectOptions) i32 {
            const bad_argument = @intFromEnum(layout.Status.bad_argument);
            const name = address_module.name_of(&options.address) orelse return bad_argument;
            // A pipe has no control data.
            if (options.stream.descriptors != 0) return bad_argument;
            if (!streams.accepts_more()) return @intFromEnum(layout.Status.exhausted);
            var target: socket_options.Target = .of_pipe(.connection, options.stream.best_effort);
            var refusal = target.apply(sockets, &options.stream.socket);
            if (refusal < 0) {
                streams.loop.channel.note_option(target.refused.?);
                return refusal;
            }
            const pipe = streams.peers.take_pipe(name, &refusal) orelse return refusal;
            const slot = streams.take_slot();
            const connection = &streams.connections[slot];
            connection.open(.connecting, -1, .inproc, .of(&options.stream));
            streams.peers.open(slot, connection.generation, &pipe.near);
            begin(streams, slot, options.timeout_ms);
            return @intCast(slot);
        }

        fn begin(streams: *Streams, slot: u32, timeout_ms: u32) void {
            const connection = &streams.connections[slot];
            streams.loop.channel.queued[slot] = 0;
            connection.active_ns = std.math.maxInt(u64);
            if (timeout_ms > 0) {
                const limit_ns = @as(u64, timeout_ms) * std.time.ns_per_ms;
                connection.active_ns = streams.loop.clock_ns() +| limit_ns;
                streams.loop.start_user_timer(slot, timeout_ms);
            }
            streams.advance(slot);
        }

        /// A socket that may connect to the address, or a negative status.
        pub fn open_socket(
            streams: *Streams,
            address: *const sockets.SocketAddress,
            options: *const layout.StreamOptions,
            failed: *layout.Syscall,
        ) i32 {
            failed.* = .socket;
            const family = address_module.family(address);
            const descriptor = sockets.open_stream(family, Backend.nonblocking);
            if (descriptor < 0) return descriptor;
            if (descriptor >= Backend.descriptors_max) {
                sockets.close(descriptor);
                return @intFromEnum(layout.Status.descriptor_limit);
            }
            failed.* = .setsockopt;
            var target: socket_options.Target = .{
                .descriptor = descriptor,
                .use = .connection,
                .family = family,
                .best_effort = options.best_effort != 0,
            };
            const rc = target.apply(sockets, &options.socket);
            if (rc >= 0) return descriptor;
            streams.loop.channel.note_option(target.refused.?);
            sockets.close(descriptor);
            return rc;
        }

        pub fn start(streams: *Streams, slot: u32, connection: *Connection) void {
            if (connection.connecting or connection.is_put_off) return;
            connection.connecting = Port.connect(streams, slot, connection);
            if (!connection.connecting) streams.attention.push(streams.connections, slot);
        }

        fn put_off(streams: *Streams, slot: u32, connection: *Connection) void {
            connection.is_put_off = true;
            const rest_ns = connection.active_ns -| streams.loop.clock_ns();
            const rest_ms = std.math.divCeil(u64, rest_ns, std.time.ns_per_ms) catch unreachable;
            streams.loop.start_user_timer(slot, @intCast(@min(rest_ms, retry_ms)));
        }

        /// The time limit passed, or it is time to try again.
        pub fn timer_fired(streams: *Streams, slot: u32, connection: *Connection) void {
            if (!connection.is_put_off or streams.loop.clock_ns() >= connection.active_ns) {
                return streams.end(slot, connect_timeout, true);
            }
            connection.is_put_off = false;
            streams.attention.push(streams.connections, slot);
        }

        pub fn complete(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            result: i32,
        ) void {
            connection.connecting = false;
            streams.attention.push(streams.connections, slot);
            if (connection.state != .connecting) return;
            if (connection.family == .unix and is_early(result)) {
                return put_off(streams, slot, connection);
            }
            if (result < 0) return streams.end(slot, result, false);
            connected(streams, slot, connection);
        }

        /// Whether a Unix listener only had no room yet. Where the kernel waits for that itself, it
        /// gives up when the process is stopped.
        fn is_early(result: i32) bool {
            return result == kernel.negative(.AGAIN) or result == kernel.negative(.INTR);
        }

        /// A connection whose address is being looked for by a race. Its slot.
        pub fn open_resolving(
            streams: *Streams,
            race: u32,
            options: *const layout.ConnectOptions,
        ) u32 {
            const slot = streams.take_slot();
            const connection = &streams.connections[slot];
            connection.open(.resolving, -1, .ipv6, .of(&options.stream));
            connection.race = race;
            streams.loop.channel.queued[slot] = 0;
            if (options.timeout_ms > 0) streams.loop.start_user_timer(slot, options.timeout_ms);
            return slot;
        }

        /// The race of a connection is over; the descriptor is connected.
        pub fn resolved(
            streams: *Streams,
            slot: u32,
            descriptor: i32,
            family: layout.AddressFamily,
        ) void {
            const connection = &streams.connections[slot];
            connection.descriptor = descriptor;
            connection.family = family;
            connection.race = layout.no_slot;
            connected(streams, slot, connection);
            streams.attention.push(streams.connections, slot);
        }

        fn connected(streams: *Streams, slot: u32, connection: *Connection) void {
            streams.loop.stop_user_timer(slot);
            connection.state = .open;
            connection.active_ns = streams.loop.now_ns;
            if (connection.options.idle_timeout_ms > 0) {
                Streams.Idle.start(streams, slot, connection);
            }
            streams.loop.counters.connected += 1;
            streams.loop.channel.emit(plain(.open, slot, connection.generation, -1));
        }
    };
}
