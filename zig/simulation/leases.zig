//! Buffers that a simulated script keeps: retained, taken, released, moved into queues, and handed
//! to other loops. What stands in them must not change meanwhile.

const std = @import("std");
const layout = @import("../layout.zig");
const Borrow = @import("host.zig").Borrow;
const Host = @import("host.zig").Host;
const Lease = @import("lease.zig").Lease;
const Link = @import("link.zig").Link;
const sends = @import("sends.zig");

const leases_max = 12;
const key = @import("../abi/memory.zig").key;

pub fn retain(host: *Host, borrow: Borrow) void {
    if (host.leases.items.len >= leases_max) return;
    buffer_entry(host, .retain, borrow.buffer, borrow.generation);
    for (host.leases.items) |*lease| {
        if (lease.buffer != borrow.buffer) continue;
        lease.references += 1;
        return;
    }
    add(host, .{
        .buffer = borrow.buffer,
        .generation = borrow.generation,
        .references = 1,
        .offset = borrow.offset,
        .bytes = borrow.bytes,
    });
}

/// The script may not give back what is only lent to it.
pub fn release_borrowed(host: *Host, borrow: Borrow) void {
    for (host.leases.items) |lease| {
        if (lease.buffer == borrow.buffer) return;
    }
    host.flush();
    const before = host.instance.loop.counters.rejected;
    buffer_entry(host, .release, borrow.buffer, borrow.generation);
    host.flush();
    if (host.instance.loop.counters.rejected != before + 1) {
        host.fail("buffer {d} was only lent, and could be released", .{borrow.buffer});
    }
}

/// Takes a buffer to keep, or all that there are.
pub fn take(host: *Host) void {
    const random = host.world.random();
    if (host.world.one_in(4)) {
        for (0..leases_max) |_| take_one(host, 512);
    } else {
        take_one(host, random.intRangeAtMost(u32, 1, @as(u32, 64) << random.uintAtMost(u5, 8)));
    }
}

fn take_one(host: *Host, least: u32) void {
    const random = host.world.random();
    if (host.leases.items.len >= leases_max) return;
    const most = if (host.world.one_in(2)) least else 64 * 1024;
    const length = random.intRangeAtMost(u32, least, most);
    const name = host.instance.take_buffer(length);
    if (name < 0) return;
    const bytes = host.instance.pool.pointer(@intCast(name))[0..length];
    random.bytes(bytes);
    add(host, .{
        .buffer = @intCast(name),
        .generation = host.instance.loop.channel.header.result_generation,
        .references = 1,
        .offset = 0,
        .bytes = host.world.gpa.dupe(u8, bytes) catch @panic("out of memory"),
    });
}

/// Lends the loop memory of the application.
pub fn adopt(host: *Host) void {
    const random = host.world.random();
    if (host.leases.items.len >= leases_max) return;
    const length = random.intRangeAtMost(u32, 1, 8192);
    const memory = host.world.gpa.alloc(u8, length) catch @panic("out of memory");
    random.bytes(memory);
    const address: u64 = @intFromPtr(memory.ptr);
    const name = host.instance.adopt(&.{
        .size = @sizeOf(layout.AdoptOptions),
        .address_low = @truncate(address),
        .address_high = @intCast(address >> 32),
        .bytes = length,
    });
    if (name < 0) return host.fail("adopt answers {d}", .{name});
    const buffer: u32 = @intCast(name);
    const generation = host.instance.loop.channel.header.result_generation;
    host.trace("adopts {d} bytes as buffer {d}/{d}", .{ length, buffer, generation });
    add(host, .{
        .buffer = buffer,
        .generation = generation,
        .references = 1,
        .offset = 0,
        .bytes = host.world.gpa.dupe(u8, memory) catch @panic("out of memory"),
        .is_adopted = true,
    });
    host.adopted.append(host.world.gpa, .{ .slot = buffer, .generation = generation }) catch
        @panic("out of memory");
}

/// Sends part of a lease; its reference may move along.
pub fn send(host: *Host, link: *Link) void {
    const random = host.world.random();
    if (host.leases.items.len == 0) return;
    const index = random.uintLessThan(usize, host.leases.items.len);
    const lease = &host.leases.items[index];
    const borrow: Borrow = .{
        .buffer = lease.buffer,
        .generation = lease.generation,
        .offset = lease.offset,
        .bytes = lease.bytes,
    };
    const flags: u8 = if (random.boolean()) layout.send_flag_move else 0;
    if (!sends.send_borrowed(host, link, borrow, flags) or flags == 0) return;
    lease.references -= 1;
    if (lease.references == 0) _ = host.leases.swapRemove(index);
}

fn add(host: *Host, lease: Lease) void {
    host.leases.append(host.world.gpa, lease) catch @panic("out of memory");
}

/// Gives one reference of a random lease back, with a submission or at once.
pub fn release_one(host: *Host) void {
    const random = host.world.random();
    if (host.leases.items.len == 0) return;
    const index = random.uintLessThan(usize, host.leases.items.len);
    const lease = &host.leases.items[index];
    check(host, lease);
    if (random.boolean()) {
        buffer_entry(host, .release, lease.buffer, lease.generation);
    } else {
        host.flush();
        if (host.instance.release_buffer(lease.buffer, lease.generation) != 0) {
            host.fail("lease {d} cannot be released", .{lease.buffer});
        }
    }
    lease.references -= 1;
    if (lease.references == 0) _ = host.leases.swapRemove(index);
}

pub fn release_all(host: *Host) void {
    while (host.leases.items.len > 0) release_one(host);
}

/// Hands a lease to another loop, which keeps it.
pub fn transfer(host: *Host) void {
    const world = host.world;
    if (host.leases.items.len == 0) return;
    const index = world.random().uintLessThan(usize, host.leases.items.len);
    const lease = host.leases.items[index];
    const other = &world.hosts[world.random().uintLessThan(u32, world.host_count)];
    host.flush();
    const rc = host.instance.transfer_buffer(lease.buffer, lease.generation, lease.references);
    if (rc == @intFromEnum(layout.Status.busy)) return;
    if (rc == @intFromEnum(layout.Status.bad_argument) and lease.is_adopted) return;
    if (rc != 0) return host.fail("lease {d} cannot be transferred: {d}", .{ lease.buffer, rc });
    host.trace("transfers buffer {d} to host {d}", .{ lease.buffer, other.index });
    _ = host.leases.swapRemove(index);
    const received = other.instance.receive_buffer(lease.buffer, lease.generation, key());
    if (received != 0) return host.fail("lease {d} does not arrive", .{lease.buffer});
    var moved = lease;
    moved.references = 1;
    moved.generation = other.instance.loop.channel.header.result_generation;
    add(other, moved);
}

pub fn check(host: *Host, lease: *const Lease) void {
    const pool = &host.instance.pool;
    if (!pool.valid(lease.buffer, lease.generation)) {
        return host.fail("lease {d}/{d} is not valid", .{ lease.buffer, lease.generation });
    }
    if (lease.is_intact(pool.pointer(lease.buffer))) return;
    host.fail("lease {d} has changed", .{lease.buffer});
}

pub fn buffer_entry(host: *Host, operation: layout.Operation, name: u32, generation: u32) void {
    host.submit(std.mem.zeroInit(layout.BufferEntry, .{
        .operation = operation,
        .buffer = name,
        .buffer_generation = generation,
    }));
}
