/* Rules that say by its name of which type a new parameter is. Pure; any thread. */
#ifndef SSM_RULES_H
#define SSM_RULES_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>

struct rules;

/* From "GLOB:TYPE GLOB:TYPE", separated by blanks; NULL and "" are no rules. A glob is held against the name below the store's path,
 * as fnmatch(3) does without flags: '*' takes slashes too. NULL in `out` where there are none. ERR_INVAL says what is wrong. */
enum err_code rules_parse(const char *text, struct rules **out, struct err *e) MUST_CHECK;
void rules_free(struct rules *r);
CLEANUP_DEFINE(struct rules, rules_free)

/* The type of the first rule that matches, borrowed; NULL: none does. `r` may be NULL. */
const char *rules_type(const struct rules *r, const char *key);

/* Whether a rule makes SecureStrings. `r` may be NULL. */
bool rules_have_secrets(const struct rules *r);

/* Whether it can be a KMS key's id, ARN or alias. */
bool ssm_key_id_legal(const char *id);

#endif
