/* The first program of a container that another runtime makes: ours, bound into it, with the container's own
 * behind it. What no configuration may say, and no other runtime does, is done here.
 *
 *   NAME MANNER FILE PROGRAM ...
 *
 * MANNER "init": this process stays as the init; "exec": it becomes the program. FILE has variables for the
 * program, "NAME=value" with a NUL behind each, or is "". A program that cannot be executed is a shell's exit
 * code. */
#include "init.h"
#include "program.h"

#include <linux/mman.h>

enum { PROT_READ_ = 1, PROT_RW = 3, STANDARD_STREAMS = 3 };
enum { FAILED_ITSELF = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };
enum { MANNER = 1, VARIABLES, PROGRAM };

/* behind the "=" of a variable of that name; NULL: it is another one's */
static const char *value_of(const char *variable, const char *name) {
    size_t same = 0;
    while (name[same] && name[same] != '=' && variable[same] == name[same])
        same++;
    return (!name[same] || name[same] == '=') && variable[same] == '=' ? variable + same + 1 : NULL;
}

static const char *search_path(const char *const *envp) {
    const char *value = NULL;
    for (; *envp && !value; envp++)
        value = value_of(*envp, "PATH");
    return value ? value : "";
}

static int is_replaced(const char *variable, const char *text, const char *end) {
    for (const char *own = text; own < end; own = next_text(own))
        if (value_of(variable, own))
            return 1;
    return 0;
}

/* the environment with those of the file, each of which takes the place of one of the same name; -errno */
static int add_variables(const char *path, const char *const **envp) {
    cleanup_close int file = (int)sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    long size = file < 0 ? file : sys(lseek, file, 0, 2 /* SEEK_END */);
    if (size <= 0)
        return (int)size;
    long text = sys(mmap, 0, size, PROT_READ_, MAP_PRIVATE, file, 0);
    if (text < 0 && text > -4096)
        return (int)text;
    const char *begin = (const char *)text, *end = begin + size;
    size_t count = 1, used = 0;
    for (const char *const *each = *envp; *each; each++)
        count++;
    for (const char *own = begin; own < end; own = next_text(own))
        count++;
    long memory = sys(mmap, 0, count * sizeof(char *), PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -4096)
        return (int)memory;
    const char **all = (const char **)memory;
    for (const char *const *each = *envp; *each; each++)
        if (!is_replaced(*each, begin, end))
            all[used++] = *each;
    for (const char *own = begin; own < end; own = next_text(own))
        all[used++] = own;
    *envp = all;
    return 0;
}

static _Noreturn void complain(const char *name, int error) {
    static const char missing[] = ": not found\n", refused[] = ": cannot be executed\n";
    const char *reason = error == -ENOENT ? missing : refused;
    sys(write, 2, "init: ", 6);
    sys(write, 2, name, text_length(name));
    sys(write, 2, reason, text_length(reason));
    leave(error == -ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

_Noreturn void first_main(const char *const *argv, const char *const *envp) {
    char program[PROGRAM_SIZE];
    if (!argv[MANNER] || !argv[VARIABLES] || !argv[PROGRAM])
        leave(FAILED_ITSELF);
    program_signals();
    if (*argv[VARIABLES] && add_variables(argv[VARIABLES], &envp) < 0)
        leave(FAILED_ITSELF);
    int result = find_program(argv[PROGRAM], search_path(envp), program);
    if (result == 0 && argv[MANNER][0] == 'i')
        result = reaper_part(STANDARD_STREAMS);
    if (result == 0)
        result = (int)sys(execve, program, argv + PROGRAM, envp);
    complain(argv[PROGRAM], result);
}
