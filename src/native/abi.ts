// Written by zig/abi/generate.zig from zig/layout.zig; change the layout, not this file.
//
// Names are the layout's. A struct is a table of offsets, each counted in units of its
// field's own alignment: index a Uint32Array with that of a u32, a Float64Array with that
// of an f64. The offset of a nested struct is counted in that struct's alignment.
// `byte_length` is the size in bytes.

export const layout_hash = 0x764f14a6;
export const abi_version = 1;
export const ready_readable = 1;
export const ready_writable = 2;
export const ready_error = 4;
export const ready_hangup = 8;
export const watch_edge = 16;
export const listener_flag_drain = 1;
export const detach_flag_travels = 1;
export const answer_reserve = 4;
export const send_flag_move = 1;
export const send_flag_answer = 2;
export const send_flag_descriptors = 4;
export const message_descriptors_max = 8;
export const send_flag_addressed = 4;
export const segment_flag_invalid = 1;
export const datagram_truncated = 1;
export const datagram_ecn_shift = 1;
export const datagram_offset = 256;
export const header_bytes = 512;
export const address_bytes_max = 108;
export const address_stride = 128;
export const source_stride = 192;
export const buffer_unit = 512;
export const buffer_slab_shift = 21;
export const name_bytes_max = 256;
export const resolved_max = 32;
export const path_bytes_max = 256;
export const socket_option_count = 23;
export const option_unset = 4294967295;
export const segment_stripped = 1;
export const segment_little = 2;
export const segment_varint = 4;
export const segment_carriage_return = 8;
export const segment_scattered = 16;
export const segment_flags = 31;
export const turn_flag_spin = 1;
export const wait_forever = 4294967295;
export const no_slot = 4294967295;

export const BackendKind = {
  auto: 0,
  io_uring: 1,
  epoll: 2,
  kqueue: 3,
  select: 4,
} as const;

export type BackendKind = (typeof BackendKind)[keyof typeof BackendKind];

export const Trigger = {
  default: 0,
  edge: 1,
  level: 2,
} as const;

export type Trigger = (typeof Trigger)[keyof typeof Trigger];

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
  forked: -10012,
  busy: -10013,
  not_granted: -10014,
  descriptor_limit: -10015,
  unsupported: -10016,
  idle_timeout: -10017,
  message_too_large: -10018,
  invalid_message: -10019,
  truncated_message: -10020,
  name_not_found: -10021,
  resolve_failed: -10022,
  resolve_timeout: -10023,
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
  other_system: 7,
  no_library: 8,
  no_edges: 9,
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
  mlock: 22,
  madvise: 23,
  mbind: 24,
  select: 25,
  kqueue: 26,
  kevent: 27,
  fcntl: 28,
  eventfd: 29,
  getsockopt: 30,
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
  segment: 13,
  detach: 14,
  undeliver: 15,
  datagram_send: 16,
  socket_pause: 17,
  socket_unpause: 18,
  socket_close: 19,
  socket_abort: 20,
  socket_want_drain: 21,
} as const;

export type Operation = (typeof Operation)[keyof typeof Operation];

export const HandleEntry = {
  byte_length: 32,
  operation: 0,
  flags: 1,
  reserved: 1,
  slot: 1,
  generation: 2,
  parts: 3,
  length: 4,
  buffer_bytes: 5,
  padding: 6,
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
  descriptors: 7,
} as const;

