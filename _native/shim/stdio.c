/* Stdio: pipes to and from the container, each drained by a pump. A slow reader at the far end stops its
 * pump, and so the container, as a full pipe would; a reader that is gone only ends the copy. */
#include "shim.h"

#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/mman.h>

enum {
    PROT_RW = 3,
    PIPE_PIECE = 4096, /* PIPE_BUF: what a pipe that is ready takes without waiting */
    PIPE_USUAL = 65536,
    PIPE_WIDE = 1 << 20,
    SLACK = 4096, /* a line is copied by words */
};

static void set_nonblocking(int fd) {
    long flags = sys(fcntl, fd, F_GETFL);
    if (flags >= 0)
        sys(fcntl, fd, F_SETFL, flags | O_NONBLOCK);
}

/* is it one that may be waited for, and that another open(2) opens? That of a terminal's master makes a new
 * terminal. */
static int is_pipe_or_terminal(int fd) {
    struct file_facts facts;
    struct winsize size;
    int number;
    if (file_facts(fd, &facts) < 0)
        return 0;
    return S_ISFIFO(facts.mode) || (S_ISCHR(facts.mode) && sys(ioctl, fd, TIOCGWINSZ, &size) == 0 &&
                                    sys(ioctl, fd, TIOCGPTN, &number) < 0);
}

/* O_NONBLOCK belongs to what the caller has open too, and is not to be set there: so *fd is opened anew. 1
 * where that is not allowed, and it may have to be waited for; sockets are told with each call. */
