/* What the shim reads of CRIU's answers under libFuzzer. Whatever they are, what is read of one lies within
 * it. */
#include "shim.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *bytes = malloc(size + !size); /* a copy that ends where it ends, so that a byte too many is seen */
    memcpy(bytes, data, size);
    struct answer answer;
    answer_read(bytes, size, &answer);
    if (answer.point && (answer.point < bytes || answer.point + answer.point_size > bytes + size))
        abort();
    answer_is_at(&answer, "post-restore");
    free(bytes);
    return 0;
}
