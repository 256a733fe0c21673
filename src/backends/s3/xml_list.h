/* The replies to ListObjectsV2 and other XML, from bytes to what the contract speaks of. Pure. */
#ifndef S3_XML_LIST_H
#define S3_XML_LIST_H

#include "awsfs/store.h"

/* A ListBucketResult. `strip` is what stands before the store's keys: entries without it are ERR_PROTO, an entry equal
 * to it is left out. Objects and common prefixes are merged into byte order; what comes twice is told once. Names that
 * are no UTF-8 are left out. */
enum err_code s3_list_parse(const char *xml, size_t len, const char *strip, struct store_page *out,
                            struct err *e) MUST_CHECK;

/* What is whole in the beginning of such a reply, up to the last object, in its order; page.next is not told. ERR_PROTO where there is no
 * beginning of one, or where only its end could tell how keys are encoded. */
enum err_code s3_list_parse_beginning(const char *xml, size_t len, const char *strip, struct store_page *out,
                                      struct err *e) MUST_CHECK;

#endif
