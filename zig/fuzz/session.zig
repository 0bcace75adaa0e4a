//! The process that runs inputs, one after the other, for as long as it is fresh: slabs and regions
//! are never unmapped, so after a few hundred inputs another process goes on. It first runs the
//! corpus over every backend that there is, then what it makes of it. What is to survive it is in
//! `Shared`.

const std = @import("std");
const layout = @import("../layout.zig");
const host = @import("../sys/host.zig");
const kernel = @import("../sys/kernel.zig");
const slabs = @import("../memory/slabs.zig");
const calls = @import("calls.zig");
const Corpus = @import("corpus.zig").Corpus;
const features = @import("features.zig");
const files = @import("files.zig");
const input = @import("input.zig");
const mutate = @import("mutate.zig");
const region_module = @import("region.zig");
const run = @import("run.zig");
const templates = @import("templates.zig");

const inputs_per_process = 250;
const slabs_per_process = 500;
const backends_max = std.meta.fields(layout.BackendKind).len;

/// What the watching process and the running one share. All-zero bytes are the start.
pub const Shared = struct {
    /// The input that is running.
    draft: mutate.Draft,
    /// Goes up as each input begins, which was at `started_ns`.
    inputs: std.atomic.Value(u64),
    started_ns: std.atomic.Value(u64),
    calls: std.atomic.Value(u64),
    is_done: std.atomic.Value(bool),
    backends: [backends_max]layout.BackendKind,
    backends_count: u32,
    corpus: Corpus,
    /// Inputs that were there from the start, and how many runs of those are done.
    given: u32,
    replayed: u32,
};

pub const Options = struct {
    seed: u64 = 0,
    threads: u32 = 2,
    deadline_ns: u64 = 0,
    /// Run the given inputs once and tell what they do.
    trace: bool = false,
};

pub fn live(shared: *Shared, options: Options) void {
    if (shared.backends_count == 0) find_backends(shared);
    start_waker();
    resolve_nothing();
    const inputs = shared.inputs.load(.monotonic);
    var generator: std.Random.DefaultPrng = .init(options.seed +% inputs *% 0x9e3779b97f4a7c15);
    for (0..inputs_per_process) |_| {
        const is_replay = shared.replayed < shared.given * shared.backends_count;
        if (!is_replay and (options.trace or host.now_ns() >= options.deadline_ns)) {
            return shared.is_done.store(true, .release);
        }
        if (slabs.slab_count() > slabs_per_process) return;
        if (is_replay) {
            shared.draft.set(shared.corpus.entries[shared.replayed % shared.given].bytes());
        } else {
            next_input(shared, generator.random());
        }
        run_current(shared, options, is_replay);
    }
}

/// No name server but this machine's is asked, whatever is looked up.
fn resolve_nothing() void {
    var paths = std.mem.zeroInit(layout.ResolverFiles, .{
        .size = @sizeOf(layout.ResolverFiles),
    });
    templates.name_nothing(&paths);
    const bytes = std.mem.asBytes(&paths);
    const result = calls.named("tp_resolver_files")(bytes, bytes.len);
    if (result < 0) std.debug.panic("the files cannot be replaced: {d}", .{result});
}

/// Asks for each backend; those that are not available here are told.
fn find_backends(shared: *Shared) void {
    for (std.enums.values(layout.BackendKind)) |kind| {
        var options = region_module.loop_options(kind, 0);
        const bytes = std.mem.asBytes(&options);
        const result = calls.named("tp_loop_open")(bytes, bytes.len);
        if (calls.is(result, .backend_unavailable)) {
            files.tell("skipping {t}: BACKEND_UNAVAILABLE, reason {d}, errno {d}", .{
                kind,
                options.error_reason,
                options.error_errno,
            });
            continue;
        }
        if (result < 0) std.debug.panic("opening a loop on {t} answered {d}", .{ kind, result });
        _ = calls.named("tp_loop_close")(@intCast(result));
        shared.backends[shared.backends_count] = kind;
        shared.backends_count += 1;
    }
    if (shared.backends_count == 0) @panic("no backend is available");
}

/// Its thread and descriptor stay, and would count as a leak of the first input that wants them.
fn start_waker() void {
    var options = region_module.loop_options(.auto, 0);
    const bytes = std.mem.asBytes(&options);
    const loop: u32 = @intCast(@max(0, calls.named("tp_loop_open")(bytes, bytes.len)));
    const descriptor = calls.named("tp_loop_wake_descriptor")(loop);
    if (descriptor >= 0) kernel.close(descriptor);
    _ = calls.named("tp_loop_close")(loop);
}

fn next_input(shared: *Shared, random: std.Random) void {
    const entries = shared.corpus.inputs();
    if (entries.len == 0 or random.uintLessThan(u8, 16) == 0) {
        return mutate.make(&shared.draft, random);
    }
    const chosen = random.uintLessThan(usize, entries.len);
    const other = random.uintLessThan(usize, entries.len);
    shared.draft.set(entries[chosen].bytes());
    mutate.change(&shared.draft, entries[other].bytes(), random);
}

fn run_current(shared: *Shared, options: Options, is_replay: bool) void {
    // Replays go over the backends in turn, whatever the input says.
    var backends: [backends_max]layout.BackendKind = shared.backends;
    const found_backends = backends[0..shared.backends_count];
    if (is_replay) std.mem.rotate(
        layout.BackendKind,
        found_backends,
        shared.replayed / shared.given % shared.backends_count,
    );
    shared.started_ns.store(host.now_ns(), .release);
    _ = shared.inputs.fetchAdd(1, .release);
    const outcome = run.run(shared.draft.bytes(), .{
        .threads = options.threads,
        .backends = found_backends,
        .trace = options.trace,
    });
    _ = shared.calls.fetchAdd(outcome.calls, .monotonic);
    if (!is_replay) {
        _ = shared.corpus.learn(shared.draft.bytes(), &outcome.found);
        return;
    }
    const entry = &shared.corpus.entries[shared.replayed % shared.given];
    _ = features.merge(&entry.found, &outcome.found);
    _ = features.merge(&shared.corpus.all, &outcome.found);
    shared.replayed += 1;
}
