//! How a listener closes without losing a connection: what is accepted is opened, and what waits in
//! the backlog is accepted first.
//!
//! Where others have the socket as well they take what waits, and only what is accepted already is
//! opened. A bounded number of connections is taken, so that it ends however many come.

const kernel = @import("../sys/kernel.zig");
const Listener = @import("listeners.zig").Listener;
const parked_max = @import("listeners.zig").parked_max;

/// Most that a draining listener accepts: the longest backlog.
const drained_max = 65_535;
/// Of them in one pass.
const drained_at_once = 64;

pub fn Draining(comptime Listeners: type) type {
    const sockets = Listeners.sockets;
    return struct {
        pub fn begin(listeners: *Listeners, slot: u32, generation: u32) bool {
            const listener = listeners.find(slot, generation) orelse return false;
            listener.state = .draining;
            listener.drain_left = drained_max;
            listeners.loop.stop_user_timer(listeners.first_port + slot);
            listeners.attention.push(listeners.listeners, slot);
            return true;
        }

        pub fn advance(listeners: *Listeners, slot: u32, listener: *Listener) void {
            if (listener.accepting) return listeners.stop_accepting(slot, listener);
            if (has_parked(listeners, slot)) return;
            if (!listener.shared and accept_waiting(listeners, slot, listener)) return;
            _ = listeners.close(slot, listener.generation);
        }

        /// Accepts what waits, as far as there is room; false when there is nothing left.
        fn accept_waiting(listeners: *Listeners, slot: u32, listener: *Listener) bool {
            if (listener.is_named()) return accept_pipes(listeners, slot, listener);
            if (sockets.set_flags(listener.descriptor, true) < 0) return false;
            for (0..drained_at_once) |_| {
                if (listener.drain_left == 0) return false;
                // A connection that ends makes room again.
                if (!listeners.streams.accepts_more()) return true;
                if (listeners.loop.channel.room() < 2) break;
                const descriptor = sockets.accept(listener.descriptor);
                listener.drain_left -= 1;
                if (descriptor < 0) {
                    switch (descriptor) {
                        kernel.negative(.INTR), kernel.negative(.CONNABORTED) => continue,
                        else => return false,
                    }
                }
                if (sockets.set_flags(descriptor, Listeners.Backend.nonblocking) < 0) {
                    sockets.reset(descriptor);
                    continue;
                }
                listeners.accepted(slot, listener, descriptor);
            }
            listeners.attention.push(listeners.listeners, slot);
            return true;
        }

        fn accept_pipes(listeners: *Listeners, slot: u32, listener: *Listener) bool {
            const port = listeners.first_port + slot;
            for (0..drained_at_once) |_| {
                if (listener.drain_left == 0) return false;
                if (!listeners.streams.accepts_more()) return true;
                if (listeners.loop.channel.room() < 2) break;
                const pipe = listeners.streams.peers.take_waiting(port) orelse return false;
                listener.drain_left -= 1;
                listeners.accepted_pipe(port, pipe);
            }
            listeners.attention.push(listeners.listeners, slot);
            return true;
        }

        fn has_parked(listeners: *const Listeners, slot: u32) bool {
            for (0..listeners.parked_count) |index| {
                const place = (listeners.parked_first + index) % parked_max;
                if (listeners.parked[place].listener == slot) return true;
            }
            return false;
        }
    };
}
