/* Clients: the launcher on descriptor 3, and whoever connects to shim.sock. */
#include "shim.h"

#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/signal.h>
#include <linux/socket.h>
#include <linux/time.h>
#include <linux/un.h>

enum { BACKLOG = 64, DEAF_NS = 100000000 /* until it is looked again whether there is a descriptor */ };

int control_listen(const struct shim *shim, const char *name, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX_};
    memcpy(address.sun_path, name, text_length(name) + 1);
    /* bound by a relative name: a path of any length must fit */
    long result = sys(fchdir, shim->directory);
    if (result < 0)
        return (int)result;
    sys(unlinkat, shim->directory, name, 0);
    cleanup_close int listener = (int)sys(socket, AF_UNIX_, type | O_CLOEXEC, 0);
    if (listener < 0)
        return listener;
    /* who may write to it may connect, and the caller's umask may be any */
    long before = sys(umask, 0177);
    result = sys(bind, listener, &address, sizeof address);
    sys(umask, before);
    if (result < 0 || (result = sys(listen, listener, BACKLOG)) < 0)
        return (int)result;
    return take_fd(&listener);
}

static void drop(struct shim *shim, struct client *client) {
    stdio_detach(shim, (int)(client - shim->clients));
    close_fd(&client->fd);
    *client = (struct client){.fd = -1};
    shim->deaf_until = 0;
}

int control_vacancy(const struct shim *shim) {
    int place = 0;
    if (shim->deaf_until)
        return -1;
    while (place < shim->client_count && shim->clients[place].fd >= 0)
        place++;
    return place < SHIM_CLIENTS ? place : -1;
}

void control_accept(struct shim *shim) {
    int fd = (int)sys(accept4, shim->listener, 0, 0, O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        /* who cannot be let in, for lack of descriptors, is still there to be heard of */
        if (fd != -EAGAIN)
            shim->deaf_until = clock_ns(CLOCK_MONOTONIC) + DEAF_NS;
        return;
    }
    int place = control_vacancy(shim);
    if (place == shim->client_count)
        shim->client_count++;
    shim->clients[place] = (struct client){.fd = fd};
}

struct clib_message control_state(const struct shim *shim) {
    return (struct clib_message){
        .kind = shim->phase == PHASE_LAUNCHING || shim->phase == PHASE_CREATED ? CLIB_MESSAGE_CREATED
                                                                               : CLIB_MESSAGE_STARTED,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {shim->pid},
        .number = {shim->start_time},
    };
}

/* to everyone who waits for how it goes on */
void control_broadcast(struct shim *shim, const struct clib_message *message) {
    for (int i = 0; i < shim->client_count; i++)
        if (shim->clients[i].fd >= 0 && shim->clients[i].waiting != WAITING_NOT)
            channel_send(shim->clients[i].fd, message, -1);
}

void control_end(struct shim *shim) {
    for (int i = 0; i < shim->client_count; i++)
        shim->clients[i].waiting = WAITING_END;
    control_broadcast(shim, &shim->end);
}

void control_exited(struct shim *shim) {
    for (int i = 0; i < shim->client_count; i++) {
        if (shim->clients[i].fd < 0 || shim->clients[i].waiting != WAITING_EXIT)
            continue;
        channel_send(shim->clients[i].fd, &shim->end, -1);
        shim->clients[i].waiting = WAITING_NOT;
    }
}

/* An exec has no group of its own. Its first process leads a session, and is not reaped yet: so the number is
 * that of its process group, and of no other. */
static void kill_everyone(const struct shim *shim) {
    after_kill(shim);
    if (!(shim->flags & CLIB_LAUNCH_LOG) && shim->pid > 1 && sys(getpgid, shim->pid) == shim->pid)
        sys(kill, -shim->pid, SIGKILL);
}

static int deliver_signal(struct shim *shim, const struct clib_message *message) {
    int signal = message->value[0], everyone = message->value[1], flags = message->value[2];
    int rested = shim->phase == PHASE_RESTING;
    shim->life.keep |= !!(flags & CLIB_SIGNAL_KEEP);
    if (flags & CLIB_SIGNAL_FINAL)
        life_end(shim);
    if (shim->phase == PHASE_ENDING || rested)
        return rested && flags & CLIB_SIGNAL_FINAL ? 0 : -ESRCH;
    if (everyone && signal == SIGKILL)
        kill_everyone(shim);
    return (int)sys(pidfd_send_signal, shim->pidfd, signal, 0, 0);
}

static int resize(struct shim *shim, int rows, int columns) {
    if (shim->terminal < 0)
        return -ENOTTY;
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    return (int)sys(ioctl, shim->terminal, TIOCSWINSZ, &size);
}

