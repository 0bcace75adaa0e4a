// Written by zig/abi/generate.zig from zig/layout.zig; change the layout, not this file.
//
// Names are the layout's. A struct is a table of offsets, each counted in units of its
// field's own alignment: index a Uint32Array with that of a u32, a Float64Array with that
// of an f64. The offset of a nested struct is counted in that struct's alignment.
// `byte_length` is the size in bytes.

export const layout_hash = 0xb1887938;
export const abi_version = 1;
export const send_flag_move = 1;
export const send_flag_answer = 2;
export const header_bytes = 512;
export const turn_flag_spin = 1;
export const wait_forever = 4294967295;
export const no_slot = 4294967295;

export const BackendKind = {
  auto: 0,
  io_uring: 1,
  epoll: 2,
} as const;

export type BackendKind = (typeof BackendKind)[keyof typeof BackendKind];

export const Mode = {
  adaptive: 0,
  event: 1,
  poll: 2,
} as const;

export type Mode = (typeof Mode)[keyof typeof Mode];

export const ClockKind = {
  monotonic: 0,
  virtual: 1,
} as const;

export type ClockKind = (typeof ClockKind)[keyof typeof ClockKind];

export const Status = {
  ok: 0,
  stale_handle: -10001,
  wrong_thread: -10002,
  bad_argument: -10003,
  exhausted: -10004,
  backend_unavailable: -10005,
  bad_layout: -10006,
  no_threads: -10008,
  aborted: -10009,
  loop_closed: -10010,
  connect_timeout: -10011,
} as const;

export type Status = (typeof Status)[keyof typeof Status];

export const Reason = {
  none: 0,
  not_implemented: 1,
  disabled_by_sysctl: 2,
  not_permitted: 3,
  kernel_too_old: 4,
  out_of_resources: 5,
  other: 6,
} as const;

export type Reason = (typeof Reason)[keyof typeof Reason];

export const Syscall = {
  none: 0,
  socket: 1,
  bind: 2,
  listen: 3,
  accept: 4,
  connect: 5,
  setsockopt: 6,
  getsockname: 7,
  getpeername: 8,
  recv: 9,
  send: 10,
  shutdown: 11,
  mmap: 12,
  io_uring_setup: 13,
  io_uring_enter: 14,
  io_uring_register: 15,
  epoll_create: 16,
  epoll_ctl: 17,
  epoll_wait: 18,
  socketpair: 19,
  pthread_create: 20,
  timerfd: 21,
} as const;

export type Syscall = (typeof Syscall)[keyof typeof Syscall];

export const Operation = {
  none: 0,
  send: 1,
  retain: 2,
  release: 3,
  pause: 4,
  unpause: 5,
  shutdown: 6,
  close: 7,
  abort: 8,
  want_drain: 9,
  timer_start: 10,
  timer_stop: 11,
  listener_close: 12,
} as const;

export type Operation = (typeof Operation)[keyof typeof Operation];

export const HandleEntry = {
  byte_length: 32,
  operation: 0,
  flags: 1,
  reserved: 1,
  slot: 1,
  generation: 2,
  count: 3,
  length: 4,
  padding: 5,
} as const;

export const SendEntry = {
  byte_length: 32,
  operation: 0,
  flags: 1,
  reserved: 1,
  slot: 1,
  generation: 2,
  buffer: 3,
  buffer_generation: 4,
  offset: 5,
  length: 6,
  padding: 7,
} as const;

export const BufferEntry = {
  byte_length: 32,
  operation: 0,
  flags: 1,
  reserved: 1,
  padding: 1,
  buffer: 3,
  buffer_generation: 4,
  tail: 5,
} as const;

export const TimerEntry = {
  byte_length: 32,
  operation: 0,
  flags: 1,
  reserved: 1,
  slot: 1,
  generation: 2,
  padding: 3,
  delay_us: 2,
  period_us: 3,
} as const;

export const Event = {
  none: 0,
  open: 1,
  data: 2,
  end: 3,
  drain: 4,
  closed: 5,
  timer: 6,
  listener_error: 7,
  listener_closed: 8,
} as const;

export type Event = (typeof Event)[keyof typeof Event];

export const Completion = {
  byte_length: 32,
  event: 0,
  slot: 1,
  generation: 2,
  result: 3,
  buffer: 4,
  buffer_generation: 5,
  offset: 6,
  length: 7,
} as const;

export const Counters = {
  byte_length: 96,
  turns: 0,
  system_calls: 1,
  sleeps: 2,
  spins: 3,
  transitions: 4,
  accepted: 5,
  connected: 6,
  closed: 7,
  received_bytes: 8,
  sent_bytes: 9,
  rejected: 10,
  starved: 11,
} as const;

export const Header = {
  byte_length: 168,
  now_us: 0,
  next_timer_us: 1,
  counters: 2,
  result_generation: 28,
  error_syscall: 29,
  free_buffers: 30,
  free_sends: 31,
  address: 32,
  open_connections: 39,
  open_listeners: 40,
  padding: 41,
} as const;

export const Address = {
  byte_length: 28,
  family: 0,
  port: 1,
  scope: 2,
  bytes: 12,
} as const;

export const Region = {
  shared: 0,
  buffers: 1,
} as const;

export type Region = (typeof Region)[keyof typeof Region];