export const DatagramEntry = {
  byte_length: 32,
  operation: 0,
  flags: 1,
  segment_bytes: 1,
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

export const SegmentEntry = {
  byte_length: 32,
  operation: 0,
  flags: 1,
  reserved: 1,
  slot: 1,
  generation: 2,
  consumed: 3,
  needed: 4,
  padding: 5,
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
  memory_released: 9,
  ready: 10,
  rung: 11,
  message: 12,
  message_part: 13,
  unsegmented: 14,
  resolved: 15,
  attempt_failed: 16,
  detached: 17,
  descriptors: 18,
  datagram: 19,
  socket_error: 20,
  socket_drain: 21,
  socket_closed: 22,
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
  byte_length: 152,
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
  zero_copied: 12,
  zero_copy_copied: 13,
  relayed_bytes: 14,
  datagrams_received: 15,
  datagrams_sent: 16,
  datagrams_refused: 17,
  datagrams_dropped: 18,
} as const;

export const Header = {
  byte_length: 344,
  now_us: 0,
  next_timer_us: 1,
  counters: 2,
  result_generation: 42,
  result_bytes: 43,
  error_syscall: 44,
  leases: 45,
  buffers_in_use: 46,
  free_sends: 47,
  address: 48,
  open_connections: 79,
  open_listeners: 80,
  open_watches: 81,
  result_offset: 82,
  open_sockets: 83,
  free_datagrams: 84,
  error_option: 85,
} as const;

export const AddressFamily = {
  unix: 1,
  inproc: 2,
  descriptor: 3,
  ipv4: 4,
  ipv6: 6,
} as const;

export type AddressFamily = (typeof AddressFamily)[keyof typeof AddressFamily];

export const Address = {
  byte_length: 124,
  family: 0,
  port: 1,
  scope: 2,
  length: 3,
  bytes: 16,
} as const;

export const Source = {
  byte_length: 152,
  segment_bytes: 0,
  interface: 1,
  local_family: 2,
  address: 3,
  local: 136,
} as const;

export const Pages = {
  small: 0,
  huge_2m: 1,
  huge_1g: 2,
  transparent: 3,
} as const;

export type Pages = (typeof Pages)[keyof typeof Pages];

export const Wish = {
  default: 0,
  no: 1,
  yes: 2,
} as const;

export type Wish = (typeof Wish)[keyof typeof Wish];

export const RingFeature = {
  registered_ring: 1,
  registered_files: 2,
  sqpoll: 4,
  zero_copy: 8,
  bundles: 16,
  incremental: 32,
  min_wait: 64,
  napi: 128,
  clone_buffers: 256,
  send_message: 512,
} as const;

export type RingFeature = (typeof RingFeature)[keyof typeof RingFeature];

export const LoopOptions = {
  byte_length: 204,
  size: 0,
  backend: 1,
  mode: 2,
  clock: 3,
  max_connections: 4,
  max_listeners: 5,
  max_watches: 6,
  max_sockets: 7,
  trigger: 8,
  max_timers: 9,
  entries: 10,
  buffer_size: 11,
  receive_buffers: 12,
  max_kib: 13,
  slab_kib: 14,
  pages: 15,
  lock: 16,
  prefault: 17,
  numa_node: 18,
  fixed_buffers: 19,
  strict: 20,
  poison: 21,
  quarantine_count: 22,
  quarantine_ms: 23,
  spin_ceiling_us: 24,
  sqpoll: 25,
  sqpoll_idle_ms: 26,
  sqpoll_cpu: 27,
  zero_copy_bytes: 28,
  min_wait_us: 29,
  min_wait_count: 30,
  napi_us: 31,
  bundles: 32,
  incremental_buffers: 33,
  best_effort: 34,
  shared_bytes: 35,
  submissions_offset: 36,
  completions_offset: 37,
  queued_offset: 38,
  socket_queued_offset: 39,
  addresses_offset: 40,
  sources_offset: 41,
  error_reason: 42,
  error_errno: 43,
  error_syscall: 44,
  error_detail: 45,
  granted_flags: 46,
  rung: 47,
  granted_features: 48,
  pool_key: 49,
  relayed_offset: 50,
} as const;

export const MemoryGrant = {
  byte_length: 16,
  asked: 0,
  granted: 1,
  slabs: 2,
  error_errno: 3,
} as const;

export const PoolReport = {
  byte_length: 200,
  size: 0,
  slabs: 1,
  slab_bytes: 1,
  max_bytes: 2,
  held_bytes: 3,
  in_use_bytes: 4,
  receive_bytes: 5,
  cached_bytes: 6,
  quarantined_bytes: 7,
  in_transit_bytes: 8,
  free_bytes: 9,
  lost_bytes: 10,
  adopted_bytes: 11,
  refused: 12,
  released_early: 13,
  buffers_in_use: 28,
  leases: 29,
  pages: 30,
  lock: 34,
  prefault: 38,
  numa: 42,
  fixed: 46,
} as const;

export const AdoptOptions = {
  byte_length: 16,
  size: 0,
  address_low: 1,
  address_high: 2,
  bytes: 3,
} as const;

export const ListenOptions = {
  byte_length: 312,
  size: 0,
  address: 1,
  backlog: 32,
  unlink_stale: 33,
  mode: 34,
  stream: 35,
} as const;

export const ConnectOptions = {
  byte_length: 572,
  size: 0,
  address: 1,
  timeout_ms: 32,
  stream: 33,
  name_length: 76,
  resolve_timeout_ms: 77,
  attempt_delay_ms: 78,
  name: 316,
} as const;

export const ResolveOptions = {
  byte_length: 272,
  size: 0,
  family: 1,
  timeout_ms: 2,
  name_length: 3,
  name: 16,
} as const;

export const ResolveReport = {
  byte_length: 784,
  size: 0,
  slot: 1,
  generation: 2,
  count: 3,
  families: 4,
  scopes: 36,
  bytes: 272,
} as const;

export const ResolverFiles = {
  byte_length: 524,
  size: 0,
  hosts_length: 1,
  config_length: 2,
  hosts: 12,
  config: 268,
} as const;

export const RelayOptions = {
  byte_length: 32,
  size: 0,
  first_slot: 1,
  first_generation: 2,
  second_slot: 3,
  second_generation: 4,
  high_water_mark: 5,
  idle_timeout_ms: 6,
  half_open_timeout_ms: 7,
} as const;

export const ConnectionOptions = {
  byte_length: 196,
  size: 0,
  descriptor: 1,
  slot: 2,
  generation: 3,
  pool_key: 4,
  has_stream: 5,
  stream: 6,
} as const;

export const BindOptions = {
  byte_length: 376,
  size: 0,
  address: 1,
  remote: 32,
  high_water_mark: 63,
  linger_timeout_ms: 64,
  receive_credits: 65,
  receive_segments: 66,
  tell_local: 67,
  tell_ecn: 68,
  tell_drops: 69,
  send_segments: 70,
  socket: 71,
} as const;

export const SocketAction = {
  set_option: 0,
  get_option: 1,
  join: 2,
  leave: 3,
} as const;

export type SocketAction = (typeof SocketAction)[keyof typeof SocketAction];

export const SocketRequest = {
  byte_length: 276,
  size: 0,
  slot: 1,
  generation: 2,
  action: 3,
  option: 4,
  value: 5,
  interface: 6,
  group: 7,
  source: 38,
} as const;

export const StreamOptions = {
  byte_length: 172,
  high_water_mark: 0,
  linger_timeout_ms: 1,
  allow_half_open: 2,
  receive_credits: 3,
  idle_timeout_ms: 4,
  descriptors: 5,
  best_effort: 6,
  socket: 7,
  segmenter: 30,
} as const;

export const SocketKind = {
  connection: 0,
  listener: 1,
} as const;

export type SocketKind = (typeof SocketKind)[keyof typeof SocketKind];

export const SocketControl = {
  byte_length: 116,
  size: 0,
  kind: 1,
  slot: 2,
  generation: 3,
  idle_timeout_ms: 4,
  best_effort: 5,
  socket: 6,
} as const;

export const PeerCredentials = {
  byte_length: 24,
  size: 0,
  slot: 1,
  generation: 2,
  pid: 3,
  uid: 4,
  gid: 5,
} as const;

export const SocketOption = {
  no_delay: 0,
  cork: 1,
  quick_ack: 2,
  fast_open: 3,
  keep_alive: 4,
  keep_alive_idle_s: 5,
  keep_alive_interval_s: 6,
  keep_alive_count: 7,
  user_timeout_ms: 8,
  send_buffer: 9,
  receive_buffer: 10,
  busy_poll_us: 11,
  type_of_service: 12,
  mark: 13,
  priority: 14,
  reuse_address: 15,
  reuse_port: 16,
  ipv6_only: 17,
  ttl: 18,
  broadcast: 19,
  multicast_ttl: 20,
  multicast_loop: 21,
  multicast_interface: 22,
} as const;

export type SocketOption = (typeof SocketOption)[keyof typeof SocketOption];

export const SocketOptions = {
  byte_length: 92,
  values: 0,
} as const;

export const SegmenterKind = {
  none: 0,
  length: 1,
  line: 2,
  fixed: 3,
  script: 4,
} as const;

export type SegmenterKind = (typeof SegmenterKind)[keyof typeof SegmenterKind];

export const Segmenter = {
  byte_length: 52,
  kind: 0,
  flags: 1,
  max_length: 2,
  field_offset: 3,
  field_width: 4,
  header_bytes: 5,
  adjustment: 6,
  fixed_bytes: 7,
  delimiter_bytes: 8,
  delimiter: 36,
} as const;

export const SegmenterOptions = {
  byte_length: 72,
  size: 0,
  slot: 1,
  generation: 2,
  dispatched: 3,
  consumed: 4,
  segmenter: 5,
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
  granted: 7,
} as const;

export const MachineReport = {
  byte_length: 208,
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
  huge_2m_total: 13,
  huge_2m_free: 14,
  huge_1g_total: 15,
  huge_1g_free: 16,
  transparent: 17,
  numa_nodes: 18,
  padding: 19,
  io_uring: 20,
  epoll: 28,
  kqueue: 36,
  select: 44,
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
  tp_loop_region: { parameters: ["u32"], result: "pointer" },
  tp_slab: { parameters: ["u32", "u32"], result: "pointer" },
  tp_slab_bytes: { parameters: ["u32", "u32"], result: "i32" },
  tp_loop_turn: { parameters: ["u32", "u32", "u32", "u32"], result: "i32" },
  tp_loop_submit: { parameters: ["u32", "u32"], result: "i32" },
  tp_loop_arm: { parameters: ["u32"], result: "i32" },
  tp_loop_wake_descriptor: { parameters: ["u32"], result: "i32" },
  tp_clock_advance: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_listen: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_listener_address: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_connect: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_connection_address: { parameters: ["u32", "u32", "u32", "u32"], result: "i32" },
  tp_connection_adopt: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_connection_read: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_connection_take: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_connection_hand_off: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_connection_receive: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_listener_share: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_descriptors_stage: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_descriptors_read: { parameters: ["u32", "u32", "buffer", "u32"], result: "i32" },
  tp_descriptors_forgo: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_descriptor_close: { parameters: ["i32"], result: "i32" },
  tp_descriptor_inherit: { parameters: ["i32"], result: "i32" },
  tp_connection_segmenter: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_relay: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_bind: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_socket_address: { parameters: ["u32", "u32", "u32", "u32"], result: "i32" },
  tp_socket_request: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_socket_configure: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_socket_read: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_peer_credentials: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_watch: { parameters: ["u32", "i32", "u32"], result: "i32" },
  tp_watch_modify: { parameters: ["u32", "u32", "u32", "u32"], result: "i32" },
  tp_watch_remove: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_doorbell: { parameters: ["u32"], result: "i32" },
  tp_doorbell_remove: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_doorbell_ring: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_buffer_take: { parameters: ["u32", "u32"], result: "i32" },
  tp_buffer_release: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_buffer_transfer: { parameters: ["u32", "u32", "u32", "u32"], result: "i32" },
  tp_buffer_receive: { parameters: ["u32", "u32", "u32", "u32"], result: "i32" },
  tp_memory_adopt: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_pool_report: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_resolve: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_resolve_report: { parameters: ["u32", "buffer", "u32"], result: "i32" },
  tp_resolve_cancel: { parameters: ["u32", "u32", "u32"], result: "i32" },
  tp_resolver_files: { parameters: ["buffer", "u32"], result: "i32" },
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
   * Start of the shared region, which stays mapped for the life of the process.
   */
  tp_loop_region(loop: number): unknown;
  /**
   * Start of a slab, which stays mapped for the life of the process.
   */
  tp_slab(loop: number, slab: number): unknown;
  /**
   * Bytes of a slab, or a negative status.
   */
  tp_slab_bytes(loop: number, slab: number): number;
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
   * Moves a virtual clock forward, to 2^63 ns at most.
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
   * Takes over a connected stream socket (`ConnectionOptions`). The connection's slot, after which
   * `open` follows, or a negative status: EBADF, ENOTSOCK, EPROTOTYPE, EAFNOSUPPORT, ENOTCONN,
   * EINVAL where it listens, EEXIST where it is the loop's already.
   */
  tp_connection_adopt(loop: number, options: Uint8Array, length: number): number;
  /**
   * Of a detached connection that rests, the next buffer that was received and not delivered, with
   * one reference of the script; ENOENT after the last. `Header.result_offset` and `result_bytes`
   * tell what of it.
   */
  tp_connection_read(loop: number, slot: number, generation: number): number;
  /**
   * The descriptor of a detached connection that rests: the caller's from now on, and the
   * connection is gone.
   */
  tp_connection_take(loop: number, slot: number, generation: number): number;
  /**
   * Puts a detached connection that rests and travels in transit: its slot there.
   */
  tp_connection_hand_off(loop: number, slot: number, generation: number): number;
  /**
   * Takes a connection in transit over (`ConnectionOptions`). Its slot, after which `open` follows
   * and then what was received before; `Header.result_bytes` has its high-water mark,
   * `result_offset` 1 where its direction was ended.
   */
  tp_connection_receive(loop: number, options: Uint8Array, length: number): number;
  /**
   * Another descriptor of a listener, the caller's. From then on closing the listener leaves the
   * others of its descriptors listening.
   */
  tp_listener_share(loop: number, slot: number, generation: number): number;
  /**
   * Duplicates at most `message_descriptors_max` descriptors (i32) for a send: what its entry
   * names, or EBADF, `exhausted`. `Header.result_generation` belongs to it.
   */
  tp_descriptors_stage(loop: number, descriptors: Uint8Array, length: number): number;
  /**
   * Gives out descriptors that `descriptors` told of, as far as there is room for them behind
   * their generation, and closes the others. How many.
   */
  tp_descriptors_read(
    loop: number,
    staged: number,
    descriptors: Uint8Array,
    length: number,
  ): number;
  /**
   * Closes what was staged and will not be sent.
   */
  tp_descriptors_forgo(loop: number, staged: number, generation: number): number;
  /**
   * Closes a descriptor that this library has given out. EBADF for any other.
   */
  tp_descriptor_close(descriptor: number): number;
  /**
   * Takes a descriptor that the process was started with as given out, and keeps it from programs
   * that are executed.
   */
  tp_descriptor_inherit(descriptor: number): number;
  /**
   * Makes messages of what a connection receives from now on (`SegmenterOptions`). 1 when
   * completions of this turn are void, because their bytes come again; else 0.
   */
  tp_connection_segmenter(loop: number, options: Uint8Array, length: number): number;
  /**
   * Joins two connections (`RelayOptions`): what arrives on one is sent on the other, from the
   * next turn on. `busy` where one is relayed already, EPIPE where its direction was ended.
   */
  tp_relay(loop: number, options: Uint8Array, length: number): number;
  /**
   * Opens a datagram socket (`BindOptions`). Its slot, or a negative status.
   */
  tp_bind(loop: number, options: Uint8Array, length: number): number;
  /**
   * Writes a datagram socket's local (0) or remote (1) address to `Header.address`.
   */
  tp_socket_address(loop: number, slot: number, generation: number, remote: number): number;
  /**
   * Reads or sets an option, joins or leaves a group (`SocketRequest`).
   */
  tp_socket_request(loop: number, request: Uint8Array, length: number): number;
  /**
   * Changes options of an open connection or listener (`SocketControl`). What a refusal is about
   * is in `Header.error_option`; options before it are changed.
   */
  tp_socket_configure(loop: number, control: Uint8Array, length: number): number;
  /**
   * Reads options of an open connection or listener into its `SocketControl`.
   */
  tp_socket_read(loop: number, control: Uint8Array, length: number): number;
  /**
   * Fills the `PeerCredentials` of a Unix connection. `unsupported` for others.
   */
  tp_peer_credentials(loop: number, credentials: Uint8Array, length: number): number;
  /**
   * Watches a descriptor of the caller for `ready_readable`, `ready_writable`, or both, with
   * `watch_edge` for changes only. The watch's slot, or a negative status: EBADF, EEXIST where the
   * loop watches it already, EPERM where it is always ready.
   */
  tp_watch(loop: number, descriptor: number, interest: number): number;
  /**
   * Watches for something else. ENOENT where there is no such watch.
   */
  tp_watch_modify(loop: number, slot: number, generation: number, interest: number): number;
  /**
   * Ends a watch; its descriptor may be closed then. ENOENT where there is none.
   */
  tp_watch_remove(loop: number, slot: number, generation: number): number;
  /**
   * A new doorbell, which any thread of the process may ring: its slot.
   */
  tp_doorbell(loop: number): number;
  /**
   * Ends a doorbell.
   */
  tp_doorbell_remove(loop: number, slot: number, generation: number): number;
  /**
   * From any thread: `rung` follows on the doorbell's loop. `stale_handle` where it is gone, or is
   * another process's.
   */
  tp_doorbell_ring(slot: number, generation: number, pool_key: number): number;
  /**
   * Takes a buffer of at least so many bytes for the script's own: its name, or `exhausted`.
   * `Header.result_generation` and `result_bytes` tell the rest.
   */
  tp_buffer_take(loop: number, bytes: number): number;
  /**
   * Gives one reference of the script back at once, for when no submission waits.
   */
  tp_buffer_release(loop: number, buffer: number, generation: number): number;
  /**
   * Puts a buffer in transit to another loop: `references` of the script and a borrow, if any,
   * end. `busy` when there are others.
   */
  tp_buffer_transfer(loop: number, buffer: number, generation: number, references: number): number;
  /**
   * Takes a buffer in transit over, with one reference of the script. `Header.result_bytes` tells
   * its size.
   */
  tp_buffer_receive(loop: number, buffer: number, generation: number, pool_key: number): number;
  /**
   * Makes memory of the application (`AdoptOptions`) a buffer with one reference of the script:
   * its name. `memory_released` follows the last reference.
   */
  tp_memory_adopt(loop: number, options: Uint8Array, length: number): number;
  /**
   * Fills a `PoolReport` whose `size` is set.
   */
  tp_pool_report(loop: number, report: Uint8Array, length: number): number;
  /**
   * Looks a name up (`ResolveOptions`); `resolved` follows. The lookup's slot or a status.
   */
  tp_resolve(loop: number, options: Uint8Array, length: number): number;
  /**
   * Fills a `ResolveReport` for a lookup that `resolved` told of; it is gone then.
   */
  tp_resolve_report(loop: number, report: Uint8Array, length: number): number;
  /**
   * Ends a lookup, of which nothing is told any more.
   */
  tp_resolve_cancel(loop: number, slot: number, generation: number): number;
  /**
   * Has this process resolve names by other files (`ResolverFiles`) from now on.
   */
  tp_resolver_files(files: Uint8Array, length: number): number;
}
