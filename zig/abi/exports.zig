//! The exported functions, as `layout.functions` declares them: arguments are checked here, handles
//! become loops, errors become statuses. Nothing a caller passes reaches an assertion.

const std = @import("std");
const layout = @import("../layout.zig");
const layout_hash: u32 = @import("layout_hash.zig").of(layout);
const doorbells = @import("../loop/doorbells.zig");
const resolver_paths = @import("../net/resolve/paths.zig");
const waker = @import("../loop/waker.zig");
const memory = @import("memory.zig");
const moving = @import("moving.zig");
const options_module = @import("options.zig");
const probe = @import("probe.zig");
const registry = @import("registry.zig");
const fork = @import("../sys/fork.zig");
const slabs = @import("../memory/slabs.zig");

fn status(value: layout.Status) i32 {
    return @intFromEnum(value);
}

fn find_status(err: registry.FindError) i32 {
    return switch (err) {
        error.Stale => status(.stale_handle),
        error.WrongThread => status(.wrong_thread),
        error.Forked => status(.forked),
    };
}

/// The caller's struct, copied: it may lie at any address and is looked at only once. Null when its
/// length or its `size` is not ours.
fn read(comptime Struct: type, bytes: [*]const u8, length: u32) ?Struct {
    if (length != @sizeOf(Struct)) return null;
    var value: Struct = undefined;
    @memcpy(std.mem.asBytes(&value), bytes[0..@sizeOf(Struct)]);
    return if (value.size == @sizeOf(Struct)) value else null;
}

fn write(bytes: [*]u8, value: anytype) void {
    @memcpy(bytes[0..@sizeOf(@TypeOf(value.*))], std.mem.asBytes(value));
}

fn tp_abi_version() callconv(.c) u32 {
    return layout.abi_version;
}

fn tp_layout_hash() callconv(.c) u32 {
    return layout_hash;
}

fn tp_probe(report: [*]u8, length: u32) callconv(.c) i32 {
    var value = read(layout.MachineReport, report, length) orelse return status(.bad_layout);
    probe.fill(&value);
    write(report, &value);
    return 0;
}

fn tp_loop_open(options: [*]u8, length: u32) callconv(.c) i32 {
    var value = read(layout.LoopOptions, options, length) orelse return status(.bad_layout);
    defer write(options, &value);
    if (!options_module.complete(&value)) return status(.bad_argument);
    return registry.open(&value);
}

fn tp_loop_close(loop: u32) callconv(.c) i32 {
    registry.close(loop) catch |err| return find_status(err);
    return 0;
}

fn tp_loop_region(loop: u32) callconv(.c) ?[*]u8 {
    const any = registry.find(loop) catch return null;
    return switch (any) {
        inline else => |instance| instance.region(),
    };
}

fn tp_slab(loop: u32, slab: u32) callconv(.c) ?[*]u8 {
    _ = registry.find(loop) catch return null;
    return if (slabs.exists(slab)) slabs.slab_at(slab).base else null;
}

fn tp_slab_bytes(loop: u32, slab: u32) callconv(.c) i32 {
    _ = registry.find(loop) catch |err| return find_status(err);
    if (!slabs.exists(slab)) return status(.bad_argument);
    return @intCast(slabs.slab_at(slab).bytes);
}

fn tp_loop_turn(loop: u32, submissions: u32, wait_us: u32, flags: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.turn(submissions, wait_us, flags),
    };
}

fn tp_loop_submit(loop: u32, submissions: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.submit(submissions),
    };
}

fn tp_loop_arm(loop: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    switch (any) {
        inline else => |instance| {
            if (!instance.loop.arm(&instance.work)) return 0;
            const rc = waker.arm(registry.slot_of(loop), instance.loop.next_wake_ns());
            return if (rc < 0) rc else 1;
        },
    }
}

