/* The plan reader under libFuzzer: whatever bytes it is given, a plan that it calls sound has every string
 * and every payload inside it. The walk below touches them all, and AddressSanitizer watches. */
#include "plan.h"

static volatile unsigned sink;

static void touch_text(const char *text) {
    while (*text)
        sink += (unsigned char)*text++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct plan plan;
    if (plan_check(data, size, &plan) < 0)
        return 0;
    uint32_t count = plan.header->before_count + plan.header->started_count + plan.header->after_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct clib_op *op = &plan.ops[i];
        for (int n = 0; n < 2; n++)
            if (op_text(&plan, op, n))
                touch_text(op_text(&plan, op, n));
        const char *at = plan.blob + op->text[2];
        switch (op->kind) {
        case CLIB_OP_ROOT_OVERLAY:
            touch_text(at);
            at = next_text(at);
            for (uint32_t s = 0; s < op->size * 2; s++, at = next_text(at))
                touch_text(at);
            break;
        case CLIB_OP_ROOT_FUSE:
        case CLIB_OP_PAGES:
        case CLIB_OP_MOUNT:
        case CLIB_OP_MEMORY:
        case CLIB_OP_EXEC:
        case CLIB_OP_COMMAND:
        case CLIB_OP_LISTENER:
        case CLIB_OP_HOOK:
            for (uint32_t s = 0, pairs = op->kind == CLIB_OP_MOUNT || op->kind == CLIB_OP_MEMORY;
                 s < op->size << pairs; s++, at = next_text(at))
                touch_text(at);
            break;
        case CLIB_OP_SECCOMP:
        case CLIB_OP_USER:
        case CLIB_OP_CAPABILITIES:
        case CLIB_OP_SCHEDULER:
        case CLIB_OP_CPU_AFFINITY:
        case CLIB_OP_MEMORY_POLICY:
        case CLIB_OP_TREE:
        case CLIB_OP_SECRET:
            for (uint32_t b = 0; b < op->size; b++)
                sink += (unsigned char)at[b];
            break;
        default:
            break;
        }
    }
    return 0;
}
