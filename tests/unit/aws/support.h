/* What the tests of src/aws share: a clean environment with files of its own, and a scripted HTTP server in the
 * process. */
#ifndef TESTS_AWS_SUPPORT_H
#define TESTS_AWS_SUPPORT_H

#include "net/http.h"
#include "util/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* A temporary directory as HOME and no AWS_* variable, nor one of proxies. IMDS is switched off. */
void sandbox_enter(void);
void sandbox_leave(void);
const char *sandbox_dir(void);

/* Writes `text` to ~/PATH, making ~/.aws first. */
void sandbox_write(const char *path, const char *text);

/* The log at level debug to a file; ends it and fails the test when the marker is in it. */
void log_watch(void);
void log_expect_no_marker(void);

/* A request as the server saw it. */
struct seen {
    char method[8], target[4096], head[16384], body[16384];
    size_t body_len;
};

/* A header's value, "" when absent. Valid until the next call. */
const char *seen_header(const struct seen *r, const char *name);

struct script;

/* Listens on 127.0.0.1; one request a connection, one after the other. `answer` appends the whole reply to `out`;
 * nothing closes the connection without one. Runs on the server's thread. */
struct script *script_start(void (*answer)(void *arg, const struct seen *r, unsigned number, struct buf *out),
                            void *arg);
void script_stop(struct script *s);
const char *script_url(const struct script *s); /* "http://127.0.0.1:PORT" */
unsigned script_count(struct script *s);
/* The request of that number from 1, copied. */
struct seen script_seen(struct script *s, unsigned number);

/* Appends a reply. `headers` is "Name: value\r\n..." or "". */
void reply_add(struct buf *out, int status, const char *headers, const char *body);

#endif
