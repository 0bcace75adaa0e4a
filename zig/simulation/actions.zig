//! What a simulated script does of its own accord, at random.

const std = @import("std");
const layout = @import("../layout.zig");
const Host = @import("host.zig").Host;
const leases = @import("leases.zig");
const messages = @import("messages.zig");
const moves = @import("moves.zig");
const Link = @import("link.zig").Link;
const relays = @import("relays.zig");
const sends = @import("sends.zig");
const World = @import("world.zig").World;
const stale = @import("stale.zig");
const timers_max = @import("host.zig").timers_max;

const clock_step_longest_ns = 20 * std.time.ns_per_ms;

/// A few actions of one host.
pub fn act(host: *Host) void {
    const world = host.world;
    moves.act(host);
    for (0..world.random().uintAtMost(u32, 3)) |_| {
        if (world.failed()) return;
        const choice = world.random().uintLessThan(u8, 49);
        if (choice >= 32) {
            if (host.pick_link()) |link| sends.send(host, link);
            continue;
        }
        switch (choice) {
            0, 1 => listen(host),
            2, 3, 4 => _ = connect(host),
            5 => if (host.pick_link()) |link| pause(host, link),
            6, 7 => if (host.pick_link()) |link| unpause(host, link),
            8 => if (host.pick_link()) |link| shutdown(host, link),
            9 => if (host.pick_link()) |link| close(host, link),
            10 => if (world.one_in(2)) if (host.pick_link()) |link| abort(host, link),
            11, 12 => start_timer(host),
            13 => stop_timer(host),
            14 => if (world.one_in(3)) close_listener(host),
            15, 16 => leases.take(host),
            17 => leases.release_one(host),
            18 => leases.transfer(host),
            19, 20 => stale.submit(host),
            21 => leases.adopt(host),
            22, 23 => if (host.pick_link()) |link| leases.send(host, link),
            24 => if (world.one_in(4)) if (host.pick_link()) |link| {
                _ = messages.set(host, link, 0);
            },
            25, 26, 27, 28, 29, 30 => relays.join_any(host),
            else => host.advance_clock(world.random().uintAtMost(u64, clock_step_longest_ns)),
        }
    }
}

fn loopback(port: u32) layout.Address {
    var address = std.mem.zeroes(layout.Address);
    address.family = @intFromEnum(layout.AddressFamily.ipv4);
    address.port = port;
    address.bytes[0..4].* = .{ 127, 0, 0, 1 };
    return address;
}

pub fn choose_stream(host: *Host, may_segment: bool) layout.StreamOptions {
    const random = host.world.random();
    const least = 2 * host.instance.pool.buffer_size;
    var socket: layout.SocketOptions = .{ .values = @splat(layout.option_unset) };
    socket.values[@intFromEnum(layout.SocketOption.no_delay)] = random.uintAtMost(u32, 1);
    return .{
        .high_water_mark = least << random.uintAtMost(u5, 4),
        .linger_timeout_ms = random.intRangeAtMost(u32, 10, 1000),
        .allow_half_open = random.uintAtMost(u32, 1),
        // With few a backend is asked for one buffer at a time, and a message takes them all.
        .receive_credits = if (random.boolean())
            random.intRangeAtMost(u32, 1, if (host.world.has_messages) 5 else 16)
        else
            random.intRangeAtMost(u32, 40, 200),
        .idle_timeout_ms = if (host.world.has_idle_limits and random.boolean())
            random.intRangeAtMost(u32, 5, 2000)
        else
            0,
        .socket = socket,
        .segmenter = if (may_segment and host.world.has_messages and !host.world.one_in(3))
            messages.choose(host)
        else
            messages.none,
    };
}

pub fn listen(host: *Host) void {
    if (host.world.is_ending) return;
    const rc = host.instance.listen(&.{
        .size = @sizeOf(layout.ListenOptions),
        .address = loopback(0),
        .backlog = host.world.random().intRangeAtMost(u32, 1, 8),
        .stream = choose_stream(host, true),
    });
    if (rc < 0) return;
    host.asleep = false;
    const slot: u32 = @intCast(rc);
    const header = host.instance.loop.channel.header;
    const generation = header.result_generation;
    for (host.listeners.items) |listener| {
        if (listener.slot != slot) continue;
        host.fail("listener slot {d} is given out while it is open", .{slot});
    }
    if (host.instance.listener_address(slot, generation) != 0) {
        host.fail("listener {d} has no address", .{slot});
    }
    host.listeners.append(host.world.gpa, .{
        .slot = slot,
        .generation = generation,
        .port = header.address.port,
        .closing = false,
    }) catch @panic("out of memory");
    host.trace("listens at {d}, slot {d}/{d}", .{ header.address.port, slot, generation });
    if (host.world.has_moves and host.world.one_in(3)) moves.share_listener(host, slot);
}

