/* What is mounted: "s3://bucket[/prefix]" (an access point's ARN may stand for the bucket), "s3://" (all buckets of the
 * account), "ssm:/path" or "ssm:". */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "awsfs/err.h"

#include <stdbool.h>

/* What is legal, for messages. */
#define SOURCE_FORMS "s3://bucket, s3://bucket/prefix, s3://, ssm:/path and ssm:"

struct source {
    bool is_ssm;
    char *bucket; /* s3: its name, or the ARN of an access point; NULL: all of the account */
    char *prefix; /* s3: "" or "path/" */
    char *path;   /* ssm: "/" or "/prod/app" */
    char *text;   /* canonical form, for people, /proc/mounts and the state directory */
};

/* Fills `out` (release it). ERR_INVAL shows the source and what is legal; ERR_NOMEM. */
enum err_code source_parse(const char *s, struct source *out, struct err *e) MUST_CHECK;
void source_release(struct source *s);

#endif
