//! The inputs that are worth keeping, with what each has shown. In memory that the process that
//! watches shares with the one that runs, so that a crash loses none.

const std = @import("std");
const features = @import("features.zig");
const input = @import("input.zig");
const mapped = @import("../memory/mapped.zig");

pub const entries_max = 4096;

pub const Entry = struct {
    buffer: [input.bytes_max]u8,
    length: u32,
    found: features.Set,

    pub fn bytes(self: *const Entry) []const u8 {
        return self.buffer[0..self.length];
    }
};

/// All-zero bytes are an empty one.
pub const Corpus = struct {
    entries: [entries_max]Entry,
    count: u32,
    all: features.Set,

    pub fn inputs(self: *const Corpus) []const Entry {
        return self.entries[0..self.count];
    }

    pub fn add(self: *Corpus, bytes: []const u8) void {
        if (self.count == entries_max) return;
        const entry = &self.entries[self.count];
        entry.length = @intCast(@min(bytes.len, input.bytes_max));
        @memcpy(entry.buffer[0..entry.length], bytes[0..entry.length]);
        entry.found = .initEmpty();
        self.count += 1;
    }

    /// Keeps an input that has shown something new; whether it has.
    pub fn learn(self: *Corpus, bytes: []const u8, found: *const features.Set) bool {
        if (features.merge(&self.all, found) == 0) return false;
        if (self.count == entries_max) return true;
        self.add(bytes);
        self.entries[self.count - 1].found = found.*;
        return true;
    }

    /// The input that shows most of what `covered` lacks, and adds that to it; null when none does.
    pub fn best(self: *const Corpus, covered: *features.Set) ?*const Entry {
        var most: u32 = 0;
        var chosen: ?*const Entry = null;
        for (self.inputs()) |*entry| {
            var new: u32 = 0;
            for (entry.found.masks, covered.masks) |mask, known| new += @popCount(mask & ~known);
            if (new <= most) continue;
            most = new;
            chosen = entry;
        }
        if (chosen) |entry| _ = features.merge(covered, &entry.found);
        return chosen;
    }
};

test "few inputs cover what all have shown" {
    const corpora = try mapped.allocate(Corpus, 1);
    defer mapped.free(Corpus, corpora);
    const corpus = &corpora[0];
    var found: features.Set = .initEmpty();
    for ([_]u32{ 1, 2, 2, 3 }) |feature| {
        found.set(feature);
        const expected = feature != 2 or corpus.count == 1;
        try std.testing.expectEqual(expected, corpus.learn(&.{@intCast(feature)}, &found));
    }
    try std.testing.expectEqual(@as(u32, 3), corpus.count);
    var covered: features.Set = .initEmpty();
    try std.testing.expectEqualStrings("\x03", corpus.best(&covered).?.bytes());
    try std.testing.expectEqual(@as(?*const Entry, null), corpus.best(&covered));
}