fn tp_loop_wake_descriptor(loop: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    switch (any) {
        inline else => |instance| {
            var failed: layout.Syscall = .none;
            const watched = instance.loop.backend.wake_descriptor();
            const rc = if (watched < 0)
                watched
            else
                waker.open(registry.slot_of(loop), watched, &failed);
            if (rc < 0) instance.loop.channel.header.error_syscall = @intFromEnum(failed);
            return rc;
        },
    }
}

fn tp_clock_advance(loop: u32, us_low: u32, us_high: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const us = @as(u64, us_high) << 32 | us_low;
    switch (any) {
        inline else => |instance| {
            if (instance.loop.clock != .virtual) return status(.bad_argument);
            const advanced = instance.loop.advance_clock(us *| std.time.ns_per_us);
            return if (advanced) 0 else status(.bad_argument);
        },
    }
}

fn tp_listen(loop: u32, options: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.ListenOptions, options, length) orelse return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.listen(&value),
    };
}

fn tp_listener_address(loop: u32, slot: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.listener_address(slot, generation),
    };
}

fn tp_connect(loop: u32, options: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.ConnectOptions, options, length) orelse return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.connect(&value),
    };
}

fn tp_resolve(loop: u32, options: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.ResolveOptions, options, length) orelse return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.resolve(&value),
    };
}

fn tp_resolve_report(loop: u32, report: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    var value = read(layout.ResolveReport, report, length) orelse return status(.bad_layout);
    const rc = switch (any) {
        inline else => |instance| instance.resolve_report(&value),
    };
    if (rc >= 0) write(report, &value);
    return rc;
}

fn tp_resolve_cancel(loop: u32, slot: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.cancel_resolve(slot, generation),
    };
}

fn tp_resolver_files(files: [*]u8, length: u32) callconv(.c) i32 {
    const value = read(layout.ResolverFiles, files, length) orelse return status(.bad_layout);
    if (value.hosts_length > value.hosts.len) return status(.bad_argument);
    if (value.config_length > value.config.len) return status(.bad_argument);
    const hosts = value.hosts[0..value.hosts_length];
    const config = value.config[0..value.config_length];
    return if (resolver_paths.replace(hosts, config)) 0 else status(.bad_argument);
}

fn tp_connection_address(loop: u32, slot: u32, generation: u32, remote: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.connection_address(slot, generation, remote),
    };
}

fn tp_relay(loop: u32, options: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.RelayOptions, options, length) orelse return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.relay(&value),
    };
}

fn tp_connection_adopt(loop: u32, options: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.ConnectionOptions, options, length) orelse
        return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.adopt_connection(&value),
    };
}

fn tp_connection_read(loop: u32, slot: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| moving.read(instance, slot, generation),
    };
}

fn tp_connection_take(loop: u32, slot: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| moving.take(instance, slot, generation),
    };
}

fn tp_connection_hand_off(loop: u32, slot: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| moving.hand_off(instance, slot, generation),
    };
}

fn tp_connection_receive(loop: u32, options: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.ConnectionOptions, options, length) orelse
        return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.receive_connection(&value),
    };
}

fn tp_listener_share(loop: u32, slot: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| moving.share(instance, slot, generation),
    };
}

fn tp_descriptors_stage(loop: u32, descriptors: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| moving.stage(instance, descriptors, length),
    };
}

fn tp_descriptors_read(loop: u32, staged: u32, descriptors: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| moving.read_descriptors(instance, staged, descriptors, length),
    };
}

fn tp_descriptors_forgo(loop: u32, staged: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.work.net.streams.passing.forgo(staged, generation),
    };
}

fn tp_descriptor_close(descriptor: i32) callconv(.c) i32 {
    return moving.close(descriptor);
}

fn tp_descriptor_inherit(descriptor: i32) callconv(.c) i32 {
    return moving.inherit(descriptor);
}

fn tp_bind(loop: u32, options: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.BindOptions, options, length) orelse return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.bind(&value),
    };
}

fn tp_socket_address(loop: u32, slot: u32, generation: u32, remote: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.socket_address(slot, generation, remote),
    };
}

