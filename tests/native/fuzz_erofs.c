/* libFuzzer harness: the EROFS writer, on hostile archives, with and without a layer below.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -DEROFS_BUFFER=12288 \
 *         -I_native/include -I_native/ext \
 *         tests/native/fuzz_erofs.c _native/ext/{erofs,tar}*.c _native/ext/{intake,layer_name,lowers}.c \
 *         -o fuzz_erofs && ./fuzz_erofs corpus/
 *
 * The input is a byte that seeds the splits, one that says whether there is a layer below, then an archive
 * whose checksums are put right here. What must hold of an archive that is taken: the same bytes come out at
 * any split; every address is inside the file, names are in order, nothing packed crosses a block, and each
 * inode is named as often as it says. */
#include "erofs_format.h"
#include "ext.h"
#include "tar.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MAX_NAMED = 4096 };

static const struct clib_layer_limits limits = {
    .max_entries = 200,
    .max_bytes = 1 << 20,
    .max_path_bytes = 4095,
    .max_pax_bytes = 1 << 16,
    .max_xattr_bytes = 1 << 15,
};
static char scratch[256], lower[300];

struct image {
    const uint8_t *data;
    uint64_t size;
    uint64_t named[MAX_NAMED]; /* a nid for each name of a file that is no directory */
    size_t count;
};

static void require(bool holds) {
    if (!holds)
        abort();
}

/* ---- reading an image back ---- */

static const void *at(const struct image *image, uint64_t offset, uint64_t size) {
    require(offset <= image->size && size <= image->size - offset);
    return image->data + offset;
}

static struct erofs_inode inode_of(const struct image *image, uint64_t nid) {
    struct erofs_inode inode;
    memcpy(&inode, at(image, nid * EROFS_SLOT, sizeof inode), sizeof inode);
    return inode;
}

/* Checks the attributes, and returns where what follows them is. */
static uint64_t check_xattrs(const struct image *image, uint64_t nid, const struct erofs_inode *inode) {
    uint64_t start = nid * EROFS_SLOT + sizeof *inode;
    if (!inode->xattr_count)
        return start;
    uint64_t size = sizeof(struct erofs_xattr_header) + 4 * (uint64_t)(inode->xattr_count - 1);
    const uint8_t *bytes = at(image, start, size);
    for (uint64_t done = sizeof(struct erofs_xattr_header); done < size;) {
        struct erofs_xattr_entry entry;
        require(size - done >= sizeof entry);
        memcpy(&entry, bytes + done, sizeof entry);
        done += (sizeof entry + entry.name_size + entry.value_size + 3) & ~3u;
        require(done <= size && entry.prefix);
    }
    return start + size;
}

/* The content of a block of a file or directory, NULL for a hole. */
static const uint8_t *block_of(const struct image *image, uint64_t nid, const struct erofs_inode *inode,
                               uint64_t index, uint64_t *size) {
    uint64_t behind = check_xattrs(image, nid, inode), start = index * EROFS_BLOCK;
    *size = inode->size - start < EROFS_BLOCK ? inode->size - start : EROFS_BLOCK;
    switch (inode->format >> 1) {
    case EROFS_FLAT_PLAIN:
        return at(image, (inode->data + index) * EROFS_BLOCK, EROFS_BLOCK);
    case EROFS_FLAT_INLINE:
        if (*size == EROFS_BLOCK)
            return at(image, (inode->data + index) * EROFS_BLOCK, EROFS_BLOCK);
        require(behind % EROFS_BLOCK + *size <= EROFS_BLOCK);
        return at(image, behind, *size);
    case EROFS_CHUNKED: {
        uint32_t chunk;
        require(inode->data <= EROFS_CHUNK_MAX_BITS);
        memcpy(&chunk, at(image, behind + sizeof chunk * (index >> inode->data), sizeof chunk), sizeof chunk);
        uint64_t inside = index & (((uint64_t)1 << inode->data) - 1);
        return chunk == EROFS_NO_BLOCK ? NULL : at(image, (chunk + inside) * EROFS_BLOCK, EROFS_BLOCK);
    }
    default:
        abort();
    }
}

