//! The native half of the benchmarks: step `bench` installs the load generator and the C peers into
//! `bench/` of the install prefix. Linux only; the io_uring peer only where liburing is installed.

const std = @import("std");

const directory = "bench/native/";

pub fn add(b: *std.Build, target: std.Build.ResolvedTarget) void {
    const step = b.step("bench", "Build the load generator and the C peers");
    if (target.result.os.tag != .linux) {
        step.dependOn(&b.addFail("the benchmarks need Linux").step);
        return;
    }
    install(b, step, load(b, target, .ReleaseFast));
    install(b, step, stream(b, target, .ReleaseFast));
    install(b, step, generator(b, "datagrams", target, .ReleaseFast));
    install(b, step, memory(b, target));
    if (b.graph.host.result.os.tag != .linux) return;
    install(b, step, peer(b, "echo_epoll", b.graph.host, .ReleaseFast));
    install(b, step, peer(b, "stream_epoll", b.graph.host, .ReleaseFast));
    install(b, step, peer(b, "datagrams_epoll", b.graph.host, .ReleaseFast));
    install(b, step, fixed(b, .ReleaseFast));
    if (header(b, "liburing.h")) install(b, step, io_uring_peer(b, .ReleaseFast));
}

/// The same load generator and C peers with checks for undefined behaviour, for the sanitizers'
/// step.
pub fn add_checked(
    b: *std.Build,
    step: *std.Build.Step,
    target: std.Build.ResolvedTarget,
) void {
    const options: std.Build.Step.InstallArtifact.Options = .{
        .dest_dir = .{ .override = .{ .custom = "sanitize" } },
    };
    const programs = [_]?*std.Build.Step.Compile{
        load(b, target, .Debug),
        stream(b, target, .Debug),
        generator(b, "datagrams", target, .Debug),
        peer(b, "echo_epoll", b.graph.host, .Debug),
        peer(b, "stream_epoll", b.graph.host, .Debug),
        peer(b, "datagrams_epoll", b.graph.host, .Debug),
        fixed(b, .Debug),
        if (header(b, "liburing.h")) io_uring_peer(b, .Debug) else null,
    };
    for (programs) |program| {
        const artifact = program orelse continue;
        step.dependOn(&b.addInstallArtifact(artifact, options).step);
    }
}

fn load(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Step.Compile {
    return generator(b, "load", target, optimize);
}

fn stream(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Step.Compile {
    return generator(b, "stream", target, optimize);
}

/// `twinpoll-NAME` of NAME.zig: one thread, no libraries.
fn generator(
    b: *std.Build,
    name: []const u8,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Step.Compile {
    return b.addExecutable(.{
        .name = b.fmt("twinpoll-{s}", .{name}),
        .root_module = b.createModule(.{
            .root_source_file = b.path(b.fmt("{s}{s}.zig", .{ directory, name })),
            .target = target,
            .optimize = optimize,
            .single_threaded = true,
            .strip = optimize != .Debug,
        }),
    });
}

fn io_uring_peer(b: *std.Build, optimize: std.builtin.OptimizeMode) *std.Build.Step.Compile {
    const program = peer(b, "echo_io_uring", b.graph.host, optimize);
    program.root_module.linkSystemLibrary("uring", .{});
    return program;
}

/// The pool as it is shipped, beside the system's `malloc`.
fn memory(b: *std.Build, target: std.Build.ResolvedTarget) *std.Build.Step.Compile {
    const root = b.createModule(.{
        .root_source_file = b.path(directory ++ "memory.zig"),
        .target = target,
        .optimize = .ReleaseSafe,
        .link_libc = true,
    });
    root.addImport("twinpoll", b.createModule(.{
        .root_source_file = b.path("zig/twinpoll.zig"),
        .target = target,
        .optimize = .ReleaseSafe,
        .stack_protector = false,
    }));
    return b.addExecutable(.{ .name = "twinpoll-memory", .root_module = root });
}

/// Needs no liburing, but the kernel's headers of Linux 6.2. Zig's own are new enough, and come
/// with its own C library; the system's may be older.
fn fixed(b: *std.Build, optimize: std.builtin.OptimizeMode) *std.Build.Step.Compile {
    return peer(b, "fixed", b.resolveTargetQuery(.{
        .cpu_arch = b.graph.host.result.cpu.arch,
        .os_tag = .linux,
        .abi = .musl,
    }), optimize);
}

/// A peer runs here and nowhere else, so it is built for this machine and its system libraries.
/// Debug: with checks for undefined behaviour.
fn peer(
    b: *std.Build,
    name: []const u8,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Step.Compile {
    const module = b.createModule(.{
        .target = target,
        .optimize = optimize,
        .link_libc = true,
        .sanitize_c = if (optimize == .Debug) .full else .off,
    });
    module.addCSourceFile(.{
        .file = b.path(b.fmt("{s}{s}.c", .{ directory, name })),
        .flags = if (optimize == .Debug)
            &.{ "-std=gnu11", "-O1", "-Wall", "-Wextra" }
        else
            &.{ "-std=gnu11", "-O3", "-Wall", "-Wextra" },
    });
    return b.addExecutable(.{ .name = name, .root_module = module });
}

fn install(b: *std.Build, step: *std.Build.Step, artifact: *std.Build.Step.Compile) void {
    const options: std.Build.Step.InstallArtifact.Options = .{
        .dest_dir = .{ .override = .{ .custom = "bench" } },
    };
    step.dependOn(&b.addInstallArtifact(artifact, options).step);
}

fn header(b: *std.Build, name: []const u8) bool {
    for ([_][]const u8{ "/usr/include", "/usr/local/include" }) |prefix| {
        const path = b.pathJoin(&.{ prefix, name });
        std.Io.Dir.accessAbsolute(b.graph.io, path, .{}) catch continue;
        return true;
    }
    return false;
}