fn tp_socket_request(loop: u32, request: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    var value = read(layout.SocketRequest, request, length) orelse return status(.bad_layout);
    defer write(request, &value);
    return switch (any) {
        inline else => |instance| instance.socket_request(&value),
    };
}

fn tp_socket_configure(loop: u32, control: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.SocketControl, control, length) orelse return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.configure(&value),
    };
}

fn tp_socket_read(loop: u32, control: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    var value = read(layout.SocketControl, control, length) orelse return status(.bad_layout);
    const rc = switch (any) {
        inline else => |instance| instance.read_options(&value),
    };
    if (rc >= 0) write(control, &value);
    return rc;
}

fn tp_peer_credentials(loop: u32, credentials: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    var value = read(layout.PeerCredentials, credentials, length) orelse
        return status(.bad_layout);
    const rc = switch (any) {
        inline else => |instance| instance.read_credentials(&value),
    };
    if (rc >= 0) write(credentials, &value);
    return rc;
}

fn tp_connection_segmenter(loop: u32, options: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.SegmenterOptions, options, length) orelse return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.set_segmenter(&value),
    };
}

fn tp_watch(loop: u32, descriptor: i32, interest: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.watch(descriptor, interest),
    };
}

fn tp_watch_modify(loop: u32, slot: u32, generation: u32, interest: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.modify_watch(slot, generation, interest),
    };
}

fn tp_watch_remove(loop: u32, slot: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.remove_watch(slot, generation),
    };
}

fn tp_doorbell(loop: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.add_doorbell(),
    };
}

fn tp_doorbell_remove(loop: u32, slot: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.work.doorbells.remove(slot, generation),
    };
}

fn tp_doorbell_ring(slot: u32, generation: u32, pool_key: u32) callconv(.c) i32 {
    if (fork.is_child()) return status(.forked);
    if (pool_key != memory.key()) return status(.stale_handle);
    return if (doorbells.ring(slot, generation)) 0 else status(.stale_handle);
}

fn tp_buffer_take(loop: u32, bytes: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.take_buffer(bytes),
    };
}

fn tp_buffer_release(loop: u32, buffer: u32, generation: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.release_buffer(buffer, generation),
    };
}

fn tp_buffer_transfer(
    loop: u32,
    buffer: u32,
    generation: u32,
    references: u32,
) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.transfer_buffer(buffer, generation, references),
    };
}

fn tp_buffer_receive(loop: u32, buffer: u32, generation: u32, pool_key: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    return switch (any) {
        inline else => |instance| instance.receive_buffer(buffer, generation, pool_key),
    };
}

fn tp_memory_adopt(loop: u32, options: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    const value = read(layout.AdoptOptions, options, length) orelse return status(.bad_layout);
    return switch (any) {
        inline else => |instance| instance.adopt(&value),
    };
}

fn tp_pool_report(loop: u32, report: [*]u8, length: u32) callconv(.c) i32 {
    const any = registry.find(loop) catch |err| return find_status(err);
    var value = read(layout.PoolReport, report, length) orelse return status(.bad_layout);
    switch (any) {
        inline else => |instance| instance.pool_report(&value),
    }
    write(report, &value);
    return 0;
}

comptime {
    for (layout.functions) |function| {
        const implementation = &@field(@This(), function.name);
        check_signature(function, @TypeOf(implementation.*));
        @export(implementation, .{ .name = function.name });
    }
}

/// A compile error unless the implementation is what `layout.functions` says.
fn check_signature(comptime function: layout.Function, comptime Actual: type) void {
    const info = @typeInfo(Actual).@"fn";
    if (info.params.len != function.parameters.len) @compileError(function.name);
    for (info.params, function.parameters) |actual, declared| {
        if (actual.type.? != declared[1].Zig()) @compileError(function.name ++ ": " ++ declared[0]);
    }
    if (info.return_type.? != function.result.Zig()) @compileError(function.name ++ ": result");
}

test {
    std.testing.refAllDecls(@This());
}
