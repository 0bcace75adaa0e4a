//! The devices that want a pool's slabs registered before they touch them: a ring of the kernel,
//! and in the same way a network or storage device that reads memory by itself.
//!
//! Invariant: each device is told of each slab of the pool's arena once, on the loop's thread, when
//! the loop opens and when the arena has grown; no operation ever registers.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const slabs = @import("slabs.zig");

pub const devices_max = 4;

pub const Device = struct {
    context: *anyopaque,
    /// Of a slab by its number: 0, or a negated errno.
    register: *const fn (context: *anyopaque, number: u32, memory: []u8) i32,
    unregister: *const fn (context: *anyopaque, number: u32) void,
};

pub const Devices = struct {
    devices: [devices_max]Device,
    grants: [devices_max]layout.MemoryGrant,
    count: u32,
    /// Slabs of the process that were looked at.
    seen: u32,

    pub const empty: Devices = .{
        .devices = undefined,
        .grants = undefined,
        .count = 0,
        .seen = 0,
    };

    /// Tells the device of every slab of the arena; false when there are too many devices.
    pub fn add(self: *Devices, device: Device, arena: u32) bool {
        if (self.count == devices_max) return false;
        self.devices[self.count] = device;
        self.grants[self.count] = .{ .asked = 1, .granted = 1, .slabs = 0, .error_errno = 0 };
        self.register_new(arena);
        self.count += 1;
        for (0..self.seen) |number| self.tell(self.count - 1, @intCast(number), arena);
        return true;
    }

    /// Tells the devices of slabs that came since the last time.
    pub fn register_new(self: *Devices, arena: u32) void {
        const present = slabs.slab_count();
        while (self.seen < present) : (self.seen += 1) {
            for (0..self.count) |index| self.tell(@intCast(index), self.seen, arena);
        }
    }

    fn tell(self: *Devices, index: u32, number: u32, arena: u32) void {
        const slab = slabs.slab_at(number);
        if (slab.arena != arena) return;
        const device = self.devices[index];
        const rc = device.register(device.context, number, slab.base[0..slab.bytes]);
        const grant = &self.grants[index];
        if (rc >= 0) {
            grant.slabs += 1;
        } else {
            grant.granted = 0;
            if (grant.error_errno == 0) grant.error_errno = kernel.errno_of(rc);
        }
    }

    /// Before the devices end.
    pub fn remove_all(self: *Devices, arena: u32) void {
        for (self.devices[0..self.count]) |device| {
            for (0..self.seen) |number| {
                if (slabs.slab_at(@intCast(number)).arena != arena) continue;
                device.unregister(device.context, @intCast(number));
            }
        }
        self.count = 0;
    }

    /// How the first device, the loop's backend, took the slabs; null when it was not asked.
    pub fn grant_of_backend(self: *const Devices) ?layout.MemoryGrant {
        return if (self.count == 0) null else self.grants[0];
    }
};
