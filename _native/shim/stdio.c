/* Stdio: pipes to and from the container, each drained by a pump. A slow reader at the far end stops its
 * pump, and so the container, as a full pipe would; a reader that is gone only ends its own copy. */
#include "shim.h"

#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/mman.h>

enum {
    PROT_RW = 3,
    PIPE_PIECE = 4096, /* PIPE_BUF: what a pipe that is ready takes without waiting */
    PIPE_USUAL = 65536,
    PIPE_WIDE = 1 << 20,
    PIPE_LAST = 1 << 22,
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

static void add_tap(struct pump *pump, int *fd, int client) {
    if (*fd < 0)
        return;
    struct tap *tap = &pump->taps[pump->tap_count++];
    *tap = (struct tap){.fd = take_fd(fd), .client = client, .start = pump->end};
    tap->shared = part_from_caller(&tap->fd, O_WRONLY);
}

static void remove_tap(struct pump *pump, int number) {
    close_fd(&pump->taps[number].fd);
    pump->taps[number] = pump->taps[--pump->tap_count];
}

static void remove_taps(struct pump *pump) {
    while (pump->tap_count)
        remove_tap(pump, 0);
    pump->end = 0;
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
    pump->stream = stream;
    set_nonblocking(pump->from);
    add_tap(pump, &shim->stdio[number + 1], -1);
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

/* What is typed goes from *from to the terminal; also to the next one, of another run. */
static void add_keyboard(struct shim *shim, enum pump_number number, int *from) {
    struct pump *pump = &shim->pumps[number];
    int master = -1;
    if (*from >= 0 && pump->from < 0) {
        pump->shared = part_from_caller(from, O_RDONLY);
        pump->from = take_fd(from);
    }
    if (pump->from >= 0 && shim->terminal >= 0)
        master = (int)sys(fcntl, shim->terminal, F_DUPFD_CLOEXEC, 0);
    add_tap(pump, &master, -1);
    close_fd(from);
    *from = -1;
}

void stdio_attach_terminal(struct shim *shim, int master) {
    struct pump *pump = &shim->pumps[PUMP_STDOUT];
    int none = -1;
    shim->terminal = master;
    set_nonblocking(master);
    pump->from = master;
    pump->stream = LOG_STDOUT;
    add_tap(pump, &shim->stdio[1], -1);
    add_keyboard(shim, PUMP_KEYBOARD, &shim->stdio[0]);
    add_keyboard(shim, PUMP_INPUT, &none);
}

/* A terminal's master is not given away: whoever has it could read from it too, and set its flags for all. */
static int open_terminal_input(struct shim *shim) {
    int ends[2];
    int result = (int)sys(pipe2, ends, O_CLOEXEC);
    if (result < 0)
        return result;
    shim->input = ends[1];
    add_keyboard(shim, PUMP_INPUT, &ends[0]);
    return 0;
}

/* a stream that the program has closed, or that is the terminal's other one, is at its end at once */
static void attach_stream(struct shim *shim, int number, int client, int *fd) {
    int terminal = !!(shim->flags & CLIB_LAUNCH_TERMINAL);
    int is_to_come = (terminal && shim->phase == PHASE_LAUNCHING) || life_may_go_on(shim);
    if (shim->pumps[number].from >= 0 || (is_to_come && !(terminal && number == PUMP_STDERR)))
        add_tap(&shim->pumps[number], fd, client);
}

int stdio_attach(struct shim *shim, int client, uint32_t wanted, int *fds, int count, int *input) {
    int streams = !!(wanted & CLIB_ATTACH_STDOUT) + !!(wanted & CLIB_ATTACH_STDERR);
    if (count != streams)
        return -EBADF;
    if (shim->phase == PHASE_ENDING && !life_may_go_on(shim))
        return -ESRCH;
    if (!(shim->flags & CLIB_LAUNCH_LOG)) /* it has its streams themselves */
        return -EOPNOTSUPP;
    for (int i = 0; i < 2; i++)
        if (wanted & (uint32_t)CLIB_ATTACH_STDOUT << i && shim->pumps[i].tap_count == SHIM_TAPS)
            return -EUSERS;
    if (wanted & CLIB_ATTACH_STDIN && shim->flags & CLIB_LAUNCH_TERMINAL && shim->input < 0) {
        int result = open_terminal_input(shim);
        if (result < 0)
            return result;
    }
    for (int i = 0; i < 2; i++)
        if (wanted & (uint32_t)CLIB_ATTACH_STDOUT << i)
            attach_stream(shim, i, client, fds++);
    *input = wanted & CLIB_ATTACH_STDIN ? shim->input : -1;
    return 0;
}

void stdio_detach(struct shim *shim, int client) {
    for (int i = 0; i < SHIM_PUMPS; i++)
        for (int tap = shim->pumps[i].tap_count; tap--;)
            if (shim->pumps[i].taps[tap].client == client)
                remove_tap(&shim->pumps[i], tap);
}

int stdio_end_input(struct shim *shim) {
    if (shim->flags & CLIB_LAUNCH_TERMINAL) /* its end of file is a key */
        return -ENXIO;
    if (shim->input < 0)
        return -EPIPE;
    close_fd(&shim->input);
    shim->input = -1;
    return 0;
}

/* The first tap that has not taken all, or NULL. It is the one that is waited for: all have to be done. */
static const struct tap *slow_tap(const struct pump *pump) {
    for (int i = 0; i < pump->tap_count; i++)
        if (pump->taps[i].start < pump->end)
            return &pump->taps[i];
    return NULL;
}

int pump_is_behind(const struct pump *pump) {
    return slow_tap(pump) != NULL;
}

int pump_wants(const struct shim *shim, const struct pump *pump, short *events) {
    const struct tap *slow = slow_tap(pump);
    *events = slow ? 4 /* POLLOUT */ : 1 /* POLLIN */;
    if (slow)
        return slow->fd;
    int waits = pump->stream != LOG_NONE ? shim->log.stuck : shim->terminal < 0;
    return waits ? -1 : pump->from;
}

/* of a program that fills its pipe faster than it is drained, for as long as it does */
static void widen(struct pump *pump, int size) {
    sys(fcntl, pump->from, F_SETPIPE_SZ, size);
    pump->wide = size == PIPE_WIDE;
}

void pump_release(struct pump *pump) {
    if (pump->buffer && !pump_is_behind(pump)) {
        sys(munmap, pump->buffer, SHIM_BUFFER + SLACK);
        pump->buffer = NULL;
        if (pump->wide && pump->from >= 0)
            widen(pump, PIPE_USUAL);
    }
}

static void end_pump(struct pump *pump) {
    close_fd(&pump->from);
    pump->from = -1;
    pump->wide = 0;
    pump_release(pump);
}

void pump_close(struct shim *shim, struct pump *pump) {
    int goes_on = life_may_go_on(shim);
    if (pump->from >= 0 && pump->from == shim->terminal) {
        shim->terminal = -1;
        for (int i = PUMP_KEYBOARD; i < SHIM_PUMPS; i++) {
            remove_taps(&shim->pumps[i]);
            if (!goes_on) /* else what is typed now is for the next run's terminal */
                end_pump(&shim->pumps[i]);
        }
    }
    if (pump->stream == LOG_NONE || !goes_on) /* else the next run's output is for them too */
        remove_taps(pump);
    end_pump(pump);
}

/* who has attached, and not taken all */
static int lags(const struct pump *pump, const struct tap *tap) {
    return tap->client >= 0 && tap->start < pump->end;
}

/* Who started it may take his time to read what it wrote, unless somebody wants it to be over. */
void stdio_give_up(struct shim *shim) {
    for (int i = 0; i < 2; i++)
        for (int number = shim->pumps[i].tap_count; number--;) {
            const struct tap *tap = &shim->pumps[i].taps[number];
            if (lags(&shim->pumps[i], tap) || (shim->life.final && tap->start < shim->pumps[i].end))
                remove_tap(&shim->pumps[i], number);
        }
}

void pump_make_room(const struct pump *pump) {
    for (const struct tap *tap = pump->taps; tap < pump->taps + pump->tap_count; tap++) {
        long left = (long)(pump->end - tap->start);
        long size = lags(pump, tap) ? sys(fcntl, tap->fd, F_GETPIPE_SZ) : -1;
        if (size > 0 && size + left <= PIPE_LAST)
            sys(fcntl, tap->fd, F_SETPIPE_SZ, size + left);
    }
}

static long put(const struct pump *pump, const struct tap *tap) {
    const char *bytes = pump->buffer + tap->start;
    size_t size = pump->end - tap->start;
    long sent = sys(sendto, tap->fd, bytes, size, MSG_DONTWAIT_, 0, 0);
    if (sent != -ENOTSOCK)
        return sent;
    return sys(write, tap->fd, bytes, tap->shared && size > PIPE_PIECE ? PIPE_PIECE : size);
}

static long take(const struct pump *pump) {
    long got = sys(recvfrom, pump->from, pump->buffer, SHIM_BUFFER, MSG_DONTWAIT_, 0, 0);
    return got == -ENOTSOCK ? sys(read, pump->from, pump->buffer, SHIM_BUFFER) : got;
}

/* 0, or -errno: nobody takes it any more */
static int serve_tap(const struct pump *pump, struct tap *tap) {
    while (tap->start < pump->end) {
        long written = put(pump, tap);
        if (written < 0)
            return written == -EAGAIN ? 0 : (int)written;
        tap->start += (size_t)written;
        if (tap->shared)
            return 0;
    }
    return 0;
}

/* what may have to be waited for is only written to where it is `ready`, and once */
static void pass_on(struct pump *pump, const struct tap *ready) {
    for (int i = pump->tap_count; i--;)
        if ((!pump->taps[i].shared || &pump->taps[i] == ready) && serve_tap(pump, &pump->taps[i]) < 0)
            remove_tap(pump, i);
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
    const struct tap *ready = slow_tap(pump);
    pass_on(pump, ready);
    /* it was the tap that was ready, and not `from` */
    if (pump_is_behind(pump) || (ready && pump->shared) || ensure_buffer(pump) < 0)
        return;
    if (pump->stream != LOG_NONE && !log_is_ready(&shim->log))
        return;
    long got = take(pump);
    if (got == -EAGAIN)
        return;
    if (got <= 0) { /* end of file, or -EIO: the last user of a terminal is gone */
        pump_close(shim, pump);
        return;
    }
    if (got >= PIPE_USUAL && !pump->wide)
        widen(pump, PIPE_WIDE);
    if (pump->stream != LOG_NONE)
        log_append(&shim->log, pump->stream, pump->buffer, (size_t)got);
    pump->end = (size_t)got;
    for (int i = 0; i < pump->tap_count; i++)
        pump->taps[i].start = 0;
    pass_on(pump, NULL);
}
