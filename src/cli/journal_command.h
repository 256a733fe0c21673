/* awsfs journal list|retry|export|discard: what was written and is not in the store, mounted or not. */
#ifndef CLI_JOURNAL_COMMAND_H
#define CLI_JOURNAL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

struct journal_request {
    const char *command;
    const char *const *names; /* of entries, or s3://bucket[/prefix]: what is below; of export the directory first */
    size_t n_names;
    const char *const *lists; /* of options, as given with -o */
    size_t n_lists;
    bool json;
    int usage_status, fail_status; /* to exit with: malformed command; an entry is not there or could not be handled */
};

/* Returns the status to exit with. */
int journal_command_run(const struct journal_request *r);

#endif
