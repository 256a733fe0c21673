/* What the disk cache has to know for its listings (cache/listings.h): what this mount changes, and what listings depend on. */
#ifndef CLI_CHANGES_H
#define CLI_CHANGES_H

#include "cli/stack.h"

/* From now on s->cache is told of every change that s->store is asked for. Before anything is sent, and again where write=back has
 * put another store before it: then of what is not sent yet as well. Nothing without a cache. ERR_NOMEM. */
enum err_code changes_tell(struct stack *s, struct err *e) MUST_CHECK;

/* What a listing may depend on beside server, bucket and key, as text without secrets: who asks, and how. Never blocks. */
void changes_view(const struct stack *s, char *out, size_t size);

#endif
