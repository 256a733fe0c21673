/* The bytes of a file, twice. */
#include "disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void page_live(struct page *p, uint8_t *bytes)
{
    if (p->live != p->disk)
        free(p->live);
    p->live = bytes;
}

static void page_settle(struct page *p)
{
    if (p->live != p->disk)
        free(p->disk);
    p->disk = p->live;
}

static int grow(struct inode *i, uint64_t size)
{
    size_t n = (size_t)((size + PAGE - 1) / PAGE);
    if (n <= i->n_pages)
        return 0;
    struct page *p = realloc(i->pages, n * sizeof(*p));
    if (!p)
        return -ENOMEM;
    memset(p + i->n_pages, 0, (n - i->n_pages) * sizeof(*p));
    i->pages = p;
    i->n_pages = n;
    return 0;
}

void inode_touch(struct inode *i)
{
    clock_gettime(CLOCK_REALTIME, &i->live.mtime);
    i->live.ctime = i->live.mtime;
}

/* The page's live bytes, apart from those on the disk. */
static uint8_t *own(struct page *p)
{
    if (p->live && p->live != p->disk)
        return p->live;
    uint8_t *bytes = p->live ? malloc(PAGE) : calloc(1, PAGE);
    if (bytes && p->live)
        memcpy(bytes, p->live, PAGE);
    if (bytes)
        p->live = bytes;
    return bytes;
}

int inode_write(struct inode *i, uint64_t offset, const void *p, size_t len)
{
    if (offset > SIZE_LIMIT || len > SIZE_LIMIT - offset)
        return -EFBIG;
    if (grow(i, offset + len))
        return -ENOMEM;
    for (size_t done = 0, n; done < len; done += n) {
        size_t at = (size_t)((offset + done) % PAGE);
        uint8_t *bytes = own(&i->pages[(offset + done) / PAGE]);
        n = len - done < PAGE - at ? len - done : PAGE - at;
        if (!bytes)
            return -ENOMEM;
        memcpy(bytes + at, (const uint8_t *)p + done, n);
    }
    if (i->size < offset + len)
        i->size = offset + len;
    inode_touch(i);
    return 0;
}

void inode_read(const struct inode *i, uint64_t offset, void *p, size_t len)
{
    for (size_t done = 0, n; done < len; done += n) {
        size_t at = (size_t)((offset + done) % PAGE), k = (size_t)((offset + done) / PAGE);
        const uint8_t *bytes = k < i->n_pages ? i->pages[k].live : NULL;
        n = len - done < PAGE - at ? len - done : PAGE - at;
        if (bytes)
            memcpy((uint8_t *)p + done, bytes + at, n);
        else
            memset((uint8_t *)p + done, 0, n);
    }
}

/* Zeros from `at` on in one page. */
static void clear_page(struct page *p, size_t at, size_t len)
{
    if (!p->live)
        return;
    if (len == PAGE) {
        page_live(p, NULL);
        return;
    }
    uint8_t *bytes = own(p);
    if (bytes)
        memset(bytes + at, 0, len);
}

void inode_punch(struct inode *i, uint64_t offset, uint64_t len)
{
    uint64_t end = (uint64_t)i->n_pages * PAGE, stop = len < end - (offset < end ? offset : end) ? offset + len : end;
    while (offset < stop) {
        size_t at = (size_t)(offset % PAGE), n = stop - offset < PAGE - at ? (size_t)(stop - offset) : PAGE - at;
        clear_page(&i->pages[offset / PAGE], at, n);
        offset += n;
    }
    inode_touch(i);
}

int inode_resize(struct inode *i, uint64_t size)
{
    if (size > SIZE_LIMIT)
        return -EFBIG;
    if (grow(i, size))
        return -ENOMEM;
    if (size < i->size) {
        inode_punch(i, size, UINT64_MAX - size);
        i->cut = size < i->cut ? size : i->cut;
    }
    i->size = size;
    inode_touch(i);
    return 0;
}

uint64_t inode_seek(const struct inode *i, uint64_t offset, bool data)
{
    for (; offset < i->size; offset = (offset / PAGE + 1) * PAGE)
        if ((i->pages[offset / PAGE].live != NULL) == data)
            return offset;
    return i->size;
}

uint64_t inode_held(const struct inode *i)
{
    uint64_t n = 0;
    for (size_t k = 0; k < i->n_pages; k++)
        n += i->pages[k].live != NULL;
    return n;
}

/* ---- What is durable */

