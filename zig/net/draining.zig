//! How a listener closes without losing a connection: what is accepted is opened, and what waits in
//! the backlog is accepted first.
//!
//! Where others have the socket as well they take what waits, and only what is accepted already is
//! opened. A bounded number of connections is taken, so that it ends however many come. When the
//! kernel is out of descriptors or memory, what waits goes on waiting, as for any listener: it is
//! told of, and tried again after a pause or when a connection ends. Closing for good ends that.

const kernel = @import("../sys/kernel.zig");
const Listener = @import("listeners.zig").Listener;

/// Most that a draining listener accepts: the longest backlog.
const drained_max = 65_535;
/// Of them in one pass.
const drained_at_once = 64;

/// Whether a failure to accept is of one connection, which is gone, or of nothing (accept(2)).
fn concerns_one(failure: i32) bool {
    for ([_]kernel.E{
        .INTR,       .CONNABORTED, .PROTO,     .PERM,        .NETDOWN, .NETUNREACH,
        .NOPROTOOPT, .HOSTDOWN,    .OPNOTSUPP, .HOSTUNREACH,
    }) |code| {
        if (failure == kernel.negative(code)) return true;
    }
    return false;
}

pub fn Draining(comptime Listeners: type) type {
    const sockets = Listeners.sockets;
    return struct {
        pub fn begin(listeners: *Listeners, slot: u32, generation: u32) bool {
            const listener = listeners.find(slot, generation) orelse return false;
            listener.state = .draining;
            listener.drain_left = drained_max;
            listener.retrying = false;
            listeners.loop.stop_user_timer(listeners.first_port + slot);
            listeners.attention.push(listeners.listeners, slot);
            return true;
        }

        pub fn advance(listeners: *Listeners, slot: u32, listener: *Listener) void {
            if (listener.accepting) return listeners.stop_accepting(slot, listener);
            if (listener.retrying) return;
            if (listeners.parked.has(slot)) return;
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
                    if (concerns_one(descriptor)) continue;
                    return waits_on(listeners, slot, listener, descriptor);
                }
                if (sockets.set_flags(descriptor, Listeners.Backend.nonblocking) < 0) {
                    sockets.reset(descriptor);
                    continue;
                }
                listeners.accepted(slot, listener, descriptor);
                // The backend cannot use so high a descriptor.
                if (listener.retrying) return true;
            }
            listeners.attention.push(listeners.listeners, slot);
            return true;
        }

        /// Accepting has failed: whether there is more that may be accepted later.
        fn waits_on(listeners: *Listeners, slot: u32, listener: *Listener, failure: i32) bool {
            switch (failure) {
                kernel.negative(.AGAIN) => return false,
                kernel.negative(.MFILE),
                kernel.negative(.NFILE),
                kernel.negative(.NOBUFS),
                kernel.negative(.NOMEM),
                => {
                    listener.drain_left += 1;
                    listeners.retry_later(slot, listener, failure);
                    return true;
                },
                else => {
                    listeners.report(slot, listener, failure);
                    return false;
                },
            }
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
    };
}
