//! All slabs of one kind of memory, for every loop of the process that asks for that kind.
//!
//! Invariants: the slabs together are never larger than what the open loops may have in all, except
//! for what closed ones have left; a block is in the free lists, in stock, or somebody's. Any
//! thread; the lock is not held while a slab is mapped. Lock order: arena before a part of the
//! stock.

const std = @import("std");
const layout = @import("../layout.zig");
const Lock = @import("../sys/lock.zig").Lock;
const pages = @import("../sys/pages.zig");
const Buddies = @import("buddies.zig").Buddies;
const classes = @import("classes.zig");
const slabs = @import("slabs.zig");
const stock_module = @import("stock.zig");

/// What distinguishes one arena from another.
pub const Kind = struct {
    slab_bytes: u32,
    pages: layout.Pages = .small,
    lock: bool = false,
    prefault: bool = false,
    numa_node: ?u32 = null,
};

/// How the slabs were granted what was asked for, in the order of `layout.PoolReport`.
pub const Grants = struct {
    pages: layout.MemoryGrant,
    lock: layout.MemoryGrant,
    prefault: layout.MemoryGrant,
    numa: layout.MemoryGrant,
};

pub const Arena = struct {
    number: u32,
    lock: Lock,
    kind: Kind,
    /// Loops that use it; with none its free memory goes back to the kernel.
    loops: u32,
    /// Sum of what they may have.
    limit_bytes: u64,
    /// Slabs that are there, or being mapped.
    mapped_bytes: u64,
    lost_bytes: u64,
    /// What loops that are closed have left in transit. Below zero for a moment when it is received
    /// while its loop closes.
    orphaned_bytes: std.atomic.Value(i64),
    slab_count: u32,
    buddies: Buddies,
    stock: stock_module.Stock,
    grants: Grants,

    fn init(self: *Arena, number: u32, kind: Kind) void {
        self.number = number;
        self.lock = .{};
        self.kind = kind;
        self.loops = 0;
        self.limit_bytes = 0;
        self.mapped_bytes = 0;
        self.lost_bytes = 0;
        self.orphaned_bytes = .init(0);
        self.slab_count = 0;
        self.buddies = .empty;
        self.stock.clear();
        self.grants = .{
            .pages = wish(@intFromEnum(kind.pages)),
            .lock = wish(@intFromBool(kind.lock)),
            .prefault = wish(@intFromBool(kind.prefault)),
            .numa = wish(if (kind.numa_node) |node| node + 1 else 0),
        };
    }

    /// One more loop, which may have `max_bytes`. The first slab is mapped at the first need.
    pub fn join(self: *Arena, max_bytes: u64) void {
        self.lock.acquire();
        defer self.lock.release();
        self.loops += 1;
        self.limit_bytes += max_bytes;
    }

    /// A loop less. With the last one the memory of slabs that are wholly free goes back.
    pub fn leave(self: *Arena, max_bytes: u64) void {
        self.sign_off(max_bytes);
        // Afterwards: a loop of another arena stocks blocks of ours only while ours has loops.
        self.drain_stock();
        self.lock.acquire();
        defer self.lock.release();
        self.discard_free_when_idle();
    }

    fn sign_off(self: *Arena, max_bytes: u64) void {
        self.lock.acquire();
        defer self.lock.release();
        self.limit_bytes -= max_bytes;
        self.loops -= 1;
    }

    fn discard_free_when_idle(self: *Arena) void {
        if (self.loops > 0 or self.kind.prefault) return;
        var name = self.buddies.first_whole(self.kind.slab_bytes);
        while (name != slabs.none) : (name = slabs.state(name).next) {
            const base: [*]align(std.heap.page_size_min) u8 = @alignCast(slabs.pointer(name));
            pages.discard(base[0..self.kind.slab_bytes], self.kind.lock);
        }
    }

    /// Fills `out` with blocks of a class as far as there are any: from stock, from the free lists,
    /// from a new slab. `part` is where in the stock to begin.
    pub fn take(self: *Arena, part: u32, class: u32, out: []u32) u32 {
        const stocked = self.stock.take(part, class, out);
        if (stocked > 0) return stocked;
        const free = self.take_free(class, out);
        if (free > 0) return free;
        for (1..stock_module.parts_count) |step| {
            const other = self.stock.take(part + @as(u32, @intCast(step)), class, out);
            if (other > 0) return other;
        }
        if (self.grow()) return self.take_free(class, out);
        // What other classes have in stock may join to what is wanted.
        self.drain_stock();
        return self.take_free(class, out);
    }

    fn take_free(self: *Arena, class: u32, out: []u32) u32 {
        self.lock.acquire();
        defer self.lock.release();
        for (out, 0..) |*name, index| {
            name.* = self.buddies.take(classes.bytes_of(class)) orelse return @intCast(index);
        }
        return @intCast(out.len);
    }

    /// A run of whole pages, for what is larger than any class; null when there is none.
    pub fn take_run(self: *Arena, bytes: u32) ?u32 {
        if (self.take_free_run(bytes)) |name| return name;
        if (!self.grow()) self.drain_stock();
        return self.take_free_run(bytes);
    }

    fn take_free_run(self: *Arena, bytes: u32) ?u32 {
        self.lock.acquire();
        defer self.lock.release();
        return self.buddies.take_run(bytes);
    }

    /// Blocks of a class that a cache has too many of.
    pub fn put(self: *Arena, part: u32, class: u32, names: []const u32, kept: u32) void {
        for (names) |name| slabs.state(name).set_owner(slabs.Owner.stock);
        const stocked = self.stock.put(part, class, names, kept);
        if (stocked == names.len) return;
        self.lock.acquire();
        defer self.lock.release();
        for (names[stocked..]) |name| self.give_back(name);
    }

    /// One block or run that no cache keeps, maybe given back by a loop of another arena when there
    /// is none of this one any more.
    pub fn put_one(self: *Arena, part: u32, name: u32) void {
        const bytes = slabs.state(name).bytes;
        self.lock.acquire();
        defer self.lock.release();
        if (self.loops > 0 and bytes <= classes.bytes_max) {
            const class = classes.of(bytes);
            const kept = classes.kept(class, self.kind.slab_bytes);
            slabs.state(name).set_owner(slabs.Owner.stock);
            if (self.stock.put(part, class, &.{name}, kept) == 1) return;
        }
        self.give_back(name);
        self.discard_free_when_idle();
    }

    fn give_back(self: *Arena, name: u32) void {
        std.debug.assert(self.owns(slabs.slab_of(name)));
        self.buddies.give_back(name);
    }

    fn drain_stock(self: *Arena) void {
        var names: [64]u32 = undefined;
        for (0..classes.count) |class| {
            for (0..stock_module.parts_count) |part| {
                while (true) {
                    const count = self.stock.take(@intCast(part), @intCast(class), &names);
                    if (count == 0) break;
                    self.lock.acquire();
                    defer self.lock.release();
                    for (names[0..count]) |name| self.give_back(name);
                }
            }
        }
    }

    /// One slab more, if the loops may have it; false when not or when there is no memory.
    fn grow(self: *Arena) bool {
        if (!self.reserve_slab()) return false;
        const grant = pages.map(.{
            .bytes = self.kind.slab_bytes,
            .kind = @enumFromInt(@intFromEnum(self.kind.pages)),
            .lock = self.kind.lock,
            .prefault = self.kind.prefault,
            .numa_node = self.kind.numa_node,
        });
        const number = if (grant) |granted| slabs.add(granted.memory, self.number) else null;
        self.lock.acquire();
        defer self.lock.release();
        if (number == null) {
            if (grant) |granted| pages.unmap(granted.memory);
            self.mapped_bytes -= self.kind.slab_bytes;
            return false;
        }
        self.buddies.add_slab(number.?);
        self.slab_count += 1;
        self.note(&grant.?);
        return true;
    }

    /// Lost and orphaned, in whole slabs.
    pub fn unusable_bytes(self: *const Arena) u64 {
        const orphaned_bytes: u64 = @intCast(@max(0, self.orphaned_bytes.load(.monotonic)));
        const bytes = self.lost_bytes + orphaned_bytes;
        return std.mem.alignForward(u64, bytes, self.kind.slab_bytes);
    }

    pub fn note_orphans(self: *Arena, bytes: i64) void {
        _ = self.orphaned_bytes.fetchAdd(bytes, .monotonic);
    }

    fn reserve_slab(self: *Arena) bool {
        self.lock.acquire();
        defer self.lock.release();
        // What nobody can have any more must not keep the others short.
        if (self.mapped_bytes + self.kind.slab_bytes > self.limit_bytes + self.unusable_bytes()) {
            return false;
        }
        self.mapped_bytes += self.kind.slab_bytes;
        return true;
    }

    fn note(self: *Arena, grant: *const pages.Grant) void {
        const kind = self.kind;
        const node = if (kind.numa_node) |node| node + 1 else 0;
        const got = self.slab_count == 1;
        add(&self.grants.pages, @intFromEnum(grant.kind), grant.kind_errno, got);
        add(&self.grants.lock, @intFromBool(grant.locked), grant.lock_errno, got);
        add(&self.grants.prefault, @intFromBool(grant.prefaulted), grant.prefault_errno, got);
        add(&self.grants.numa, if (grant.bound) node else 0, grant.numa_errno, got);
    }

    pub const Report = struct {
        slabs: u32,
        free_bytes: u64,
        lost_bytes: u64,
        grants: Grants,
    };

    pub fn report(self: *Arena) Report {
        var free_bytes: u64 = 0;
        for (0..classes.count) |class| {
            const bytes: u64 = classes.bytes_of(@intCast(class));
            free_bytes += bytes * self.stock.count(@intCast(class));
        }
        self.lock.acquire();
        defer self.lock.release();
        return .{
            .slabs = self.slab_count,
            .free_bytes = free_bytes + self.buddies.free_bytes,
            .lost_bytes = self.lost_bytes,
            .grants = self.grants,
        };
    }

    /// What a script still held, or its backend. With `lost` nobody may have it again, because the
    /// kernel may still write to it.
    fn reclaim_own(self: *Arena, owner: u32, lost: bool) void {
        self.lock.acquire();
        defer self.lock.release();
        for (0..slabs.slab_count()) |number| {
            if (!self.owns(@intCast(number))) continue;
            self.reclaim_slab(@intCast(number), owner, lost);
        }
        self.discard_free_when_idle();
    }

    fn reclaim_slab(self: *Arena, number: u32, owner: u32, lost: bool) void {
        var unit: u32 = 0;
        while (unit < slabs.slab_at(number).units) {
            const name = slabs.name_of(number, unit);
            const state = slabs.state(name);
            // Blocks tile the slab, and joining leaves the sizes where they were.
            unit += state.bytes / slabs.unit_bytes;
            if (state.owner() != owner) continue;
            state.references = 0;
            state.script_references = 0;
            state.borrowed = 0;
            state.next_generation();
            if (lost) {
                self.lost_bytes += state.bytes;
                state.set_owner(slabs.Owner.lost);
            } else {
                self.give_back(name);
            }
        }
    }

    fn owns(self: *const Arena, number: u32) bool {
        return slabs.slab_at(number).arena == self.number;
    }

    /// Maps a first slab if there is none, so that what it is granted is known; false when there is
    /// no memory.
    pub fn has_slab(self: *Arena) bool {
        self.lock.acquire();
        const count = self.slab_count;
        self.lock.release();
        return count > 0 or self.grow();
    }
};

