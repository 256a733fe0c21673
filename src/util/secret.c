/*
 * An arena of chunks that are locked and left out of core dumps. A chunk is cut into blocks of fixed classes; a freed
 * block is wiped and kept for its class. What is larger than the largest class has a mapping of its own, which goes
 * back to the system. Locked memory is scarce (8 MiB is a usual limit): chunks are small and classes are close to one
 * another.
 */
#include "util/secret.h"

#include "util/lock.h"
#include "util/log.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define CHUNK_SIZE  65536
#define CLASS_LARGE 0xFFFFFFFFU
#define MAGIC_USED  0x5ec7e7a1U
#define MAGIC_FREE  0x0ddba11cU

/* Block sizes, with the head. */
static const size_t class_sizes[] = {32,   48,   64,   96,   128,  192,  256,  384,   512,  768,
                                     1024, 1536, 2048, 3072, 4096, 6144, 8704, 12288, 16384};

/* In front of every block; keeps what follows aligned to 16 bytes. */
struct head {
    uint32_t magic;
    uint32_t class;
    size_t size; /* of the block with its head */
};
_Static_assert(sizeof(struct head) == 16, "blocks stay aligned");

struct free_block {
    struct head head;
    struct free_block *next;
};

static struct {
    struct lock lock;
    bool go_on_unlocked;
    bool failure_logged;
    pid_t pid;   /* the process that the lists are of */
    char *chunk; /* the unused rest of the last chunk */
    size_t chunk_left;
    struct free_block *free[ARRAY_LEN(class_sizes)];
} arena = {.lock = LOCK_INIT("secret", LOCK_LEAF), .go_on_unlocked = true};

void secret_wipe(void *p, size_t len)
{
    if (len)
        explicit_bzero(p, len);
}

void secret_wiping_free(void *p)
{
    if (p)
        secret_wipe(p, malloc_usable_size(p));
    free(p);
}

void *secret_wiping_realloc(void *p, size_t size)
{
    size_t had = p ? malloc_usable_size(p) : 0;
    if (p && size <= had && size > had / 2)
        return p;
    void *fresh = malloc(size);
    if (fresh && p) {
        memcpy(fresh, p, had < size ? had : size);
        secret_wiping_free(p);
    }
    return fresh;
}

/* Not instrumented: the address sanitizer would put the bytes elsewhere. */
__attribute__((noinline, no_sanitize_address)) void secret_wipe_stack(size_t bytes)
{
    secret_wipe(__builtin_alloca(bytes), bytes);
}

/* Whether the failure is to be logged now: only the first is, and not under the arena's lock. */
static bool first_failure(bool *go_on)
{
    LOCK_SCOPE(&arena.lock);
    bool first = !arena.failure_logged;
    arena.failure_logged = true;
    *go_on = arena.go_on_unlocked;
    return first;
}

/* Whole pages, zeroed, locked and protected; NULL where that cannot be. */
static void *map_pages(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    int failed = 0;
    if (madvise(p, size, MADV_DONTDUMP) != 0 || madvise(p, size, MADV_DONTFORK) != 0 || mlock(p, size) != 0)
        failed = errno;
    if (!failed)
        return p;
    bool go_on;
    bool first = first_failure(&go_on);
    if (first)
        LOG_WARN("secret", "memory for secrets cannot be locked (%s): raise RLIMIT_MEMLOCK (ulimit -l)%s",
                 strerrorname_np(failed) ? strerrorname_np(failed) : "?", go_on ? "; going on without" : "");
    if (go_on)
        return p;
    munmap(p, size);
    return NULL;
}

static void *start_block(void *at, uint32_t class, size_t size)
{
    struct head *head = at;
    *head = (struct head){MAGIC_USED, class, size};
    return head + 1;
}

static void *alloc_large(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (size > SIZE_MAX - page)
        return NULL;
    size = (size + page - 1) / page * page;
    void *p = map_pages(size);
    return p ? start_block(p, CLASS_LARGE, size) : NULL;
}