/// Connects to a listener of any host, or to one that is gone; null when that is called off.
pub fn connect(host: *Host) ?*Link {
    const world = host.world;
    const random = world.random();
    if (world.is_ending) return null;
    const other = &world.hosts[random.uintLessThan(u32, world.host_count)];
    const listeners = other.listeners.items;
    const port = if (listeners.len == 0)
        1
    else
        listeners[random.uintLessThan(usize, listeners.len)].port;
    var options: layout.ConnectOptions = .{
        .size = @sizeOf(layout.ConnectOptions),
        .address = loopback(port),
        .timeout_ms = if (random.boolean()) 0 else random.intRangeAtMost(u32, 1, 2000),
        .stream = choose_stream(host, true),
    };
    const is_named = world.one_in(4);
    if (is_named) name_peer(world, &options);
    const rc = host.instance.connect(&options);
    if (rc < 0) return null;
    host.asleep = false;
    const slot: u32 = @intCast(rc);
    const connection = &host.instance.work.net.streams.connections[slot];
    if (host.links[slot] != null) {
        host.fail("slot {d} is given out while it is open", .{slot});
        return null;
    }
    const link = world.gpa.create(Link) catch @panic("out of memory");
    link.* = .{
        .slot = slot,
        .generation = host.instance.loop.channel.header.result_generation,
        .socket = if (is_named) null else world.network.find(connection.descriptor),
        .is_named = is_named,
        .state = .connecting,
        .options = .of(&options.stream),
        .has_connect_timeout = options.timeout_ms > 0,
        .segmenter = options.stream.segmenter,
        .was_segmented = messages.is_segmented(&options.stream.segmenter),
    };
    host.links[slot] = link;
    host.trace("connects to {d}, slot {d}/{d}", .{ port, slot, link.generation });
    if (!world.one_in(6)) return link;
    // Called off before anybody has answered.
    sends.send(host, link);
    close(host, link);
    return null;
}

/// By a name with two addresses; the network only looks at the port.
fn name_peer(world: *World, options: *layout.ConnectOptions) void {
    const name = "localhost";
    options.name[0..name.len].* = name.*;
    options.name_length = name.len;
    options.address.family = 0;
    options.attempt_delay_ms = world.random().intRangeAtMost(u32, 10, 30);
}

fn on_link(host: *Host, link: *const Link, operation: layout.Operation) void {
    host.trace("{t} of connection {d}", .{ operation, link.slot });
    host.handle(operation, link.slot, link.generation);
}

pub fn pause(host: *Host, link: *Link) void {
    if (link.relayed != null or link.leaving) return;
    if (link.state == .closed or link.closing) return;
    link.paused = true;
    on_link(host, link, .pause);
}

pub fn unpause(host: *Host, link: *Link) void {
    if (link.state == .closed or link.closing or !link.paused) return;
    link.paused = false;
    on_link(host, link, .unpause);
}

pub fn shutdown(host: *Host, link: *Link) void {
    if (!link.may_send()) return;
    link.shutdown = true;
    if (link.socket) |socket| host.world.stream(socket).has_ended = true;
    on_link(host, link, .shutdown);
}

pub fn close(host: *Host, link: *Link) void {
    if (link.state == .closed or link.closing) return;
    link.closing = true;
    if (link.relayed) |relayed| {
        relays.let_go(host, link);
        relayed.other.closing = true;
    }
    on_link(host, link, .close);
}

pub fn abort(host: *Host, link: *Link) void {
    if (link.state == .closed) return;
    link.closing = true;
    link.aborted = true;
    relays.let_go(host, link);
    on_link(host, link, .abort);
}

pub fn close_listener(host: *Host) void {
    const listeners = host.listeners.items;
    if (listeners.len == 0) return;
    const listener = &listeners[host.world.random().uintLessThan(usize, listeners.len)];
    if (listener.closing) return;
    listener.closing = true;
    host.trace("closes listener {d}", .{listener.slot});
    host.handle(.listener_close, listener.slot, listener.generation);
}

fn start_timer(host: *Host) void {
    const random = host.world.random();
    const slot = random.uintLessThan(u32, timers_max);
    const timer = &host.timers[slot];
    const delay_us = random.uintAtMost(u32, 50_000);
    const period_us: u32 = if (random.boolean()) 0 else random.intRangeAtMost(u32, 100, 50_000);
    timer.generation +%= 1;
    timer.running = true;
    timer.fired = false;
    timer.due_ns = host.now_ns() + @as(u64, delay_us) * std.time.ns_per_us;
    timer.period_ns = @as(u64, period_us) * std.time.ns_per_us;
    host.trace("starts timer {d}, {d} us, period {d} us", .{ slot, delay_us, period_us });
    host.submit(std.mem.zeroInit(layout.TimerEntry, .{
        .operation = .timer_start,
        .slot = slot,
        .generation = timer.generation,
        .delay_us = @as(f64, @floatFromInt(delay_us)),
        .period_us = @as(f64, @floatFromInt(period_us)),
    }));
}

fn stop_timer(host: *Host) void {
    const slot = host.world.random().uintLessThan(u32, timers_max);
    stop(host, slot);
}

pub fn stop(host: *Host, slot: u32) void {
    const timer = &host.timers[slot];
    if (!timer.running) return;
    timer.running = false;
    // What has fired and was not dispatched yet must not come either.
    timer.generation +%= 1;
    host.submit(std.mem.zeroInit(layout.TimerEntry, .{
        .operation = .timer_stop,
        .slot = slot,
        .generation = timer.generation -% 1,
    }));
}
