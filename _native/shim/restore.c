/* A run that goes on from a checkpoint. Its first process has become CRIU, which is asked for the container's
 * processes, and tells how it gets on.
 *
 *   first process                  shim                                CRIU
 *     | ops of the host's side       |
 *     | RESTORING + a socket ------->|
 *     | execve ----- end of file --->| the plan's REQUEST ------------->| makes them, as children of the shim
 *                                    |<--- "orphan-pts-master", with the terminal's master
 *                                    |<--- "post-restore", with the pid -| they stand still
 *       the pid takes its place      | accepted ----------------------->| lets them go
 *                                    |<--------------- RESTORE, success -| ends
 *                   writes `started` |
 *
 * Where that fails, CRIU undoes what it has done, or the groups are emptied as at any end. It ends with the
 * shim, whose guard then ends what there is by then. */
#include "init.h"
#include "shim.h"

#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/poll.h>
#include <linux/signal.h>

enum { ANSWER_SIZE = 8192, TYPE_RESTORE = 2, TYPE_NOTIFY = 6 };

/* {type: NOTIFY, notify_success: true} and false */
static const char ACCEPTED[] = {1 << 3, TYPE_NOTIFY, 3 << 3, 1};
static const char REFUSED[] = {1 << 3, TYPE_NOTIFY, 3 << 3, 0};

static void end_conversation(struct shim *shim) {
    close_fd(&shim->sync);
    shim->sync = -1;
    shim->restoring = 0;
}

static void fail(struct shim *shim, int error) {
    end_conversation(shim);
    if (shim->end.kind == CLIB_MESSAGE_NONE)
        shim->end = (struct clib_message){
            .kind = CLIB_MESSAGE_FAILED,
            .version = CLIB_PROTOCOL_VERSION,
            .value = {CLIB_STAGE_OP, error, plan_index(&shim->plan, CLIB_OP_RESTORE)},
        };
    sys(pidfd_send_signal, shim->pidfd, SIGKILL, 0, 0);
}

void restore_begin(struct shim *shim) {
    int at = plan_index(&shim->plan, CLIB_OP_REQUEST);
    const struct clib_op *request = &shim->plan.ops[at < 0 ? 0 : at];
    shim->sync = take_fd(&shim->criu);
    shim->restoring = 1;
    sys(fcntl, shim->sync, F_SETFL, O_NONBLOCK);
    int result = pages_start(shim);
    if (result == 0)
        result = guard_post(shim);
    if (result == 0)
        result = pages_await(shim);
    if (result == 0)
        result = channel_send_bytes(shim->sync, op_list(&shim->plan, request), request->size, -1);
    if (result < 0)
        fail(shim, -result);
}

static int attach_terminal(struct shim *shim, int *master) {
    if (*master < 0)
        return -ENOMSG;
    struct winsize size = {.ws_row = (unsigned short)shim->rows, .ws_col = (unsigned short)shim->columns};
    if (size.ws_row)
        sys(ioctl, *master, TIOCSWINSZ, &size);
    loop_attach(shim, take_fd(master));
    return 0;
}

static int take_place(struct shim *shim, int pid) {
    int result = loop_adopt(shim, pid);
    return result < 0 ? result : guard_post(shim); /* the one that is there knows of CRIU */
}

static void go_on(struct shim *shim, const struct answer *answer, int *fd) {
    int result = 0;
    if (answer_is_at(answer, "orphan-pts-master"))
        result = attach_terminal(shim, fd);
    else if (answer_is_at(answer, "post-restore"))
        result = (result = take_place(shim, answer->pid)) < 0 ? result : pages_watch(shim);
    const char *reply = result < 0 ? REFUSED : ACCEPTED;
    result = channel_send_bytes(shim->sync, reply, sizeof ACCEPTED, -1);
    if (result < 0)
        fail(shim, -result);
}

static void started(struct shim *shim) {
    struct process_facts facts;
    end_conversation(shim);
    process_facts(shim->pid, &facts);
    if (shim->flags & CLIB_LAUNCH_UNSUPERVISED) /* whoever adopts it ends it too */
        guard_dismiss(shim);
    loop_started(shim, facts.start_time);
}

int restore_serve(struct shim *shim) {
    char bytes[ANSWER_SIZE];
    int fds[CLIB_MAX_FDS], count;
    struct answer answer;
    long got = channel_receive_bytes(shim->sync, bytes, sizeof bytes, fds, &count);
    if (got == -EAGAIN)
        return (int)got;
    int first = got > 0 && count ? take_fd(fds) : -1;
    close_fds(fds, count);
    answer_read(bytes, got > 0 ? (size_t)got : 0, &answer);
    if (got <= 0)
        fail(shim, EOWNERDEAD);
    else if (answer.type == TYPE_NOTIFY)
        go_on(shim, &answer, &first);
    else if (answer.type == TYPE_RESTORE && answer.success)
        started(shim);
    else
        fail(shim, answer.error);
    close_fd(&first);
    return 0;
}

/* The process has ended before CRIU has told the rest: that is all that is waited for. */
void restore_finish(struct shim *shim) {
    while (shim->restoring) {
        struct pollfd slot = {shim->sync, POLLIN, 0};
        sys(ppoll, &slot, 1, 0, 0, 0);
        restore_serve(shim);
    }
}