static int start(struct shim *shim, const struct clib_message *message) {
    if (shim->phase != PHASE_CREATED)
        return -EINVAL;
    shim->phase = PHASE_LAUNCHING;
    if (!(shim->flags & CLIB_LAUNCH_FOREIGN))
        return channel_send(shim->sync, message, -1);
    loop_started(shim, shim->start_time);
    return 0;
}

static void answer_with(struct shim *shim, struct client *client, int error, int fd) {
    struct clib_message done = {
        .kind = CLIB_MESSAGE_DONE, .version = CLIB_PROTOCOL_VERSION, .value = {-error}};
    if (channel_send(client->fd, &done, fd) < 0)
        drop(shim, client);
}

static void answer(struct shim *shim, struct client *client, int error) {
    answer_with(shim, client, error, -1);
}

static void attach(struct shim *shim, struct client *client, uint32_t wanted, int *fds, int count) {
    int input = -1;
    int result = stdio_attach(shim, (int)(client - shim->clients), wanted, fds, count, &input);
    answer_with(shim, client, result, input);
}

static void answer_loan(struct shim *shim, struct client *client) {
    cleanup_close int mount = -1;
    int result = lend(shim, &mount);
    answer_with(shim, client, result, mount);
}

static void answer_change(struct shim *shim, struct client *client, const int *fds, int count) {
    struct plan plan;
    int failed = 0, result = count == 1 ? plan_map(fds[0], &plan) : -EPROTO;
    if (result < 0) {
        answer(shim, client, result);
        return;
    }
    result = links_change(shim, &plan, &failed);
    struct clib_message done = {
        .kind = CLIB_MESSAGE_DONE, .version = CLIB_PROTOCOL_VERSION, .value = {-result, failed}};
    if (channel_send(client->fd, &done, -1) < 0)
        drop(shim, client);
    if (result == 0)
        links_changed(&plan);
    plan_unmap(&plan);
}

static void handle(struct shim *shim, struct client *client, const struct clib_message *message, int *fds,
                   int count) {
    switch ((enum clib_message_kind)message->kind) {
    case CLIB_MESSAGE_START: {
        enum waiting waiting = client->waiting;
        client->waiting = WAITING_END; /* STARTED or FAILED follows */
        int result = start(shim, message);
        if (result < 0) {
            client->waiting = waiting;
            answer(shim, client, result);
        }
        return;
    }
    case CLIB_MESSAGE_SIGNAL:
        answer(shim, client, deliver_signal(shim, message));
        return;
    case CLIB_MESSAGE_RESIZE:
        answer(shim, client, resize(shim, message->value[0], message->value[1]));
        return;
    case CLIB_MESSAGE_WAIT:
        client->waiting = message->value[0] ? WAITING_EXIT : WAITING_END;
        return;
    case CLIB_MESSAGE_STATE: {
        struct clib_message state = control_state(shim);
        channel_send(client->fd, &state, -1);
        return;
    }
    case CLIB_MESSAGE_ATTACH:
        attach(shim, client, (uint32_t)message->value[0], fds, count);
        return;
    case CLIB_MESSAGE_BORROW:
        answer_loan(shim, client);
        return;
    case CLIB_MESSAGE_LINKS:
        answer_change(shim, client, fds, count);
        return;
    case CLIB_MESSAGE_TRACED:
        if (count == 1)
            tracer_watch(shim, take_fd(fds));
        answer(shim, client, count == 1 ? 0 : -EPROTO);
        return;
    case CLIB_MESSAGE_END_INPUT:
        answer(shim, client, stdio_end_input(shim));
        return;
    case CLIB_MESSAGE_NONE:
    case CLIB_MESSAGE_LAUNCH:
    case CLIB_MESSAGE_CREATED:
    case CLIB_MESSAGE_STARTED:
    case CLIB_MESSAGE_FAILED:
    case CLIB_MESSAGE_EXITED:
    case CLIB_MESSAGE_DONE:
    case CLIB_MESSAGE_TERMINAL:
    case CLIB_MESSAGE_HANDOVER:
    case CLIB_MESSAGE_REBORN:
    case CLIB_MESSAGE_RESTARTS:
    case CLIB_MESSAGE_RESTORING:
        answer(shim, client, -EPROTO);
        return;
    }
    answer(shim, client, -EPROTO);
}

void control_serve(struct shim *shim, struct client *client) {
    struct clib_message message;
    int fds[CLIB_MAX_FDS], count;
    int result = channel_receive(client->fd, &message, fds, &count, MSG_DONTWAIT_);
    if (result > 0)
        handle(shim, client, &message, fds, count);
    else if (result == -EPROTONOSUPPORT) /* of a release to come: the answer tells what this one speaks */
        answer(shim, client, result);
    else if (result != -EAGAIN)
        drop(shim, client);
    close_fds(fds, count);
}
