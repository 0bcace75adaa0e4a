/*
 * One-way streams over level-triggered epoll: the plain C peer of `twinpoll-stream`.
 *
 *   stream_epoll PORT      0 picks a port; prints "listening PORT"; SIGTERM or SIGINT ends it
 *
 * A connection that begins with `U` is read to its end and answered with the number of bytes that
 * came after that; one that begins with `D` is sent to for ever. One call per event: level
 * triggering tells what is left, and nobody else has to wait for it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 64, MESSAGE_BYTES = 64 * 1024 };

struct connection {
    int fd;
    char mode; /* 'U', 'D', or 0 before the first byte */
    uint64_t bytes;
};

static int epoll_fd;
static unsigned char receive_buffer[MESSAGE_BYTES];
/* Longer by a period, so that a stream goes on wherever a send ended. */
static unsigned char message[MESSAGE_BYTES + 256];

/* What epoll_event.data.ptr points to for the two descriptors that are no connections. */
static struct connection listener_mark, signal_mark;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct connection *connection, int operation, unsigned events)
{
    struct epoll_event event = { .events = events, .data.ptr = connection };
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event) != 0) die("epoll_ctl");
}

static void connection_accept(int listen_fd)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) die("calloc");
    connection->fd = fd;
    watch(connection, EPOLL_CTL_ADD, EPOLLIN);
}

/* Both return 0 when the connection has ended. */
static int connection_send(struct connection *connection)
{
    ssize_t sent = send(connection->fd, message + connection->bytes % 256, MESSAGE_BYTES,
                        MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    connection->bytes += (uint64_t)sent;
    return 1;
}

static int connection_receive(struct connection *connection)
{
    ssize_t received = recv(connection->fd, receive_buffer, sizeof receive_buffer, 0);
    if (received < 0) return errno == EAGAIN || errno == EINTR;
    if (received == 0) {
        unsigned char answer[8];
        for (int index = 0; index < 8; index++) {
            answer[index] = (unsigned char)(connection->bytes >> 8 * index);
        }
        send(connection->fd, answer, sizeof answer, MSG_NOSIGNAL);
        return 0;
    }
    if (connection->mode == 0) {
        connection->mode = (char)receive_buffer[0];
        received -= 1;
        if (connection->mode == 'D') watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
    }
    connection->bytes += connection->mode == 'U' ? (uint64_t)received : 0;
    return 1;
}

static int listener_open(unsigned short port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, length) != 0) die("bind");
    if (listen(fd, 4096) != 0) die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) die("getsockname");
    printf("listening %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static int signals_open(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0) die("sigprocmask");
    int fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) die("signalfd");
    return fd;
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 2) {
        fprintf(stderr, "usage: %s PORT\n", arguments[0]);
        return 2;
    }
    for (size_t index = 0; index < sizeof message; index++) message[index] = (unsigned char)index;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die("epoll_create1");
    signal_mark.fd = signals_open();
    watch(&signal_mark, EPOLL_CTL_ADD, EPOLLIN);
    listener_mark.fd = listener_open((unsigned short)strtoul(arguments[1], NULL, 10));
    watch(&listener_mark, EPOLL_CTL_ADD, EPOLLIN);

    static struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int index = 0; index < count; index++) {
            struct connection *connection = events[index].data.ptr;
            if (connection == &signal_mark) return 0;
            if (connection == &listener_mark) {
                connection_accept(listener_mark.fd);
                continue;
            }
            int open = connection->mode == 'D' ? connection_send(connection)
                                               : connection_receive(connection);
            if (open) continue;
            close(connection->fd);
            free(connection);
        }
    }
}
