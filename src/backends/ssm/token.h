/* Tokens of a listing that notice when the service's go round in a circle; list.c has how. Pure; any thread. */
#ifndef SSM_TOKEN_H
#define SSM_TOKEN_H

#include "awsfs/err.h"

/* The token behind `before` (a token of this module; NULL for the first page) for the service's token `raw`. The caller
 * frees it. ERR_PROTO: it was there before, or there are more pages than parameters can be. */
enum err_code ssm_token_make(const char *before, const char *raw, char **out, struct err *e) MUST_CHECK;

/* The service's own, borrowed from `token`; NULL when it is none of ours. */
const char *ssm_token_raw(const char *token);

#endif
