//! Options of sockets: what they are called, which values they take, and which sockets have them.
//!
//! Everything is checked before a socket exists (`check`), so that what is refused afterwards is
//! the kernel's word, or an option that such sockets do not have. Either is an error that names the
//! option, unless the caller asked for best effort.

const std = @import("std");
const layout = @import("../layout.zig");
const sockets_module = @import("../sys/sockets.zig");
const AF = sockets_module.AF;
const option_of = sockets_module.option;
const names = option_of.names;

const SocketOption = layout.SocketOption;
const unsupported = @intFromEnum(layout.Status.unsupported);
const bad_argument = @intFromEnum(layout.Status.bad_argument);

/// What a socket is; bits, so that an option can name several.
pub const Use = enum(u8) { connection = 1, listener = 2, datagram = 4 };

const connections: u8 = @intFromEnum(Use.connection);
const listeners: u8 = @intFromEnum(Use.listener);
const datagrams: u8 = @intFromEnum(Use.datagram);
/// Accepted sockets inherit what their listener has.
const streams: u8 = connections | listeners;
const all: u8 = streams | datagrams;

/// An option's name at its level, or two names where IPv4 and IPv6 have one each.
const Row = struct {
    level: enum { socket, tcp, ip, ipv6 },
    name: ?u32,
    name_ipv6: ?u32 = null,
    uses: u8,
    /// At the level of all sockets, and without effect on those of the Unix family.
    ip_only: bool = false,
    minimum: u32 = 0,
    maximum: u32,
    /// Whether a socket that is accepted over IP has its listener's value.
    inherited: bool = true,
};

const buffer_bytes_max = 1 << 30;

fn row(option: SocketOption) Row {
    const on_off = 1;
    return switch (option) {
        .no_delay => .{ .level = .tcp, .name = names.no_delay, .uses = streams, .maximum = on_off },
        .cork => .{ .level = .tcp, .name = names.cork, .uses = streams, .maximum = on_off },
        .quick_ack => .{
            .level = .tcp,
            .name = names.quick_ack,
            .uses = streams,
            .maximum = on_off,
            .inherited = false,
        },
        .fast_open => .{
            .level = .tcp,
            .name = names.fast_open,
            .uses = streams,
            .maximum = 65_535,
        },
        .keep_alive => .{
            .level = .socket,
            .name = names.keep_alive,
            .uses = streams,
            .ip_only = true,
            .maximum = on_off,
        },
        .keep_alive_idle_s => .{
            .level = .tcp,
            .name = names.keep_alive_idle_s,
            .uses = streams,
            .minimum = 1,
            .maximum = 32_767,
        },
        .keep_alive_interval_s => .{
            .level = .tcp,
            .name = names.keep_alive_interval_s,
            .uses = streams,
            .minimum = 1,
            .maximum = 32_767,
        },
        .keep_alive_count => .{
            .level = .tcp,
            .name = names.keep_alive_count,
            .uses = streams,
            .minimum = 1,
            .maximum = 127,
        },
        .user_timeout_ms => .{
            .level = .tcp,
            .name = names.user_timeout_ms,
            .uses = streams,
            .maximum = std.math.maxInt(i32),
        },
        .send_buffer => .{
            .level = .socket,
            .name = names.send_buffer,
            .uses = all,
            .minimum = 1,
            .maximum = buffer_bytes_max,
        },
        .receive_buffer => .{
            .level = .socket,
            .name = names.receive_buffer,
            .uses = all,
            .minimum = 1,
            .maximum = buffer_bytes_max,
        },
        .busy_poll_us => .{
            .level = .socket,
            .name = names.busy_poll_us,
            .uses = all,
            .ip_only = true,
            .maximum = 1_000_000,
        },
        .type_of_service => .{
            .level = .ip,
            .name = names.type_of_service,
            .name_ipv6 = names.type_of_service_ipv6,
            .uses = all,
            .maximum = 255,
        },
        .mark => .{
            .level = .socket,
            .name = names.mark,
            .uses = all,
            .ip_only = true,
            .maximum = layout.option_unset - 1,
        },
        // sk_clone_lock in net/core/sock.c takes it back.
        .priority => .{
            .level = .socket,
            .name = names.priority,
            .uses = all,
            .ip_only = true,
            .maximum = 15,
            .inherited = false,
        },
        .reuse_address => .{
            .level = .socket,
            .name = names.reuse_address,
            .uses = all,
            .ip_only = true,
            .maximum = on_off,
        },
        .reuse_port => .{
            .level = .socket,
            .name = names.reuse_port,
            .uses = all,
            .ip_only = true,
            .maximum = on_off,
        },
        .ipv6_only => .{
            .level = .ipv6,
            .name = names.ipv6_only,
            .uses = all,
            .maximum = on_off,
        },
        .ttl => .{
            .level = .ip,
            .name = names.ttl,
            .name_ipv6 = names.ttl_ipv6,
            .uses = all,
            .minimum = 1,
            .maximum = 255,
        },
        .broadcast => .{
            .level = .socket,
            .name = names.broadcast,
            .uses = datagrams,
            .maximum = on_off,
        },
        .multicast_ttl => .{
            .level = .ip,
            .name = names.multicast_ttl,
            .name_ipv6 = names.multicast_ttl_ipv6,
            .uses = datagrams,
            .maximum = 255,
        },
        .multicast_loop => .{
            .level = .ip,
            .name = names.multicast_loop,
            .name_ipv6 = names.multicast_loop_ipv6,
            .uses = datagrams,
            .maximum = on_off,
        },
        .multicast_interface => .{
            .level = .ip,
            .name = names.multicast_interface,
            .name_ipv6 = names.multicast_interface_ipv6,
            .uses = datagrams,
            .maximum = std.math.maxInt(i32),
        },
    };
}

