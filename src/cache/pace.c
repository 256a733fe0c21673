#include "cache/pace.h"

#include "util/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SAMPLE_MS 100 /* of the processors' time, at least */
#define OLD_MS    500 /* after so long without one, the next begins anew */
#define ALONE_MS  3000 /* for so long readers have the processors for themselves, */
#define SHARE     10   /* then all but one part of so many of one processor */
#define DEBT_MS   2000

void pace_init(struct pace *p)
{
    *p = (struct pace){.fd = open("/proc/stat", O_RDONLY | O_CLOEXEC)};
    lock_init(&p->lock, "pace", LOCK_LEAF);
}

void pace_release(struct pace *p)
{
    if (p->fd >= 0)
        close(p->fd);
    lock_release(&p->lock);
}

static bool quiet_locked(const struct pace *p, uint64_t now, unsigned ms)
{
    return p->read_ms == 0 || now >= p->read_ms + ms;
}

static void busy(struct pace *p, bool reading)
{
    uint64_t now = clock_mono_ms();
    LOCK_SCOPE(&p->lock);
    if (!reading)
        p->began_ms = 0;
    else if (quiet_locked(p, now, PACE_QUIET_MS))
        p->began_ms = now;
    p->read_ms = now;
}

void pace_reading(struct pace *p)
{
    busy(p, true);
}

void pace_writing(struct pace *p)
{
    busy(p, false);
}

void pace_losing(struct pace *p)
{
    LOCK_SCOPE(&p->lock);
    p->began_ms = 0;
}

/* The first line is "cpu" and times since the boot: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)). */
static bool sample(int fd, uint64_t *idle, uint64_t *total)
{
    char line[512];
    unsigned long long t[8] = {0};
    ssize_t n = fd >= 0 ? pread(fd, line, sizeof(line) - 1, 0) : -1;
    if (n <= 0)
        return false;
    line[n] = '\0';
    if (sscanf(line, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 5)
        return false;
    *idle = t[3] + t[4];
    *total = 0;
    for (unsigned i = 0; i < 8; i++)
        *total += t[i];
    return true;
}

/* Whether a quarter of all processor time was left over of late. */
static bool spare_locked(struct pace *p, uint64_t now)
{
    uint64_t idle, total, age = now - p->sampled_ms;
    if (p->sampled_ms != 0 && age < SAMPLE_MS)
        return p->spare;
    if (!sample(p->fd, &idle, &total))
        return p->spare = false;
    p->spare = p->sampled_ms != 0 && age < OLD_MS && total > p->total && idle >= p->idle && (idle - p->idle) * 4 >= total - p->total;
    p->idle = idle;
    p->total = total;
    p->sampled_ms = now;
    return p->spare;
}

bool pace_is_quiet(struct pace *p, unsigned ms)
{
    uint64_t now = clock_mono_ms();
    LOCK_SCOPE(&p->lock);
    return quiet_locked(p, now, ms);
}

unsigned pace_wait_ms(struct pace *p, uint64_t spent_us)
{
    uint64_t now = clock_mono_ms();
    LOCK_SCOPE(&p->lock);
    if (quiet_locked(p, now, PACE_QUIET_MS) || spare_locked(p, now)) {
        p->next_us = 0;
        return 0;
    }
    if (now < p->began_ms + ALONE_MS)
        return (unsigned)(p->began_ms + ALONE_MS - now);
    uint64_t at = now * 1000, debt = spent_us * (SHARE - 1);
    if (p->next_us < at)
        p->next_us = at;
    p->next_us += debt;
    if (p->next_us > at + DEBT_MS * 1000)
        p->next_us = at + DEBT_MS * 1000;
    return (unsigned)((p->next_us - at + 999) / 1000);
}
