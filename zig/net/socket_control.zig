//! Options of open connections and listeners, changed and read while they are in use.
//!
//! What a listener is given goes to the connections that it accepts from then on.

const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const address_module = @import("address.zig");
const socket_options = @import("socket_options.zig");

const bad_argument = @intFromEnum(layout.Status.bad_argument);
const stale = @intFromEnum(layout.Status.stale_handle);

/// The longest time limit, in milliseconds.
pub const timeout_ms_max = 1 << 30;

/// 0, or a negative status; the option that a refusal is about is in the header.
pub fn configure(net: anytype, control: *const layout.SocketControl) i32 {
    const Net = @typeInfo(@TypeOf(net)).pointer.child;
    if (!socket_options.check(&control.socket)) return bad_argument;
    const idle_timeout_ms = control.idle_timeout_ms;
    const has_limit = idle_timeout_ms != layout.option_unset;
    if (has_limit and idle_timeout_ms > timeout_ms_max) return bad_argument;
    var target: socket_options.Target = undefined;
    var rc = find(net, control, &target);
    if (rc < 0) return rc;
    target.best_effort = control.best_effort != 0;
    rc = target.apply(Net.sockets, &control.socket);
    if (rc < 0) {
        net.loop.channel.note_option(target.refused.?);
        return rc;
    }
    if (target.use == .listener) {
        const listener = net.listeners.find(control.slot, control.generation).?;
        if (has_limit) listener.stream.idle_timeout_ms = idle_timeout_ms;
        for (&listener.stream.socket.values, control.socket.values) |*kept, value| {
            if (value != layout.option_unset) kept.* = value;
        }
        net.listeners.note_options(listener);
    } else if (has_limit) {
        net.streams.limit_idling(control.slot, idle_timeout_ms);
    }
    return 0;
}

/// 0, or a negative status.
pub fn read(net: anytype, control: *layout.SocketControl) i32 {
    const Net = @typeInfo(@TypeOf(net)).pointer.child;
    var target: socket_options.Target = undefined;
    const rc = find(net, control, &target);
    if (rc < 0) return rc;
    socket_options.read(Net.sockets, target, &control.socket);
    control.idle_timeout_ms = if (target.use == .listener)
        net.listeners.find(control.slot, control.generation).?.stream.idle_timeout_ms
    else
        net.streams.find(control.slot, control.generation).?.options.idle_timeout_ms;
    return 0;
}

fn find(
    net: anytype,
    control: *const layout.SocketControl,
    target: *socket_options.Target,
) i32 {
    if (control.kind == @intFromEnum(layout.SocketKind.listener)) {
        const listener = net.listeners.find(control.slot, control.generation) orelse return stale;
        target.* = .{
            .descriptor = listener.descriptor,
            .use = .listener,
            .family = address_module.kernel_family(listener.family),
        };
        return 0;
    }
    if (control.kind != @intFromEnum(layout.SocketKind.connection)) return bad_argument;
    const connection = net.streams.find(control.slot, control.generation) orelse return stale;
    if (connection.descriptor < 0) return kernel.negative(.NOTCONN);
    target.* = .{
        .descriptor = connection.descriptor,
        .use = .connection,
        .family = address_module.kernel_family(connection.family),
    };
    return 0;
}
