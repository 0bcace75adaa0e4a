//! Where it is told that a received buffer is not used any more, when others than those who found
//! that out answer for it.

const Freed = @import("../memory/pool.zig").Freed;

pub const Returns = struct {
    context: *anyopaque,
    returned: *const fn (context: *anyopaque, freed: Freed) void,

    pub fn tell(self: Returns, freed: Freed) void {
        self.returned(self.context, freed);
    }
};
