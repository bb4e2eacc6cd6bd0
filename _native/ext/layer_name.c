/* Names of the archive: made regular, and what those of whiteouts say. */
#include "layer_name.h"

#include <string.h>

enum clib_layer_kind layer_normalise(const char *from, char to[LAYER_PATH], size_t *size) {
    size_t length = 0;
    while (*from) {
        size_t part = (size_t)(strchrnul(from, '/') - from);
        bool skipped = part == 0 || (part == 1 && from[0] == '.');
        if (part == 2 && from[0] == '.' && from[1] == '.')
            return CLIB_LAYER_NAME;
        if (!skipped) {
            if (length + part + 2 > LAYER_PATH)
                return CLIB_LAYER_NAME_LENGTH;
            if (length)
                to[length++] = '/';
            memcpy(to + length, from, part);
            length += part;
        }
        from += part;
        from += *from == '/';
    }
    to[length] = 0;
    *size = length;
    return CLIB_LAYER_OK;
}

const char *layer_base(const char *path, size_t *parent_size) {
    const char *slash = strrchr(path, '/');
    *parent_size = slash ? (size_t)(slash - path) : 0;
    return slash ? slash + 1 : path;
}

enum layer_name layer_classify(const char *path) {
    for (;;) {
        size_t part = (size_t)(strchrnul(path, '/') - path);
        bool last = !path[part];
        if (strncmp(path, ".wh.", LAYER_MARK) == 0) {
            if (strncmp(path + LAYER_MARK, ".wh.", LAYER_MARK) == 0)
                return last && strcmp(path + LAYER_MARK + LAYER_MARK, ".opq") == 0 ? LAYER_NAME_OPAQUE
                                                                                   : LAYER_NAME_SKIPPED;
            const char *name = path + LAYER_MARK;
            bool usable = *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
            return last && usable ? LAYER_NAME_WHITEOUT : LAYER_NAME_BAD;
        }
        if (last)
            return LAYER_NAME_PLAIN;
        path += part + 1;
    }
}

bool layer_is_overlay_xattr(const char *name) {
    return strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0;
}
