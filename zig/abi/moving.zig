//! Descriptors and connections that come into a loop or leave it, as the exported functions have
//! them: what a call answers goes into the loop's header.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const rights = @import("../sys/rights.zig");
const sockets = @import("../sys/sockets.zig");
const given = @import("../net/given.zig");
const memory = @import("memory.zig");

/// `options.stream` is checked.
pub fn adopt(instance: anytype, options: *const layout.ConnectionOptions) i32 {
    const descriptor = std.math.cast(i32, options.descriptor) orelse
        return instance.refuse(kernel.negative(.BADF), .none);
    if (instance.work.watches.has(descriptor)) {
        return instance.refuse(kernel.negative(.EXIST), .none);
    }
    instance.loop.channel.note_option(null);
    var failed: layout.Syscall = .none;
    const slot = instance.work.net.adopt(descriptor, &options.stream, &failed);
    if (slot < 0) return instance.refuse(slot, failed);
    return answer(instance, slot);
}

/// `options.stream` is checked where there is one.
pub fn receive(instance: anytype, options: *const layout.ConnectionOptions) i32 {
    const stale = @intFromEnum(layout.Status.stale_handle);
    if (options.pool_key != memory.key()) return stale;
    const slot = instance.work.net.streams.receive(
        .{ .slot = options.slot, .generation = options.generation },
        if (options.has_stream == 1) &options.stream else null,
    );
    if (slot < 0) return slot;
    const header = instance.loop.channel.header;
    const connection = &instance.work.net.streams.connections[@intCast(slot)];
    header.result_bytes = connection.options.high_water_mark;
    header.result_offset = @intFromBool(connection.shutdown_done);
    instance.loop.publish_buffers();
    return answer(instance, slot);
}

fn answer(instance: anytype, slot: i32) i32 {
    const connection = &instance.work.net.streams.connections[@intCast(slot)];
    instance.loop.channel.header.result_generation = connection.generation;
    instance.work.net.publish();
    return slot;
}

pub fn read(instance: anytype, slot: u32, generation: u32) i32 {
    var rc: i32 = 0;
    const part = instance.work.net.streams.read_detached(slot, generation, &rc) orelse return rc;
    const header = instance.loop.channel.header;
    header.result_generation = instance.pool.state(part.buffer).generation();
    header.result_bytes = part.length;
    header.result_offset = part.offset;
    instance.loop.publish_buffers();
    return @intCast(part.buffer);
}

pub fn take(instance: anytype, slot: u32, generation: u32) i32 {
    const descriptor = instance.work.net.take_detached(slot, generation);
    instance.work.net.publish();
    return descriptor;
}

pub fn hand_off(instance: anytype, slot: u32, generation: u32) i32 {
    var rc: i32 = 0;
    const handle = instance.work.net.hand_off(slot, generation, &rc) orelse return rc;
    instance.loop.channel.header.result_generation = handle.generation;
    instance.work.net.publish();
    instance.loop.publish_buffers();
    return @intCast(handle.slot);
}

pub fn share(instance: anytype, slot: u32, generation: u32) i32 {
    return instance.refuse(instance.work.net.listeners.share(slot, generation), .fcntl);
}

const word_bytes = @sizeOf(i32);

/// Words of a script's memory, which may lie at any address.
fn words_of(bytes: [*]u8, length: u32) ?[]align(1) i32 {
    if (length % word_bytes != 0) return null;
    const words: [*]align(1) i32 = @ptrCast(bytes);
    return words[0 .. length / word_bytes];
}

pub fn stage(instance: anytype, bytes: [*]u8, length: u32) i32 {
    const bad = @intFromEnum(layout.Status.bad_argument);
    const words = words_of(bytes, length) orelse return bad;
    if (words.len > rights.descriptors_max) return bad;
    var descriptors: [rights.descriptors_max]i32 = undefined;
    for (words, descriptors[0..words.len]) |word, *descriptor| descriptor.* = word;
    const passing = &instance.work.net.streams.passing;
    const index = passing.stage(descriptors[0..words.len]);
    if (index < 0) return instance.refuse(index, .fcntl);
    instance.loop.channel.header.result_generation = passing.generation_of(@intCast(index));
    return index;
}

/// The first word is the generation of what is read.
pub fn read_descriptors(instance: anytype, index: u32, bytes: [*]u8, length: u32) i32 {
    const words = words_of(bytes, length) orelse return @intFromEnum(layout.Status.bad_argument);
    if (words.len == 0) return @intFromEnum(layout.Status.bad_argument);
    const generation: u32 = @bitCast(words[0]);
    return instance.work.net.streams.passing.read(index, generation, words[1..]);
}

pub fn close(descriptor: i32) i32 {
    return given.close(descriptor);
}

pub fn inherit(descriptor: i32) i32 {
    if (descriptor < 0) return kernel.negative(.BADF);
    const rc = sockets.keep_private(descriptor);
    if (rc < 0) return rc;
    given.give(descriptor);
    return 0;
}
