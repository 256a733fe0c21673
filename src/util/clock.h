/* Time. Monotonic milliseconds for ages and deadlines, struct timespec in UTC for what is stored. */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Milliseconds on CLOCK_MONOTONIC (not counting suspend: CLOCK_BOOTTIME is used where the kernel has it). Any thread. */
uint64_t clock_mono_ms(void);

/* Microseconds on CLOCK_MONOTONIC, to measure short times. Any thread. */
uint64_t clock_mono_us(void);

/* UTC now. */
struct timespec clock_now(void);

/* "2026-11-21T14:47:59.123Z", also with an offset "+00:00" or without fraction, to UTC. False when not of that form. */
bool time_parse_iso8601(const char *s, struct timespec *out);

/* An HTTP date (RFC 9110: IMF-fixdate only) to UTC. False when not of that form. */
bool time_parse_http(const char *s, struct timespec *out);

/* "20261121T144759Z"; `out` holds 17 bytes. */
void time_format_amz(time_t t, char out[17]);

/* "Sat, 21 Nov 2026 14:47:59 GMT"; `out` holds 30 bytes. */
void time_format_http(time_t t, char out[30]);

#endif
