//! What an open connection is asked about by the way it behaves. The options of its socket are the
//! kernel's once it is open, and are not kept.

const layout = @import("../layout.zig");

/// As in `layout.StreamOptions`.
pub const Settings = struct {
    high_water_mark: u32,
    linger_timeout_ms: u32,
    allow_half_open: u32,
    receive_credits: u32,
    idle_timeout_ms: u32,
    descriptors: u32,
    segmenter: layout.Segmenter,

    pub fn of(options: *const layout.StreamOptions) Settings {
        return .{
            .high_water_mark = options.high_water_mark,
            .linger_timeout_ms = options.linger_timeout_ms,
            .allow_half_open = options.allow_half_open,
            .receive_credits = options.receive_credits,
            .idle_timeout_ms = options.idle_timeout_ms,
            .descriptors = options.descriptors,
            .segmenter = options.segmenter,
        };
    }
};