static int part_from_caller(int *fd, int access) {
    char path[40] = "/proc/self/fd/";
    if (*fd < 0 || !is_pipe_or_terminal(*fd))
        return 0;
    path[14 + format_decimal(path + 14, (uint64_t)*fd)] = 0;
    int own = (int)sys(openat, AT_FDCWD, path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return 1;
    close_fd(fd);
    *fd = own;
    return 0;
}

/* a pump from a new pipe whose write end the container gets in *child */
static int open_pipe(struct shim *shim, int number, enum log_stream stream, int *child) {
    int ends[2];
    int result = (int)sys(pipe2, ends, O_CLOEXEC);
    if (result < 0)
        return result;
    struct pump *pump = &shim->pumps[number];
    *child = ends[1];
    pump->from = ends[0];
    pump->to = take_fd(&shim->stdio[number + 1]);
    pump->stream = stream;
    set_nonblocking(pump->from);
    pump->shared = part_from_caller(&pump->to, O_WRONLY);
    return 0;
}

/* Another run reads from it too. Of a container that runs once its own end is the only one, so that whoever
 * writes there hears that nobody reads any more. */
static void keep_input(struct shim *shim) {
    struct clib_policy policy;
    if (shim->stdio[0] >= 0 && shim->life.stdin < 0 && policy_read(shim, &policy) == 0 &&
        policy.restart != CLIB_RESTART_NO)
        shim->life.stdin = (int)sys(fcntl, shim->stdio[0], F_DUPFD_CLOEXEC, 0);
}

int stdio_open(struct shim *shim, int child[3]) {
    keep_input(shim);
    if (shim->flags & CLIB_LAUNCH_LOG) {
        int opened = log_open(shim);
        if (opened < 0)
            return opened;
    }
    if (shim->flags & CLIB_LAUNCH_TERMINAL)
        return 0;
    child[0] = take_fd(&shim->stdio[0]);
    if (!(shim->flags & CLIB_LAUNCH_LOG)) {
        child[1] = take_fd(&shim->stdio[1]);
        child[2] = take_fd(&shim->stdio[2]);
        return 0;
    }
    int result = open_pipe(shim, 0, LOG_STDOUT, &child[1]);
    return result < 0 ? result : open_pipe(shim, 1, LOG_STDERR, &child[2]);
}

void stdio_attach_terminal(struct shim *shim, int master) {
    shim->terminal = master;
    set_nonblocking(master);
    shim->pumps[0] = (struct pump){.from = master, .to = take_fd(&shim->stdio[1]), .stream = LOG_STDOUT};
    shim->pumps[0].shared = part_from_caller(&shim->pumps[0].to, O_WRONLY);
    int keyboard = take_fd(&shim->stdio[0]);
    if (keyboard >= 0) {
        int out = (int)sys(fcntl, master, F_DUPFD_CLOEXEC, 0);
        int shared = part_from_caller(&keyboard, O_RDONLY);
        shim->pumps[2] = (struct pump){.from = keyboard, .to = out, .stream = LOG_NONE, .shared = shared};
    }
}

int pump_wants(const struct shim *shim, const struct pump *pump, short *events) {
    *events = pump->start < pump->end ? 4 /* POLLOUT */ : 1 /* POLLIN */;
    if (pump->start < pump->end)
        return pump->to;
    return shim->log.stuck && pump->stream != LOG_NONE ? -1 : pump->from;
}

/* of a program that fills its pipe faster than it is drained, for as long as it does */
static void widen(struct pump *pump, int size) {
    sys(fcntl, pump->from, F_SETPIPE_SZ, size);
    pump->wide = size == PIPE_WIDE;
}

void pump_release(struct pump *pump) {
    if (pump->buffer && pump->start == pump->end) {
        sys(munmap, pump->buffer, SHIM_BUFFER + SLACK);
        pump->buffer = NULL;
        if (pump->wide && pump->from >= 0)
            widen(pump, PIPE_USUAL);
    }
}

void pump_close(struct pump *pump) {
    close_fd(&pump->from);
    close_fd(&pump->to);
    pump->from = pump->to = -1;
    pump->start = pump->end = 0;
    pump_release(pump);
}

static long put(const struct pump *pump) {
    const char *bytes = pump->buffer + pump->start;
    size_t size = pump->end - pump->start;
    long sent = sys(sendto, pump->to, bytes, size, MSG_DONTWAIT_, 0, 0);
    if (sent != -ENOTSOCK)
        return sent;
    return sys(write, pump->to, bytes, pump->shared && size > PIPE_PIECE ? PIPE_PIECE : size);
}

static long take(const struct pump *pump) {
    long got = sys(recvfrom, pump->from, pump->buffer, SHIM_BUFFER, MSG_DONTWAIT_, 0, 0);
    return got == -ENOTSOCK ? sys(read, pump->from, pump->buffer, SHIM_BUFFER) : got;
}

static void pass_on(struct pump *pump) {
    while (pump->start < pump->end) {
        long written = pump->to < 0 ? -EPIPE : put(pump);
        if (written == -EAGAIN)
            return;
        if (written < 0) {
            close_fd(&pump->to);
            pump->to = -1;
            pump->start = pump->end = 0;
            return;
        }
        pump->start += (size_t)written;
        if (pump->shared)
            return;
    }
}

static int ensure_buffer(struct pump *pump) {
    if (pump->buffer)
        return 0;
    long memory = sys(mmap, 0, SHIM_BUFFER + SLACK, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -4096)
        return (int)memory;
    pump->buffer = (char *)memory;
    return 0;
}

void pump_run(struct shim *shim, struct pump *pump) {
    int behind = pump->start < pump->end;
    pass_on(pump);
    /* what may have to be waited for is only touched when it is ready, and once */
    if (pump->start < pump->end || (behind && pump->shared) || ensure_buffer(pump) < 0)
        return;
    if (pump->stream != LOG_NONE && !log_is_ready(&shim->log))
        return;
    long got = take(pump);
    if (got == -EAGAIN)
        return;
    if (got <= 0) { /* end of file, or -EIO: the last user of a terminal is gone */
        pump_close(pump);
        return;
    }
    if (got >= PIPE_USUAL && !pump->wide)
        widen(pump, PIPE_WIDE);
    if (pump->stream != LOG_NONE)
        log_append(&shim->log, pump->stream, pump->buffer, (size_t)got);
    if (pump->to >= 0) {
        pump->start = 0;
        pump->end = (size_t)got;
        if (!pump->shared)
            pass_on(pump);
    }
}
