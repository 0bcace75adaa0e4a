//! One loop's side of the memory: the blocks that are in use, and the references on them.
//!
//! Invariants: a free block has no references; its generation changes when the last
//! one goes, so a stale handle never matches; whatever a script asks, it only gives back what it
//! holds; received blocks leave the script room for its own, and the other way round. Used by the
//! loop's thread only.

const std = @import("std");
const arena_module = @import("arena.zig");
const Arena = arena_module.Arena;
const classes = @import("classes.zig");
const Device = @import("devices.zig").Device;
const Devices = @import("devices.zig").Devices;
const members = @import("members.zig");
const slabs = @import("slabs.zig");
const Supply = @import("supply.zig").Supply;
const transit = @import("transit.zig");

/// What a freed block is overwritten with, where that is asked for: no text, no small number, no
/// address.
pub const poison_byte: u8 = 0xdb;

pub const Options = struct {
    kind: arena_module.Kind,
    max_bytes: u64,
    /// Of a receive buffer; a size class.
    buffer_size: u32,
    /// Receive buffers that the backend may hold.
    receive_count: u32,
    quarantine_count: u32 = 0,
    quarantine_ms: u32 = 0,
    poison: bool = false,
};

/// A block whose last reference went.
pub const Freed = struct {
    /// A connection answers for it.
    received: bool,
    account: u32,
    account_generation: u32,
};

