/*
 * The options of a mount: one table (option_table.c) with each option's name, kind, range, default and help. What is not in
 * it, out of range, or in contradiction with another is an error that names the option and what is legal.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "awsfs/err.h"
#include "util/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define OPTIONS_MAX 96

enum option_write { WRITE_THROUGH, WRITE_BACK };
enum option_excl { EXCL_CLOSE, EXCL_OPEN };
enum option_passthrough { PASSTHROUGH_AUTO, PASSTHROUGH_OFF };
enum option_sse { SSE_BUCKET, SSE_S3, SSE_KMS, SSE_C };

/* All values, strings owned. Numbers are in bytes and milliseconds; "inf" is UINT64_MAX. */
struct options {
    char *endpoint, *region, *profile, *state, *log, *config;
    char *sse_c_key_file, *sse_kms_key, *storage_class, *acl, *ssm_type, *ssm_key, *ssm_tier, *ssm_rule, *ssm_rename, *ssm_watch;
    char *cache; /* a directory, or "none" */
    bool anonymous, dualstack, fips, insecure_tls, read_only, allow_other, requester_pays;
    bool noexec, noatime, nodiratime, sync, dirsync;
    int addressing, write, excl, attrs, newline, offline, sse, passthrough, log_level, ssm_decrypt;
    uint64_t timeout_ms, ttl_ms, memory, rename_limit, ssm_rate, dirty_limit, cache_size, cache_free;
    uint64_t uid, gid, umask, file_mode, dir_mode;
    bool sloppy;              /* set by the caller: unknown options are no error */
    bool given[OPTIONS_MAX]; /* by the option's place in the table */
};

/* Sets the defaults. */
enum err_code options_init(struct options *o, struct err *e) MUST_CHECK;
void options_release(struct options *o);

/* Takes one option: `name`, and `value` or NULL where there was no '='. A later one replaces an earlier one. ERR_INVAL: unknown
 * (the nearest known name is told) or not legal (what is legal is told); ERR_UNSUPPORTED: not available in this version. The
 * value itself is told only where it is no credential by mistake, that is for known options. */
enum err_code options_set(struct options *o, const char *name, const char *value, struct err *e) MUST_CHECK;

/* Takes a list as -o has it: "a,b=c". A backslash takes the next character literally ("\,"). */
enum err_code options_parse_list(struct options *o, const char *list, struct err *e) MUST_CHECK;

/* True where the option was given, by whatever way. `name` must be in the table. */
bool options_given(const struct options *o, const char *name);

/* Checks what only shows when all are known: options for another kind of source (`is_ssm`), and contradictions. Fills in the
 * defaults that depend on the source. ERR_INVAL, ERR_UNSUPPORTED. */
enum err_code options_finish(struct options *o, bool is_ssm, struct err *e) MUST_CHECK;

/* The table as help text. */
void options_help(FILE *out);

/* "5", "5s", "100ms", "2m", "1h", "inf" as milliseconds. False when malformed or too large. */
bool duration_parse(const char *s, uint64_t *ms);

#endif