static void *take_free_locked(uint32_t class)
{
    lock_assert_held(&arena.lock);
    struct free_block *b = arena.free[class];
    if (!b)
        return NULL;
    assert(b->head.magic == MAGIC_FREE);
    arena.free[class] = b->next;
    b->next = NULL;
    return start_block(b, class, class_sizes[class]);
}

/* Puts a block into the list of its class; everything behind its head but the link is zero. */
static void put_free_locked(void *at, uint32_t class)
{
    lock_assert_held(&arena.lock);
    struct free_block *b = at;
    b->head = (struct head){MAGIC_FREE, class, class_sizes[class]};
    b->next = arena.free[class];
    arena.free[class] = b;
}

static void *carve_locked(uint32_t class)
{
    lock_assert_held(&arena.lock);
    size_t size = class_sizes[class];
    if (arena.chunk_left < size)
        return NULL;
    void *p = start_block(arena.chunk, class, size);
    arena.chunk += size;
    arena.chunk_left -= size;
    return p;
}

/* Replaces the current chunk, whose rest goes to the lists, largest blocks first. */
static void add_chunk_locked(char *chunk)
{
    lock_assert_held(&arena.lock);
    for (size_t class = ARRAY_LEN(class_sizes); class -- > 0;) {
        while (arena.chunk_left >= class_sizes[class]) {
            put_free_locked(arena.chunk, (uint32_t) class);
            arena.chunk += class_sizes[class];
            arena.chunk_left -= class_sizes[class];
        }
    }
    arena.chunk = chunk;
    arena.chunk_left = CHUNK_SIZE;
}

/* A child has none of its parent's chunks (MADV_DONTFORK). */
static void forget_parent_locked(void)
{
    lock_assert_held(&arena.lock);
    pid_t pid = getpid();
    if (arena.pid == pid)
        return;
    arena.pid = pid;
    arena.chunk_left = 0;
    memset(arena.free, 0, sizeof(arena.free));
}

static void *alloc_locked(uint32_t class)
{
    forget_parent_locked();
    void *p = take_free_locked(class);
    return p ? p : carve_locked(class);
}

void *secret_alloc(size_t size)
{
    if (size > SIZE_MAX - sizeof(struct head))
        return NULL;
    size += sizeof(struct head);
    uint32_t class = 0;
    while (class < ARRAY_LEN(class_sizes) && class_sizes[class] < size)
        class ++;
    if (class == ARRAY_LEN(class_sizes))
        return alloc_large(size);
    lock_take(&arena.lock);
    void *p = alloc_locked(class);
    lock_drop(&arena.lock);
    if (p)
        return p;
    char *chunk = map_pages(CHUNK_SIZE);
    if (!chunk)
        return NULL;
    LOCK_SCOPE(&arena.lock);
    add_chunk_locked(chunk);
    return alloc_locked(class);
}

void secret_free(void *p)
{
    if (!p)
        return;
    struct head *head = (struct head *)p - 1;
    assert(head->magic == MAGIC_USED);
    secret_wipe(p, head->size - sizeof(*head));
    if (head->class == CLASS_LARGE) {
        munmap(head, head->size);
        return;
    }
    LOCK_SCOPE(&arena.lock);
    put_free_locked(head, head->class);
}

char *secret_dup(const char *s, size_t len)
{
    char *copy = len < SIZE_MAX ? secret_alloc(len + 1) : NULL;
    if (copy && len)
        memcpy(copy, s, len);
    return copy;
}

/* Whether there is no limit now. */
static bool raise_memlock(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0)
        return true;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return false;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_MEMLOCK, &limit);
    return false;
}

enum err_code secret_init(bool require_lock, bool no_core, struct err *e)
{
    bool unlimited = raise_memlock();
    lock_take(&arena.lock);
    arena.go_on_unlocked = !require_lock || !unlimited;
    lock_drop(&arena.lock);
    if (!no_core)
        return ERR_OK;
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return err_sys(e, errno, "RLIMIT_CORE");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return err_sys(e, errno, "PR_SET_DUMPABLE");
    return ERR_OK;
}