pub const Pool = struct {
    buffer_size: u32,
    receive_class: u32,
    receive_count: u32,
    /// Most received blocks that may be in use beside those that the backend has.
    receive_limit: u32,
    /// Most that the script may take.
    script_limit_bytes: u64,

    buffers_in_use: u32,
    /// Received blocks in use.
    received_in_use: u32,
    /// Taken by the script and in use, whoever holds them now.
    script_bytes: u64,
    adopted_bytes: u64,
    /// Blocks on which the script owns references. Not as wide as `buffers_in_use`: compilers would
    /// join the two to one access, which waits for the stores before it.
    leases: u64,
    /// With the backend, free.
    with_backend: u32,
    refused: u64,

    poison: bool,
    /// It was given blocks of other arenas, and may have some.
    has_foreign: bool,
    /// Blocks that become free may be given out again at once.
    is_plain: bool,
    /// Adopted memory that nobody uses any more and the script has not been told of.
    released_head: u32,
    released_count: u32,
    devices: Devices,
    supply: Supply,

    /// `self` must stay where it is afterwards.
    pub fn init(self: *Pool, options: Options) error{OutOfMemory}!void {
        const shared = arena_module.of(options.kind) orelse return error.OutOfMemory;
        const own = members.join() orelse return error.OutOfMemory;
        errdefer _ = members.leave(own);
        shared.join(options.max_bytes);
        errdefer shared.leave(options.max_bytes);
        if (!shared.has_slab()) return error.OutOfMemory;
        const backend_bytes = @as(u64, options.receive_count) * options.buffer_size;
        const receive_bytes = options.max_bytes - options.max_bytes / 8 - backend_bytes;
        const receive_limit = @min(receive_bytes / options.buffer_size, std.math.maxInt(u32) / 2);
        self.* = .{
            .buffer_size = options.buffer_size,
            .receive_class = classes.of(options.buffer_size),
            .receive_count = options.receive_count,
            .receive_limit = @intCast(receive_limit),
            .script_limit_bytes = options.max_bytes - backend_bytes,
            .buffers_in_use = 0,
            .received_in_use = 0,
            .script_bytes = 0,
            .adopted_bytes = 0,
            .leases = 0,
            .with_backend = 0,
            .refused = 0,
            .poison = options.poison,
            .has_foreign = false,
            .is_plain = !options.poison and options.quarantine_count == 0 and
                options.quarantine_ms == 0,
            .released_head = slabs.none,
            .released_count = 0,
            .devices = .empty,
            .supply = undefined,
        };
        self.supply.init(.{
            .arena = shared,
            .number = own,
            .max_bytes = options.max_bytes,
            .quarantine_count = options.quarantine_count,
            .quarantine_ms = options.quarantine_ms,
        });
    }

    /// `idle`: nobody outside writes to the pool's blocks any more, so other loops may have them.
    pub fn deinit(self: *Pool, idle: bool) void {
        self.supply.scavenge();
        self.forget_adopted();
        arena_module.reclaim(self.number(), !idle, if (self.has_foreign) null else self.arena());
        const left_bytes: i64 = @intCast(members.leave(self.number()));
        self.arena().note_orphans(left_bytes);
        self.arena().leave(self.supply.max_bytes);
        self.* = undefined;
    }

    fn forget_adopted(self: *Pool) void {
        for (slabs.first_adopted()..slabs.numbers_max) |slab| {
            const name = slabs.name_of(@intCast(slab), 0);
            if (slabs.state(name).owner() != self.number()) continue;
            slabs.state(name).references = 0;
            slabs.forget(name);
        }
    }

    pub fn arena(self: *const Pool) *Arena {
        return self.supply.arena;
    }

    /// The owner in the states of its blocks.
    pub fn number(self: *const Pool) u32 {
        return self.supply.number;
    }

    pub fn pointer(self: *const Pool, name: u32) [*]u8 {
        _ = self;
        return slabs.pointer(name);
    }

    pub fn state(self: *const Pool, name: u32) *slabs.State {
        _ = self;
        return slabs.state(name);
    }

    /// Ends the script's borrow of a block; false when it has none, because the block was
    /// transferred meanwhile.
    pub fn end_borrow(self: *Pool, name: u32) bool {
        const lent = slabs.state(name);
        if (lent.owner() != self.number() or lent.borrowed == 0) return false;
        lent.borrowed -= 1;
        return true;
    }

    /// Whether the handle names a block of this pool that somebody holds.
    pub fn valid(self: *const Pool, name: u32, generation: u32) bool {
        const found = slabs.find(name) orelse return false;
        if (found.tag.load(.acquire) != slabs.tag_of(generation, self.number())) return false;
        return found.references > 0;
    }

    /// A block of at least so many bytes with one reference, the script's; null when there is none,
    /// or `bytes` is more than a slab.
    pub inline fn take(self: *Pool, bytes: u32) ?u32 {
        return some(self.take_or_none(bytes));
    }

    fn take_or_none(self: *Pool, bytes: u32) u32 {
        std.debug.assert(bytes > 0);
        if (bytes > classes.bytes_max) return self.take_run(bytes);
        const class = classes.of(bytes);
        const size = classes.bytes_of(class);
        if (self.script_bytes + size > self.script_limit_bytes) return self.refuse();
        const name = self.supply.take_class(class);
        if (name == slabs.none) return self.refuse();
        self.hand_to_script(name, size, class);
        return name;
    }

    pub inline fn hand_to_script(self: *Pool, name: u32, bytes: u32, class: u32) void {
        const taken = slabs.state(name);
        taken.references = 1;
        taken.script_references = 1;
        taken.use = .script;
        taken.class = @intCast(class);
        self.script_bytes += bytes;
        self.leases +%= 1;
        self.buffers_in_use +%= 1;
    }

    noinline fn take_run(self: *Pool, bytes: u32) u32 {
        if (bytes > self.arena().kind.slab_bytes) return slabs.none;
        const size = classes.round(bytes);
        if (self.script_bytes + size > self.script_limit_bytes) return self.refuse();
        const name = self.supply.take_run(size);
        if (name == slabs.none) return self.refuse();
        self.hand_to_script(name, size, classes.run);
        return name;
    }

    /// A receive buffer for the backend; null when none is to be had. It is free, and nobody's to
    /// name, until `received`.
    pub inline fn take_for_backend(self: *Pool) ?u32 {
        return some(self.take_for_backend_or_none());
    }

    fn take_for_backend_or_none(self: *Pool) u32 {
        if (self.with_backend + self.received_in_use >= self.receive_limit + self.receive_count) {
            return self.refuse();
        }
        const name = self.supply.take_class_patiently(self.receive_class);
        if (name == slabs.none) return self.refuse();
        slabs.state(name).use = .receive;
        slabs.state(name).class = @intCast(self.receive_class);
        self.with_backend += 1;
        return name;
    }

    inline fn some(name: u32) ?u32 {
        return if (name == slabs.none) null else name;
    }

    /// The backend has filled a buffer: its first reference, for which a connection answers.
    pub fn received(self: *Pool, name: u32, account: u32, account_generation: u32) void {
        const filled = slabs.state(name);
        std.debug.assert(filled.references == 0);
        filled.references = 1;
        filled.script_references = 0;
        filled.account = account;
        filled.account_generation = account_generation;
        self.with_backend -= 1;
        self.received_in_use += 1;
        self.buffers_in_use +%= 1;
    }

    /// The backend has filled a part of a buffer, `last` its last one: a reference, for which
    /// nobody answers. As long as the buffer is the backend's as well it goes back to it, instead
    /// of becoming free, with the last reference.
    pub fn received_part(self: *Pool, name: u32, last: bool) void {
        const filled = slabs.state(name);
        if (filled.references == 0) {
            filled.script_references = 0;
            self.with_backend -= 1;
            self.received_in_use += 1;
            self.buffers_in_use +%= 1;
        }
        filled.references += 1;
        filled.use = if (last) .parts else .shared;
    }

    /// Received blocks that may still be in use beside those that are.
    pub fn receive_free(self: *const Pool) u32 {
        return self.receive_limit + self.receive_count -| self.received_in_use;
    }

    /// Whether less than half of what may be received is left.
    pub fn receive_is_scarce(self: *const Pool) bool {
        return self.receive_free() < (self.receive_limit + self.receive_count) / 2;
    }

    /// Whether so many bytes for the script, which were refused, may be asked for again.
    pub fn may_take(self: *const Pool, bytes: u32) bool {
        if (bytes == 0) return true;
        if (self.supply.short != 0) return false;
        const wanted = @min(bytes, self.script_limit_bytes);
        if (self.script_bytes + wanted > self.script_limit_bytes) return false;
        return self.supply.obtainable_bytes(wanted) >= wanted;
    }

    /// Leased, borrowed, held back, or waiting to be sent.
    pub fn in_use_bytes(self: *const Pool) u64 {
        const with_backend_bytes = @as(u64, self.with_backend) * self.buffer_size;
        const free_bytes = self.supply.cache.bytes() + self.supply.quarantine.bytes;
        return self.supply.held_bytes - with_backend_bytes - free_bytes;
    }

    fn refuse(self: *Pool) u32 {
        self.refused += 1;
        return slabs.none;
    }

    /// One more reference; false when there are too many to count.
    pub fn retain(self: *Pool, name: u32) bool {
        _ = self;
        const held = slabs.state(name);
        std.debug.assert(held.references > 0);
        if (held.references == std.math.maxInt(u32)) return false;
        held.references += 1;
        return true;
    }

    /// One more reference of the script; false when there are too many to count.
    pub fn script_retain(self: *Pool, name: u32) bool {
        if (!self.retain(name)) return false;
        const held = slabs.state(name);
        if (held.script_references == 0) self.leases += 1;
        held.script_references += 1;
        return true;
    }

    /// Takes one reference from the script for somebody else to hold; false when it has none.
    pub fn take_from_script(self: *Pool, name: u32) bool {
        const held = slabs.state(name);
        if (held.script_references == 0) return false;
        held.script_references -= 1;
        if (held.script_references == 0) self.leases -= 1;
        return true;
    }

    /// Makes one reference that somebody else holds the script's.
    pub fn give_to_script(self: *Pool, name: u32) void {
        const held = slabs.state(name);
        std.debug.assert(held.references > held.script_references);
        if (held.script_references == 0) self.leases += 1;
        held.script_references += 1;
    }

    /// One reference less; what the block was, when that was the last.
    pub inline fn release(self: *Pool, name: u32) ?Freed {
        const held = slabs.state(name);
        std.debug.assert(held.references > 0);
        held.references -= 1;
        std.debug.assert(held.references >= held.script_references);
        return if (held.references > 0) null else self.free(name, held);
    }

    fn free(self: *Pool, name: u32, held: *slabs.State) Freed {
        self.supply.note_free();
        self.end_use(held);
        held.next_generation();
        if (self.is_plain and held.use.is_plain()) {
            self.supply.give_back(name, held.class, false);
        } else {
            self.free_specially(name, held);
        }
        return freed_of(held);
    }

    pub inline fn freed_of(held: *const slabs.State) Freed {
        return .{
            .received = held.use == .receive or held.use == .moved,
            .account = held.account,
            .account_generation = held.account_generation,
        };
    }

    pub inline fn end_use(self: *Pool, held: *const slabs.State) void {
        switch (held.use) {
            .script => self.script_bytes -= held.bytes,
            .receive, .parts => self.received_in_use -= 1,
            .moved => self.received_in_use -= self.receive_buffers_of(held.bytes),
            .shared => {
                self.received_in_use -= 1;
                self.with_backend += 1;
            },
            .adopted => return,
            .none => unreachable,
        }
        self.buffers_in_use -%= 1;
    }

    noinline fn free_specially(self: *Pool, name: u32, held: *slabs.State) void {
        if (held.use == .shared) return;
        if (held.use == .adopted) {
            self.adopted_bytes -= held.bytes;
            held.next = self.released_head;
            self.released_head = name;
            self.released_count += 1;
            return;
        }
        if (self.poison) @memset(slabs.pointer(name)[0..held.bytes], poison_byte);
        self.supply.give_back(name, held.class, self.supply.quarantine.wanted());
    }

    /// A device that must know the slabs; false when there are too many of them.
    pub fn add_device(self: *Pool, device: Device) bool {
        return self.devices.add(device, self.arena().number);
    }

    /// Before the devices end.
    pub fn remove_devices(self: *Pool) void {
        self.devices.remove_all(self.arena().number);
    }

    /// Registers slabs that came since the last time with the pool's devices.
    pub fn register_new_slabs(self: *Pool) void {
        if (self.devices.count > 0) self.devices.register_new(self.arena().number);
    }

    // Between pools.
    pub const TransferError = transit.TransferError;
    pub const transfer = transit.transfer;
    pub const move = transit.move;
    pub const receive = transit.receive;
    pub const receive_moved = transit.receive_moved;
    pub const discard = transit.discard;

    /// How many receive buffers a block of so many bytes counts for.
    fn receive_buffers_of(self: *const Pool, bytes: u32) u32 {
        return @max(1, bytes >> std.math.log2_int(u32, self.buffer_size));
    }

    /// A block from elsewhere counts as received from now on; a connection answers for it.
    pub fn note_moved(self: *Pool, bytes: u32) void {
        self.received_in_use += self.receive_buffers_of(bytes);
        self.buffers_in_use +%= 1;
    }

    /// Makes memory of the application a block with one reference, the script's; null when there
    /// are too many.
    pub fn adopt(self: *Pool, base: [*]u8, bytes: u32) ?u32 {
        const name = slabs.adopt(base, bytes, self.number()) orelse {
            self.refused += 1;
            return null;
        };
        const adopted = slabs.state(name);
        adopted.references = 1;
        adopted.script_references = 1;
        self.adopted_bytes += bytes;
        self.leases += 1;
        return name;
    }

    pub const Adopted = struct { name: u32, generation: u32 };

    /// Adopted memory that nobody uses any more; the script is to be told.
    pub fn take_released(self: *Pool) ?Adopted {
        if (self.released_count == 0) return null;
        const name = self.released_head;
        const adopted = slabs.state(name);
        // The generation that the script knows.
        const generation = adopted.generation() -% 1;
        self.released_head = adopted.next;
        self.released_count -= 1;
        slabs.forget(name);
        return .{ .name = name, .generation = generation };
    }
};
