//! The slabs of this process by number, and the state of every unit in them.
//!
//! A buffer is a block of units; its *name* is its slab's number and its first unit, and its state
//! is that unit's. Invariants: a slab is never unmapped, because a script may have a view of it;
//! blocks tile a slab, and the state of each one's first unit tells its size and its owner; whoever
//! owns a block is alone in changing the rest of its state. The owner is one word with the
//! generation, so that a handle is checked by one comparison, from any thread.

const std = @import("std");
const layout = @import("../layout.zig");
const mapped = @import("mapped.zig");
const Lock = @import("../sys/lock.zig").Lock;

pub const unit_bytes: u32 = layout.buffer_unit;
const shift = layout.buffer_slab_shift;

/// All numbers: those of slabs from the first on, those of adopted memory from the last down.
pub const numbers_max = 1 << (31 - shift);
/// Adoptions at a time.
pub const adopted_max = 256;
pub const slabs_max = numbers_max - adopted_max;
pub const bytes_max: u32 = 1 << 30;
/// No name.
pub const none: u32 = std.math.maxInt(u32);

/// Who has a block. A pool has a number above zero and below all of these.
pub const Owner = struct {
    /// The unit is inside of a block.
    pub const nobody: u32 = 0;
    /// In the arena's free lists.
    pub const arena: u32 = 0x8000_0001;
    /// In the stock between arena and pools.
    pub const stock: u32 = 0x8000_0002;
    /// Left by one pool, awaited by another.
    pub const transit: u32 = 0x8000_0003;
    /// The kernel may still write to it for a loop that is closed.
    pub const lost: u32 = 0x8000_0004;
};

/// What a block was taken for.
pub const Use = enum(u8) {
    none = 0,
    script,
    /// Filled by one receive.
    receive,
    /// Filled by several receives, which are done.
    parts,
    /// Received from another loop, which filled it.
    moved,
    adopted,
    /// Filled by several receives, and the backend goes on with it. It holds no reference.
    shared,

    /// Whether it just becomes free with its last reference.
    pub fn is_plain(self: Use) bool {
        return @intFromEnum(self) < @intFromEnum(Use.adopted);
    }

    pub fn is_received(self: Use) bool {
        return self == .receive or self == .parts or self == .moved or self == .shared;
    }
};

pub const State = struct {
    /// Generation << 32 | owner. The generation changes when the last reference goes.
    tag: std.atomic.Value(u64),
    references: u32,
    /// How many of the references are the script's own, which alone it may release.
    script_references: u32,
    /// The next block of whatever list holds this one.
    next: u32,
    /// Bytes received, while a connection holds the block back; in an arena's list the previous
    /// block; in quarantine when it came, in milliseconds.
    length: u32,
    bytes: u32,
    use: Use,
    /// Size class of a block in use or just freed, or what stands for none.
    class: u8,
    /// Deliveries that the script may read until the next turn; at most one unless it has parts.
    borrowed: u16,
    /// Connection that answers for a received buffer, or `none`; in transit the pool that left it.
    account: u32,
    account_generation: u32,

    pub fn owner(self: *const State) u32 {
        return @truncate(self.tag.load(.acquire));
    }

    pub fn generation(self: *const State) u32 {
        return @truncate(self.tag.load(.monotonic) >> 32);
    }

    /// Hands the block over; what was written to it before is seen by who finds itself the owner.
    pub fn set_owner(self: *State, to: u32) void {
        const kept = self.tag.load(.monotonic) & ~@as(u64, std.math.maxInt(u32));
        self.tag.store(kept | to, .release);
    }

    /// Makes every handle stale.
    pub fn next_generation(self: *State) void {
        const tag = self.tag.load(.monotonic);
        self.tag.store(tag +% (1 << 32), .monotonic);
    }
};

pub fn tag_of(generation: u32, owner: u32) u64 {
    return @as(u64, generation) << 32 | owner;
}

pub const Slab = struct {
    base: [*]u8,
    bytes: u32,
    units: u32,
    states: [*]State,
    /// Number of its arena; `none` for memory of the application.
    arena: u32,
};

var table: [numbers_max]Slab = undefined;
/// Slabs below this are complete; an entry is written before it is counted.
var count: std.atomic.Value(u32) = .init(0);
/// Numbers that were used for adopted memory, counted in the same way.
var adopted_count: std.atomic.Value(u32) = .init(0);
var lock: Lock = .{};
/// Numbers of adopted memory that is nobody's any more, to be used again.
var spare: [adopted_max]u32 = undefined;
var spare_count: u32 = 0;

pub fn slab_count() u32 {
    return count.load(.acquire);
}

/// The first number of adopted memory; those from there on have been used.
pub fn first_adopted() u32 {
    return numbers_max - adopted_count.load(.acquire);
}

