//! Blocks on their way from one pool to another one of the process: methods of `Pool`.
//!
//! Invariants: who gives a block away has all references on it; in transit it has none, counts for
//! the pool that left it, and belongs to the first that names it with its generation, whichever
//! thread that is on. Used by the thread of the pool.

const members = @import("members.zig");
const arena_module = @import("arena.zig");
const classes = @import("classes.zig");
const pool_module = @import("pool.zig");
const Freed = pool_module.Freed;
const Pool = pool_module.Pool;
const slabs = @import("slabs.zig");

pub const TransferError = error{ Stale, Busy, Adopted };

/// Puts a block in transit to another pool. `references` of the script's, and a borrow if it
/// is borrowed, must be all that there are.
pub fn transfer(
    pool: *Pool,
    name: u32,
    generation: u32,
    references: u32,
) TransferError!Freed {
    if (!pool.valid(name, generation)) return error.Stale;
    const held = slabs.state(name);
    if (held.use == .adopted) return error.Adopted;
    if (held.use == .shared or held.borrowed > 1) return error.Busy;
    if (held.script_references != references) return error.Busy;
    const all = @as(u64, references) + held.borrowed;
    if (held.references != all) return error.Busy;
    if (references > 0) pool.leases -= 1;
    return put_in_transit(pool, held);
}

/// Puts a block in transit on which the caller has the only reference; null, and nothing done,
/// where somebody uses it too or it is memory of the application.
pub fn move(pool: *Pool, name: u32) ?Freed {
    const held = slabs.state(name);
    if (held.references != 1 or held.script_references != 0 or held.borrowed != 0) return null;
    if (held.use == .adopted or held.use == .shared) return null;
    return put_in_transit(pool, held);
}

fn put_in_transit(pool: *Pool, held: *slabs.State) Freed {
    const freed = Pool.freed_of(held);
    pool.end_use(held);
    pool.supply.held_bytes -= held.bytes;
    pool.supply.note_free();
    members.put_in_transit(pool.number(), held.bytes);
    held.references = 0;
    held.script_references = 0;
    held.borrowed = 0;
    held.account = pool.number();
    held.set_owner(slabs.Owner.transit);
    return freed;
}

/// Takes over a block in transit, with one reference, the script's; false when the handle names
/// none. It may exceed the budget: then nothing else is had until enough was released.
pub fn receive(pool: *Pool, name: u32, generation: u32) bool {
    const found = take_over(pool, name, generation) orelse return false;
    pool.hand_to_script(name, found.bytes, class_of_received(pool, name, found.bytes));
    return true;
}

/// Takes over a block in transit with one reference, for which a connection answers, as for one
/// that the backend has filled; false when the handle names none.
pub fn receive_moved(
    pool: *Pool,
    name: u32,
    generation: u32,
    account: u32,
    account_generation: u32,
) bool {
    const found = take_over(pool, name, generation) orelse return false;
    found.references = 1;
    found.script_references = 0;
    found.use = .moved;
    found.class = @intCast(class_of_received(pool, name, found.bytes));
    found.account = account;
    found.account_generation = account_generation;
    pool.note_moved(found.bytes);
    return true;
}

/// Takes over a block in transit that nobody wants, and frees it.
pub fn discard(pool: *Pool, name: u32, generation: u32) void {
    if (!pool.receive_moved(name, generation, slabs.none, 0)) return;
    _ = pool.release(name);
}

fn take_over(pool: *Pool, name: u32, generation: u32) ?*slabs.State {
    const found = slabs.find(name) orelse return null;
    const expected = slabs.tag_of(generation, slabs.Owner.transit);
    const wanted = slabs.tag_of(generation, pool.number());
    if (found.tag.cmpxchgStrong(expected, wanted, .acquire, .monotonic) != null) return null;
    if (!members.received(found.account, found.bytes)) {
        arena_module.of_block(name).note_orphans(-@as(i64, found.bytes));
    }
    pool.supply.held_bytes += found.bytes;
    return found;
}

fn class_of_received(pool: *Pool, name: u32, bytes: u32) u32 {
    if (slabs.slab_at(slabs.slab_of(name)).arena != pool.arena().number) {
        pool.has_foreign = true;
        return classes.foreign;
    }
    return if (bytes <= classes.bytes_max) classes.of(bytes) else classes.run;
}
