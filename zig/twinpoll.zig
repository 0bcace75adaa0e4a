//! Root of the library: everything it exports is in `abi/exports.zig`.

const std = @import("std");

/// For the benchmark of the memory.
pub const Pool = @import("memory/pool.zig").Pool;

comptime {
    _ = @import("abi/exports.zig");
}

test {
    _ = @import("abi/exports.zig");
    _ = @import("abi/datagram_test.zig");
    _ = @import("abi/doorbell_test.zig");
    _ = @import("abi/fork_test.zig");
    _ = @import("abi/inproc_test.zig");
    _ = @import("abi/instance_test.zig");
    _ = @import("abi/layout_hash.zig");
    _ = @import("abi/listening_test.zig");
    _ = @import("abi/lookup_test.zig");
    _ = @import("abi/moving_test.zig");
    _ = @import("abi/options.zig");
    _ = @import("abi/opening_test.zig");
    _ = @import("abi/probe.zig");
    _ = @import("abi/ring_options_test.zig");
    _ = @import("abi/watch_test.zig");
    _ = @import("backend/buffer_demand.zig");
    _ = @import("backend/buffer_ring.zig");
    _ = @import("backend/epoll.zig");
    _ = @import("backend/io_uring.zig");
    _ = @import("backend/io_uring_kernel_test.zig");
    _ = @import("backend/io_uring_test.zig");
    _ = @import("backend/kqueue.zig");
    _ = @import("backend/message_test.zig");
    _ = @import("backend/readiness.zig");
    _ = @import("backend/ring_test.zig");
    _ = @import("backend/select.zig");
    _ = @import("backend/simulated.zig");
    _ = @import("backend/simulated/completions.zig");
    _ = @import("backend/simulated/pipe.zig");
    _ = @import("fuzz/corpus.zig");
    _ = @import("fuzz/input.zig");
    _ = @import("fuzz/mutate.zig");
    _ = @import("fuzz/values.zig");
    _ = @import("loop/doorbells.zig");
    _ = @import("loop/loop.zig");
    _ = @import("loop/policy.zig");
    _ = @import("loop/timers.zig");
    _ = @import("loop/waker.zig");
    _ = @import("memory/buddies.zig");
    _ = @import("memory/cache.zig");
    _ = @import("memory/classes.zig");
    _ = @import("memory/list.zig");
    _ = @import("memory/mapped.zig");
    _ = @import("memory/members.zig");
    _ = @import("memory/pool_model_test.zig");
    _ = @import("memory/pool_test.zig");
    _ = @import("memory/quarantine.zig");
    _ = @import("memory/regions.zig");
    _ = @import("memory/slabs.zig");
    _ = @import("memory/stock.zig");
    _ = @import("net/address.zig");
    _ = @import("net/connection.zig");
    _ = @import("net/given.zig");
    _ = @import("net/datagram_queue.zig");
    _ = @import("net/held.zig");
    _ = @import("net/passing.zig");
    _ = @import("net/inproc/inbox.zig");
    _ = @import("net/inproc/names.zig");
    _ = @import("net/inproc/ring.zig");
    _ = @import("net/segmenter.zig");
    _ = @import("net/segmenter_test.zig");
    _ = @import("net/resolve/config.zig");
    _ = @import("net/resolve/hosts.zig");
    _ = @import("net/resolve/ip.zig");
    _ = @import("net/resolve/lookup.zig");
    _ = @import("net/resolve/requests.zig");
    _ = @import("net/resolve/names.zig");
    _ = @import("net/resolve/message.zig");
    _ = @import("net/attempts.zig");
    _ = @import("net/resolving.zig");
    _ = @import("net/relays.zig");
    _ = @import("net/send_queue.zig");
    _ = @import("net/transit.zig");
    _ = @import("simulation/attempts_test.zig");
    _ = @import("simulation/close_test.zig");
    _ = @import("simulation/listening_test.zig");
    _ = @import("sys/datagram_options.zig");
    _ = @import("sys/datagrams.zig");
    _ = @import("sys/error_numbers.zig");
    _ = @import("sys/fork.zig");
    _ = @import("sys/host.zig");
    _ = @import("sys/kernel.zig");
    _ = @import("sys/lines.zig");
    _ = @import("sys/lock.zig");
    _ = @import("sys/machine.zig");
    _ = @import("sys/memory_facts.zig");
    _ = @import("sys/pages.zig");
    _ = @import("sys/random.zig");
    _ = @import("sys/rights.zig");
    _ = @import("sys/select.zig");
    _ = @import("sys/sockets.zig");
    _ = @import("sys/uring_test.zig");
    _ = @import("sys/wait_any.zig");
    _ = @import("sys/wake_set.zig");
    _ = @import("watch/watches.zig");
}
