/* The log: whole records in files of a bounded size and number, whatever the disk has to say.
 *
 *     log.2   log.1   log        the newest is the one without a number
 *
 * A file ends where a record ends, and where it can, where a line does. */
#include "shim.h"

#include <linux/mman.h>

enum {
    PROT_RW = 3,
    SEEK_END_ = 2,
    PIECE = 1 << 18,                                             /* is written at once */
    CAPACITY = SHIM_BUFFER * (RECORD_PREFIX + 1) + PIECE + 4096, /* every byte may be a line */
    RECENT = 1 << 20,
    NAME_SIZE = 32,
    NOTE_SIZE = 512,
    TRIES = 10,
    KEEP_SIZE = 1, /* FALLOC_FL_KEEP_SIZE */
    BLOCK = 4096,
};

static void put_text(char **to, const char *text) {
    size_t length = text_length(text);
    memcpy(*to, text, length);
    *to += length;
}

/* "log" for 0, or "log.3" */
static const char *name_of(char *name, int number) {
    char *to = name;
    put_text(&to, "log");
    if (number) {
        *to++ = '.';
        to += format_decimal(to, (uint64_t)number);
    }
    *to = 0;
    return name;
}

static const char *record_end(const char *from, const char *end) {
    return find_byte(from, end, '\n') + 1;
}

static enum log_stream stream_of(const char *record) {
    return record[RECORD_STREAM] == 'e' ? LOG_STDERR : LOG_STDOUT;
}

/* how much of the bytes is whole records */
static size_t whole_records(const char *bytes, size_t size) {
    while (size && bytes[size - 1] != '\n')
        size--;
    return size;
}

int log_is_ready(struct log *log) {
    if (log->fd < 0 || log->buffer)
        return !log->stuck;
    long memory = sys(mmap, 0, CAPACITY, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory < 0 && memory > -4096)
        return 0;
    log->buffer = (char *)memory;
    return 1;
}

static int is_full(long result) {
    return result == -ENOSPC || result == -EDQUOT;
}

/* Allocates blocks at `at` for `size` bytes and for a note after them: the note then needs no room of a disk
 * that has none. Returns the offset up to which there are blocks, or -errno of a full disk; a file system
 * that cannot allocate, and another error, are left to the write. */
static int64_t allocate(int fd, uint64_t at, uint64_t size) {
    uint64_t end = (at + size + NOTE_SIZE + BLOCK - 1) / BLOCK * BLOCK;
    long result = sys(fallocate, fd, KEEP_SIZE, at, end - at);
    return is_full(result) ? result : (int64_t)end;
}

/* 0, or -errno of a full disk. */
static int reserve(struct log *log, uint64_t size) {
    if (log->size + size + NOTE_SIZE <= log->reserved)
        return 0;
    int64_t end = allocate(log->fd, log->size, size);
    if (end < 0)
        return (int)end;
    log->reserved = (uint64_t)end;
    return 0;
}

/* An empty file with room for a note. */
static int open_next(struct log *log) {
    const int flags = O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC;
    int next = (int)sys(openat, log->directory, "log.next", flags, 0600);
    if (next < 0)
        return next;
    int64_t end = allocate(next, 0, 0);
    if (end < 0 && log->files > 1) { /* a single file is about to make room */
        close_fd(&next);
        sys(unlinkat, log->directory, "log.next", 0);
        return (int)end;
    }
    log->reserved = end < 0 ? 0 : (uint64_t)end;
    return next;
}

/* The new file is there before the old one gets its number. Where even that takes room, the oldest gives it.
 */
static int rotate(struct log *log) {
    char from[NAME_SIZE], to[NAME_SIZE];
    uint64_t reserved = log->reserved;
    int next = open_next(log);
    if (is_full(next) && log->files > 1) {
        sys(unlinkat, log->directory, name_of(to, log->files - 1), 0);
        next = open_next(log);
    }
    if (next < 0)
        return next;
    for (int number = log->files - 1; number > 0; number--)
        sys(renameat2, log->directory, name_of(from, number - 1), log->directory, name_of(to, number), 0);
    long result = sys(renameat2, log->directory, "log.next", log->directory, "log", 0);
    if (result < 0) {
        close_fd(&next);
        log->reserved = reserved;
        return (int)result;
    }
    sys(ftruncate, log->fd, log->size); /* the blocks behind its end go */
    close_fd(&log->fd);
    log->fd = next;
    log->size = 0;
    return log->reserved ? 0 : reserve(log, 0);
}

