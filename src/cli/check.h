/* awsfs check SOURCE: who one is, where requests go, what is allowed, and whether a mount would work. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include <stdbool.h>
#include <stddef.h>

struct check_request {
    const char *source;
    const char *const *lists; /* of options, as given with -o */
    size_t n_lists;
    bool json;
    int usage_status, fail_status; /* to exit with: malformed command, a mount would not work */
};

/* Tries all of it within 15 seconds and prints it. Returns the status to exit with: 0 if and only if a mount would
 * work; where something does not end in time the process ends here. */
int check_run(const struct check_request *r);

#endif
