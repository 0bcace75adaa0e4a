//! From a connect that the script asked for to an open connection.
//!
//! Invariant: an address that the kernel reads stays where it is while its connect is under way.

const layout = @import("../layout.zig");
const plain = @import("../loop/channel.zig").plain;
const address_module = @import("address.zig");
const socket_options = @import("socket_options.zig");
const Connection = @import("connection.zig").Connection;

pub fn Connecting(comptime Streams: type) type {
    const sockets = Streams.sockets;
    const Backend = Streams.Backend;
    return struct {
        /// Starts to connect. The slot, or a negative status with `failed` naming the system call.
        pub fn connect(
            streams: *Streams,
            options: *const layout.ConnectOptions,
            failed: *layout.Syscall,
        ) i32 {
            const address = address_module.to_kernel(&options.address) orelse
                return @intFromEnum(layout.Status.bad_argument);
            if (!streams.accepts_more()) return @intFromEnum(layout.Status.exhausted);
            const descriptor = open_socket(&address, options, failed);
            if (descriptor < 0) return descriptor;
            const slot = streams.take_slot();
            const connection = &streams.connections[slot];
            const family: layout.AddressFamily = @enumFromInt(options.address.family);
            connection.open(.connecting, descriptor, family, options.stream);
            streams.addresses[slot] = address;
            streams.loop.channel.queued[slot] = 0;
            if (options.timeout_ms > 0) streams.loop.start_user_timer(slot, options.timeout_ms);
            streams.advance(slot);
            return @intCast(slot);
        }

        fn open_socket(
            address: *const sockets.SocketAddress,
            options: *const layout.ConnectOptions,
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
            const wanted = &options.stream.socket;
            const rc = socket_options.apply(sockets, descriptor, .connection, family, wanted);
            if (rc >= 0) return descriptor;
            sockets.close(descriptor);
            return rc;
        }

        pub fn start(streams: *Streams, slot: u32, connection: *Connection) void {
            if (connection.connecting) return;
            connection.connecting = streams.loop.backend.connect(
                slot,
                connection.generation,
                connection.descriptor,
                &streams.addresses[slot],
            );
            if (!connection.connecting) streams.attention.push(streams.connections, slot);
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
            if (result < 0) return streams.end(slot, result, false);
            streams.loop.stop_user_timer(slot);
            connection.state = .open;
            streams.loop.counters.connected += 1;
            streams.loop.channel.emit(plain(.open, slot, connection.generation, -1));
        }
    };
}
