//! Connections of a simulated script that go from loop to loop: detached, resting for a while,
//! handed off, in transit, received by whichever loop. What was sent on them arrives all the same,
//! in order and once.

const std = @import("std");
const layout = @import("../layout.zig");
const key = @import("../abi/memory.zig").key;
const moving = @import("../abi/moving.zig");
const actions = @import("actions.zig");
const Host = @import("host.zig").Host;
const Link = @import("link.zig").Link;
const Simulated = @import("../backend/simulated.zig").Simulated;
const Socket = @import("../backend/simulated/socket.zig").Socket;
const World = @import("world.zig").World;

const stale = @intFromEnum(layout.Status.stale_handle);
const exhausted = @intFromEnum(layout.Status.exhausted);

/// A connection in transit.
pub const Travelling = struct {
    slot: u32,
    generation: u32,
    from: u32,
    /// Of the host that it is from, which may have closed since.
    opening: u32,
    /// What it was there.
    socket: *Socket,
    received: usize,
    shutdown: bool,
};

/// What a script does with connections that move, of its own accord.
pub fn act(host: *Host) void {
    const world = host.world;
    if (!world.has_moves) return;
    switch (world.random().uintLessThan(u8, 8)) {
        0, 1 => if (host.pick_link()) |link| ask(host, link),
        2, 3 => if (host.pick_link()) |link| {
            if (link.rests) hand_off(host, link);
        },
        4 => if (host.pick_link()) |link| limit(host, link),
        5, 6 => receive_any(host),
        else => {},
    }
}

/// Asks for a connection to leave its loop.
pub fn ask(host: *Host, link: *Link) void {
    if (!host.world.has_moves or host.world.is_ending) return;
    if (link.state != .open or link.closing or link.leaving or link.ended) return;
    if (link.relayed != null or link.was_segmented or link.socket == null) return;
    link.leaving = true;
    host.trace("detaches connection {d}", .{link.slot});
    host.submit(std.mem.zeroInit(layout.HandleEntry, .{
        .operation = .detach,
        .flags = layout.detach_flag_travels,
        .slot = link.slot,
        .generation = link.generation,
    }));
}

/// Bytes that were delivered after the script has asked: they go with the connection.
pub fn give_back(host: *Host, link: *const Link, event: layout.Completion) void {
    if (link.closing) return;
    host.submit(std.mem.zeroInit(layout.SendEntry, .{
        .operation = .undeliver,
        .slot = event.slot,
        .generation = event.generation,
        .buffer = event.buffer,
        .buffer_generation = event.buffer_generation,
        .offset = event.offset,
        .length = event.length,
    }));
}

/// It rests: it goes on its way now or later, or ends after all.
pub fn detached(host: *Host, link: *Link) void {
    if (!link.is_leaving or link.rests) {
        return host.fail("connection {d} is detached, and was not to be", .{link.slot});
    }
    link.rests = true;
    if (link.closing) return;
    if (host.world.is_ending or host.world.one_in(8)) return actions.close(host, link);
    if (!host.world.one_in(3)) hand_off(host, link);
}

fn hand_off(host: *Host, link: *Link) void {
    if (link.closing) return;
    const world = host.world;
    const rc = moving.hand_off(host.instance, link.slot, link.generation);
    if (rc < 0) return host.fail("connection {d} cannot leave: {d}", .{ link.slot, rc });
    host.asleep = false;
    host.trace("connection {d} is in transit", .{link.slot});
    const socket = link.socket.?;
    world.travelling.append(world.gpa, .{
        .slot = @intCast(rc),
        .generation = host.instance.loop.channel.header.result_generation,
        .from = host.index,
        .opening = host.openings,
        .socket = socket,
        .received = link.received,
        .shutdown = link.shutdown,
    }) catch @panic("out of memory");
    // Nobody reads it meanwhile.
    world.stream(socket).is_open = false;
    host.links[link.slot] = null;
    host.stale.append(world.gpa, .{ .slot = link.slot, .generation = link.generation }) catch
        @panic("out of memory");
    link.state = .closed;
}

fn receive_any(host: *Host) void {
    const travelling = host.world.travelling.items;
    if (travelling.len == 0) return;
    _ = receive(host, host.world.random().uintLessThan(usize, travelling.len));
}

/// Takes over what is in transit; false where it stays there.
fn receive(host: *Host, index: usize) bool {
    const world = host.world;
    const arriving = world.travelling.items[index];
    const with_options = world.one_in(2);
    const stream = actions.choose_stream(host, false);
    const rc = host.instance.receive_connection(&.{
        .size = @sizeOf(layout.ConnectionOptions),
        .descriptor = 0,
        .slot = arriving.slot,
        .generation = arriving.generation,
        .pool_key = key(),
        .has_stream = @intFromBool(with_options),
        .stream = stream,
    });
    if (rc == exhausted) return false;
    _ = world.travelling.swapRemove(index);
    const is_lost = world.hosts[arriving.from].openings != arriving.opening;
    if ((rc == stale) != is_lost or (rc < 0 and rc != stale)) {
        host.fail("what host {d} has handed off is received with {d}", .{ arriving.from, rc });
    }
    if (rc >= 0) arrive(host, @intCast(rc), &arriving);
    return true;
}

fn arrive(host: *Host, slot: u32, arriving: *const Travelling) void {
    if (host.links[slot] != null) {
        return host.fail("slot {d} is given out while it is open", .{slot});
    }
    host.asleep = false;
    const link = host.world.gpa.create(Link) catch @panic("out of memory");
    link.* = .{
        .slot = slot,
        .generation = host.instance.loop.channel.header.result_generation,
        .socket = arriving.socket,
        .state = .connecting,
        .options = host.instance.work.net.streams.connections[slot].options,
        .received = arriving.received,
        .shutdown = arriving.shutdown,
        .has_arrived = true,
    };
    host.links[slot] = link;
    host.trace("connection {d}/{d} arrives from host {d}", .{
        slot,
        link.generation,
        arriving.from,
    });
}

/// Another time limit for silence; one that rests is ended by none.
fn limit(host: *Host, link: *Link) void {
    if (link.state != .open or link.closing) return;
    var control = std.mem.zeroInit(layout.SocketControl, .{
        .size = @sizeOf(layout.SocketControl),
        .kind = @intFromEnum(layout.SocketKind.connection),
        .slot = link.slot,
        .generation = link.generation,
        .idle_timeout_ms = host.world.random().intRangeAtMost(u32, 5, 2000),
    });
    control.socket.values = @splat(layout.option_unset);
    const rc = host.instance.configure(&control);
    // It may have ended in this turn.
    if (rc != 0 and rc != stale) return host.fail("a limit is refused with {d}", .{rc});
    link.options.idle_timeout_ms = control.idle_timeout_ms;
    host.asleep = false;
}

/// Somebody else has the listener as well, and has made it non-blocking.
pub fn share_listener(host: *Host, slot: u32) void {
    const descriptor = host.instance.work.net.listeners.listeners[slot].descriptor;
    const rc = Simulated.sockets.set_flags(descriptor, true);
    if (rc < 0) host.fail("listener {d} has no descriptor", .{slot});
}

/// Everything that moves comes to its end, as far as there is room for it.
pub fn let_go(world: *World) void {
    for (world.active_hosts()) |*host| {
        for (host.links) |present| {
            const link = present orelse continue;
            if (link.rests) actions.close(host, link);
        }
        var index = world.travelling.items.len;
        while (index > 0) {
            index -= 1;
            _ = receive(host, index);
        }
    }
}
