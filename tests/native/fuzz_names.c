/* What a container's resolver reads of queries and names under libFuzzer: the first two bytes say how much of
 * the rest are names, the others are a query. Whatever they are, an answer keeps within its bounds. */
#include "resolver.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t length = (size_t)(data[0] << 8 | data[1]) % (size - 1);
    /* copies that end where they end, so that a byte too many is seen */
    char *names = malloc(length + !length);
    size_t query_size = size - 2 - length;
    uint8_t *query = malloc(query_size + !query_size), answer[DNS_UDP];
    memcpy(names, data + 2, length);
    memcpy(query, data + 2 + length, query_size);
    struct table table = {.probe = -1, .network_count = 1};
    table.networks[0].text = names;
    table.networks[0].size = length;
    struct question question;
    struct reply reply = {answer, 0, sizeof answer};
    int code = message_read(query, query_size, &question);
    if (code > 0)
        reply_begin(&reply, query, &question, (enum dns_code)code);
    else if (code == 0 && !table_answer(&table, query, &question, &reply))
        reply_begin(&reply, query, &question, DNS_NO_SUCH_NAME);
    if (reply.size > reply.limit || (code == 0 && message_answers(query, query_size, query, query_size)))
        abort();
    if (code == 0 && !message_answers(answer, reply.size, query, query_size))
        abort();
    free(names);
    free(query);
    return 0;
}