/// Where an option of a socket of `family` is, or null where such sockets have none.
const Place = struct { level: i32, name: u32 };

fn place(option: SocketOption, use: Use, family: u32) ?Place {
    const found = row(option);
    if (found.uses & @intFromEnum(use) == 0) return null;
    const is_ip = family == AF.INET or family == AF.INET6;
    const level: i32, const name: ?u32 = switch (found.level) {
        .socket => .{ option_of.socket_level, found.name },
        .tcp => .{ option_of.tcp_level, found.name },
        .ip => if (family == AF.INET6)
            .{ option_of.ipv6_level, found.name_ipv6 }
        else
            .{ option_of.ip_level, found.name },
        .ipv6 => .{ option_of.ipv6_level, found.name },
    };
    if (found.level == .ipv6 and family != AF.INET6) return null;
    if ((found.level != .socket or found.ip_only) and !is_ip) return null;
    const connects = option == .fast_open and use == .connection;
    return .{
        .level = level,
        .name = (if (connects) names.fast_open_connect else name) orelse return null,
    };
}

/// Whether every value that is set is in its range.
pub fn check(options: *const layout.SocketOptions) bool {
    for (options.values, 0..) |value, index| {
        if (value == layout.option_unset) continue;
        if (!in_range(@enumFromInt(index), value)) return false;
    }
    return true;
}

fn in_range(option: SocketOption, value: u32) bool {
    const found = row(option);
    return value >= found.minimum and value <= found.maximum;
}

/// Which socket options go to, and what becomes of those that it cannot have.
pub const Target = struct {
    descriptor: i32,
    use: Use,
    family: u32,
    best_effort: bool = false,
    /// The option that was refused last.
    refused: ?SocketOption = null,

    /// What it was given is set, except where best effort was asked for; `unsupported` where such a
    /// socket has no such option, or a negated errno when the kernel refuses.
    pub fn apply(
        self: *Target,
        comptime sockets: type,
        options: *const layout.SocketOptions,
    ) i32 {
        return self.apply_some(sockets, options, .all);
    }

    /// The same for what a socket that was just accepted does not have of its listener.
    pub fn apply_inheritance(
        self: *Target,
        comptime sockets: type,
        options: *const layout.SocketOptions,
    ) i32 {
        return self.apply_some(sockets, options, .not_inherited);
    }

    fn apply_some(
        self: *Target,
        comptime sockets: type,
        options: *const layout.SocketOptions,
        which: enum { all, not_inherited },
    ) i32 {
        for (options.values, 0..) |value, index| {
            if (value == layout.option_unset) continue;
            const option: SocketOption = @enumFromInt(index);
            if (which == .not_inherited and !is_lost(option, self.family)) continue;
            const rc = set(sockets, self.descriptor, self.use, self.family, option, value);
            if (rc >= 0 or self.best_effort) continue;
            self.refused = option;
            return rc;
        }
        return 0;
    }
};

/// Whether accepted sockets have to be given it. A Unix connection is made by the one who connects.
fn is_lost(option: SocketOption, family: u32) bool {
    const found = row(option);
    const of_both: u8 = streams;
    if (found.uses & of_both != of_both or option == .fast_open) return false;
    return !found.inherited or family == AF.UNIX;
}

