/* The last step: find the program, wait for START where that was asked for, become the program. */
#include "channel.h"
#include "init.h"

#include <linux/close_range.h>
#include <linux/mman.h>

enum { X_OK_ = 1, PROT_RW_ = 3, FILE_SIZE = 4096 };

/* is it a file that execve would take? 0 or -errno */
static int check_program(const char *path) {
    cleanup_close int fd = (int)sys(openat, AT_FDCWD, path, O_PATH | O_CLOEXEC);
    struct file_facts facts;
    int result = fd < 0 ? fd : file_facts(fd, &facts);
    if (result < 0)
        return result;
    if (!S_ISREG(facts.mode))
        return -EACCES;
    return (int)sys(faccessat2, AT_FDCWD, path, X_OK_, AT_EACCESS);
}

/* writes the path of `name`, sought in the directories of `search` as execvp(3) does, to `found` */
static int find_program(const char *name, const char *search, char *found) {
    size_t length = text_length(name);
    if (length == 0)
        return -ENOENT;
    if (length >= FILE_SIZE)
        return -ENAMETOOLONG;
    if (find_byte(name, name + length, '/') != name + length) {
        memcpy(found, name, length + 1);
        return check_program(found);
    }
    int worst = -ENOENT;
    const char *end = search + text_length(search);
    for (const char *at = search; at <= end; at++) {
        const char *stop = find_byte(at, end, ':');
        size_t prefix = (size_t)(stop - at);
        if (prefix && prefix + 1 + length < FILE_SIZE) {
            memcpy(found, at, prefix);
            found[prefix] = '/';
            memcpy(found + prefix + 1, name, length + 1);
            int result = check_program(found);
            if (result == 0)
                return 0;
            if (result == -EACCES)
                worst = result;
        }
        at = stop;
    }
    return worst;
}

static int wait_for_start(void) {
    struct clib_message message = {.kind = CLIB_MESSAGE_CREATED, .version = CLIB_PROTOCOL_VERSION};
    int fds[CLIB_MAX_FDS], count;
    int result = channel_send(INIT_SYNC_FD, &message, -1);
    if (result < 0)
        return result;
    result = channel_receive(INIT_SYNC_FD, &message, fds, &count, 0);
    if (result <= 0)
        return result < 0 ? result : -EOWNERDEAD;
    return message.kind == CLIB_MESSAGE_START ? 0 : -EPROTO;
}

int op_exec(struct init *init, const struct clib_op *op) {
    const char *search = op_text(init->plan, op, 1);
    char program[FILE_SIZE];
    int result = find_program(op_text(init->plan, op, 0), search ? search : "", program);
    if (result < 0)
        return result;
    long vectors =
        sys(mmap, 0, (op->size + 2) * sizeof(char *), PROT_RW_, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vectors < 0 && vectors > -4096)
        return (int)vectors;
    const char **argv = (const char **)vectors, **envp = argv + op->number[0] + 1;
    const char *text = init->plan->blob + op->text[2];
    for (uint64_t i = 0; i < op->number[0]; i++, text = next_text(text))
        argv[i] = text;
    for (uint64_t i = 0; i < op->number[1]; i++, text = next_text(text))
        envp[i] = text;
    /* everything but stdio ends with the exec; each descriptor was born so, and here nothing can have been
     * missed */
    sys(close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (init->launch_flags & CLIB_LAUNCH_HOLD && (result = wait_for_start()) < 0)
        return result;
    return (int)sys(execve, program, argv, envp);
}
