#include "fuse/notify.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fuse/retrieve.h"
#include "fuse/wire.h"
#include "util/clock.h"
#include "util/lock.h"
#include "util/map.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* One thing to forget: an inode (no name) or a name in a directory. Its key is everything from `ino` on. */
struct item {
    struct item *next;
    uint64_t since_ms;
    size_t name_len;
    uint64_t ino; /* of the inode, or of the directory */
    char name[];
};

/* A directory on which requests wait. */
struct waiting {
    uint64_t ino;
    unsigned n;
    uint64_t answered_ms; /* the last of them that was; 0: none yet */
};

#define LOOK_MAX    64   /* items that are looked at for one that can be told */
#define LOOK_MS     50
#define PATIENCE_MS 2000 /* where requests come and go all the time */
#define MOVING_MS   200

struct notify {
    struct lock lock; /* everything below */
    struct cond wake, idle;
    unsigned calling; /* threads that talk to the session */
    struct fuse_session *se;
    int device;       /* the thread's own descriptor of the connection; -1: none */
    bool alone;       /* the thread has it, and no other descriptor */
    struct map *set; /* of what is in the list */
    struct map *waiting; /* of struct waiting */
    struct item *first, **last;
    bool stop;
    struct retrieves retrieves;
    pthread_t thread;
};

static struct map_key item_key(const void *value)
{
    const struct item *i = value;

    return (struct map_key){&i->ino, sizeof(*i) - offsetof(struct item, ino) + i->name_len};
}

static struct map_key waiting_key(const void *value)
{
    const struct waiting *w = value;

    return (struct map_key){&w->ino, sizeof(w->ino)};
}

static bool can_be_told_locked(const struct notify *n, const struct item *i, uint64_t now)
{
    const struct waiting *w = i->name_len ? map_get(n->waiting, &i->ino, sizeof(i->ino)) : NULL;

    return !w || (now - i->since_ms > PATIENCE_MS && w->answered_ms && now - w->answered_ms < MOVING_MS);
}

static struct item *take_locked(struct notify *n, struct item **at)
{
    struct item *i = *at;
    struct map_key key = item_key(i);

    map_remove(n->set, key.p, key.len);
    *at = i->next;
    if (!i->next)
        n->last = at;
    return i;
}

/* The first that can be told; NULL where there is none now. */
static struct item *take_next_locked(struct notify *n)
{
    lock_assert_held(&n->lock);
    uint64_t now = clock_mono_ms();
    unsigned looked = 0;
    for (struct item **at = &n->first; *at && looked < LOOK_MAX; at = &(*at)->next, looked++)
        if (can_be_told_locked(n, *at, now))
            return take_locked(n, at);
    return NULL;
}

void notify_dir_waits(struct notify *n, uint64_t ino)
{
    LOCK_SCOPE(&n->lock);
    struct waiting *w = map_get(n->waiting, &ino, sizeof(ino));
    if (!w && (w = calloc(1, sizeof(*w)))) {
        w->ino = ino;
        if (map_put(n->waiting, w, NULL) != ERR_OK) {
            free(w);
            w = NULL;
        }
    }
    if (w)
        w->n++;
}

void notify_dir_answered(struct notify *n, uint64_t ino)
{
    LOCK_SCOPE(&n->lock);
    struct waiting *w = map_get(n->waiting, &ino, sizeof(ino));
    if (!w)
        return;
    w->answered_ms = clock_mono_ms();
    if (--w->n > 0)
        return;
    free(map_remove(n->waiting, &ino, sizeof(ino)));
    if (n->first)
        cond_signal(&n->wake);
}

/* Not close(): ThreadSanitizer takes that for the descriptor which the other threads know by this number. */
static void let_go_locked(struct notify *n)
{
    (void)close_range((unsigned)n->device, (unsigned)n->device, 0);
    n->device = -1;
    n->alone = false;
    cond_broadcast(&n->idle);
}

/*
 * A call can wait in the kernel behind a request, where no signal reaches it, and a process that is killed lets go of its descriptors when
 * the last thread that shares them is gone: the request would wait for this thread and this thread for the request, for ever. So
 * this one shares none with the others. When they are dead their descriptors are closed, which ends the requests that were read from
 * them, and then this call. It opens, logs and reads nothing.
 */
static int stand_alone_locked(struct notify *n)
{
    int fd = n->device;

    if (fd < 0 || n->alone)
        return fd;
    if (unshare(CLONE_FILES) != 0) {
        let_go_locked(n);
        return -1;
    }
    if (fd > 0)
        (void)close_range(0, (unsigned)fd - 1, 0);
    (void)close_range((unsigned)fd + 1, UINT_MAX, 0);
    n->alone = true;
    cond_broadcast(&n->idle);
    return fd;
}

static void *run(void *arg)
{
    struct notify *n = arg;

    lock_take(&n->lock);
    while (!n->stop) {
        int fd = stand_alone_locked(n);
        if (!n->se && fd >= 0)
            let_go_locked(n);
        struct item *i = take_next_locked(n);
        if (!i) {
            cond_wait(&n->wake, &n->lock, n->first ? clock_mono_ms() + LOOK_MS : UINT64_MAX);
            continue;
        }
        bool told = n->se != NULL;
        if (told && fd < 0)
            fd = fuse_session_fd(n->se);
        n->calling++;
        lock_drop(&n->lock);
        if (told && i->name_len)
            wire_tell_entry(fd, i->ino, i->name);
        else if (told)
            wire_tell_inode(fd, i->ino);
        free(i);
        lock_take(&n->lock);
        n->calling--;
        cond_broadcast(&n->idle);
    }
    lock_drop(&n->lock);
    return NULL;
}

