/* Faults: rules set through the control endpoint, and what the rule that fired tells one request to suffer. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wrong_range { RANGE_RIGHT, RANGE_SHIFTED, RANGE_WHOLE };

/* One request's share. All zero: no fault. Byte counts are of the reply's body; has_* says that the count is set. */
struct fault_plan {
    bool active;
    uint64_t delay_ms;
    bool hang;
    int status;
    char *code;
    uint64_t retry_after_s; /* 0: no Retry-After */
    bool has_retry_after;
    bool reset;
    bool has_reset_after;
    uint64_t reset_after;
    bool has_cut_after;
    uint64_t cut_after;
    bool execute_then_reset;
    bool has_corrupt_at;
    uint64_t corrupt_at;
    char *redirect;
    int64_t lie_length;
    char *lie_etag;
    bool loop_listing;
    bool malformed_xml;
    uint64_t huge_xml;
    bool entity_xml;
    bool error_in_200;
    int64_t skew_s;
    bool has_stall_after;
    uint64_t stall_after;
    uint64_t trickle_bps;
    enum wrong_range wrong_range;
    bool empty_200;
    int execute; /* -1: as the action says; 0: the operation is not performed; 1: it is */
};

struct faults {
    json_t *rules; /* an array of objects as given, each with a "hits" member added */
};

/* What a rule is matched against: kind is the operation's name, target "bucket/key" (or "bucket/prefix"),
 * region the one the request was signed for ("" when unsigned). */
struct fault_target {
    const char *kind;
    const char *target;
    const char *region;
};

/* Starts with no rules; frees them all. */
void faults_init(struct faults *f);
void faults_release(struct faults *f);

/* Adds one rule; NULL, or a static text that says what is wrong with it. rule is borrowed. */
const char *faults_add(struct faults *f, const json_t *rule);
void faults_clear(struct faults *f);

/* Fills plan (zeroed) from the first rule that applies now, counting it; plan->active says whether one did. */
void faults_select(struct faults *f, const struct fault_target *target, struct fault_plan *plan);

void fault_plan_release(struct fault_plan *plan);
