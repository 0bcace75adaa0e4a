//! A loop that a script has opened, and what the script may know of it from completions: which
//! connections and listeners are alive. The library must agree. Used by the loop's thread.

const std = @import("std");
const layout = @import("../layout.zig");
const Honest = @import("honest.zig").Honest;
const region_module = @import("region.zig");
const Handle = region_module.Handle;
const Region = region_module.Region;
const Submission = region_module.Submission;

pub const OpenLoop = struct {
    handle: u32,
    region: Region,
    /// Submissions that are written and not handed over.
    pending: u32 = 0,
    honest: ?Honest = null,
    /// Other threads scribble on its region, so nothing that stands there tells anything.
    shared: bool = false,
    connections: Alive = .{},
    listeners: Alive = .{},
    sockets: Alive = .{},

    pub fn append(self: *OpenLoop, entry: anytype) void {
        const submissions = self.region.submissions();
        if (self.pending >= submissions.len) return;
        submissions[self.pending] = @bitCast(entry);
        self.pending += 1;
    }

    pub fn append_handle(self: *OpenLoop, operation: layout.Operation, handle: Handle) void {
        self.append(std.mem.zeroInit(layout.HandleEntry, .{
            .operation = operation,
            .slot = handle.name,
            .generation = handle.generation,
        }));
    }

    pub fn append_buffer(self: *OpenLoop, operation: layout.Operation, buffer: Handle) void {
        self.append(std.mem.zeroInit(layout.BufferEntry, .{
            .operation = operation,
            .buffer = buffer.name,
            .buffer_generation = buffer.generation,
        }));
    }

    /// Before submissions are handed over: none of them may name what the honest pair has.
    pub fn shield(self: *OpenLoop, count: u32) void {
        const honest = if (self.honest) |*pair| pair else return;
        const submissions = self.region.submissions();
        for (submissions[0..@min(count, submissions.len)]) |*entry| honest.shield(entry);
    }

    pub fn result_generation(self: *const OpenLoop) u32 {
        return self.region.header().result_generation;
    }
};

/// Handles that are alive, as long as there are few enough to know them all.
pub const Alive = struct {
    handles: [handles_max]Handle = undefined,
    count: u32 = 0,
    overflown: bool = false,

    const handles_max = 256;

    pub fn all(self: *const Alive) []const Handle {
        return self.handles[0..self.count];
    }

    pub fn add(self: *Alive, handle: Handle) void {
        if (self.count == handles_max) {
            self.overflown = true;
            return;
        }
        self.handles[self.count] = handle;
        self.count += 1;
    }

    /// False when it was not there and should have been.
    pub fn remove(self: *Alive, handle: Handle) bool {
        for (self.all(), 0..) |known, index| {
            if (!known.is(handle.name, handle.generation)) continue;
            self.count -= 1;
            self.handles[index] = self.handles[self.count];
            return true;
        }
        return self.overflown;
    }

    /// Null when it cannot be told.
    pub fn has(self: *const Alive, name: u32, generation: u32) ?bool {
        for (self.all()) |known| if (known.is(name, generation)) return true;
        return if (self.overflown) null else false;
    }
};
