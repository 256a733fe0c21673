/* write=back over an in-memory store, and short words for what tests do with both. */
#ifndef TEST_WRITEBACK_SUPPORT_H
#define TEST_WRITEBACK_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/meta.h"
#include "writeback/writeback.h"

struct fixture {
    char dir[64];
    struct store *inner, *s;
    struct mem_store *mem;
    struct writeback *w;
    uint64_t dirty_limit, put_target; /* 0: the in-memory store's */
    size_t max_operations;
    unsigned patience_ms, linger_ms, hold_ms;
};

/* A fresh journal and a fresh store. `f` is zeroed but for its settings. */
void fixture_make(struct fixture *f);
/* Opens the journal again, as the next mount does. */
void fixture_open(struct fixture *f);
/* Ends it as it is. */
void fixture_close(struct fixture *f);
void fixture_remove(struct fixture *f);

/* The journal's directory as a kill would leave it now, and back to that. */
void journal_save(struct fixture *f);
void journal_restore(struct fixture *f);

/* The code; `out` may be NULL. `etag`: NULL always, "" a new object. */
enum err_code put(struct store *s, const char *key, const char *text, const char *etag, struct store_version *out);
enum err_code copy(struct store *s, const char *from, const char *from_etag, const char *to, const char *to_etag,
                   struct store_version *out);
enum err_code rename_object(struct store *s, const char *from, const char *from_etag, const char *to, const char *to_etag,
                            struct store_version *out);
enum err_code unlink_object(struct store *s, const char *key, const char *etag);
enum err_code change_mode(struct store *s, const char *key, const char *etag, mode_t mode, struct store_version *out);
/* These fail the test otherwise. */
struct store_version put_ok(struct store *s, const char *key, const char *text, const char *etag);
void assert_text(struct store *s, const char *key, const char *text); /* NULL: nothing is there */
void assert_listing(struct store *s, const char *prefix, bool delimiter, const char *expected); /* names with blanks between */
void drain_ok(struct fixture *f);

/* Requests of one kind to the inner store so far. */
unsigned sent(struct fixture *f, enum mem_op op);

/* From now on the calls of `op` (MEM_OPS: of all that change something) fail with `code`, `after` they took effect or before. */
void break_calls(struct fixture *f, enum mem_op op, enum err_code code, bool after);
void mend_calls(struct fixture *f);
unsigned failed_calls(void);

#endif