/// Whether accepted sockets have to be given anything.
pub fn has_losses(options: *const layout.SocketOptions, family: u32) bool {
    for (options.values, 0..) |value, index| {
        if (value != layout.option_unset and is_lost(@enumFromInt(index), family)) return true;
    }
    return false;
}

/// Reads each option that is set, and unsets those that such a socket does not have.
pub fn read(comptime sockets: type, target: Target, options: *layout.SocketOptions) void {
    for (&options.values, 0..) |*value, index| {
        if (value.* == layout.option_unset) continue;
        const option: SocketOption = @enumFromInt(index);
        var found: u32 = 0;
        const rc = get(sockets, target.descriptor, target.use, target.family, option, &found);
        value.* = if (rc < 0) layout.option_unset else found;
    }
}

/// Sets one option of an open socket; `unsupported` where it has none of that name.
pub fn set(
    comptime sockets: type,
    descriptor: i32,
    use: Use,
    family: u32,
    option: SocketOption,
    value: u32,
) i32 {
    if (!in_range(option, value)) return bad_argument;
    const found = place(option, use, family) orelse return unsupported;
    const rc = sockets.set_option(descriptor, found.level, found.name, value);
    const for_mapped = option == .type_of_service or option == .ttl;
    if (rc < 0 or family != AF.INET6 or !for_mapped) return rc;
    // Of peers with an IPv4 address, which such a socket may have too.
    const other = place(option, use, AF.INET) orelse return rc;
    _ = sockets.set_option(descriptor, other.level, other.name, value);
    return rc;
}

/// Reads one option of an open socket; `unsupported` where it has none of that name.
pub fn get(
    comptime sockets: type,
    descriptor: i32,
    use: Use,
    family: u32,
    option: SocketOption,
    value: *u32,
) i32 {
    const found = place(option, use, family) orelse return unsupported;
    return sockets.get_option(descriptor, found.level, found.name, value);
}

test "values outside of their range are refused, and so are options that a socket does not have" {
    var options: layout.SocketOptions = .{ .values = @splat(layout.option_unset) };
    try std.testing.expect(check(&options));
    options.values[@intFromEnum(SocketOption.keep_alive_count)] = 0;
    try std.testing.expect(!check(&options));
    options.values[@intFromEnum(SocketOption.keep_alive_count)] = 127;
    try std.testing.expect(check(&options));
    options.values[@intFromEnum(SocketOption.no_delay)] = 2;
    try std.testing.expect(!check(&options));
    try std.testing.expect(place(.ipv6_only, .listener, AF.INET) == null);
    try std.testing.expect(place(.no_delay, .connection, AF.UNIX) == null);
    try std.testing.expect(place(.broadcast, .connection, AF.INET) == null);
    try std.testing.expect(place(.send_buffer, .connection, AF.UNIX) != null);
}

test "options of a real socket are read back, and one that it does not have is refused by name" {
    const descriptor = sockets_module.open_stream(AF.INET, true);
    defer sockets_module.close(descriptor);
    var target: Target = .{ .descriptor = descriptor, .use = .connection, .family = AF.INET };
    var options: layout.SocketOptions = .{ .values = @splat(layout.option_unset) };
    options.values[@intFromEnum(SocketOption.no_delay)] = 1;
    options.values[@intFromEnum(SocketOption.keep_alive_count)] = 7;
    try std.testing.expectEqual(@as(i32, 0), target.apply(sockets_module, &options));
    try std.testing.expectEqual(null, target.refused);
    var found = options;
    read(sockets_module, target, &found);
    try std.testing.expectEqual(options, found);

    options.values[@intFromEnum(SocketOption.ipv6_only)] = 1;
    try std.testing.expectEqual(unsupported, target.apply(sockets_module, &options));
    try std.testing.expectEqual(SocketOption.ipv6_only, target.refused.?);
    target.best_effort = true;
    try std.testing.expectEqual(@as(i32, 0), target.apply(sockets_module, &options));
    read(sockets_module, target, &options);
    try std.testing.expectEqual(found, options);
}

test "accepted sockets are given what they do not inherit" {
    var options: layout.SocketOptions = .{ .values = @splat(layout.option_unset) };
    options.values[@intFromEnum(SocketOption.no_delay)] = 1;
    options.values[@intFromEnum(SocketOption.reuse_address)] = 1;
    options.values[@intFromEnum(SocketOption.send_buffer)] = 9000;
    try std.testing.expect(!has_losses(&options, AF.INET));
    try std.testing.expect(has_losses(&options, AF.UNIX));
    options.values[@intFromEnum(SocketOption.priority)] = 3;
    try std.testing.expect(has_losses(&options, AF.INET6));
}
