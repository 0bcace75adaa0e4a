//! What the library must refuse, found out another way than it does: from what the script knows of
//! its connections and listeners, and from the slabs themselves. Used by the loop's thread.

const std = @import("std");
const layout = @import("../layout.zig");
const registry = @import("../abi/registry.zig");
const slabs = @import("../memory/slabs.zig");
const OpenLoop = @import("open_loop.zig").OpenLoop;
const Submission = @import("region.zig").Submission;

/// The state of a buffer that a loop has in use; null when the handle names none.
pub fn buffer_of(loop: u32, name: u32, generation: u32) ?*const slabs.State {
    const owner = switch (registry.find(loop) catch return null) {
        inline else => |instance| instance.pool.number(),
    };
    const number = name >> layout.buffer_slab_shift;
    if (!slabs.exists(number)) return null;
    const unit = name & ((1 << layout.buffer_slab_shift) - 1);
    const slab = slabs.slab_at(number);
    if (unit >= slab.units) return null;
    const state = &slab.states[unit];
    if (state.owner() != owner or state.generation() != generation) return null;
    return if (state.references > 0) state else null;
}

/// Whether a script may release the buffer.
pub fn is_leased(loop: u32, name: u32, generation: u32) bool {
    const state = buffer_of(loop, name, generation) orelse return false;
    return state.script_references > 0;
}

const of_connections: std.EnumSet(layout.Operation) = .initMany(&.{
    .pause, .unpause, .shutdown, .close, .abort, .want_drain, .detach,
});

/// False when a submission must be refused. True when it may be taken.
pub fn may_apply(loop: *const OpenLoop, submission: *const Submission) bool {
    const number: u8 = @truncate(submission[0]);
    const operation = std.enums.fromInt(layout.Operation, number) orelse return false;
    const slot = submission[1];
    const generation = submission[2];
    const is_alive = loop.connections.has(slot, generation) != false;
    return switch (operation) {
        .none => false,
        .send => may_send(loop, @bitCast(submission.*)),
        .retain => buffer_of(loop.handle, submission[3], submission[4]) != null,
        .release => is_leased(loop.handle, submission[3], submission[4]),
        .timer_start => may_start(loop, @bitCast(submission.*)),
        .timer_stop => slot < loop.region.options.max_timers,
        .listener_close => loop.listeners.has(slot, generation) != false,
        // What is not known here may be right.
        else => is_alive or !of_connections.contains(operation),
    };
}

fn may_send(loop: *const OpenLoop, entry: layout.SendEntry) bool {
    if (loop.connections.has(entry.slot, entry.generation) == false) return false;
    const state = buffer_of(loop.handle, entry.buffer, entry.buffer_generation) orelse return false;
    if (entry.flags & layout.send_flag_move != 0 and state.script_references == 0) return false;
    const end = @as(u64, entry.offset) + entry.length;
    return entry.length > 0 and end <= state.bytes;
}

fn may_start(loop: *const OpenLoop, entry: layout.TimerEntry) bool {
    if (entry.slot >= loop.region.options.max_timers) return false;
    for ([_]f64{ entry.delay_us, entry.period_us }) |time_us| {
        if (!std.math.isFinite(time_us) or time_us < 0 or time_us > 1 << 53) return false;
    }
    return entry.period_us == 0 or entry.period_us >= 1;
}
