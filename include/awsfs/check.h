/*
 * What `awsfs check` finds out, as rows: facts about this machine and this user, what is allowed, what the server can
 * do. A backend adds the rows of its own service (store_try() in awsfs/store.h), cli the others; cli shows them all.
 */
#ifndef AWSFS_CHECK_H
#define AWSFS_CHECK_H

#include "awsfs/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum check_kind {
    CHECK_FACT,       /* of this machine and user: ok, failed, unknown */
    CHECK_PERMISSION, /* allowed, denied, unknown */
    CHECK_FEATURE,    /* of the server or the kernel: yes, no, unknown */
};

enum check_verdict { CHECK_YES, CHECK_NO, CHECK_UNKNOWN };

/* What the row means for a mount with the options that were given. */
enum check_need {
    CHECK_OPTIONAL,   /* it works without */
    CHECK_NOT_DENIED, /* it does not work where the verdict is NO */
    CHECK_REQUIRED,   /* it works only where the verdict is YES: what a mount itself asks at its start */
};

/* What an action's permission is about; a policy is made of it. */
enum check_on {
    CHECK_ON_ALL,        /* "*": the action knows no resources */
    CHECK_ON_BUCKET,     /* the bucket itself */
    CHECK_ON_OBJECTS,    /* what is below the source's prefix */
    CHECK_ON_PARAMETERS, /* the source's path and what is below it */
    CHECK_ON_KEY,        /* an encryption key */
    CHECK_ON_QUEUE,      /* the queue that `resource` names */
};

#define CHECK_ACTION_SIZE   64
#define CHECK_RESOURCE_SIZE 256
#define CHECK_ROWS_MAX      64

struct check_row {
    const char *what; /* static */
    enum check_kind kind;
    enum check_verdict verdict;
    enum check_need need;
    enum check_on on;
    bool quiet;                         /* not for people where the verdict is YES */
    char action[CHECK_ACTION_SIZE];     /* of a permission: "s3:GetObject"; "" where it is no matter of IAM */
    char resource[CHECK_RESOURCE_SIZE]; /* an ARN that the server or an option named; "" */
    char detail[ERR_MSG_SIZE];          /* one line for people, no secret in it; "" */
};

struct check_report {
    struct check_row rows[CHECK_ROWS_MAX];
    size_t n;
    bool unclean; /* something that was made could not be removed: nothing more is to be made */
    bool clock_known;
    int64_t clock_ahead_s; /* this machine's clock minus the server's */
};

/* How long may be tried, on clock_mono_ms()'s scale, rising. What has no answer by then is UNKNOWN. */
struct check_limits {
    uint64_t first_ms; /* what decides whether to try further */
    uint64_t try_ms;   /* everything else */
    uint64_t end_ms;   /* removing what was made all the same */
};

/* Appends a row with printf's detail; control characters in it become '?'. Returns it, to be changed further: never
 * NULL, at the limit the last row is written over. Not locked. */
struct check_row *check_add(struct check_report *r, enum check_kind kind, const char *what, enum check_verdict verdict,
                            const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Appends a permission: `action` on `on`. As check_add(). */
struct check_row *check_add_permission(struct check_report *r, const char *what, enum check_verdict verdict,
                                       const char *action, enum check_on on);

/* The row that is called `what`, or NULL. */
const struct check_row *check_find(const struct check_report *r, const char *what);

/* False where a row says that a mount would not work; *why (may be NULL) is the first such row. */
bool check_works(const struct check_report *r, const struct check_row **why);

#endif
