/* Records of the write-ahead log: whatever the bytes are, what is accepted is encoded to the same bytes again. */
#include "fuzz.h"

#include "journal/record.h"
#include "journal/wal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    CLEANUP(record_free) struct record *r = record_decode(data, size, &e);
    if (!r) {
        FUZZ_CHECK(e.code == ERR_PROTO || e.code == ERR_UNSUPPORTED);
        return 0;
    }
    BUF(again, WAL_RECORD_MAX);
    FUZZ_CHECK(record_encode(r, &again, &e) == ERR_OK);
    /* The name of an error that this program does not know becomes one that it knows. */
    FUZZ_CHECK(r->kind == RECORD_FAILED || (again.len == size && memcmp(again.data, data, size) == 0));
    FUZZ_CHECK(!r->file || (!strchr(r->file, '/') && r->file[0] != '.' && r->file[0] != 0));
    FUZZ_CHECK(r->file || r->kind != RECORD_PUT || r->size <= RECORD_INLINE_MAX);
    for (size_t i = 0; i < r->n_parts; i++)
        FUZZ_CHECK(r->parts[i].number > (i ? r->parts[i - 1].number : 0));
    return 0;
}
