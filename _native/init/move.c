/* The root without pivot_root(2), which the kernel refuses where "/" is the initial ramdisk: the container's
 * root is moved on top of "/", and what is mounted below is taken away. The ramdisk's own tree stays there,
 * for whoever may unmount the container's root; nothing is mounted in it any more, and it is read-only. */
#include "init.h"

#include <asm/statfs.h>
#include <linux/magic.h>
#include <linux/mman.h>
#include <linux/mount.h>

enum { PROT_RW_ = 3, MNT_DETACH_ = 2, UMOUNT_NOFOLLOW_ = 8, MOUNT_ID = 0x1000 /* STATX_MNT_ID */ };
enum { LIST_SIZE = 32 << 20 /* as far as it is used: 100,000 mounts are the most */, ROUNDS = 100 };

struct below {
    uint64_t id, covered_by; /* of the old root's mount and of the new one's */
    int mountinfo;
    char *list;
};

static int mount_id(int fd, uint64_t *id) {
    struct statx facts;
    long result = sys(statx, fd, "", AT_EMPTY_PATH, MOUNT_ID, &facts);
    *id = facts.stx_mnt_id;
    return (int)result;
}

/* decodes \ooo, as mountinfo has a blank, in place */
static void decode(char *text) {
    char *to = text;
    for (const char *at = text; *at; to++) {
        if (at[0] == '\\' && at[1] && at[2] && at[3]) {
            *to = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            at += 4;
        } else {
            *to = *at++;
        }
    }
    *to = 0;
}

static long read_list(const struct below *below) {
    long filled = sys(lseek, below->mountinfo, 0, 0), got = 1;
    while (filled >= 0 && got > 0 && filled < LIST_SIZE - 1) {
        got = sys(read, below->mountinfo, below->list + filled, LIST_SIZE - 1 - filled);
        filled = got < 0 ? got : filled + got;
    }
    return filled == LIST_SIZE - 1 ? -E2BIG : filled;
}

static int detach(const char *path) {
    sys(mount, 0, path, 0, MS_SLAVE | MS_REC, 0); /* it must not travel back to the host */
    sys(umount2, path, MNT_DETACH_ | UMOUNT_NOFOLLOW_);
    return 0; /* who it is hidden by is the next round's, and who is locked is covered at the end */
}

/* A user namespace has its mounts locked to each other. Covered, a /proc without masks is no licence to mount
 * another for the namespaces that the container makes itself. */
static int cover(const char *path) {
    static const char options[] = "size\0"
                                  "0k";
    cleanup_close int place = (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0)
        return place == -ENOTDIR ? 0 : place;
    cleanup_close int mount = new_mount("tmpfs", options, 1, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
    if (mount < 0)
        return mount;
    return (int)sys(move_mount, mount, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* Does that to what is mounted right in the old root. A line of mountinfo: number, number of the parent,
 * major:minor, root, mount point, ... Returns how many there were, or -errno. */
static int for_each_child(const struct below *below, int (*act)(const char *path)) {
    long size = read_list(below);
    int count = 0;
    char *end = below->list + (size < 0 ? 0 : size), *next;
    for (char *line = below->list; line < end; line = next) {
        next = (char *)find_byte(line, end, '\n') + 1;
        next[-1] = ' ';
        const char *at;
        uint64_t id = parse_decimal(line, &at), parent = parse_decimal(at + 1, &at);
        if (parent != below->id || id == below->covered_by ||
            id == parent) /* the ramdisk's parent is itself */
            continue;
        for (int field = 0; field < 3; field++)
            at = find_byte(at, next - 1, ' ') + 1;
        char *path = (char *)at;
        *(char *)find_byte(path, next - 1, ' ') = 0;
        decode(path);
        int result = act(path);
        if (result < 0)
            return result;
        count++;
    }
    return size < 0 ? (int)size : count;
}

/* 0 or -errno */
static int clear(const struct below *below) {
    int left = 0, before;
    for (int round = 0; round < ROUNDS; round++) {
        before = left;
        if ((left = for_each_child(below, detach)) <= 0 || left == before)
            break;
    }
    if (left > 0)
        left = for_each_child(below, cover);
    return left < 0 ? left : 0;
}

static int open_mountinfo(void) {
    cleanup_close int fd = (int)sys(openat, AT_FDCWD, "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    struct statfs facts;
    long result = fd < 0 ? fd : sys(fstatfs, fd, &facts);
    if (result < 0)
        return (int)result;
    return facts.f_type == PROC_SUPER_MAGIC ? take_fd(&fd) : -ENODEV;
}

static int clear_below(int old, int root) {
    cleanup_close int mountinfo = open_mountinfo();
    struct below below = {.mountinfo = mountinfo};
    int result;
    if (mountinfo < 0)
        return mountinfo;
    if ((result = mount_id(old, &below.id)) < 0 || (result = mount_id(root, &below.covered_by)) < 0)
        return result;
    long memory = sys(mmap, 0, LIST_SIZE, PROT_RW_, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory < 0 && memory > -4096)
        return (int)memory;
    below.list = (char *)memory;
    result = clear(&below);
    sys(munmap, memory, LIST_SIZE);
    return result;
}

int root_move(const struct init *init, int old) {
    struct file_facts facts;
    int result = file_facts(old, &facts);
    if (result < 0)
        return result;
    if (!facts.mount_root) /* from a directory of a mount a way would lead up to the rest of it */
        return -EINVAL;
    /* and nothing that the host mounts later comes here */
    if ((result = mount_attributes(old, 0, 0, MS_PRIVATE, 0)) < 0)
        return result;
    result = (int)sys(move_mount, init->root, "", old, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    if (result < 0)
        return result;
    /* until the chroot a path goes through the old root: what is on top of that is not looked at */
    if ((result = clear_below(old, init->root)) < 0)
        return result;
    result = mount_attributes(
        old, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, 0, 0);
    return result < 0 ? result : change_root(init);
}
