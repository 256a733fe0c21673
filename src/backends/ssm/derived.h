/* The keys of what is made of parameters, and of what AWS provides. Pure; any thread. */
#ifndef SSM_DERIVED_H
#define SSM_DERIVED_H

#include <stdbool.h>
#include <stddef.h>

#define SSM_PUBLIC  "@aws/"                          /* keys that begin so are the names that begin with "/aws/" */
#define SSM_SECRETS "@aws/reference/secretsmanager/" /* a secret's id follows, with "%2F" for a slash */

/* "db/host@history" and "db/host@history/3": the length of "db/host", and "3" (NULL for the directory). */
bool ssm_history_parse(const char *key, size_t *name_len, const char **version);

bool ssm_is_public(const char *key);

/* The name of a secret's key ("@aws/reference/secretsmanager/a%2Fb@AWSPREVIOUS": "/aws/reference/secretsmanager/a/b:AWSPREVIOUS").
 * False: no secret can have it, or there is no room. */
bool ssm_secret_name(const char *key, char *out, size_t size);

/* Whether the key is a view's ("dir/@json"). */
bool ssm_is_view(const char *key);

/* A version (digits) or a label (which begins with a letter, '.', '_' or '-'). */
bool ssm_selector_legal(const char *selector);

#endif
