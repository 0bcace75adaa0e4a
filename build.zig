//! Steps: `install` (the library), `cross` (the library for every system it knows), `test`,
//! `generate` and `check-generated` (TypeScript bindings and C header), `bench` (load generator and
//! C peers), `tools` (what tests need beside the library), `fuzz` (arbitrary calls of the C ABI),
//! `simulate` and `simulator` (random runs over a simulated kernel, and their program), `sanitize`
//! and `sanitize-valgrind` (what the sanitizers run).

const std = @import("std");
const bench = @import("bench/native/build.zig");
const sanitizers = @import("tests/native/build.zig");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.option(
        std.builtin.OptimizeMode,
        "optimize",
        "How to build the library (default: ReleaseSafe)",
    ) orelse .ReleaseSafe;
    b.installArtifact(library(b, target, optimize));
    cross(b, optimize);
    const test_step = native_tests(b, target);
    fuzzer(b, target, test_step);
    simulator(b, target, test_step);
    generator(b);
    tools(b, target);
    bench.add(b, target);
    sanitizers.add(b, target, test_module);
}

/// On Linux without libc: the same file then loads on glibc and on musl. Elsewhere libc is the
/// system's interface, and the compiler brings what it takes to link with it.
fn library(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Step.Compile {
    const is_linux = target.result.os.tag == .linux;
    const root = b.createModule(.{
        .root_source_file = b.path("zig/twinpoll.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = !is_linux,
        .pic = true,
        .strip = optimize != .Debug,
    });
    return b.addLibrary(.{
        .name = "twinpoll",
        .linkage = .dynamic,
        .root_module = root,
    });
}

const systems = [_]std.Target.Query{
    .{ .cpu_arch = .x86_64, .os_tag = .linux },
    .{ .cpu_arch = .aarch64, .os_tag = .linux },
    .{ .cpu_arch = .x86_64, .os_tag = .macos },
    .{ .cpu_arch = .aarch64, .os_tag = .macos },
    .{ .cpu_arch = .x86_64, .os_tag = .freebsd },
    .{ .cpu_arch = .aarch64, .os_tag = .freebsd },
};

/// Into `cross/<architecture>-<system>/` of the install prefix.
fn cross(b: *std.Build, optimize: std.builtin.OptimizeMode) void {
    const step = b.step("cross", "Build the library for every system it knows");
    for (systems) |query| {
        const target = b.resolveTargetQuery(query);
        const folder = b.fmt("cross/{t}-{t}", .{ target.result.cpu.arch, target.result.os.tag });
        const install = b.addInstallArtifact(library(b, target, optimize), .{
            .dest_dir = .{ .override = .{ .custom = folder } },
            .implib_dir = .disabled,
            .dylib_symlinks = false,
        });
        step.dependOn(&install.step);
    }
}

/// The library with its tests. With libc, which gives the tests their threads.
fn test_module(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Module {
    const root = b.createModule(.{
        .root_source_file = b.path("zig/twinpoll.zig"),
        .target = target,
        .optimize = optimize,
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
    root.addImport("liburing", liburing(b, target));
    return root;
}

/// The step that runs them.
fn native_tests(b: *std.Build, target: std.Build.ResolvedTarget) *std.Build.Step {
    const tests = b.addTest(.{ .root_module = test_module(b, target, .Debug) });
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
    const run_tests = b.addRunArtifact(tests);
    give_kqueue(b, target, run_tests);
    const step = b.step("test", "Run the native tests");
    step.dependOn(&run_tests.step);
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
    give_kqueue(b, target, run);
    run.setCwd(b.path("."));
    run.has_side_effects = true;
    if (b.args) |arguments| run.addArgs(arguments);
    b.step("fuzz", "Drive the C ABI with arbitrary calls").dependOn(&run.step);
    // The corpus is a test: alone and with another thread, over every backend.
    for ([_][]const u8{ "1", "2" }) |threads| {
        const replay = b.addRunArtifact(program);
        give_kqueue(b, target, replay);
        replay.setCwd(b.path("."));
        replay.has_side_effects = true;
        replay.addArgs(&.{ "--seconds", "0", "--seed", "0", "--threads", threads });
        replay.expectExitCode(0);
        test_step.dependOn(&replay.step);
    }
}

/// Constants of the installed liburing; an empty module where it is not.
fn liburing(b: *std.Build, target: std.Build.ResolvedTarget) *std.Build.Module {
    const folder = "/usr/include/liburing";
    std.Io.Dir.cwd().access(b.graph.io, folder ++ "/io_uring.h", .{}) catch {
        const empty = b.addWriteFiles().add("liburing.zig", "");
        return b.createModule(.{ .root_source_file = empty });
    };
    const header = b.addTranslateC(.{
        .root_source_file = b.path("zig/sys/liburing.h"),
        .target = b.resolveTargetQuery(.{
            .cpu_arch = target.result.cpu.arch,
            .os_tag = .linux,
            .abi = .gnu,
        }),
        .optimize = .Debug,
    });
    header.addIncludePath(.{ .cwd_relative = folder });
    return header.createModule();
}

/// Has a program of ours find a kqueue on Linux.
fn give_kqueue(b: *std.Build, target: std.Build.ResolvedTarget, run: *std.Build.Step.Run) void {
    const library_file = kqueue_standin(b, target);
    run.step.dependOn(&library_file.step);
    const path = b.getInstallPath(.{ .custom = "tools" }, library_file.dest_sub_path);
    run.setEnvironmentVariable("TWINPOLL_KQUEUE", path);
}

/// Gives Linux a kqueue, for tests of that backend.
fn kqueue_standin(b: *std.Build, target: std.Build.ResolvedTarget) *std.Build.Step.InstallArtifact {
    return b.addInstallArtifact(b.addLibrary(.{
        .name = "kqueue-standin",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("tests/native/kqueue_standin.zig"),
            .target = target,
            .optimize = .ReleaseSafe,
            .pic = true,
        }),
    }), .{ .dest_dir = .{ .override = .{ .custom = "tools" } } });
}

/// `zig build simulate -- --seeds 20000`; the tests play a few hundred seeds as well. With libc,
/// because its symbols are weak in the library's code, and an executable has no other.
fn simulator(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    test_step: *std.Build.Step,
) void {
    if (target.result.os.tag != .linux) return;
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
    test_step.dependOn(&few.step);
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
    step.dependOn(&kqueue_standin(b, target).step);
    const pipes = b.addLibrary(.{
        .name = "pipes",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("tests/native/pipes.zig"),
            .target = target,
            .optimize = .ReleaseSafe,
            .pic = true,
        }),
    });
    const descriptors = b.addLibrary(.{
        .name = "descriptors",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("tests/native/descriptors.zig"),
            .target = target,
            .optimize = .ReleaseSafe,
            .pic = true,
        }),
    });
    const activate = b.addExecutable(.{
        .name = "activate",
        .root_module = b.createModule(.{
            .root_source_file = b.path("tests/native/activate.zig"),
            .target = target,
            .optimize = .ReleaseSafe,
        }),
    });
    const all = [_]*std.Build.Step.Compile{ deny, other_abi, pipes, descriptors, activate };
    for (all) |artifact| {
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