/* Writes records, and takes back what is torn of one. Returns the bytes that are in the file, or -errno. */
static long write_records(struct log *log, const char *bytes, size_t size) {
    long written = sys(write, log->fd, bytes, size);
    if (written < 0)
        return written;
    long whole = (long)size;
    if (written < (long)size) {
        whole = (long)whole_records(bytes, (size_t)written);
        long end = sys(lseek, log->fd, 0, SEEK_END_);
        if (end >= written)
            sys(ftruncate, log->fd, end - (written - whole));
    }
    log->size += (uint64_t)whole;
    return whole ? whole : -ENOSPC;
}

/* How much of what is to be written has its place in this file; 0: none. A line that has begun here may make
 * the file up to twice as long, to end here. */
static size_t fitting(const struct log *log) {
    const char *bytes = log->buffer + log->start;
    size_t size = log->end - log->start;
    if (!log->limit || log->size + size <= log->limit)
        return size;
    size_t room = log->size < log->limit ? (size_t)(log->limit - log->size) : 0;
    size_t whole = whole_records(bytes, room);
    int has_begun = log->stream[LOG_STDOUT].open || log->stream[LOG_STDERR].open;
    if (!whole && (!log->size || (has_begun && log->size < 2 * log->limit)))
        return (size_t)(record_end(bytes, bytes + size) - bytes);
    return whole;
}

static int write_some(struct log *log) {
    size_t size = fitting(log);
    if (!size)
        return rotate(log);
    for (int full; (full = reserve(log, size)) < 0;)
        if (!(size = whole_records(log->buffer + log->start, size / 2)))
            return full;
    long written = write_records(log, log->buffer + log->start, size);
    if (written < 0)
        return (int)written;
    log->start += (size_t)written;
    log->stream[log->owner].open = log->start == log->end && log->ends_in_part;
    return 0;
}

/* says how much is missing, where it is, and ends the lines that are cut there */
static int write_note(struct log *log) {
    char note[NOTE_SIZE], *to = note;
    for (int stream = 0; stream < LOG_STREAMS; stream++) {
        if (!log->stream[stream].cut && !(stream == LOG_STDERR && log->stream[stream].open))
            continue;
        record_prefix(to, (enum log_stream)stream);
        to += RECORD_PREFIX;
        *to++ = '\n';
    }
    record_prefix(to, LOG_STDERR);
    to += RECORD_PREFIX;
    put_text(&to, "containerlib: ");
    to += format_decimal(to, log->lost_lines);
    put_text(&to, " lines (");
    to += format_decimal(to, log->lost_bytes);
    put_text(&to, " bytes) are missing here: the log could not be written (errno ");
    to += format_decimal(to, (uint64_t)log->lost_to);
    put_text(&to, ")\n");
    long size = to - note, written = sys(write, log->fd, note, (size_t)size);
    if (written != size) {
        long end = sys(lseek, log->fd, 0, SEEK_END_);
        if (written > 0 && end >= written)
            sys(ftruncate, log->fd, end - written);
        return written < 0 ? (int)written : -ENOSPC;
    }
    log->size += (uint64_t)size;
    log->lost_lines = log->lost_bytes = 0;
    log->stream[LOG_STDERR].open = 0;
    for (int stream = 0; stream < LOG_STREAMS; stream++)
        if (log->stream[stream].cut)
            log->stream[stream].cut = log->stream[stream].open = 0;
    return 0;
}

/* what is to be written is lost, whole records of it */
static void lose(struct log *log, int error) {
    const char *at = log->buffer + log->start, *end = log->buffer + log->end;
    if (at == end)
        return;
    log->lost_to = -error;
    while (at < end) {
        const char *next = record_end(at, end);
        int is_line = at[RECORD_TAG] == 'F';
        log->lost_lines += (uint64_t)is_line;
        log->lost_bytes += (uint64_t)(next - at) - RECORD_PREFIX - !is_line;
        at = next;
    }
    log->stream[log->owner].cut |= log->stream[log->owner].open;
    log->stream[log->owner].skips = log->ends_in_part;
    log->start = log->end = 0;
}

