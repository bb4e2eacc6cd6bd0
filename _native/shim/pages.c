/* Memory of a run that goes on from a checkpoint, where it comes when it is touched: CRIU's reader brings it
 * from the images, and this sees to it that nobody finds anything else in its place.
 *
 *   shim                            reader                        processes
 *     | starts it ------------------->|
 *     |<------------ that it listens -|
 *     |                               |<- a userfaultfd of each -|  CRIU makes them
 *     | traces it
 *     |                               |----------- their pages ->|  they run
 *     |<---- its end: all has come ---|
 *
 * When its descriptors are closed, what has not come yet is zeros. So a reader that fails, or is killed,
 * stops before that, and goes on to its end when the processes are killed; where the shim is, its guard does
 * that in the same order. A copy of the descriptors would keep them open too; but the reader forgets those
 * that it has closed only where that was the last one. */
#include "init.h"
#include "program.h"
#include "shim.h"

#include <linux/poll.h>
#include <linux/ptrace.h>
#include <linux/signal.h>
#include <linux/time_types.h>
#include <linux/un.h>

enum { PATIENCE_SECONDS = 10, TRIES = 10000 /* milliseconds */, STOPPED = 0x7f };
static const char SOCKET[] = "lazy-pages.socket";

static void fail(struct shim *shim, int error) {
    struct clib_message failed = {
        .kind = CLIB_MESSAGE_FAILED,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {CLIB_STAGE_OP, error, plan_index(&shim->plan, CLIB_OP_PAGES)},
        .number = {0, CLIB_OP_PAGES},
    };
    if (shim->phase == PHASE_ENDING)
        return;
    if (shim->recorded)
        record_write(shim, "failed", &failed);
    else if (shim->end.kind == CLIB_MESSAGE_NONE)
        shim->end = failed;
    after_kill(shim);
    sys(pidfd_send_signal, shim->pidfd, SIGKILL, 0, 0);
}

int pages_start(struct shim *shim) {
    int ready[2], at = plan_index(&shim->plan, CLIB_OP_PAGES);
    if (at < 0)
        return 0;
    int result = (int)sys(pipe2, ready, O_CLOEXEC);
    if (result < 0)
        return result;
    const int stdio[] = {-1, ready[1], -1};
    int pid = program_runtime(&shim->plan, &shim->plan.ops[at], stdio, -1, &shim->reader);
    sys(close, ready[1]);
    shim->reader_up = ready[0];
    shim->reader_pid = pid < 0 ? 0 : pid;
    if (pid >= 0)
        return 0;
    close_fd(&shim->reader_up);
    shim->reader_up = -1;
    fail(shim, -pid);
    return pid;
}

int pages_await(struct shim *shim) {
    if (shim->reader < 0)
        return 0;
    struct pollfd slot = {shim->reader_up, POLLIN, 0};
    struct __kernel_timespec patience = {.tv_sec = PATIENCE_SECONDS};
    char byte;
    int in_time = sys(ppoll, &slot, 1, &patience, 0, 0) > 0;
    if (in_time && sys(read, shim->reader_up, &byte, 1) == 1)
        return 0;
    fail(shim, in_time ? ECHILD : ETIMEDOUT);
    return -EIO;
}

/* whether it still waits for CRIU; it stops to listen when it has been given all, and opened what it reads */
static int listens(const struct shim *shim) {
    struct sockaddr_un address = {.sun_family = AF_UNIX_, .sun_path = "/proc/self/fd/"};
    size_t length = 14 + format_decimal(address.sun_path + 14, (uint64_t)shim->directory);
    address.sun_path[length++] = '/';
    memcpy(address.sun_path + length, SOCKET, sizeof SOCKET);
    cleanup_close int probe = (int)sys(socket, AF_UNIX_, SOCK_STREAM_ | O_CLOEXEC | O_NONBLOCK, 0);
    long result = probe < 0 ? probe : sys(connect, probe, &address, sizeof address);
    return result == 0 || result == -EAGAIN ? 1 : result == -ECONNREFUSED ? 0 : (int)result;
}

int pages_watch(struct shim *shim) {
    if (shim->reader < 0)
        return 0;
    int result = 1;
    for (int i = 0; i < TRIES && (result = listens(shim)) == 1; i++)
        pause_briefly();
    if (result != 0)
        return result < 0 ? result : -ETIMEDOUT;
    return (int)sys(ptrace, PTRACE_SEIZE, shim->reader_pid, 0, PTRACE_O_TRACEEXIT);
}

/* it is traced, and stands still */
static void let_go_on(struct shim *shim, int status) {
    int signal = status >> 8 & 0xff, event = status >> 16;
    unsigned long code = 0;
    if (event == PTRACE_EVENT_EXIT)
        sys(ptrace, PTRACE_GETEVENTMSG, shim->reader_pid, 0, &code);
    if (code)
        fail(shim, EIO);
    if (event == PTRACE_EVENT_STOP && signal != SIGTRAP)
        sys(ptrace, PTRACE_LISTEN, shim->reader_pid, 0, 0);
    else
        sys(ptrace, PTRACE_CONT, shim->reader_pid, 0, event ? 0 : signal);
}

static void forget(struct shim *shim) {
    close_fd(&shim->reader);
    close_fd(&shim->reader_up);
    shim->reader = shim->reader_up = -1;
    shim->reader_pid = 0;
    sys(unlinkat, shim->directory, SOCKET, 0); /* whoever wants to dump them waits for that */
}

void pages_heard(struct shim *shim, int status) {
    if ((status & 0xff) == STOPPED) {
        let_go_on(shim, status);
        return;
    }
    if (status != 0)
        fail(shim, EIO);
    forget(shim);
}

void pages_end(struct shim *shim) {
    int status;
    if (shim->reader < 0)
        return;
    sys(pidfd_send_signal, shim->reader, SIGKILL, 0, 0);
    while (sys(wait4, shim->reader_pid, &status, 0, 0) > 0 && (status & 0xff) == STOPPED)
        sys(ptrace, PTRACE_CONT, shim->reader_pid, 0, 0);
    forget(shim);
}
