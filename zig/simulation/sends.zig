//! What a simulated script sends: as the real one it asks the shared memory whether there is room,
//! and wants a `drain` when there is none.

const std = @import("std");
const layout = @import("../layout.zig");
const Borrow = @import("host.zig").Borrow;
const Host = @import("host.zig").Host;
const Link = @import("link.zig").Link;

const parts_max = 3;
const exhausted = @intFromEnum(layout.Status.exhausted);

/// Sends a message of the script's own, in one part or several.
pub fn send(host: *Host, link: *Link) void {
    const random = host.world.random();
    if (!link.may_send() or link.drain_wanted) return;
    const parts = random.intRangeAtMost(u32, 1, parts_max);
    var lengths: [parts_max]u32 = undefined;
    var length: u32 = 0;
    for (lengths[0..parts]) |*part| {
        const most = @as(u32, 16) << random.uintAtMost(u5, 9);
        part.* = random.intRangeAtMost(u32, 1, most);
        length += part.*;
    }
    if (!host.world.may_send(length)) return;
    if (is_full(host, link, parts, length)) return want_drain(host, link, parts, length, 0);
    var buffers: [parts_max]layout.SendEntry = undefined;
    for (lengths[0..parts], 0..) |part, index| {
        buffers[index] = take(host, link, part) orelse {
            for (buffers[0..index]) |entry| give_back(host, entry);
            return want_drain(host, link, parts, length, length);
        };
    }
    for (buffers[0..parts]) |entry| submit(host, link, entry);
}

/// Sends part of what was delivered, to its own connection or another; false when it is not taken.
pub fn send_borrowed(host: *Host, link: *Link, borrow: Borrow, flags: u8) bool {
    const length: u32 = @intCast(borrow.bytes.len);
    if (!link.may_send() or !host.world.may_send(length)) return false;
    if (is_full(host, link, 1, length)) {
        if (!link.drain_wanted) want_drain(host, link, 1, length, 0);
        return false;
    }
    const skipped = host.world.random().uintLessThan(u32, length);
    submit(host, link, std.mem.zeroInit(layout.SendEntry, .{
        .operation = .send,
        .flags = flags,
        .slot = link.slot,
        .generation = link.generation,
        .buffer = borrow.buffer,
        .buffer_generation = borrow.generation,
        .offset = borrow.offset + skipped,
        .length = length - skipped,
    }));
    return true;
}

/// Sends all of what was delivered to another connection before a relay had both.
pub fn submit_relayed(host: *Host, link: *Link, borrow: Borrow) void {
    enter(host, link, std.mem.zeroInit(layout.SendEntry, .{
        .operation = .send,
        .slot = link.slot,
        .generation = link.generation,
        .buffer = borrow.buffer,
        .buffer_generation = borrow.generation,
        .offset = borrow.offset,
        .length = @as(u32, @intCast(borrow.bytes.len)),
    }));
}

fn is_full(host: *Host, link: *const Link, parts: u32, length: u32) bool {
    const queued = host.instance.loop.channel.queued[link.slot];
    if (queued > 0 and queued + length > link.options.high_water_mark) return true;
    return host.free_sends < parts;
}

fn want_drain(host: *Host, link: *Link, parts: u32, length: u32, buffer_bytes: u32) void {
    host.trace("connection {d} wants a drain", .{link.slot});
    link.drain_wanted = true;
    host.submit(std.mem.zeroInit(layout.HandleEntry, .{
        .operation = .want_drain,
        .slot = link.slot,
        .generation = link.generation,
        .parts = parts,
        .length = length,
        .buffer_bytes = buffer_bytes,
    }));
}

/// A buffer with random bytes that is to move into the queue; null when there is none.
fn take(host: *Host, link: *const Link, length: u32) ?layout.SendEntry {
    const name = host.instance.take_buffer(length);
    if (name < 0) {
        if (name != exhausted) host.fail("take answers {d}", .{name});
        return null;
    }
    const buffer: u32 = @intCast(name);
    const header = host.instance.loop.channel.header;
    if (header.result_bytes < length) host.fail("buffer {d} is too small", .{buffer});
    const offset = host.world.random().uintAtMost(u32, header.result_bytes - length);
    host.world.random().bytes(host.instance.pool.pointer(buffer)[offset..][0..length]);
    return std.mem.zeroInit(layout.SendEntry, .{
        .operation = .send,
        .flags = layout.send_flag_move,
        .slot = link.slot,
        .generation = link.generation,
        .buffer = buffer,
        .buffer_generation = header.result_generation,
        .offset = offset,
        .length = length,
    });
}

fn give_back(host: *Host, entry: layout.SendEntry) void {
    if (host.instance.release_buffer(entry.buffer, entry.buffer_generation) == 0) return;
    host.fail("buffer {d} cannot be released", .{entry.buffer});
}

fn submit(host: *Host, link: *Link, entry: layout.SendEntry) void {
    const world = host.world;
    const bytes = host.instance.pool.pointer(entry.buffer)[entry.offset..][0..entry.length];
    host.trace("connection {d} sends {d} bytes, flags {d}", .{
        link.slot,
        bytes.len,
        entry.flags,
    });
    if (link.socket) |socket| {
        world.stream(socket).sent.appendSlice(world.gpa, bytes) catch @panic("out of memory");
    }
    link.has_unread = true;
    world.sent_bytes += bytes.len;
    enter(host, link, entry);
}

fn enter(host: *Host, link: *const Link, entry: layout.SendEntry) void {
    host.instance.loop.channel.queued[link.slot] += entry.length;
    host.free_sends -= 1;
    host.submit(entry);
}
