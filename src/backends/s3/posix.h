/*
 * POSIX attributes as s3fs, rclone, geesefs, the AWS family, gsutil and s3sync write them into user metadata. Parsers
 * of single values; pure.
 */
#ifndef S3_POSIX_H
#define S3_POSIX_H

#include "util/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* `is_dir`: the key ends with '/'. All return false and write nothing when the value is none. */

/* x-amz-meta-mode. s3fs: st_mode in decimal (a leading 0 means octal, 0x hexadecimal). rclone: octal without a leading
 * 0, which is told apart by decimal values over 65535 or without a valid file type; what is left ambiguous (a sticky or
 * setgid directory looks like a symbolic link) is a link only as exactly 41471. */
bool s3_parse_mode(const char *s, bool is_dir, mode_t *out);

/* Always octal, with or without file type: file-permissions, goog-reserved-posix-mode, s3sync's permissions. */
bool s3_parse_mode_octal(const char *s, bool is_dir, mode_t *out);

/* uid and gid: decimal, leading 0 octal, 0x hexadecimal; up to 2^32 - 1. */
bool s3_parse_id(const char *s, uint32_t *out);

/* Seconds with an optional fraction (s3fs writes nine digits behind a signed whole number of seconds), or RFC 3339. */
bool s3_parse_time(const char *s, struct timespec *out);

/* The AWS family: an integer with "ns", or without a unit milliseconds. */
bool s3_parse_time_aws(const char *s, struct timespec *out);

/* As s3fs writes it: "%ld" or "%ld.%09ld". */
void s3_format_time(struct timespec t, char out[48]);

#endif
