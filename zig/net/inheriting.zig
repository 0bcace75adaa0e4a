//! Listeners whose socket others have as well: it was opened elsewhere, or given away.
//!
//! Invariant: the socket is never ended for the others, only this loop's descriptor is closed.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const address_module = @import("address.zig");
const given = @import("given.zig");
const may_pass = @import("messages.zig").may_pass;
const socket_options = @import("socket_options.zig");

pub fn Inheriting(comptime Listeners: type) type {
    const sockets = Listeners.sockets;
    return struct {
        /// Listens on a descriptor that listens already, and is this loop's from then on.
        pub fn listen(
            self: *Listeners,
            options: *const layout.ListenOptions,
            failed: *layout.Syscall,
        ) i32 {
            const descriptor = std.math.cast(i32, options.address.port) orelse
                return kernel.negative(.BADF);
            failed.* = .getsockopt;
            var family: u32 = 0;
            var rc = sockets.check_stream(descriptor, .listening, &family);
            if (rc < 0) return rc;
            if (descriptor >= Listeners.Backend.descriptors_max) {
                return @intFromEnum(layout.Status.descriptor_limit);
            }
            if (!may_pass(&options.stream, family)) {
                return @intFromEnum(layout.Status.bad_argument);
            }
            if (self.owns(descriptor) or self.streams.owns(descriptor, .{})) {
                return kernel.negative(.EXIST);
            }
            const slot = self.free_slot() orelse return @intFromEnum(layout.Status.exhausted);
            failed.* = .fcntl;
            // Others may accept from it as well: nobody shall wait for what another one took.
            rc = sockets.set_flags(descriptor, true);
            if (rc < 0) return rc;
            failed.* = .setsockopt;
            const stream = socket_options.with_default(&options.stream, family);
            var target: socket_options.Target = .{
                .descriptor = descriptor,
                .use = .listener,
                .family = family,
                .best_effort = stream.best_effort != 0,
            };
            rc = target.apply(sockets, &stream.socket);
            if (rc < 0) {
                self.loop.channel.note_option(target.refused.?);
                return rc;
            }
            _ = given.take_back(descriptor);
            self.listeners[slot].path = .{};
            self.occupy(slot, descriptor, address_module.family_of(family), &stream);
            self.listeners[slot].shared = true;
            return @intCast(slot);
        }

        /// Another descriptor of the listener, the caller's, or a negative status.
        pub fn share(self: *Listeners, slot: u32, generation: u32) i32 {
            const listener = self.find(slot, generation) orelse
                return @intFromEnum(layout.Status.stale_handle);
            if (listener.is_named()) return @intFromEnum(layout.Status.unsupported);
            const descriptor = sockets.duplicate(listener.descriptor);
            if (descriptor < 0) return descriptor;
            listener.shared = true;
            given.give(descriptor);
            return descriptor;
        }
    };
}