export const LoopOptions = {
  byte_length: 96,
  size: 0,
  backend: 1,
  mode: 2,
  clock: 3,
  max_connections: 4,
  max_listeners: 5,
  max_timers: 6,
  entries: 7,
  buffer_size: 8,
  receive_buffers: 9,
  send_buffers: 10,
  spin_ceiling_us: 11,
  shared_bytes: 12,
  buffers_bytes: 13,
  submissions_offset: 14,
  completions_offset: 15,
  queued_offset: 16,
  error_reason: 17,
  error_errno: 18,
  error_syscall: 19,
  error_detail: 20,
  granted_flags: 21,
  rung: 22,
  padding: 23,
} as const;

export const ListenOptions = {
  byte_length: 60,
  size: 0,
  address: 1,
  backlog: 8,
  reuse_port: 9,
  ipv6_only: 10,
  stream: 11,
} as const;

export const ConnectOptions = {
  byte_length: 52,
  size: 0,
  address: 1,
  timeout_ms: 8,
  stream: 9,
} as const;

export const StreamOptions = {
  byte_length: 16,
  no_delay: 0,
  high_water_mark: 1,
  linger_timeout_ms: 2,
  allow_half_open: 3,
} as const;

export const BackendReport = {
  byte_length: 32,
  available: 0,
  reason: 1,
  error_errno: 2,
  syscall: 3,
  flags: 4,
  features: 5,
  rung: 6,
  padding: 7,
} as const;

export const MachineReport = {
  byte_length: 120,
  size: 0,
  page_bytes: 1,
  cpus_online: 2,
  cpus_allowed: 3,
  memory_lock_limit: 2,
  descriptor_limit: 3,
  kernel_major: 8,
  kernel_minor: 9,
  kernel_patch: 10,
  io_uring_disabled: 11,
  threads: 12,
  padding: 13,
  io_uring: 14,
  epoll: 22,
} as const;

/** A value of a signature: `buffer` lends bytes for the call, `pointer` is an address. */
export type NativeType = "u32" | "i32" | "buffer" | "pointer";

/** The signature of each exported function. */
export const signatures = {
  tp_abi_version: { parameters: [], result: "u32" },
  tp_layout_hash: { parameters: [], result: "u32" },
  tp_probe: { parameters: ["buffer", "u32"], result: "i32" },
  tp_loop_open: { parameters: ["buffer", "u32"], result: "i32" },
  tp_loop_close: { parameters: ["u32"], result: "i32" },
  tp_loop_region: { parameters: ["u32", "u32"], result: "pointer" },
  tp_loop_turn: { parameters: ["u32", "u32", "u32", "u32"], result: "i32" },
  tp_loop_submit: { parameters: ["u32", "u32"], result: "i32" },
  tp_loop_arm: { parameters: ["u32"], result: "i32" },
  tp_loop_wake_descriptor: { parameters: ["u32"], result: "i32" },
  tp_clock_advance: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_listen: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_listener_address: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_connect: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_connection_address: { parameters: ["u32", "u32", "u32", "u32"], result: "i32" },
  tp_buffer_take: { parameters: ["u32"], result: "i32" },
} as const;

/** The exported functions as a script calls them. */
export interface Functions {
  /**
   * The library's `abi_version`.
   */
  tp_abi_version(): number;
  /**
   * The library's `layout_hash`.
   */
  tp_layout_hash(): number;
  /**
   * Fills a `MachineReport` whose `size` is set.
   */
  tp_probe(report: Uint8Array, length: number): number;
  /**
   * Opens a loop for the calling thread. A handle, or a negative status.
   */
  tp_loop_open(options: Uint8Array, length: number): number;
  /**
   * Resets every connection, closes every listener, gives the loop back.
   */
  tp_loop_close(loop: number): number;
  /**
   * Start of a `Region`; stays mapped for the life of the process.
   */
  tp_loop_region(loop: number, region: number): unknown;
  /**
   * One turn: takes the submissions, enters the kernel, leaves completions. Sleeps at most
   * `wait_us`. The number of completions, or a negative status.
   */
  tp_loop_turn(loop: number, submissions: number, wait_us: number, flags: number): number;
  /**
   * Takes the submissions without completing a turn, when the array is full.
   */
  tp_loop_submit(loop: number, submissions: number): number;
  /**
   * Before the host sleeps: 1 when the wake descriptor will be readable at the next event, 0 when
   * there is work already.
   */
  tp_loop_arm(loop: number): number;
  /**
   * A new stream descriptor, owned by the caller, that gets a byte per wake-up.
   */
  tp_loop_wake_descriptor(loop: number): number;
  /**
   * Moves a virtual clock forward.
   */
  tp_clock_advance(loop: number, us_low: number, us_high: number): number;
  /**
   * Listens (`ListenOptions`). The listener's slot, or a negative status.
   */
  tp_listen(loop: number, options: Uint8Array, length: number): number;
  /**
   * Writes the bound address to `Header.address`.
   */
  tp_listener_address(loop: number, slot: number, generation: number): number;
  /**
   * Starts to connect (`ConnectOptions`). The connection's slot or a status.
   */
  tp_connect(loop: number, options: Uint8Array, length: number): number;
  /**
   * Writes the local (0) or remote (1) address to `Header.address`.
   */
  tp_connection_address(loop: number, slot: number, generation: number, remote: number): number;
  /**
   * Takes a buffer for the script's own bytes: its index, or `exhausted`.
   */
  tp_buffer_take(loop: number): number;
}