/* The truncation is on the disk: what was behind it is no more. */
static void settle_cut(struct inode *i)
{
    if (i->cut == UNCUT)
        return;
    size_t k = (size_t)(i->cut / PAGE), at = (size_t)(i->cut % PAGE);
    if (at && k < i->n_pages && i->pages[k].disk && i->pages[k].disk != i->pages[k].live)
        memset(i->pages[k].disk + at, 0, PAGE - at);
    for (k += at > 0; k < i->n_pages; k++) {
        if (i->pages[k].live != i->pages[k].disk)
            free(i->pages[k].disk);
        i->pages[k].disk = NULL;
    }
    i->disk_size = i->disk_size < i->cut ? i->disk_size : i->cut;
    i->cut = UNCUT;
}

void inode_sync(struct inode *i, bool attributes)
{
    for (size_t k = 0; k < i->n_pages; k++)
        page_settle(&i->pages[k]);
    i->disk_size = i->size;
    i->cut = UNCUT;
    if (attributes)
        i->disk = i->live;
}

void inode_sync_range(struct inode *i, uint64_t offset, uint64_t len)
{
    settle_cut(i);
    for (uint64_t k = offset / PAGE; k < i->n_pages && k * PAGE < offset + len; k++)
        page_settle(&i->pages[k]);
    if (i->disk_size < offset + len)
        i->disk_size = offset + len;
}

/* ---- The loss */

static bool chosen(struct disk *d, unsigned chance)
{
    return disk_random(d, 100) < chance;
}

static void lose_page(struct disk *d, struct page *p, unsigned chance)
{
    if (p->live == p->disk)
        return;
    if (!chosen(d, chance)) {
        d->counts.pages_lost++;
    } else if (chance < 100 && disk_random(d, 8) == 0) {
        static const uint8_t zeros[PAGE];
        size_t whole = SECTOR * (size_t)(1 + disk_random(d, PAGE / SECTOR - 1));
        uint8_t *torn = malloc(PAGE);
        if (!torn)
            abort();
        memcpy(torn, p->live ? p->live : zeros, whole);
        memcpy(torn + whole, (p->disk ? p->disk : zeros) + whole, PAGE - whole);
        page_live(p, torn);
        page_settle(p);
        d->counts.pages_torn++;
    } else {
        page_settle(p);
        d->counts.pages_kept++;
    }
    page_live(p, p->disk);
}

/* A size that had become durable on its way from the one to the other. */
static uint64_t some_size(struct disk *d, const struct inode *i, unsigned chance)
{
    if (chance == 0 || i->size <= i->disk_size)
        return i->disk_size;
    if (chance == 100 || chosen(d, chance))
        return i->size;
    uint64_t boundary = (i->disk_size + disk_random(d, i->size - i->disk_size)) / PAGE * PAGE;
    return boundary > i->disk_size && chosen(d, 50) ? boundary : i->disk_size;
}

static void clear_behind(struct inode *i)
{
    i->size = i->disk_size;
    inode_punch(i, i->size, UINT64_MAX - i->size);
    for (size_t k = 0; k < i->n_pages; k++)
        page_settle(&i->pages[k]);
}

void inode_lose(struct disk *d, struct inode *i, unsigned chance)
{
    size_t behind = i->n_pages; /* pages from here on are blocks that no metadata leads to */
    struct attributes now = i->live;
    bool truncated = i->cut == UNCUT || chosen(d, chance);
    if (truncated) {
        settle_cut(i);
    } else {
        behind = (size_t)((i->cut + PAGE - 1) / PAGE);
        d->counts.truncations_lost++;
    }
    uint64_t size = truncated ? some_size(d, i, chance) : i->disk_size;
    d->counts.sizes_lost += size != i->size;
    for (size_t k = 0; k < i->n_pages; k++) {
        if (k < behind)
            lose_page(d, &i->pages[k], chance);
        else
            page_live(&i->pages[k], i->pages[k].disk);
    }
    i->cut = UNCUT;
    i->disk_size = size;
    clear_behind(i);
    if (chosen(d, chance))
        i->disk = now;
    i->live = i->disk;
}

/* Any of it may be written before somebody asks. */
void inode_drift(struct disk *d, struct inode *i)
{
    settle_cut(i);
    if (i->n_pages > 0)
        page_settle(&i->pages[disk_random(d, i->n_pages)]);
    if (disk_random(d, 2) && i->size > i->disk_size)
        i->disk_size = i->size;
}