/// Whether a number is that of a slab or of memory that is or was adopted.
pub fn exists(number: u32) bool {
    return number < slab_count() or (number >= first_adopted() and number < numbers_max);
}

pub fn slab_at(number: u32) *const Slab {
    std.debug.assert(exists(number));
    return &table[number];
}

pub fn slab_of(name: u32) u32 {
    return name >> shift;
}

pub fn name_of(slab: u32, unit: u32) u32 {
    return slab << shift | unit;
}

pub fn unit_of(name: u32) u32 {
    return name & ((1 << shift) - 1);
}

/// The state of a name that is known to be one.
pub fn state(name: u32) *State {
    return &table[slab_of(name)].states[unit_of(name)];
}

/// The state of what a script says is a name; null when there is no such unit.
pub fn find(name: u32) ?*State {
    if (!exists(slab_of(name))) return null;
    const slab = &table[slab_of(name)];
    if (unit_of(name) >= slab.units) return null;
    return &slab.states[unit_of(name)];
}

pub fn pointer(name: u32) [*]u8 {
    return table[slab_of(name)].base + @as(usize, unit_of(name)) * unit_bytes;
}

/// Enters a slab of an arena. Its number, or null when the table is full or there is no memory for
/// the states.
pub fn add(memory: []u8, arena: u32) ?u32 {
    std.debug.assert(memory.len <= bytes_max and memory.len % unit_bytes == 0);
    const units: u32 = @intCast(memory.len / unit_bytes);
    const states = mapped.allocate(State, units) catch return null;
    lock.acquire();
    defer lock.release();
    const number = append(.{
        .base = memory.ptr,
        .bytes = @intCast(memory.len),
        .units = units,
        .states = states.ptr,
        .arena = arena,
    }) orelse {
        mapped.free(State, states);
        return null;
    };
    return number;
}

fn append(slab: Slab) ?u32 {
    const number = count.load(.monotonic);
    if (number == slabs_max) return null;
    table[number] = slab;
    count.store(number + 1, .release);
    return number;
}

/// Enters memory of the application as one block of `owner`; null when the table is full.
pub fn adopt(base: [*]u8, bytes: u32, owner: u32) ?u32 {
    std.debug.assert(bytes > 0 and bytes <= bytes_max);
    lock.acquire();
    defer lock.release();
    const number = if (spare_count > 0) take: {
        spare_count -= 1;
        break :take spare[spare_count];
    } else new: {
        const states = mapped.allocate(State, 1) catch return null;
        const used = adopted_count.load(.monotonic);
        if (used == adopted_max) {
            mapped.free(State, states);
            return null;
        }
        const made = numbers_max - 1 - used;
        table[made] = .{
            .base = base,
            .bytes = bytes,
            .units = 1,
            .states = states.ptr,
            .arena = none,
        };
        adopted_count.store(used + 1, .release);
        break :new made;
    };
    table[number].base = base;
    table[number].bytes = bytes;
    const name = name_of(number, 0);
    state(name).bytes = bytes;
    state(name).use = .adopted;
    state(name).set_owner(owner);
    return name;
}

/// Ends an adoption whose last reference is gone.
pub fn forget(name: u32) void {
    const adopted = state(name);
    std.debug.assert(adopted.use == .adopted and adopted.references == 0);
    adopted.next_generation();
    adopted.set_owner(Owner.nobody);
    lock.acquire();
    defer lock.release();
    spare[spare_count] = slab_of(name);
    spare_count += 1;
}

/// The child of a fork has none of its parent's memory.
pub fn reset() void {
    lock = .{};
    spare_count = 0;
    count.store(0, .release);
    adopted_count.store(0, .release);
}

comptime {
    std.debug.assert(@sizeOf(State) == 40);
    std.debug.assert((bytes_max / unit_bytes) <= 1 << shift);
}

test "a name is found only where there is a unit" {
    const memory = try mapped.allocate(u8, 1 << 16);
    const slab = add(memory, none) orelse return error.OutOfMemory;
    try std.testing.expect(find(name_of(slab, 127)) != null);
    try std.testing.expect(find(name_of(slab, 128)) == null);
    try std.testing.expect(find(name_of(slabs_max - 1, 0)) == null);
    try std.testing.expect(find(name_of(slabs_max, 0)) == null);
    try std.testing.expect(find(none) == null);
    try std.testing.expectEqual(memory.ptr + 512, pointer(name_of(slab, 1)));
}

test "a number of adopted memory is used again, with another generation" {
    var bytes: [64]u8 = undefined;
    const first = adopt(&bytes, bytes.len, 5).?;
    const before = state(first).generation();
    try std.testing.expectEqual(@as(u32, 5), state(first).owner());
    forget(first);
    try std.testing.expectEqual(Owner.nobody, state(first).owner());
    const second = adopt(&bytes, 32, 6).?;
    try std.testing.expectEqual(first, second);
    try std.testing.expect(state(second).generation() != before);
    forget(second);
}
