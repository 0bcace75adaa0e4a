//! What a readiness backend knows of one port: the poller's last word on its readiness, and the
//! operations under way.

const contract = @import("contract.zig");
const Interest = contract.Interest;
const Link = @import("../memory/list.zig").Link;

pub const Port = struct {
    descriptor: i32,
    epoch: u32,
    /// In the queue of ports that the kernel has something for.
    queued: Link,
    /// In the queue of ports whose send has its outcome.
    settled: Link,
    /// It is this descriptor's port.
    is_open: bool,
    /// The poller watches it, for `interest`; events come with changes, or as long as they last.
    is_watched: bool,
    interest: Interest,
    edge: bool,
    /// What events said and no EAGAIN has taken back.
    readable: bool,
    writable: bool,
    /// The peer's end or an error was announced, which will not come again, or urgent data: a short
    /// read does not mean that there is nothing more to read.
    ending: bool,
    /// Why the descriptor cannot be watched; every operation then ends with it.
    failure: i32,
    /// Operations under way.
    accepting: bool,
    /// The accept ends with the first connection.
    accepting_one: bool,
    receiving: bool,
    /// The receive ends with the first buffer.
    receiving_one: bool,
    /// A short receive may leave something: a Unix socket's ends before and after bytes that came
    /// with descriptors.
    keeps_parts: bool,
    /// What comes fills several buffers at a time, so it is received into several.
    is_bulk: bool,
    /// What is received are messages.
    receiving_messages: bool,
    /// Somebody receives elsewhere, and waits until there is something.
    awaiting: bool,
    sending: bool,
    /// Until there is room for messages.
    sending_messages: bool,
    connecting: bool,
    polling: bool,
    /// What the poll has to tell.
    ready: u8,
    /// Every operation is to end, or just the receive.
    cancelled: bool,
    receive_cancelled: bool,
    /// Outcome of the send, unless it waits to become writable.
    sent: ?i32,
    /// Outcome of the connect, once known.
    connected: ?i32,

    /// Whether a visit of the port would complete something.
    pub fn has_work(self: *const Port) bool {
        if (self.cancelled or self.receive_cancelled) return true;
        if (self.failure != 0) return self.has_operations();
        if (self.readable and (self.accepting or self.receiving or self.awaiting)) return true;
        if (self.sending and self.sent == null and self.writable) return true;
        if (self.sending_messages and self.writable) return true;
        if (self.polling) return self.ready != 0;
        return self.connecting and (self.writable or self.connected != null);
    }

    pub fn has_operations(self: *const Port) bool {
        return self.accepting or self.receiving or self.awaiting or self.sending or
            self.sending_messages or self.connecting or self.polling;
    }

    /// What the operations under way wait for.
    pub fn wanted(self: *const Port) Interest {
        return .{
            .readable = self.accepting or self.receiving or self.awaiting,
            .writable = self.connecting or self.sending_messages or
                (self.sending and self.sent == null),
        };
    }

    /// Ends every operation with `result`; a send that has its outcome keeps it.
    pub fn end_all(self: *Port, writer: *Writer, result: i32) void {
        if (self.connecting) writer.put(.connect, false, result);
        if (self.sending) writer.put(.send, false, self.sent orelse result);
        if (self.sending_messages) writer.put(.send_messages, false, result);
        if (self.accepting) writer.put(.accept, false, result);
        if (self.receiving) writer.put(self.receive_kind(), false, result);
        if (self.awaiting) writer.put(.readable, false, result);
        if (self.polling) writer.put(.poll, false, result);
        self.connected = null;
        self.sent = null;
        self.connecting = false;
        self.sending = false;
        self.sending_messages = false;
        self.accepting = false;
        self.receiving = false;
        self.awaiting = false;
        self.polling = false;
        self.cancelled = false;
        self.receive_cancelled = false;
    }

    pub fn receive_kind(self: *const Port) contract.Kind {
        return if (self.receiving_messages) .receive_message else .receive;
    }
};

/// Where a visit puts its completions.
pub const Writer = struct {
    out: []contract.Completion,
    port: u32,
    epoch: u32,
    count: u32 = 0,

    pub fn put(self: *Writer, kind: contract.Kind, more: bool, result: i32) void {
        self.put_buffer(kind, more, result, contract.no_buffer);
    }

    pub fn put_buffer(
        self: *Writer,
        kind: contract.Kind,
        more: bool,
        result: i32,
        buffer: u32,
    ) void {
        self.out[self.count] = .{
            .kind = kind,
            .more = more,
            .port = self.port,
            .epoch = self.epoch,
            .result = result,
            .buffer = buffer,
        };
        self.count += 1;
    }
};
