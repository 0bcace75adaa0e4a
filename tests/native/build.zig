//! What the sanitizers run: steps `sanitize` (threads, undefined behaviour) and
//! `sanitize-valgrind` install the native tests once per sanitizer, the C peers of the benchmarks,
//! and a program with faults that must be found, into `sanitize/` of the install prefix.
//! Linux only.

const std = @import("std");
const bench = @import("../../bench/native/build.zig");

const directory = "tests/native/";

/// Makes the module of the native tests for a target.
pub const TestModule = fn (
    *std.Build,
    std.Build.ResolvedTarget,
    std.builtin.OptimizeMode,
) *std.Build.Module;

pub fn add(b: *std.Build, target: std.Build.ResolvedTarget, test_module: TestModule) void {
    const step = b.step("sanitize", "Build what the sanitizers run");
    const valgrind = b.step("sanitize-valgrind", "Build what Valgrind runs");
    if (target.result.os.tag != .linux) {
        const fail = b.addFail("the sanitizers need Linux");
        for ([_]*std.Build.Step{ step, valgrind }) |each| each.dependOn(&fail.step);
        return;
    }
    const thread = test_module(b, target, .ReleaseSafe);
    thread.sanitize_thread = true;
    install(b, step, add_tests(b, "thread-tests", thread));
    install(b, step, faulty(b, target, .thread));

    install(b, step, add_tests(b, "safe-tests", test_module(b, target, .ReleaseSafe)));
    install(b, step, faulty(b, target, .undefined_behaviour));
    bench.add_checked(b, step, target);

    // Valgrind knows no AVX-512, and Debug keeps what it has to look at.
    var query = target.query;
    query.cpu_model = .baseline;
    const plain = b.resolveTargetQuery(query);
    install(b, valgrind, add_tests(b, "plain-tests", test_module(b, plain, .Debug)));
    install(b, valgrind, faulty(b, plain, .none));
}

/// By LLVM: the thread sanitizer needs it, and Valgrind reads its debug information.
fn add_tests(b: *std.Build, name: []const u8, module: *std.Build.Module) *std.Build.Step.Compile {
    return b.addTest(.{ .name = name, .root_module = module, .use_llvm = true });
}

const Sanitizer = enum { none, thread, undefined_behaviour };

fn faulty(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    sanitizer: Sanitizer,
) *std.Build.Step.Compile {
    const module = b.createModule(.{
        .target = target,
        .optimize = .Debug,
        .link_libc = true,
        .sanitize_thread = sanitizer == .thread,
        .sanitize_c = if (sanitizer == .undefined_behaviour) .full else .off,
    });
    module.addCSourceFile(.{
        .file = b.path(directory ++ "faulty.c"),
        .flags = &.{ "-std=c11", "-Wall", "-Wextra" },
    });
    return b.addExecutable(.{ .name = b.fmt("faulty-{t}", .{sanitizer}), .root_module = module });
}

fn install(b: *std.Build, step: *std.Build.Step, artifact: *std.Build.Step.Compile) void {
    const options: std.Build.Step.InstallArtifact.Options = .{
        .dest_dir = .{ .override = .{ .custom = "sanitize" } },
    };
    step.dependOn(&b.addInstallArtifact(artifact, options).step);
}