static void check_file(const struct image *image, uint64_t nid, const struct erofs_inode *inode) {
    uint64_t blocks = inode->size / EROFS_BLOCK + (inode->size % EROFS_BLOCK > 0), size;
    uint64_t step = blocks / 1000 + 1; /* a sparse file may be very long */
    check_xattrs(image, nid, inode);
    for (uint64_t i = 0; i < blocks; i += step)
        block_of(image, nid, inode, i, &size);
    require(!S_ISLNK(inode->mode) || (inode->size > 0 && inode->size < 4096));
}

static void check_directory(struct image *image, uint64_t nid, uint64_t parent, unsigned depth);

/* Returns 1 for a directory. */
static uint32_t check_name(struct image *image, const struct erofs_dirent *dirent, uint64_t nid,
                           unsigned depth) {
    struct erofs_inode inode = inode_of(image, dirent->nid);
    static const uint32_t types[] = {0, S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK};
    require(dirent->type && dirent->type < 8 && (inode.mode & S_IFMT) == types[dirent->type]);
    if (S_ISDIR(inode.mode)) {
        check_directory(image, dirent->nid, nid, depth + 1);
        return 1;
    }
    require(image->count < MAX_NAMED);
    image->named[image->count++] = dirent->nid;
    if (S_ISREG(inode.mode) || S_ISLNK(inode.mode))
        check_file(image, dirent->nid, &inode);
    return 0;
}

static int compare_names(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : a_size < b_size ? -1 : a_size > b_size;
}

static void check_directory(struct image *image, uint64_t nid, uint64_t parent, unsigned depth) {
    struct erofs_inode inode = inode_of(image, nid);
    const uint8_t *last = NULL;
    size_t last_size = 0;
    uint32_t directories = 0;
    unsigned dots = 0;
    require(S_ISDIR(inode.mode) && inode.size && depth < 2100);
    for (uint64_t i = 0; i * EROFS_BLOCK < inode.size; i++) {
        uint64_t size;
        const uint8_t *block = block_of(image, nid, &inode, i, &size);
        struct erofs_dirent dirent, next;
        memcpy(&dirent, block, sizeof dirent);
        size_t count = dirent.name_offset / sizeof dirent;
        require(count && dirent.name_offset % sizeof dirent == 0 && dirent.name_offset < size);
        for (size_t j = 0; j < count; j++, dirent = next) {
            memcpy(&next, block + (j + 1) * sizeof next, sizeof next);
            size_t end = j + 1 < count ? next.name_offset : size;
            require(dirent.name_offset < end && end <= size);
            const uint8_t *name = block + dirent.name_offset;
            size_t length = strnlen((const char *)name, end - dirent.name_offset);
            require(length && length <= EROFS_MAX_NAME && !memchr(name, '/', length));
            require(j + 1 == count || length == end - dirent.name_offset);
            require(!last || compare_names(last, last_size, name, length) < 0);
            last = name;
            last_size = length;
            if (length <= 2 && memcmp(name, "..", length) == 0) {
                require(dirent.nid == (length == 1 ? nid : parent));
                dots++;
            } else {
                directories += check_name(image, &dirent, nid, depth);
            }
        }
    }
    require(dots == 2 && inode.links == 2 + directories);
}

