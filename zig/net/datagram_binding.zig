//! How a datagram socket begins, and what it is asked while it is open: options and groups.
//!
//! Invariant: a socket that was refused leaves nothing behind.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const AF = @import("../sys/sockets.zig").AF;
const Membership = @import("../sys/datagram_options.zig").Membership;
const SocketAddress = @import("../sys/sockets.zig").SocketAddress;
const address_module = @import("address.zig");
const OwnedPath = unix_path.OwnedPath;
const Socket = @import("datagram_socket.zig").Socket;
const socket_options = @import("socket_options.zig");
const unix_path = @import("unix_path.zig");

const bad_argument = @intFromEnum(layout.Status.bad_argument);
const exhausted = @intFromEnum(layout.Status.exhausted);
const unsupported = @intFromEnum(layout.Status.unsupported);

/// A run of datagrams that came as one has so many bytes at most, and a buffer is a power of two.
const segments_buffer_least = 131_072;

const multicast_interface = @intFromEnum(layout.SocketOption.multicast_interface);

pub fn Binding(comptime Datagrams: type) type {
    const sockets = Datagrams.sockets_of;
    const Backend = Datagrams.Backend;
    return struct {
        pub fn bind(
            datagrams: *Datagrams,
            options: *const layout.BindOptions,
            failed: *layout.Syscall,
        ) i32 {
            var addresses: Addresses = undefined;
            datagrams.loop.channel.note_option(null);
            if (!valid(datagrams, options) or !addresses.read(options)) return bad_argument;
            // Messages do not go with buffers that receives share.
            if (contract.shares_buffers(&datagrams.loop.backend)) return unsupported;
            if (!datagrams.slots.has_free()) return exhausted;
            failed.* = .socket;
            var owned: OwnedPath = .{};
            const descriptor = sockets.open_datagram(addresses.family, Backend.nonblocking);
            if (descriptor < 0) return descriptor;
            const rc = if (descriptor >= Backend.descriptors_max)
                @intFromEnum(layout.Status.descriptor_limit)
            else
                prepare(datagrams, descriptor, &addresses, options, &owned, failed);
            if (rc < 0) {
                sockets.close(descriptor);
                return rc;
            }
            const slot = datagrams.slots.take(datagrams.sockets, datagrams.loop.counters.turns);
            const socket = &datagrams.sockets[slot];
            socket.open(descriptor, addresses.family, options);
            socket.path = owned;
            socket.is_told_of_room = addresses.family != AF.UNIX or socket.is_connected;
            const interface = options.socket.values[multicast_interface];
            if (interface != layout.option_unset) socket.multicast_interface = interface;
            datagrams.loop.channel.socket_queued[slot] = 0;
            datagrams.attention.push(datagrams.sockets, slot);
            return @intCast(slot);
        }

        fn valid(datagrams: *const Datagrams, options: *const layout.BindOptions) bool {
            const buffer_size = datagrams.loop.pool.buffer_size;
            if (options.receive_segments != 0 and buffer_size < segments_buffer_least) return false;
            return socket_options.check(&options.socket) and
                buffer_size > contract.message_payload_offset and
                options.high_water_mark >= 2 * buffer_size and
                options.high_water_mark <= 1 << 30 and
                options.linger_timeout_ms <= 1 << 30 and
                options.receive_credits >= 1 and options.receive_credits <= 65_536;
        }

        fn prepare(
            datagrams: *Datagrams,
            descriptor: i32,
            addresses: *const Addresses,
            options: *const layout.BindOptions,
            owned: *OwnedPath,
            failed: *layout.Syscall,
        ) i32 {
            const family = addresses.family;
            failed.* = .setsockopt;
            var rc = apply_options(datagrams, descriptor, family, &options.socket);
            if (rc < 0) return rc;
            rc = ask(datagrams, descriptor, family, options);
            if (rc < 0) return rc;
            failed.* = .bind;
            if (addresses.local) |*local| rc = bind_to(descriptor, local, owned);
            if (rc < 0) return rc;
            failed.* = .connect;
            if (addresses.remote) |*remote| rc = sockets.connect(descriptor, remote);
            if (rc < 0) owned.remove();
            return rc;
        }

        fn bind_to(descriptor: i32, local: *const SocketAddress, owned: *OwnedPath) i32 {
            if (address_module.family(local) != AF.UNIX) return sockets.bind(descriptor, local);
            return unix_path.bind(descriptor, local, .{
                .unlink_stale = true,
                .mode = layout.option_unset,
            }, owned);
        }

        /// What the kernel is to tell. The index of the field that it does not know goes to the
        /// header, for the error.
        fn ask(
            datagrams: *Datagrams,
            descriptor: i32,
            family: u32,
            options: *const layout.BindOptions,
        ) i32 {
            if (family == AF.UNIX) return 0;
            const header = datagrams.loop.channel.header;
            const wishes = .{
                .{ "receive_segments", sockets.datagram.receive_segments, .{descriptor} },
                .{ "tell_local", sockets.datagram.tell_local, .{ descriptor, family } },
                .{ "tell_ecn", sockets.datagram.tell_ecn, .{ descriptor, family } },
                .{ "tell_drops", sockets.datagram.tell_drops, .{descriptor} },
            };
            inline for (wishes) |wish| {
                const field, const function, const arguments = wish;
                if (@field(options, field) != 0) {
                    const rc = @call(.auto, function, arguments);
                    header.result_bytes = std.meta.fieldIndex(layout.BindOptions, field).?;
                    if (is_unknown(rc)) return unsupported;
                    if (rc < 0) return rc;
                }
            }
            return 0;
        }

        fn is_unknown(result: i32) bool {
            return result == kernel.negative(.OPNOTSUPP) or result == kernel.negative(.NOPROTOOPT);
        }

        /// IPv4 names an interface in a way of its own.
        fn apply_options(
            datagrams: *Datagrams,
            descriptor: i32,
            family: u32,
            options: *const layout.SocketOptions,
        ) i32 {
            var others = options.*;
            const interface = options.values[multicast_interface];
            others.values[multicast_interface] = layout.option_unset;
            var target: socket_options.Target = .{
                .descriptor = descriptor,
                .use = .datagram,
                .family = family,
            };
            const rc = target.apply(sockets, &others);
            datagrams.loop.channel.note_option(target.refused);
            if (rc < 0 or interface == layout.option_unset) return rc;
            datagrams.loop.channel.note_option(.multicast_interface);
            if (family == AF.UNIX) return unsupported;
            const set = sockets.datagram.set_multicast_interface(descriptor, family, interface);
            if (set >= 0) datagrams.loop.channel.note_option(null);
            return set;
        }

        /// Reads or sets an option, joins or leaves a group.
        pub fn request(datagrams: *Datagrams, asked: *layout.SocketRequest) i32 {
            const socket = datagrams.find(asked.slot, asked.generation) orelse
                return @intFromEnum(layout.Status.stale_handle);
            if (socket.state != .open) return @intFromEnum(layout.Status.stale_handle);
            const action = std.enums.fromInt(layout.SocketAction, asked.action) orelse
                return bad_argument;
            return switch (action) {
                .set_option, .get_option => request_option(socket, action, asked),
                .join, .leave => request_group(socket, action, asked),
            };
        }

        fn request_option(
            socket: *Socket,
            action: layout.SocketAction,
            asked: *layout.SocketRequest,
        ) i32 {
            const option = std.enums.fromInt(layout.SocketOption, asked.option) orelse
                return bad_argument;
            const descriptor = socket.descriptor;
            const family = socket.family;
            if (option == .multicast_interface) {
                if (family == AF.UNIX) return unsupported;
                return request_interface(socket, action, asked);
            }
            if (action == .set_option) {
                const value = asked.value;
                return socket_options.set(sockets, descriptor, .datagram, family, option, value);
            }
            const value = &asked.value;
            return socket_options.get(sockets, descriptor, .datagram, family, option, value);
        }

        fn request_interface(
            socket: *Socket,
            action: layout.SocketAction,
            asked: *layout.SocketRequest,
        ) i32 {
            if (action == .get_option) {
                asked.value = socket.multicast_interface;
                return 0;
            }
            if (asked.value > std.math.maxInt(i32)) return bad_argument;
            const rc = sockets.datagram.set_multicast_interface(
                socket.descriptor,
                socket.family,
                asked.value,
            );
            if (rc >= 0) socket.multicast_interface = asked.value;
            return rc;
        }

        fn request_group(
            socket: *const Socket,
            action: layout.SocketAction,
            asked: *const layout.SocketRequest,
        ) i32 {
            if (socket.family == AF.UNIX) return unsupported;
            const group = address_module.to_kernel(&asked.group) orelse return bad_argument;
            if (address_module.family(&group) != socket.family) return bad_argument;
            var source: SocketAddress = undefined;
            const by_source = asked.source.family != 0;
            if (by_source) {
                source = address_module.to_kernel(&asked.source) orelse return bad_argument;
                if (address_module.family(&source) != socket.family) return bad_argument;
            }
            const membership: Membership = .{
                .group = &group,
                .source = if (by_source) &source else null,
                .interface = asked.interface,
            };
            return if (action == .join)
                sockets.datagram.join(socket.descriptor, membership)
            else
                sockets.datagram.leave(socket.descriptor, membership);
        }
    };
}

const Addresses = struct {
    family: u32,
    local: ?SocketAddress,
    remote: ?SocketAddress,

    /// False when they are none, or not of one family.
    fn read(self: *Addresses, options: *const layout.BindOptions) bool {
        self.* = .{ .family = AF.UNIX, .local = null, .remote = null };
        if (options.address.family != 0) {
            self.local = address_module.to_kernel(&options.address) orelse return false;
            self.family = address_module.family(&self.local.?);
        }
        if (options.remote.family != 0) {
            self.remote = undefined;
            const to = &self.remote.?;
            if (!address_module.to_family(&options.remote, self.family, to)) return false;
        }
        return true;
    }
};
