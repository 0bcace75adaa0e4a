//! Connections that come from elsewhere: a socket that the application had, or one that another
//! loop of the process handed off.
//!
//! Invariants: a descriptor is one connection's or listener's of a loop at most; what another loop
//! had received is delivered before anything else, and `open` before that.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const plain = @import("../loop/channel.zig").plain;
const address_module = @import("address.zig");
const Connection = @import("connection.zig").Connection;
const Framing = @import("framing.zig").Framing;
const given = @import("given.zig");
const Part = @import("held.zig").Part;
const may_pass = @import("messages.zig").may_pass;
const socket_options = @import("socket_options.zig");
const transit = @import("transit.zig");
const Settings = @import("settings.zig").Settings;

pub fn Arriving(comptime Streams: type) type {
    const sockets = Streams.sockets;
    const Backend = Streams.Backend;
    const Frames = Framing(Streams);
    return struct {
        /// Takes over a connected socket. The slot, or a negative status with `failed` naming the
        /// system call; the descriptor is the caller's then.
        pub fn adopt(
            streams: *Streams,
            descriptor: i32,
            options: *const layout.StreamOptions,
            failed: *layout.Syscall,
        ) i32 {
            failed.* = .getsockopt;
            var family: u32 = 0;
            var rc = sockets.check_stream(descriptor, .connected, &family);
            if (rc < 0) return rc;
            if (!may_pass(options, family)) return @intFromEnum(layout.Status.bad_argument);
            if (descriptor >= Backend.descriptors_max) {
                return @intFromEnum(layout.Status.descriptor_limit);
            }
            var identity: kernel.Identity = .{};
            rc = kernel.check_pollable(descriptor, &identity);
            if (rc < 0) return rc;
            if (owns(streams, descriptor, identity)) return kernel.negative(.EXIST);
            if (!streams.accepts_more()) return @intFromEnum(layout.Status.exhausted);
            failed.* = .fcntl;
            rc = sockets.set_flags(descriptor, Backend.nonblocking);
            if (rc < 0) return rc;
            failed.* = .setsockopt;
            const stream = with_default(options, family);
            rc = apply(streams, descriptor, family, &stream);
            if (rc < 0) return rc;
            _ = given.take_back(descriptor);
            const kept: Settings = .of(&stream);
            const slot = open(streams, descriptor, address_module.family_of(family), kept);
            streams.connections[slot].identity = identity;
            return @intCast(slot);
        }

        const with_default = socket_options.with_default;

        fn open(
            streams: *Streams,
            descriptor: i32,
            family: layout.AddressFamily,
            options: Settings,
        ) u32 {
            const slot = streams.take_slot();
            const connection = &streams.connections[slot];
            connection.open(.open, descriptor, family, options);
            connection.open_owed = true;
            streams.loop.channel.queued[slot] = 0;
            if (options.idle_timeout_ms > 0) streams.start_idling(slot);
            streams.attention.push(streams.connections, slot);
            return slot;
        }

        /// Whether a connection of this loop has the descriptor, or is the same adopted socket.
        pub fn owns(streams: *const Streams, descriptor: i32, identity: kernel.Identity) bool {
            for (streams.connections[0..streams.slots.fresh]) |*connection| {
                if (connection.state == .free) continue;
                if (connection.descriptor == descriptor) return true;
                const is_known = connection.identity.inode != 0;
                if (is_known and std.meta.eql(connection.identity, identity)) return true;
            }
            return false;
        }

        /// Takes over a connection in transit, with other options if there are some. The slot, or a
        /// negative status: it is still in transit then.
        pub fn receive(
            streams: *Streams,
            handle: transit.Handle,
            options: ?*const layout.StreamOptions,
        ) i32 {
            if (!streams.accepts_more()) return @intFromEnum(layout.Status.exhausted);
            var taken = transit.take(handle, Backend.descriptors_max) catch |err| {
                return @intFromEnum(switch (err) {
                    error.Stale => layout.Status.stale_handle,
                    error.DescriptorLimit => layout.Status.descriptor_limit,
                });
            };
            const content = taken.content;
            const slot = open(
                streams,
                content.descriptor,
                content.family,
                if (options) |wanted| .of(wanted) else content.options,
            );
            const connection = &streams.connections[slot];
            connection.options.descriptors = content.options.descriptors;
            connection.shutdown_wanted = content.shut;
            connection.shutdown_done = content.shut;
            connection.failure = content.failure;
            const rc = sockets.set_flags(content.descriptor, Backend.nonblocking);
            if (rc < 0) connection.fail(rc);
            if (options) |wanted| {
                const family = address_module.kernel_family(content.family);
                const applied = apply(streams, content.descriptor, family, wanted);
                if (applied < 0) connection.fail(applied);
            }
            while (transit.next_part(&taken)) |part| hold(streams, slot, connection, part);
            return @intCast(slot);
        }

        /// Sets options; 0, or a negative status.
        fn apply(
            streams: *Streams,
            descriptor: i32,
            family: u32,
            options: *const layout.StreamOptions,
        ) i32 {
            var target: socket_options.Target = .{
                .descriptor = descriptor,
                .use = .connection,
                .family = family,
                .best_effort = options.best_effort != 0,
            };
            const rc = target.apply(sockets, &options.socket);
            if (rc < 0) streams.loop.channel.note_option(target.refused.?);
            return rc;
        }

        fn hold(streams: *Streams, slot: u32, connection: *Connection, part: transit.Part) void {
            const pool = streams.loop.pool;
            // Whoever guessed its name may have received it.
            if (!pool.receive(part.name, part.generation)) {
                return connection.fail(kernel.negative(.IO));
            }
            const taken = pool.take_from_script(part.name);
            std.debug.assert(taken);
            const whole: Part = .{ .buffer = part.name, .length = part.length };
            if (connection.is_segmented()) return Frames.arrived(streams, slot, connection, whole);
            if (connection.held.push(pool, &streams.held_nodes, whole)) return;
            streams.release(part.name);
            connection.fail(kernel.negative(.NOBUFS));
        }

        /// Tells the script that it is open; false when there is no room to.
        pub fn report_open(streams: *Streams, slot: u32, connection: *Connection) bool {
            const channel = &streams.loop.channel;
            if (channel.room() == 0) {
                streams.attention.push(streams.connections, slot);
                return false;
            }
            connection.open_owed = false;
            streams.loop.counters.connected += 1;
            channel.emit(plain(.open, slot, connection.generation, -1));
            return true;
        }
    };
}
