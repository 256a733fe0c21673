/*
 * What a server can do, and what it only seems to do. AWS's own endpoints have a constant table. Of any other server it is
 * found out once, on scratch keys (probe.c), and remembered by endpoint and kind of bucket in a small file; what a reply
 * contradicts later is corrected. A condition is trusted only where the verdict is S3_YES: guard.c asks before, elsewhere.
 */
#ifndef S3_TRAITS_H
#define S3_TRAITS_H

#include "awsfs/err.h"
#include "awsfs/store.h"

#include <stdbool.h>
#include <stddef.h>

enum s3_trait {
    /* conditions: what W4 of the design rests on; IF_MATCH of a request follows its IF_ABSENT */
    S3_PUT_IF_ABSENT,
    S3_PUT_IF_MATCH,
    S3_FINISH_IF_ABSENT,
    S3_FINISH_IF_MATCH,
    S3_COPY_IF_ABSENT,
    S3_COPY_IF_MATCH,
    S3_COPY_SOURCE_MATCH,
    S3_PART_SOURCE_MATCH,
    S3_REMOVE_IF_MATCH,
    S3_REMOVE_MANY_MATCH,
    S3_CONDITIONS,
    /* features */
    S3_SHA512 = S3_CONDITIONS, /* x-amz-checksum-sha512 on PUT */
    S3_CRC64,                  /* full-object CRC64NVME on uploads by parts */
    S3_COPY,
    S3_PART_COPY,
    S3_REMOVE_MANY,
    S3_TAGS,
    S3_ACLS,
    S3_START_AFTER,
    S3_LIST_ENCODED,  /* encoding-type=url */
    S3_META_ENCODED,  /* metadata values in the form of RFC 2047 come back as text that means the same */
    S3_TRAITS,
};

enum s3_verdict {
    S3_UNKNOWN,
    S3_YES,
    S3_IGNORES, /* takes the header or parameter and does as if it were not there */
    S3_REFUSES, /* an error, or a condition that never holds: it is not sent */
};

struct s3_traits;

/* `endpoint` without the bucket's name. `dir` (NULL: nothing is remembered) is a private directory. A file there that is
 * damaged, of another version or too old is not used, with a line in the log; of AWS nothing is read or written. NULL
 * without memory. */
struct s3_traits *s3_traits_new(const char *endpoint, bool is_aws, bool directory_bucket, const char *dir, struct err *e);
void s3_traits_free(struct s3_traits *t);

/* Any thread, never blocks. */
enum s3_verdict s3_traits_get(const struct s3_traits *t, enum s3_trait trait);

/* A reply has shown it. Not remembered where `only_here`: it holds for this bucket and user. Any thread; writes a file. */
void s3_traits_set(struct s3_traits *t, enum s3_trait trait, enum s3_verdict verdict, bool only_here);

/* The Server header of the first reply (NULL: none): another one than remembered makes all of it unknown. */
void s3_traits_met(struct s3_traits *t, const char *server);

/* Where the bucket's name has to stand, found out for addressing=auto: -1 where nothing was, 0 in the path, 1 in the host. */
int s3_traits_virtual(const struct s3_traits *t);
void s3_traits_set_virtual(struct s3_traits *t, bool is_virtual);

/* True for the one caller that has to ask now; it ends that with s3_traits_asked(). Others wait until then, or until `call`
 * is canceled. False: known, or not to be asked now. */
bool s3_traits_must_ask(struct s3_traits *t, const struct store_call *call);

/* What the asking brought, S3_TRAITS verdicts; NULL: nothing (it is asked again, but not within the next minute). */
void s3_traits_asked(struct s3_traits *t, const enum s3_verdict *found);

/* True once all is known, from the table, a file or by asking. */
bool s3_traits_known(const struct s3_traits *t);

/* One warning line that names the conditions that are not honoured, once; nothing where all are, or nothing is known. */
void s3_traits_warn(struct s3_traits *t);

/* For people: name, verdict and what that means for them, one after the other. */
void s3_traits_each(struct s3_traits *t,
                    void (*fn)(void *arg, const char *name, enum store_verdict verdict, const char *meaning), void *arg);

/* The name used in the file and for people. */
const char *s3_trait_name(enum s3_trait trait);

#endif
