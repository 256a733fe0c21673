/* Which region to use, and why. */
#ifndef AWS_REGION_H
#define AWS_REGION_H

#include "aws/profile.h"
#include "awsfs/err.h"

#include <stdbool.h>

enum { AWS_REGION_SIZE = 64, AWS_WHY_SIZE = 96 };

struct http_engine;
struct cancel;

struct aws_region {
    char name[AWS_REGION_SIZE];
    char why[AWS_WHY_SIZE]; /* "AWS_REGION", "profile prod", for people */
};

/* The form of a region's name; it becomes part of a host name, so nothing else is ever accepted from anywhere. */
bool aws_region_valid(const char *name);

/* The first of: `option` (may be NULL), AWS_REGION, AWS_DEFAULT_REGION, the active profile's, the instance's own (IMDS;
 * only with `engine`, then it blocks at most 2 s). ERR_INVAL: malformed, with where it stands. ERR_NOT_FOUND: nowhere;
 * the message says where it looked. */
enum err_code aws_region_find(const struct profiles *p, const char *option, struct http_engine *engine,
                              struct cancel *cancel, struct aws_region *out, struct err *e) MUST_CHECK;

#endif
