/* libFuzzer harness: the tar parser, whole and in pieces, and the layer writer behind it.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I_native/include -I_native/ext \
 *         tests/native/fuzz_tar.c _native/ext/tar*.c _native/ext/layer*.c _native/ext/{intake,lowers}.c \
 *         -o fuzz_tar && ./fuzz_tar corpus/
 *
 * The input is one byte that seeds the splits, then an archive whose checksums are put right here, so that
 * the fuzzer need not guess them. What must hold: entries are well formed, content stays inside its file, and
 * the same bytes give the same events at any split. */
#include "layer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct trace {
    uint64_t hash;
    const struct tar_entry *entry;
    uint64_t stored;
    uint64_t end;
};

static const struct clib_layer_limits limits = {
    .max_entries = 200,
    .max_bytes = 1 << 20,
    .max_path_bytes = 4095,
    .max_pax_bytes = 1 << 16,
    .max_xattr_bytes = 1 << 12,
};
static char scratch[256];
static int scratch_fd = -1;

static void require(bool holds) {
    if (!holds)
        abort();
}

static void mix(struct trace *trace, const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        trace->hash = (trace->hash ^ bytes[i]) * 1099511628211u;
}

static enum clib_layer_kind on_entry(void *context, const struct tar_entry *entry) {
    struct trace *trace = context;
    require(!trace->entry && entry->path[0]);
    require(strlen(entry->path) <= limits.max_path_bytes && strlen(entry->link) <= limits.max_path_bytes);
    require(entry->type == TAR_FILE || entry->stored_size == 0);
    trace->entry = entry;
    trace->stored = trace->end = 0;
    mix(trace, entry->path, strlen(entry->path) + 1);
    mix(trace, entry->link, strlen(entry->link) + 1);
    const uint64_t numbers[] = {entry->type,  entry->mode,  entry->uid,  entry->gid,
                                entry->major, entry->minor, entry->size, (uint64_t)entry->mtime};
    mix(trace, numbers, sizeof numbers);
    for (size_t i = 0; i < entry->xattr_count; i++) {
        mix(trace, entry->xattrs[i].name, strlen(entry->xattrs[i].name) + 1);
        mix(trace, entry->xattrs[i].value, entry->xattrs[i].size);
    }
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind on_data(void *context, uint64_t offset, const uint8_t *data, size_t size) {
    struct trace *trace = context;
    require(trace->entry && size && offset >= trace->end && offset + size <= trace->entry->size);
    for (size_t i = 0; i < size; i++) { /* a byte with its place: pieces do not matter */
        uint64_t place = offset + i;
        mix(trace, &place, sizeof place);
        mix(trace, data + i, 1);
    }
    trace->end = offset + size;
    trace->stored += size;
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind on_end(void *context) {
    struct trace *trace = context;
    require(trace->entry && trace->stored == trace->entry->stored_size);
    trace->entry = NULL;
    return CLIB_LAYER_OK;
}

/* The next piece's size: small ones often, so that every boundary is met. */
static size_t piece(uint32_t *seed, size_t left) {
    *seed = *seed * 1664525 + 1013904223;
    size_t size = 1 + (*seed >> 8) % (*seed & 0x10000000 ? 2000 : 40);
    return size < left ? size : left;
}

static struct trace parse(const uint8_t *data, size_t size, uint32_t seed, bool split,
                          enum clib_layer_kind *kind) {
    struct trace trace = {.hash = 14695981039346656037u};
    struct tar_sink sink = {on_entry, on_data, on_end, &trace};
    struct tar *tar = malloc(sizeof *tar);
    tar_init(tar, &sink, &limits);
    *kind = CLIB_LAYER_OK;
    while (size && !*kind) {
        size_t taken = split ? piece(&seed, size) : size;
        *kind = tar_feed(tar, data, taken);
        data += taken;
        size -= taken;
    }
    if (!*kind)
        *kind = tar_finish(tar);
    tar_release(tar);
    free(tar);
    return trace;
}

static void write_layer(const uint8_t *data, size_t size, uint32_t seed) {
    char root[300], lower[300];
    snprintf(root, sizeof root, "%s/root", scratch);
    snprintf(lower, sizeof lower, "%s/lower", scratch);
    require(mkdir(root, 0700) == 0);
    const char *lowers[] = {lower};
    struct clib_layer_error error = {0};
    struct clib_layer_stats stats;
    struct clib_layer *layer = clib_layer_open(root, lowers, 1, -1, &limits, &error);
    require(layer);
    while (size && !error.kind) {
        size_t taken = piece(&seed, size);
        clib_layer_feed(layer, data, taken, &error);
        data += taken;
        size -= taken;
    }
    if (!error.kind)
        clib_layer_finish(layer, &stats, &error);
    clib_layer_close(layer);
    require(layer_remove(scratch_fd, "root") == 0);
}

static void remove_scratch(void) {
    layer_remove(scratch_fd, "lower");
    layer_remove(AT_FDCWD, scratch);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *base = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/fuzz-tar-XXXXXX", base ? base : "/tmp");
    require(mkdtemp(scratch) != NULL);
    scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    require(scratch_fd >= 0 && mkdirat(scratch_fd, "lower", 0755) == 0 &&
            mkdirat(scratch_fd, "lower/a", 0700) == 0);
    require(symlinkat("a", scratch_fd, "lower/b") == 0 && symlinkat("/../..", scratch_fd, "lower/c") == 0);
    atexit(remove_scratch);
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
    if (size < 1)
        return 0;
    uint32_t seed = input[0];
    uint8_t *data = malloc(size);
    memcpy(data, input + 1, --size);
    put_checksums_right(data, size);
    enum clib_layer_kind whole_kind, split_kind;
    struct trace whole = parse(data, size, seed, false, &whole_kind);
    struct trace split = parse(data, size, seed, true, &split_kind);
    require(whole_kind == split_kind && (whole_kind || whole.hash == split.hash));
    write_layer(data, size, seed);
    free(data);
    return 0;
}
