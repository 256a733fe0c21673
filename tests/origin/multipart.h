/* What the multipart operations share. */
#pragma once
#include "s3.h"

/* The upload named by uploadId, for the request's key; NULL after putting the error into p. */
struct upload *need_upload(struct server *s, const struct request *r, struct reply *p);

/* The partNumber parameter, 1 to 10,000; 0 after putting the error into p. */
int need_part_number(const struct request *r, struct reply *p);

/* The checksums that a part of the upload must have. */
unsigned multipart_sums(const struct upload *u);

/* Appends <ChecksumALG>value</ChecksumALG>; the second form takes alg's value of the set, when it has one. */
void add_checksum_element(struct buf *out, enum sum_alg alg, const char *value);
void add_sum_element(struct buf *out, enum sum_alg alg, const struct sum_set *sums);
