//! The verbs of a listener's port, for what it listens with: a socket, by the loop's backend, or an
//! in-process name.

const contract = @import("../backend/contract.zig");
const layout = @import("../layout.zig");
const address_module = @import("address.zig");
const Listener = @import("listeners.zig").Listener;

/// With fewer free slots a listener accepts one at a time: a kernel may accept a whole backlog
/// before it can be told to stop.
const accept_many_above = 4096;

pub fn ListenerPorts(comptime Listeners: type) type {
    const sockets = Listeners.sockets;
    return struct {
        /// Starts to accept, or to wait for connections; false when there is no room now. So with
        /// the others.
        pub fn accept(listeners: *Listeners, slot: u32, listener: *Listener) bool {
            const port = listeners.first_port + slot;
            if (listener.is_named()) {
                listeners.streams.peers.accept(port);
                return true;
            }
            const backend = &listeners.loop.backend;
            const generation = listener.generation;
            if (listener.must_poll) {
                const descriptor = listener.descriptor;
                const readable: contract.Interest = .{ .readable = true };
                listener.must_poll = !backend.poll(port, generation, descriptor, readable, false);
                return !listener.must_poll;
            }
            const many = listeners.streams.free_slots() > accept_many_above;
            return backend.accept(port, generation, listener.descriptor, many);
        }

        pub fn cancel(listeners: *Listeners, slot: u32, listener: *const Listener) bool {
            const port = listeners.first_port + slot;
            if (listener.is_named()) {
                listeners.streams.peers.cancel(port, .all);
                return true;
            }
            const backend = &listeners.loop.backend;
            return backend.cancel(port, listener.generation, listener.descriptor, .all);
        }

        /// After the last operation has ended.
        pub fn close(listeners: *Listeners, slot: u32, listener: *const Listener) bool {
            if (listener.is_named()) return true;
            const backend = &listeners.loop.backend;
            const port = listeners.first_port + slot;
            const descriptor = listener.descriptor;
            const generation = listener.generation;
            const is_forgotten = if (listener.shared)
                backend.leave(port, generation, descriptor)
            else
                backend.forget(port, generation, descriptor);
            if (is_forgotten) sockets.close(descriptor);
            return is_forgotten;
        }

        /// Where it listens, written for the script; a negated errno, or 0.
        pub fn write_address(
            listeners: *Listeners,
            slot: u32,
            listener: *const Listener,
            failed: *layout.Syscall,
        ) i32 {
            const header = listeners.loop.channel.header;
            if (listener.is_named()) {
                const name = listeners.streams.peers.listener_name(listeners.first_port + slot);
                header.address = address_module.of_name(name);
                return 0;
            }
            const descriptor = listener.descriptor;
            return address_module.tell(sockets, descriptor, false, &header.address, failed);
        }
    };
}
