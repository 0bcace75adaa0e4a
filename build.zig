//! Steps: `install` (the library), `test`, `generate` and `check-generated` (TypeScript bindings
//! and C header), `bench` (load generator and C peers), `tools` (what tests need beside the
//! library).

const std = @import("std");
const bench = @import("bench/native/build.zig");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.option(
        std.builtin.OptimizeMode,
        "optimize",
        "How to build the library (default: ReleaseSafe)",
    ) orelse .ReleaseSafe;
    library(b, target, optimize);
    fuzzer(b, target, native_tests(b, target));
    generator(b);
    tools(b, target);
    bench.add(b, target);
}

/// Without libc: the same file then loads on glibc and on musl.
fn library(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) void {
    const root = b.createModule(.{
        .root_source_file = b.path("zig/twinpoll.zig"),
        .target = target,
        .optimize = optimize,
        .pic = true,
        .strip = optimize != .Debug,
    });
    b.installArtifact(b.addLibrary(.{
        .name = "twinpoll",
        .linkage = .dynamic,
        .root_module = root,
    }));
}

/// With libc, which gives the tests their threads. The step that runs them.
fn native_tests(b: *std.Build, target: std.Build.ResolvedTarget) *std.Build.Step {
    const root = b.createModule(.{
        .root_source_file = b.path("zig/twinpoll.zig"),
        .target = target,
        .optimize = .Debug,
        .link_libc = true,
    });
    // The kernel's headers need a target whose headers the compiler brings along.
    const uapi = b.addTranslateC(.{
        .root_source_file = b.path("zig/sys/uapi.h"),
        .target = b.resolveTargetQuery(.{
            .cpu_arch = target.result.cpu.arch,
            .os_tag = .linux,
            .abi = .gnu,
        }),
        .optimize = .Debug,
    });
    root.addImport("uapi", uapi.createModule());
    const tests = b.addTest(.{ .root_module = root });
    const load_tests = b.addTest(.{ .root_module = b.createModule(.{
        .root_source_file = b.path("bench/native/load.zig"),
        .target = target,
        .optimize = .Debug,
        .link_libc = true,
    }) });
    const header = b.createModule(.{ .target = target, .optimize = .Debug, .link_libc = true });
    header.addIncludePath(b.path("include"));
    header.addCSourceFile(.{
        .file = b.path("tests/native/header.c"),
        .flags = &.{ "-std=c11", "-Wall", "-Wextra", "-Werror" },
    });
    const step = b.step("test", "Run the native tests");
    step.dependOn(&b.addRunArtifact(tests).step);
    step.dependOn(&b.addRunArtifact(load_tests).step);
    step.dependOn(&b.addObject(.{ .name = "header", .root_module = header }).step);
    return step;
}

/// With libc for its threads, and with every safety check. Linux only. `zig build fuzz -- --help`.
fn fuzzer(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    test_step: *std.Build.Step,
) void {
    if (target.result.os.tag != .linux) return;
    const program = b.addExecutable(.{
        .name = "twinpoll-fuzz",
        .root_module = b.createModule(.{
            .root_source_file = b.path("zig/fuzz.zig"),
            .target = target,
            .optimize = .ReleaseSafe,
            .link_libc = true,
        }),
    });
    const run = b.addRunArtifact(program);
    run.setCwd(b.path("."));
    run.has_side_effects = true;
    if (b.args) |arguments| run.addArgs(arguments);
    b.step("fuzz", "Drive the C ABI with arbitrary calls").dependOn(&run.step);
    // The corpus is a test: alone and with another thread, over every backend.
    for ([_][]const u8{ "1", "2" }) |threads| {
        const replay = b.addRunArtifact(program);
        replay.setCwd(b.path("."));
        replay.has_side_effects = true;
        replay.addArgs(&.{ "--seconds", "0", "--seed", "0", "--threads", threads });
        replay.expectExitCode(0);
        test_step.dependOn(&replay.step);
    }
}

/// What the TypeScript tests run beside the library, in `tools/` of the install prefix.
fn tools(b: *std.Build, target: std.Build.ResolvedTarget) void {
    const step = b.step("tools", "Build what the TypeScript tests need");
    const deny = b.addExecutable(.{
        .name = "deny-io-uring",
        .root_module = b.createModule(.{
            .root_source_file = b.path("tests/native/deny_io_uring.zig"),
            .target = target,
            .optimize = .ReleaseSafe,
        }),
    });
    const other_abi = b.addLibrary(.{
        .name = "other-abi",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("tests/native/other_abi.zig"),
            .target = target,
            .optimize = .ReleaseSafe,
            .pic = true,
        }),
    });
    for ([_]*std.Build.Step.Compile{ deny, other_abi }) |artifact| {
        step.dependOn(&b.addInstallArtifact(artifact, .{
            .dest_dir = .{ .override = .{ .custom = "tools" } },
        }).step);
    }
}

fn generator(b: *std.Build) void {
    const layout = b.createModule(.{ .root_source_file = b.path("zig/layout.zig") });
    const root = b.createModule(.{
        .root_source_file = b.path("zig/abi/generate.zig"),
        .target = b.graph.host,
        .imports = &.{.{ .name = "layout", .module = layout }},
    });
    const program = b.addExecutable(.{ .name = "generate", .root_module = root });
    const files = [_][]const u8{ "src/native/abi.ts", "include/twinpoll.h" };

    const write = b.addRunArtifact(program);
    write.setCwd(b.path("."));
    write.addArgs(&files);
    write.has_side_effects = true;
    b.step("generate", "Write bindings and C header").dependOn(&write.step);

    const check = b.addRunArtifact(program);
    check.setCwd(b.path("."));
    check.addArg("--check");
    check.addArgs(&files);
    check.has_side_effects = true;
    const step = b.step("check-generated", "Fail when bindings or C header are stale");
    step.dependOn(&check.step);
}
