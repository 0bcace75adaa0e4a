//! The verbs of a connection's port, for what its bytes go through: a socket, by the loop's
//! backend, or a pipe to another loop of the process. Whoever starts or ends an operation of a
//! connection comes here.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const unsent_counts_end = @import("../sys/sockets.zig").unsent_counts_end;
const address_module = @import("address.zig");
const Connection = @import("connection.zig").Connection;

pub fn Ports(comptime Streams: type) type {
    const sockets = Streams.sockets;
    return struct {
        /// Whether it was started; there may be no room now. So with the others.
        pub fn connect(streams: *Streams, slot: u32, connection: *const Connection) bool {
            if (connection.is_piped()) {
                streams.peers.connect(slot);
                return true;
            }
            return streams.loop.backend.connect(
                slot,
                connection.generation,
                connection.descriptor,
                &streams.addresses[slot],
            );
        }

        pub fn receive(streams: *Streams, slot: u32, connection: *const Connection) bool {
            if (connection.is_piped()) {
                streams.peers.receive(slot);
                return true;
            }
            const backend = &streams.loop.backend;
            const generation = connection.generation;
            const descriptor = connection.descriptor;
            if (connection.passes()) return backend.receive_message(slot, generation, descriptor);
            return backend.receive(slot, generation, descriptor, streams.may_burst(connection));
        }

        pub fn cancel(
            streams: *Streams,
            slot: u32,
            connection: *const Connection,
            what: contract.Cancel,
        ) bool {
            if (connection.is_piped()) {
                streams.peers.cancel(slot, what);
                return true;
            }
            const backend = &streams.loop.backend;
            return backend.cancel(slot, connection.generation, connection.descriptor, what);
        }

        /// After the last operation has ended. Without a descriptor it never had a socket.
        pub fn close(streams: *Streams, slot: u32, connection: *const Connection) bool {
            if (connection.is_piped()) {
                streams.peers.close(slot, connection.reset);
                return true;
            }
            const descriptor = connection.descriptor;
            if (descriptor < 0) return true;
            const backend = &streams.loop.backend;
            if (!backend.forget(slot, connection.generation, descriptor)) return false;
            if (connection.reset) sockets.reset(descriptor) else sockets.close(descriptor);
            return true;
        }

        /// Resets it, whatever is under way: the loop ends.
        pub fn drop(streams: *Streams, slot: u32, connection: *const Connection) void {
            if (connection.is_piped()) return streams.peers.close(slot, true);
            if (connection.descriptor >= 0) sockets.reset(connection.descriptor);
        }

        /// Ends our direction after everything that was sent. A negated errno, or 0.
        pub fn shutdown(streams: *Streams, slot: u32, connection: *const Connection) i32 {
            if (!connection.is_piped()) return sockets.shutdown_send(connection.descriptor);
            streams.peers.shutdown(slot);
            return 0;
        }

        /// What has gone wrong and nobody was told of, as a negated errno, or 0.
        pub fn failure(streams: *Streams, slot: u32, connection: *const Connection) i32 {
            if (!connection.is_piped()) return sockets.failure(connection.descriptor);
            return streams.peers.failure(slot);
        }

        /// Bytes on their way that the peer has not acknowledged. A pipe is the peer's already.
        pub fn unsent(connection: *const Connection) u32 {
            if (connection.is_piped()) return 0;
            // The end that follows them counts as one with some kernels, but is nothing that a peer
            // could miss.
            const counted = unsent_counts_end and connection.family != .unix;
            const end_length: u32 = @intFromBool(counted and connection.shutdown_done);
            return sockets.unsent(connection.descriptor) -| end_length;
        }

        /// The address of either end, written for the script; a negated errno, or 0. Both ends of a
        /// pipe have the name that was connected to.
        pub fn write_address(
            streams: *Streams,
            slot: u32,
            connection: *const Connection,
            remote: bool,
            failed: *layout.Syscall,
        ) i32 {
            const header = streams.loop.channel.header;
            if (connection.is_piped()) {
                const pipe = streams.peers.side_of(slot).pipe();
                header.address = address_module.of_name(pipe.name_of());
                return 0;
            }
            if (connection.descriptor < 0) return kernel.negative(.NOTCONN);
            const descriptor = connection.descriptor;
            return address_module.tell(sockets, descriptor, remote, &header.address, failed);
        }
    };
}
