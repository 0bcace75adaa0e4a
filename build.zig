//! Steps: `install` (the library), `test`, `generate` and `check-generated` (TypeScript bindings
//! and C header), `bench` (load generator and C peers), `tools` (what tests need beside the
//! library), `simulate` and `simulator` (random runs over a simulated kernel, and their program).

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
    native_tests(b, target);
    simulator(b, target);
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

/// With libc, which gives the tests their threads.
fn native_tests(b: *std.Build, target: std.Build.ResolvedTarget) void {
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
}

/// `zig build simulate -- --seeds 20000`; the tests play a few hundred seeds as well. With libc,
/// because its symbols are weak in the library's code, and an executable has no other.
fn simulator(b: *std.Build, target: std.Build.ResolvedTarget) void {
    const program = b.addExecutable(.{
        .name = "simulate",
        .root_module = b.createModule(.{
            .root_source_file = b.path("zig/simulate.zig"),
            .target = target,
            .optimize = .ReleaseSafe,
            .link_libc = true,
        }),
    });
    const run = b.addRunArtifact(program);
    if (b.args) |args| run.addArgs(args);
    run.has_side_effects = true;
    b.step("simulate", "Play random seeds over a simulated kernel").dependOn(&run.step);
    const install = b.addInstallArtifact(program, .{
        .dest_dir = .{ .override = .{ .custom = "tools" } },
    });
    b.step("simulator", "Build the program of `simulate`").dependOn(&install.step);
    const few = b.addRunArtifact(program);
    few.addArgs(&.{ "--seeds", "400" });
    b.top_level_steps.get("test").?.step.dependOn(&few.step);
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
