//! The memory through which a loop and its script talk: submissions in, completions out, the
//! header, per connection and datagram socket the bytes queued to send, and where datagrams go and
//! come from.
//!
//! The script may write anything anywhere in it, so native code only writes here, except for
//! submissions, which it copies once before looking at them. Used by the loop's thread only.

const std = @import("std");
const layout = @import("../layout.zig");
const mapped = @import("../memory/mapped.zig");
const regions = @import("../memory/regions.zig");

/// A submission before it is known to be one.
pub const RawSubmission = [8]u32;

pub const Layout = struct {
    entries: u32,
    connections: u32,
    sockets: u32,

    pub fn submissions_offset(self: Layout) u32 {
        _ = self;
        return layout.header_bytes;
    }

    pub fn completions_offset(self: Layout) u32 {
        return self.submissions_offset() + self.entries * @sizeOf(RawSubmission);
    }

    pub fn queued_offset(self: Layout) u32 {
        return self.completions_offset() + self.entries * @sizeOf(layout.Completion);
    }

    pub fn socket_queued_offset(self: Layout) u32 {
        return self.queued_offset() + self.connections * @sizeOf(u32);
    }

    pub fn addresses_offset(self: Layout) u32 {
        const end = self.socket_queued_offset() + self.sockets * @sizeOf(u32);
        return std.mem.alignForward(u32, end, std.atomic.cache_line);
    }

    pub fn sources_offset(self: Layout) u32 {
        return self.addresses_offset() + self.entries * layout.address_stride;
    }

    pub fn bytes(self: Layout) u32 {
        return self.sources_offset() + self.entries * layout.source_stride;
    }
};

pub const Channel = struct {
    region: regions.Region,
    header: *layout.Header,
    submissions: []RawSubmission,
    completions: []layout.Completion,
    /// By connection slot.
    queued: []u32,
    /// By slot of a datagram socket.
    socket_queued: []u32,
    /// By submission and by completion.
    addresses: [*]u8,
    sources: [*]u8,
    /// Of the submission that is being applied.
    applied: u32,
    /// Completions written in this turn.
    count: u32,
    /// Buffers that the script may read until its next turn.
    borrowed: []u32,
    borrowed_count: u32,

    pub fn init(shape: Layout) error{OutOfMemory}!Channel {
        const borrowed = try mapped.allocate(u32, shape.entries);
        errdefer mapped.free(u32, borrowed);
        const region = try regions.take(shape.bytes());
        const base = region.ptr;
        const submissions: [*]RawSubmission =
            @ptrCast(@alignCast(base + shape.submissions_offset()));
        const completions: [*]layout.Completion =
            @ptrCast(@alignCast(base + shape.completions_offset()));
        const queued: [*]u32 = @ptrCast(@alignCast(base + shape.queued_offset()));
        return .{
            .region = region,
            .header = @ptrCast(base),
            .submissions = submissions[0..shape.entries],
            .completions = completions[0..shape.entries],
            .queued = queued[0..shape.connections],
            .socket_queued = queued[shape.connections..][0..shape.sockets],
            .addresses = base + shape.addresses_offset(),
            .sources = base + shape.sources_offset(),
            .applied = 0,
            .count = 0,
            .borrowed = borrowed,
            .borrowed_count = 0,
        };
    }

    pub fn deinit(self: *Channel) void {
        regions.give_back(self.region);
        mapped.free(u32, self.borrowed);
        self.* = undefined;
    }

    /// The address beside the submission that is being applied, copied once.
    pub fn address(self: *const Channel) layout.Address {
        var copied: layout.Address = undefined;
        const start = self.addresses + self.applied * layout.address_stride;
        @memcpy(std.mem.asBytes(&copied), start[0..@sizeOf(layout.Address)]);
        return copied;
    }

    /// What stands beside the completion that is emitted next.
    pub fn source(self: *Channel) *layout.Source {
        return @ptrCast(@alignCast(self.sources + self.count * layout.source_stride));
    }

    /// Completions that still fit into this turn.
    pub fn room(self: *const Channel) u32 {
        return @as(u32, @intCast(self.completions.len)) - self.count;
    }

    pub fn emit(self: *Channel, completion: layout.Completion) void {
        self.completions[self.count] = completion;
        self.count += 1;
    }

    /// What a negative result is about.
    pub fn note_option(self: *Channel, option: ?layout.SocketOption) void {
        self.header.error_option =
            if (option) |refused| @intFromEnum(refused) else layout.option_unset;
    }

    /// Reports `length` bytes in a buffer and lends it to the script until the next turn.
    pub fn emit_data(self: *Channel, completion: layout.Completion) void {
        std.debug.assert(completion.event == .data or completion.event == .datagram);
        self.borrowed[self.borrowed_count] = completion.buffer;
        self.borrowed_count += 1;
        self.emit(completion);
    }
};

/// A completion with only its first fields set.
pub fn plain(event: layout.Event, slot: u32, generation: u32, result: i32) layout.Completion {
    return .{
        .event = event,
        .slot = slot,
        .generation = generation,
        .result = result,
        .buffer = layout.no_slot,
        .buffer_generation = 0,
        .offset = 0,
        .length = 0,
    };
}
