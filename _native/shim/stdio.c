/* Stdio: pipes to and from the container, each drained by a pump. A slow reader at the far end stops its
 * pump, and so the container, as a full pipe would; a reader that is gone only ends the copy. */
#include "shim.h"

#include <linux/mman.h>

enum { PROT_RW = 3 };

static void set_nonblocking(int fd) {
    long flags = sys(fcntl, fd, F_GETFL);
    if (flags >= 0)
        sys(fcntl, fd, F_SETFL, flags | O_NONBLOCK);
}

/* a pump from a new pipe whose write end the container gets in *child */
static int open_pipe(struct shim *shim, int number, const char *stream, int *child) {
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
    if (pump->to >= 0)
        set_nonblocking(pump->to);
    return 0;
}

int stdio_open(struct shim *shim, int child[3]) {
    if (shim->flags & CLIB_LAUNCH_LOG) {
        shim->log = (int)sys(openat, shim->directory, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (shim->log < 0)
            return shim->log;
    }
    if (shim->flags & CLIB_LAUNCH_TERMINAL)
        return 0;
    child[0] = take_fd(&shim->stdio[0]);
    if (!(shim->flags & CLIB_LAUNCH_LOG)) {
        child[1] = take_fd(&shim->stdio[1]);
        child[2] = take_fd(&shim->stdio[2]);
        return 0;
    }
    int result = open_pipe(shim, 0, "stdout", &child[1]);
    return result < 0 ? result : open_pipe(shim, 1, "stderr", &child[2]);
}

void stdio_attach_terminal(struct shim *shim, int master) {
    shim->terminal = master;
    set_nonblocking(master);
    shim->pumps[0] = (struct pump){.from = master, .to = take_fd(&shim->stdio[1]), .stream = "stdout"};
    if (shim->pumps[0].to >= 0)
        set_nonblocking(shim->pumps[0].to);
    int keyboard = take_fd(&shim->stdio[0]);
    if (keyboard >= 0) {
        int out = (int)sys(fcntl, master, F_DUPFD_CLOEXEC, 0);
        shim->pumps[2] = (struct pump){.from = keyboard, .to = out};
        set_nonblocking(keyboard);
    }
}

int pump_wants(const struct pump *pump, short *events) {
    *events = pump->start < pump->end ? 4 /* POLLOUT */ : 1 /* POLLIN */;
    return pump->start < pump->end ? pump->to : pump->from;
}

void pump_release(struct pump *pump) {
    if (pump->buffer && pump->start == pump->end) {
        sys(munmap, pump->buffer, SHIM_BUFFER);
        pump->buffer = NULL;
    }
}

void pump_close(struct pump *pump) {
    close_fd(&pump->from);
    close_fd(&pump->to);
    pump->from = pump->to = -1;
    pump->start = pump->end = 0;
    pump_release(pump);
}

static void pass_on(struct pump *pump) {
    while (pump->start < pump->end) {
        long written =
            pump->to < 0 ? -EPIPE : sys(write, pump->to, pump->buffer + pump->start, pump->end - pump->start);
        if (written == -EAGAIN)
            return;
        if (written < 0) {
            close_fd(&pump->to);
            pump->to = -1;
            pump->start = pump->end = 0;
            return;
        }
        pump->start += (size_t)written;
    }
}

static int ensure_buffer(struct pump *pump) {
    if (pump->buffer)
        return 0;
    long memory = sys(mmap, 0, SHIM_BUFFER, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -4096)
        return (int)memory;
    pump->buffer = (char *)memory;
    return 0;
}

void pump_run(struct shim *shim, struct pump *pump) {
    pass_on(pump);
    if (pump->start < pump->end || ensure_buffer(pump) < 0)
        return;
    long got = sys(read, pump->from, pump->buffer, SHIM_BUFFER);
    if (got == -EAGAIN)
        return;
    if (got <= 0) { /* end of file, or -EIO: the last user of a terminal is gone */
        pump_close(pump);
        return;
    }
    if (pump->stream)
        log_write(shim->log, pump->stream, pump->buffer, (size_t)got);
    if (pump->to >= 0) {
        pump->start = 0;
        pump->end = (size_t)got;
        pass_on(pump);
    }
}