static void flush(struct log *log) {
    int result = log->lost_bytes ? reserve(log, NOTE_SIZE) : 0; /* the note at the end keeps its room */
    if (result == 0 && log->lost_bytes)
        result = write_note(log);
    while (result == 0 && log->start < log->end)
        result = write_some(log);
    log->stuck = 0;
    if (result == 0)
        log->start = log->end = 0;
    else if (log->blocks && is_full(result))
        log->stuck = 1;
    else
        lose(log, result);
}

/* the rest of a line whose beginning is lost */
static const char *pass_over(struct log *log, enum log_stream stream, const char *bytes, const char *end) {
    const char *newline = find_byte(bytes, end, '\n');
    log->stream[stream].skips = newline == end;
    log->lost_lines += newline < end;
    const char *next = newline < end ? newline + 1 : end;
    log->lost_bytes += (uint64_t)(next - bytes);
    return next;
}

void log_append(struct log *log, enum log_stream stream, const char *bytes, size_t size) {
    const char *end = bytes + size;
    char prefix[RECORD_PREFIX];
    if (log->fd < 0)
        return;
    if (log->stream[stream].skips)
        bytes = pass_over(log, stream, bytes, end);
    record_prefix(prefix, stream);
    log->owner = stream;
    log->ends_in_part = 0;
    while (bytes < end) {
        char *record = log->buffer + log->end, *to = record + RECORD_PREFIX;
        __builtin_memcpy(record, prefix, RECORD_PREFIX);
        bytes = record_copy(&to, bytes, end);
        if (to[-1] != '\n') {
            record[RECORD_TAG] = 'P';
            *to++ = '\n';
            log->ends_in_part = 1;
        }
        log->end = (size_t)(to - log->buffer);
        if (log->end - log->start >= PIECE && !log->stuck)
            flush(log);
    }
    if (!log->stuck)
        flush(log);
}

/* A record that a killed supervisor has left torn goes: the next one would be taken for its rest. And a line
 * that an earlier run did not end ends. */
static void mend(struct log *log) {
    size_t size = log->size < RECENT ? (size_t)log->size : RECENT;
    if (!size || !log_is_ready(log) ||
        sys(pread64, log->fd, log->buffer, size, log->size - size) != (long)size)
        return;
    int begins_anywhere = size < log->size;
    size_t whole = whole_records(log->buffer, size);
    if (whole < size && sys(ftruncate, log->fd, log->size - (size - whole)) == 0)
        log->size -= size - whole;
    const char *at = log->buffer, *end = log->buffer + whole;
    if (begins_anywhere)
        at = record_end(at, end);
    static const char newline[8] = "\n"; /* that many are read */
    int open[LOG_STREAMS] = {0};
    for (; at + RECORD_PREFIX < end; at = record_end(at, end))
        open[stream_of(at)] = at[RECORD_TAG] == 'P';
    for (int stream = 0; stream < LOG_STREAMS; stream++)
        if (open[stream])
            log_append(log, (enum log_stream)stream, newline, 1);
    log_release(log);
}

int log_open(struct shim *shim) {
    struct log *log = &shim->log;
    const struct clib_plan *header = shim->plan.header;
    log->directory = shim->directory;
    log->files = 1;
    const struct clib_op *op = shim->plan.ops + header->before_count + header->started_count;
    for (const struct clib_op *end = op + header->after_count; op < end; op++)
        if (op->kind == CLIB_OP_LOG) {
            log->limit = op->number[0];
            log->files = (int)op->number[1];
            log->blocks = op->number[2] == 1;
        }
    if (log->files <= 0)
        return 0;
    log->fd = (int)sys(openat, log->directory, "log", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log->fd < 0)
        return log->fd;
    long size = sys(lseek, log->fd, 0, SEEK_END_);
    log->size = size > 0 ? (uint64_t)size : 0;
    mend(log);
    int result = reserve(log, 0);
    return shim->life.restarts ? 0
                               : result; /* of a program that runs again the end is written down as well */
}

void log_retry(struct log *log, int last) {
    flush(log);
    if (!log->stuck || !last || ++log->tries < TRIES)
        return;
    log->blocks = log->stuck = 0;
    lose(log, -ENOSPC);
}

void log_release(struct log *log) {
    if (log->buffer && log->start == log->end) {
        sys(munmap, log->buffer, CAPACITY);
        log->buffer = NULL;
    }
}

void log_close(struct log *log) {
    if (log->fd >= 0 && log->lost_bytes)
        write_note(log);
    log_release(log);
    close_fd(&log->fd);
    log->fd = -1;
}