static void enqueue(struct notify *n, uint64_t ino, const char *name)
{
    size_t len = name ? strlen(name) : 0;
    CLEANUP(free) struct item *i = malloc(sizeof(*i) + len + 1); /* libfuse sends the NUL too */

    if (!i)
        return;
    i->next = NULL;
    i->since_ms = clock_mono_ms();
    i->name_len = len;
    i->ino = ino;
    memcpy(i->name, name ? name : "", len + 1);

    LOCK_SCOPE(&n->lock);
    struct map_key key = item_key(i);
    if (!n->se || n->stop || map_get(n->set, key.p, key.len) || map_put(n->set, i, NULL) != ERR_OK)
        return;
    *n->last = i;
    n->last = &i->next;
    i = NULL;
    cond_signal(&n->wake);
}

static void on_inode(void *arg, uint64_t ino)
{
    enqueue(arg, ino, NULL);
}

static void on_entry(void *arg, uint64_t parent, const char *name)
{
    enqueue(arg, parent, name);
}

static bool on_retrieve(void *arg, uint64_t ino, uint64_t offset, size_t len, struct vfs_retrieve *r)
{
    struct notify *n = arg;

    lock_take(&n->lock);
    struct fuse_session *se = n->se;
    n->calling += se != NULL;
    lock_drop(&n->lock);
    if (!se)
        return false;
    bool asked = retrieve_ask(&n->retrieves, se, ino, offset, len, r);
    lock_take(&n->lock);
    n->calling--;
    cond_broadcast(&n->idle);
    bool over = n->se == NULL;
    lock_drop(&n->lock);
    if (over)
        retrieves_end(&n->retrieves);
    return asked;
}

void notify_answer(struct notify *n, uint64_t id, const void *p, size_t len)
{
    retrieve_answer(&n->retrieves, id, p, len);
}

struct notify *notify_new(struct err *e)
{
    struct notify *n = calloc(1, sizeof(*n));

    if (!n) {
        err_set(e, ERR_NOMEM, "no memory for the kernel notifications");
        return NULL;
    }
    lock_init(&n->lock, "notify", LOCK_NOTIFY);
    cond_init(&n->wake);
    cond_init(&n->idle);
    retrieves_init(&n->retrieves);
    n->last = &n->first;
    n->device = -1;
    n->set = map_new(item_key);
    n->waiting = map_new(waiting_key);
    if (!n->set || !n->waiting || pthread_create(&n->thread, NULL, run, n) != 0) {
        map_free(n->set);
        map_free(n->waiting);
        cond_release(&n->wake);
        cond_release(&n->idle);
        retrieves_release(&n->retrieves);
        lock_release(&n->lock);
        free(n);
        err_set(e, ERR_NOMEM, "cannot start the thread of the kernel notifications");
        return NULL;
    }
    return n;
}

struct vfs_notify notify_callbacks(struct notify *n)
{
    return (struct vfs_notify){.inode = on_inode, .entry = on_entry, .retrieve = on_retrieve, .arg = n};
}

void notify_attach(struct notify *n, struct fuse_session *se)
{
    int fd = wire_clone(fuse_session_fd(se));

    LOCK_SCOPE(&n->lock);
    n->se = se;
    n->device = fd;
    cond_signal(&n->wake);
    while (n->device >= 0 && !n->alone)
        (void)cond_wait(&n->idle, &n->lock, UINT64_MAX);
    if (n->alone)
        close(fd); /* the thread's copy is left */
}

bool notify_detach(struct notify *n, unsigned wait_ms)
{
    uint64_t until = clock_mono_ms() + wait_ms;

    lock_take(&n->lock);
    n->se = NULL;
    cond_signal(&n->wake);
    while (n->calling > 0 || n->device >= 0)
        if (!cond_wait(&n->idle, &n->lock, until))
            break;
    bool quiet = n->calling == 0 && n->device < 0;
    lock_drop(&n->lock);
    retrieves_end(&n->retrieves);
    return quiet;
}

size_t notify_pending(struct notify *n)
{
    LOCK_SCOPE(&n->lock);
    return map_size(n->set);
}

void notify_free(struct notify *n)
{
    if (!n)
        return;
    lock_take(&n->lock);
    n->stop = true;
    cond_signal(&n->wake);
    lock_drop(&n->lock);
    pthread_join(n->thread, NULL);
    struct waiting *w;
    lock_take(&n->lock);
    while (n->first)
        free(take_locked(n, &n->first));
    for (size_t cursor = 0; (w = map_next(n->waiting, &cursor));)
        free(w);
    lock_drop(&n->lock);
    map_free(n->set);
    map_free(n->waiting);
    cond_release(&n->wake);
    cond_release(&n->idle);
    retrieves_release(&n->retrieves);
    lock_release(&n->lock);
    free(n);
}
