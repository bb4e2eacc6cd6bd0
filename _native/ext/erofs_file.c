/* Appending to the file, in few and large writes. */
#include "erofs_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cleanup.h"

/* block numbers have 32 bits, and the last of them means a hole */
static const uint64_t MAX_SIZE = (uint64_t)UINT32_MAX << EROFS_BLOCK_BITS;

enum { DIRECT = EROFS_BUFFER / 16 }; /* content that comes in pieces of this size is not copied */

int erofs_file_open(struct erofs_file *file, const char *path) {
    file->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file->fd < 0)
        return -1;
    file->buffer = malloc(EROFS_BUFFER + EROFS_OPEN_BLOCKS * EROFS_BLOCK);
    if (!file->buffer)
        return -1;
    for (size_t i = 0; i < EROFS_OPEN_BLOCKS; i++)
        file->blocks[i].data = file->buffer + EROFS_BUFFER + i * EROFS_BLOCK;
    return 0;
}

void erofs_file_close(struct erofs_file *file) {
    close_fd(&file->fd);
    free(file->buffer);
}

static int write_all(struct erofs_file *file, struct iovec *pieces, int count, uint64_t at) {
    while (count) {
        ssize_t written = pwritev(file->fd, pieces, count, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        at += (uint64_t)written;
        for (; count && (size_t)written >= pieces->iov_len; pieces++, count--)
            written -= (ssize_t)pieces->iov_len;
        if (count) {
            pieces->iov_base = (uint8_t *)pieces->iov_base + written;
            pieces->iov_len -= (size_t)written;
        }
    }
    return 0;
}

int erofs_flush(struct erofs_file *file) {
    struct iovec piece = {file->buffer, file->buffered};
    size_t buffered = file->buffered;
    file->buffered = 0;
    return buffered ? write_all(file, &piece, 1, file->size - buffered) : 0;
}

static int has_room(const struct erofs_file *file, uint64_t size) {
    if (size <= MAX_SIZE && file->size <= MAX_SIZE - size)
        return 0;
    errno = EFBIG;
    return -1;
}

int erofs_append(struct erofs_file *file, const void *data, uint64_t size) {
    if (has_room(file, size))
        return -1;
    if (size >= DIRECT) {
        struct iovec pieces[] = {{file->buffer, file->buffered}, {(void *)(uintptr_t)data, size}};
        uint64_t at = file->size - file->buffered;
        bool empty = file->buffered == 0;
        file->size += size;
        file->buffered = 0;
        return write_all(file, pieces + empty, 2 - empty, at);
    }
    if (size > EROFS_BUFFER - file->buffered && erofs_flush(file))
        return -1;
    memcpy(file->buffer + file->buffered, data, size);
    file->buffered += size;
    file->size += size;
    return 0;
}

int erofs_append_zeros(struct erofs_file *file, uint64_t size) {
    if (has_room(file, size))
        return -1;
    if (size > EROFS_BUFFER - file->buffered && erofs_flush(file))
        return -1;
    if (size <= EROFS_BUFFER) {
        memset(file->buffer + file->buffered, 0, size);
        file->buffered += size;
    }
    file->size += size;
    return 0;
}

int erofs_append_padding(struct erofs_file *file) {
    return erofs_append_zeros(file, -file->size & (EROFS_BLOCK - 1));
}

int erofs_patch(struct erofs_file *file, uint64_t at, const void *data, size_t size) {
    uint64_t start = file->size - file->buffered; /* of what is not written yet */
    size_t before = at >= start ? 0 : size < start - at ? size : (size_t)(start - at);
    struct iovec piece = {(void *)(uintptr_t)data, before};
    if (before && write_all(file, &piece, 1, at))
        return -1;
    if (before < size)
        memcpy(file->buffer + (at + before - start), (const uint8_t *)data + before, size - before);
    return 0;
}

static int read_all(int fd, uint8_t *data, size_t size, uint64_t at) {
    while (size) {
        ssize_t taken = pread(fd, data, size, (off_t)at);
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken <= 0) {
            errno = taken ? errno : EIO;
            return -1;
        }
        data += taken;
        size -= (size_t)taken;
        at += (uint64_t)taken;
    }
    return 0;
}

int erofs_read(struct erofs_file *file, uint64_t at, void *data, size_t size) {
    for (unsigned i = 0; i < file->block_count; i++) {
        const struct erofs_open_block *block = &file->blocks[i];
        if (at >= block->at && at - block->at < EROFS_BLOCK && size <= EROFS_BLOCK - (at - block->at)) {
            memcpy(data, block->data + (at - block->at), size);
            return 0;
        }
    }
    return erofs_flush(file) ? -1 : read_all(file->fd, data, size, at);
}

/* ---- sums ---- */

/* Each word counts once by itself and once by its place. */
void erofs_add_up(struct erofs_file *file, uint64_t at, const void *data, size_t size) {
    const uint8_t *bytes = data;
    uint64_t sum = 0, placed = 0, place = at / sizeof place;
    for (; size >= sizeof place; bytes += sizeof place, size -= sizeof place, place++) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        sum += word;
        placed += word * place;
    }
    uint64_t last = 0;
    memcpy(&last, bytes, size);
    file->sums[0] += sum + last;
    file->sums[1] += placed + last * place;
}

/* ---- open blocks ---- */

static int close_block(struct erofs_file *file, unsigned index) {
    struct erofs_open_block closed = file->blocks[index];
    file->blocks[index] = file->blocks[--file->block_count];
    file->blocks[file->block_count] = closed; /* its memory is for the next */
    erofs_add_up(file, closed.at, closed.data, EROFS_BLOCK);
    return erofs_patch(file, closed.at, closed.data, EROFS_BLOCK);
}

int erofs_close_blocks(struct erofs_file *file) {
    while (file->block_count)
        if (close_block(file, file->block_count - 1))
            return -1;
    return 0;
}

/* The fullest block with room for `size` bytes, a new one where there is none. */
static struct erofs_open_block *find_block(struct erofs_file *file, size_t size) {
    struct erofs_open_block *best = NULL;
    unsigned fullest = 0;
    for (unsigned i = 0; i < file->block_count; i++) {
        struct erofs_open_block *block = &file->blocks[i];
        if (block->used > file->blocks[fullest].used)
            fullest = i;
        if (size <= EROFS_BLOCK - block->used && (!best || block->used > best->used))
            best = block;
    }
    if (best)
        return best;
    if (file->block_count == EROFS_OPEN_BLOCKS && close_block(file, fullest))
        return NULL;
    struct erofs_open_block *block = &file->blocks[file->block_count];
    block->at = file->size;
    block->used = 0;
    memset(block->data, 0, EROFS_BLOCK);
    if (erofs_append_zeros(file, EROFS_BLOCK))
        return NULL;
    file->block_count++;
    return block;
}

int erofs_put(struct erofs_file *file, const void *data, size_t size, uint64_t *at) {
    if (size > EROFS_BLOCK) {
        *at = file->size;
        erofs_add_up(file, *at, data, size);
        return erofs_append(file, data, size) || erofs_append_padding(file) ? -1 : 0;
    }
    struct erofs_open_block *block = find_block(file, size);
    if (!block)
        return -1;
    memcpy(block->data + block->used, data, size);
    *at = block->at + block->used;
    block->used = (uint32_t)((block->used + size + EROFS_SLOT - 1) & ~(size_t)(EROFS_SLOT - 1));
    return 0;
}