static int compare_nids(const void *a, const void *b) {
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static void check_image(const uint8_t *data, uint64_t size) {
    static struct image image;
    image = (struct image){.data = data, .size = size};
    struct erofs_super super;
    memcpy(&super, at(&image, EROFS_SUPER_OFFSET, sizeof super), sizeof super);
    require(super.magic == EROFS_MAGIC && (uint64_t)super.blocks * EROFS_BLOCK == size);
    check_directory(&image, super.root_nid, super.root_nid, 0);
    qsort(image.named, image.count, sizeof *image.named, compare_nids);
    for (size_t start = 0, end; start < image.count; start = end) {
        for (end = start; end < image.count && image.named[end] == image.named[start];)
            end++;
        require(inode_of(&image, image.named[start]).links == end - start);
    }
}

/* ---- writing ---- */

static size_t piece(uint32_t *seed, size_t left) {
    *seed = *seed * 1664525 + 1013904223;
    size_t size = 1 + (*seed >> 8) % (*seed & 0x10000000 ? 2000 : 40);
    return size < left ? size : left;
}

/* The image mapped, NULL where the archive is refused. */
static uint8_t *write_image(const uint8_t *data, size_t size, uint32_t seed, bool split, bool has_lower,
                            uint64_t *image_size, int32_t *kind) {
    char path[300];
    snprintf(path, sizeof path, "%s/image", scratch);
    const char *lowers[] = {lower};
    struct clib_layer_error error = {0};
    struct clib_layer_stats stats;
    struct clib_erofs *writer = clib_erofs_open(path, &limits, &error);
    require(writer);
    while (size && !error.kind) {
        size_t taken = split ? piece(&seed, size) : size;
        clib_erofs_feed(writer, data, taken, &error);
        data += taken;
        size -= taken;
    }
    if (!error.kind)
        clib_erofs_finish(writer, lowers, has_lower, &stats, &error);
    clib_erofs_close(writer);
    *kind = error.kind;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    require(fd >= 0 && fstat(fd, &status) == 0 && unlink(path) == 0);
    *image_size = (uint64_t)status.st_size;
    uint8_t *mapped = error.kind ? NULL : mmap(NULL, *image_size, PROT_READ, MAP_PRIVATE, fd, 0);
    require(mapped != MAP_FAILED);
    close(fd);
    return mapped;
}

static void remove_scratch(void) {
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    if (system(command)) {
    }
}

static void make_lower(void) {
    int fd = open(lower, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    require(fd >= 0 && mkdirat(fd, "a", 0700) == 0 && mkdirat(fd, "a/d", 0750) == 0);
    require(symlinkat("a", fd, "b") == 0 && symlinkat("/../..", fd, "c") == 0);
    require(symlinkat("../e/f", fd, "a/l") == 0 && symlinkat("s", fd, "s") == 0);
    int file = openat(fd, "a/f", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    require(file >= 0 && pwrite(file, "content", 7, 20000) == 7);
    close(file);
    close(fd);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *base = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/fuzz-erofs-XXXXXX", base ? base : "/tmp");
    require(mkdtemp(scratch) != NULL);
    snprintf(lower, sizeof lower, "%s/lower", scratch);
    require(mkdir(lower, 0755) == 0);
    atexit(remove_scratch);
    make_lower();
    return 0;
}

static void put_checksums_right(uint8_t *data, size_t size) {
    for (; size >= TAR_BLOCK; data += TAR_BLOCK, size -= TAR_BLOCK) {
        if (memcmp(data + 257, "ustar", 5) != 0)
            continue;
        unsigned sum = 0;
        memset(data + 148, ' ', 8);
        for (size_t i = 0; i < TAR_BLOCK; i++)
            sum += data[i];
        char text[9];
        snprintf(text, sizeof text, "%06o", sum & 0777777);
        memcpy(data + 148, text, 7);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    if (size < 2)
        return 0;
    uint32_t seed = input[0];
    bool has_lower = input[1] & 1;
    size -= 2;
    uint8_t *data = malloc(size + 1);
    memcpy(data, input + 2, size);
    put_checksums_right(data, size);
    uint64_t whole_size, split_size;
    int32_t whole_kind, split_kind;
    uint8_t *whole = write_image(data, size, seed, false, has_lower, &whole_size, &whole_kind);
    uint8_t *split = write_image(data, size, seed, true, has_lower, &split_size, &split_kind);
    require(whole_kind == split_kind);
    if (whole) {
        require(whole_size == split_size && memcmp(whole, split, whole_size) == 0);
        check_image(whole, whole_size);
        munmap(whole, whole_size);
        munmap(split, split_size);
    }
    free(data);
    return 0;
}
