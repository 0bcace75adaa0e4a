/*
 * UDP echo over epoll with recvmmsg and sendmmsg: the plain C peer that twinpoll is measured
 * against.
 *
 *   datagrams_epoll [--offload] PORT
 *       0 picks a port; prints "listening PORT"; SIGTERM or SIGINT ends it
 *
 * One socket, one thread. What one call received the next one sends back, each datagram to its
 * sender; what the kernel has no room for waits for it. With `--offload` datagrams that came as one
 * (UDP_GRO) go back as one (UDP_SEGMENT).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCH = 256,
    DATAGRAM_BYTES = 2048,
    JOINED_BATCH = 64,
    JOINED_BYTES = 65536 + 64, /* not a power of two: buffers would share lines of the cache */
    RECEIVE_BUFFER_BYTES = 1 << 20,
};

static int batch = BATCH;
static size_t buffer_bytes = DATAGRAM_BYTES;
static int joins;

static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];
static struct sockaddr_in senders[BATCH];
static unsigned char *buffers;
static union {
    struct cmsghdr header;
    unsigned char bytes[CMSG_SPACE(sizeof(int))];
} controls[BATCH];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int socket_open(unsigned short port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    int bytes = RECEIVE_BUFFER_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (joins && setsockopt(fd, SOL_UDP, UDP_GRO, &joins, sizeof joins) != 0) die("UDP_GRO");
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, length) != 0) die("bind");
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

static void watch(int epoll_fd, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static void send_all(int fd, int count)
{
    for (int sent = 0; sent < count;) {
        int taken = sendmmsg(fd, messages + sent, (unsigned)(count - sent), MSG_NOSIGNAL);
        if (taken > 0) {
            sent += taken;
        } else if (errno == EAGAIN) {
            struct pollfd wait = { .fd = fd, .events = POLLOUT };
            poll(&wait, 1, 100);
        } else if (errno != EINTR) {
            sent += 1; /* refused: the next one */
        }
    }
}

/* Has the kernel cut what it had joined. */
static void cut(struct msghdr *message)
{
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    message->msg_controllen = 0;
    if (control == NULL || control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) return;
    int joined;
    memcpy(&joined, CMSG_DATA(control), sizeof joined);
    uint16_t size = (uint16_t)joined;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(control), &size, sizeof size);
    message->msg_controllen = CMSG_SPACE(sizeof size);
}

/* One batch per event: level triggering reports what is left. */
static void echo(int fd)
{
    for (int index = 0; index < batch; index++) {
        messages[index].msg_hdr.msg_namelen = sizeof senders[index];
        vectors[index].iov_len = buffer_bytes;
        if (joins) messages[index].msg_hdr.msg_controllen = sizeof controls[index];
    }
    int count = recvmmsg(fd, messages, (unsigned)batch, 0, NULL);
    if (count <= 0) return;
    for (int index = 0; index < count; index++) {
        vectors[index].iov_len = messages[index].msg_len;
        if (joins) cut(&messages[index].msg_hdr);
    }
    send_all(fd, count);
}

int main(int argument_count, char **arguments)
{
    joins = argument_count == 3 && strcmp(arguments[1], "--offload") == 0;
    if (argument_count != 2 + joins) {
        fprintf(stderr, "usage: %s [--offload] PORT\n", arguments[0]);
        return 2;
    }
    if (joins) {
        batch = JOINED_BATCH;
        buffer_bytes = JOINED_BYTES;
    }
    buffers = calloc((size_t)batch, buffer_bytes);
    if (buffers == NULL) die("calloc");
    for (int index = 0; index < batch; index++) {
        vectors[index].iov_base = buffers + (size_t)index * buffer_bytes;
        messages[index].msg_hdr.msg_iov = &vectors[index];
        messages[index].msg_hdr.msg_iovlen = 1;
        messages[index].msg_hdr.msg_name = &senders[index];
        if (joins) messages[index].msg_hdr.msg_control = controls[index].bytes;
    }
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die("epoll_create1");
    int signal_fd = signals_open();
    int socket_fd = socket_open((unsigned short)strtoul(arguments[argument_count - 1], NULL, 10));
    watch(epoll_fd, signal_fd);
    watch(epoll_fd, socket_fd);
    for (;;) {
        struct epoll_event events[2];
        int count = epoll_wait(epoll_fd, events, 2, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int index = 0; index < count; index++) {
            if (events[index].data.fd == signal_fd) return 0;
            echo(socket_fd);
        }
    }
}
