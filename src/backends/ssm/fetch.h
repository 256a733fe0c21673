/* Values of many parameters by their names, ten a request. Not thread-safe. */
#ifndef SSM_FETCH_H
#define SSM_FETCH_H

#include "awsfs/store.h"
#include "backends/ssm/replies.h"
#include "util/cleanup.h"

struct ssm;
struct ssm_fetched;

/* For `n` names and values of `max` bytes in all. `decrypt` false: what is secret comes sealed. NULL without memory. */
struct ssm_fetched *ssm_fetched_new(size_t n, uint64_t max, bool decrypt);
void ssm_fetched_free(struct ssm_fetched *f);
CLEANUP_DEFINE(struct ssm_fetched, ssm_fetched_free)

/* The next name: what the key "DIR" (its first `dir_len` bytes) + `rest` stands for, with the selector, if it is not NULL. ERR_NAME_TOO_LONG;
 * ERR_NOT_FOUND: no parameter can be called so. */
enum err_code ssm_fetched_want(struct ssm_fetched *f, struct ssm *s, const char *dir, size_t dir_len, const char *rest,
                               const char *selector, struct err *e) MUST_CHECK;

/* Asks for all of them. What is not there, or has no such version or label, is no error. Where GetParameters is not allowed, one
 * by one. ERR_TOO_BIG. Blocks, as ssm_call(). */
enum err_code ssm_fetch(struct ssm_fetched *f, struct ssm *s, const struct store_call *call, struct err *e) MUST_CHECK;

/* The `i`th, borrowed; NULL: not there. */
const struct ssm_param *ssm_fetched_get(const struct ssm_fetched *f, size_t i);

#endif
