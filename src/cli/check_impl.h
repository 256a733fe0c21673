/* What the files of `awsfs check` share; private to them. */
#ifndef CLI_CHECK_IMPL_H
#define CLI_CHECK_IMPL_H

#include "aws/identity.h"
#include "awsfs/check.h"
#include "cli/options.h"
#include "cli/source.h"
#include "util/buf.h"

#include <stdio.h>

struct stack;
struct trials;

/* Everything that is shown. */
struct check_findings {
    const struct source *source;
    bool read_only;
    struct check_report report;
    struct aws_identity who;           /* "" where it is not known */
    char region[64];                   /* that requests were signed for at last; "" */
    char sse_key[CHECK_RESOURCE_SIZE]; /* sse_kms_key= where it is an ARN; "" */
};

/* ---- check_facts.c: rows about this machine and this user */

void check_machine(const struct options *o, struct check_report *out);

/* A row where the state directory cannot be used. */
void check_state(const struct options *o, struct check_report *out);

/* For struct stack's `explain`: one row a source that has no credentials. */
void check_source(void *report, const char *source, const char *why);

/* After stack_open(), whatever came of it (`opened`, with its error). */
void check_credentials(struct stack *s, enum err_code opened, const struct err *e, struct check_report *out);
void check_where(struct stack *s, enum err_code opened, const struct err *e, struct check_report *out);

/* Asks STS until `until_ms` (clock_mono_ms() scale). Blocks. */
void check_identity(struct stack *s, struct trials *t, uint64_t until_ms, struct aws_identity *who,
                    struct check_report *out);

/* What the server lacks of what awsfs can use; where `may_write`, what is not known yet is found out until `until_ms`,
 * on scratch keys. Blocks. Nothing for stores that have no such differences. */
void check_server(struct stack *s, struct trials *t, bool may_write, uint64_t until_ms, struct check_report *out);

/* What the store's requests have told. */
void check_clock(struct check_report *out);

/* ---- check_policy.c */

/* Appends one IAM policy as JSON, on several lines, that grants what is denied; nothing where nothing is. Returns
 * whether there is any. */
bool check_policy(const struct check_findings *f, struct buf *out);

/* ---- check_show.c */

void check_show_table(const struct check_findings *f, FILE *out);

/* One document. ERR_NOMEM. */
enum err_code check_show_json(const struct check_findings *f, FILE *out, struct err *e) MUST_CHECK;

#endif
