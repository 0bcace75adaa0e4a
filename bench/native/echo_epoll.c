/*
 * TCP echo over level-triggered epoll: the plain C peer that twinpoll is measured against.
 *
 *   echo_epoll PORT        0 picks a port; prints "listening PORT"; SIGTERM or SIGINT ends it
 *
 * One thread, one receive buffer for all connections: what was read is written at once. Only when
 * the kernel takes less does a connection own memory; it then stops reading until its rest is out,
 * so a peer that does not read costs at most one buffer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, RECEIVE_BYTES = 64 * 1024, ACCEPTS_PER_EVENT = 64 };

struct connection {
    int fd;
    unsigned pending_start;
    unsigned pending_end;
    unsigned char *pending; /* unsent rest, NULL while nothing waits */
};

static int epoll_fd;
static unsigned char receive_buffer[RECEIVE_BYTES];

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

static void connection_close(struct connection *connection)
{
    close(connection->fd);
    free(connection->pending);
    free(connection);
}

static void connection_accept(int listen_fd)
{
    for (int count = 0; count < ACCEPTS_PER_EVENT; count++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno == EAGAIN) return;
            perror("accept4"); /* out of descriptors: the peer waits in the backlog */
            usleep(1000);
            return;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *connection = calloc(1, sizeof *connection);
        if (connection == NULL) die("calloc");
        connection->fd = fd;
        watch(connection, EPOLL_CTL_ADD, EPOLLIN);
    }
}

/* Returns 0 when the connection has ended. */
static int connection_flush(struct connection *connection)
{
    while (connection->pending_start < connection->pending_end) {
        ssize_t sent = send(connection->fd, connection->pending + connection->pending_start,
                            connection->pending_end - connection->pending_start, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN;
        }
        connection->pending_start += (unsigned)sent;
    }
    free(connection->pending);
    connection->pending = NULL;
    watch(connection, EPOLL_CTL_MOD, EPOLLIN);
    return 1;
}

static void connection_keep_rest(struct connection *connection, const void *rest, size_t length)
{
    connection->pending = malloc(length);
    if (connection->pending == NULL) die("malloc");
    memcpy(connection->pending, rest, length);
    connection->pending_start = 0;
    connection->pending_end = (unsigned)length;
    watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
}

/* One read per event: level triggering reports what is left, and nobody else has to wait for it.
 * Returns 0 when the connection has ended. */
static int connection_echo(struct connection *connection)
{
    ssize_t received = recv(connection->fd, receive_buffer, sizeof receive_buffer, 0);
    if (received <= 0) return received < 0 && (errno == EAGAIN || errno == EINTR);
    ssize_t sent = send(connection->fd, receive_buffer, (size_t)received, MSG_NOSIGNAL);
    if (sent == received) return 1;
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR) return 0;
        sent = 0;
    }
    connection_keep_rest(connection, receive_buffer + sent, (size_t)(received - sent));
    return 1;
}

static int listener_open(unsigned short port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
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

static void descriptor_limit_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
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
    descriptor_limit_raise();
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
            int open = connection->pending != NULL ? connection_flush(connection)
                                                   : connection_echo(connection);
            if (!open) connection_close(connection);
        }
    }
}