/// Kinds that a process can use.
const arenas_max = 64;

var arenas: [arenas_max]Arena = undefined;
var arenas_count: u32 = 0;
var arenas_lock: Lock = .{};

/// The arena of a kind, for the life of the process; null when there are too many kinds.
pub fn of(kind: Kind) ?*Arena {
    arenas_lock.acquire();
    defer arenas_lock.release();
    for (arenas[0..arenas_count]) |*arena| {
        if (std.meta.eql(arena.kind, kind)) return arena;
    }
    if (arenas_count == arenas_max) return null;
    const arena = &arenas[arenas_count];
    arena.init(arenas_count, kind);
    arenas_count += 1;
    return arena;
}

/// The arena that a block is of.
pub fn of_block(name: u32) *Arena {
    return &arenas[slabs.slab_at(slabs.slab_of(name)).arena];
}

/// Takes back whatever `owner` has in an arena, or in any.
pub fn reclaim(owner: u32, lost: bool, only: ?*Arena) void {
    if (only) |arena| return arena.reclaim_own(owner, lost);
    arenas_lock.acquire();
    const count = arenas_count;
    arenas_lock.release();
    for (arenas[0..count]) |*arena| arena.reclaim_own(owner, lost);
}

/// The child of a fork has none of its parent's memory.
pub fn reset() void {
    arenas_lock = .{};
    arenas_count = 0;
}

fn wish(asked: u32) layout.MemoryGrant {
    return .{ .asked = asked, .granted = asked, .slabs = 0, .error_errno = 0 };
}

/// `transparent` is a number above pages that are better.
fn worth(granted: u32) u32 {
    return if (granted == @intFromEnum(layout.Pages.transparent)) 1 else granted * 2;
}

fn add(grant: *layout.MemoryGrant, granted: u32, failed_errno: u32, first: bool) void {
    if (granted == grant.asked) grant.slabs += 1;
    if (first or worth(granted) < worth(grant.granted)) grant.granted = granted;
    if (grant.error_errno == 0) grant.error_errno = failed_errno;
}
