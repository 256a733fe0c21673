/* What the files of the endpoint rules share; private to them. */
#ifndef AWS_ENDPOINT_IMPL_H
#define AWS_ENDPOINT_IMPL_H

#include "aws/endpoint.h"

struct partition {
    const char *name;
    const char *prefix; /* of its regions' names; the first that fits */
    const char *suffix;
    const char *dual_suffix; /* for services with one host per region */
};

/* Never NULL: what is not known is in "aws". */
const struct partition *partition_of(const char *region);

/* Whether a bucket's name can be a label of a host's name (or several labels, with `dots`). */
bool bucket_fits_host(const char *name, bool dots);

/* The host of an access point, or of a directory or Outposts bucket, with what it is signed with, into `out`, whose
 * `custom` and `uri` are set already where there is a custom endpoint. */
enum err_code endpoint_of_arn(const struct endpoint_query *q, struct endpoint *out, struct err *e) MUST_CHECK;
enum err_code endpoint_of_directory(const struct endpoint_query *q, struct endpoint *out, struct err *e) MUST_CHECK;
enum err_code endpoint_of_outpost_alias(const struct endpoint_query *q, struct endpoint *out, struct err *e) MUST_CHECK;

#endif
