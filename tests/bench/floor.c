/* What server and wire allow: libcurl alone, bytes thrown away. Prints one line of JSON, as work.c does.
 *
 *   awsfs-bench-floor get CONNECTIONS TASKS [WARM-URL]   each line of TASKS is "URL RANGE" ("-": all of it)
 *   awsfs-bench-floor put CONNECTIONS TASKS SIZE         each line is a URL that gets SIZE bytes
 *   awsfs-bench-floor list URL                           ListObjectsV2, page after page, on an open connection
 *
 * CONNECTIONS threads take the next task each time, each with a connection of its own that it keeps. With WARM-URL it
 * is open before the clock starts.
 */
#include "span.h"
#include "work.h"

#include <curl/curl.h>
#include <err.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CONNECTIONS_MAX = 64, TASKS_MAX = 100000, LINE_MAX_BYTES = 4096, BUFFER = 512 << 10, PAGE_MAX = 4 << 20 };

struct task {
    char *url;
    char *range;
};

struct floor {
    struct task *tasks;
    size_t count;
    atomic_size_t next;
    atomic_ullong bytes;
    const char *warm;
    uint64_t put_size;
    struct span span;
};

struct page {
    char *text;
    size_t size;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t discard(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes;
    *(uint64_t *)arg += size * count;
    return size * count;
}

static size_t keep(char *bytes, size_t size, size_t count, void *arg)
{
    struct page *page = arg;

    if (page->size + count >= PAGE_MAX)
        return 0;
    memcpy(page->text + page->size, bytes, size * count);
    page->size += size * count;
    page->text[page->size] = '\0';
    return size * count;
}

static size_t zeros(char *bytes, size_t size, size_t count, void *arg)
{
    uint64_t *left = arg;
    size_t n = size * count < *left ? size * count : (size_t)*left;

    memset(bytes, 0, n);
    *left -= n;
    return n;
}

static CURL *new_handle(void)
{
    CURL *curl = curl_easy_init();

    if (!curl)
        errx(1, "libcurl");
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)BUFFER);
    return curl;
}

static void perform(CURL *curl, const char *url)
{
    CURLcode code;

    curl_easy_setopt(curl, CURLOPT_URL, url);
    code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        errx(1, "%s: %s", url, curl_easy_strerror(code));
}

static uint64_t get(CURL *curl, const char *url, const char *range)
{
    uint64_t bytes = 0;

    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &bytes);
    curl_easy_setopt(curl, CURLOPT_RANGE, range && strcmp(range, "-") != 0 ? range : NULL);
    perform(curl, url);
    return bytes;
}

static uint64_t put(CURL *curl, const char *url, uint64_t size)
{
    uint64_t left = size, answered = 0;

    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, zeros);
    curl_easy_setopt(curl, CURLOPT_READDATA, &left);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answered);
    perform(curl, url);
    return size;
}

static void *take_tasks(void *arg)
{
    struct floor *f = arg;
    CURL *curl = new_handle();
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    size_t i;

    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (f->warm)
        get(curl, f->warm, "0-0");
    span_begin(&f->span);
    while ((i = atomic_fetch_add(&f->next, 1)) < f->count) {
        const struct task *t = &f->tasks[i];

        atomic_fetch_add(&f->bytes, f->put_size ? put(curl, t->url, f->put_size) : get(curl, t->url, t->range));
        span_ended(&f->span);
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    return NULL;
}

static void load_tasks(struct floor *f, const char *path)
{
    FILE *in = fopen(path, "r");
    char line[LINE_MAX_BYTES];

    f->tasks = calloc(TASKS_MAX, sizeof(*f->tasks));
    if (!in || !f->tasks)
        err(1, "%s", path);
    while (f->count < TASKS_MAX && fgets(line, sizeof(line), in)) {
        char *rest = line;
        const char *url = strsep(&rest, " \n"), *range = strsep(&rest, " \n");

        f->tasks[f->count].url = strdup(url);
        f->tasks[f->count++].range = range && *range ? strdup(range) : NULL;
    }
    fclose(in);
}

static void transfer(struct floor *f, const char *connections, const char *tasks, struct work_done *done)
{
    unsigned long threads = strtoul(connections, NULL, 10);
    pthread_t thread[CONNECTIONS_MAX];

    if (threads < 1 || threads > CONNECTIONS_MAX)
        errx(2, "connections: 1 to %d", CONNECTIONS_MAX);
    load_tasks(f, tasks);
    span_init(&f->span, (unsigned)threads);
    for (unsigned long i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, take_tasks, f) != 0)
            errx(1, "no thread");
    for (unsigned long i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    done->seconds = span_seconds(&f->span);
    span_release(&f->span);
    done->bytes = atomic_load(&f->bytes);
    done->items = f->count;
    for (size_t i = 0; i < f->count; i++) {
        free(f->tasks[i].url);
        free(f->tasks[i].range);
    }
    free(f->tasks);
}

static uint64_t keys_in(const char *text)
{
    uint64_t keys = 0;

    for (const char *p = text; (p = strstr(p, "<Key>")); p++)
        keys++;
    return keys;
}

/* The next page's URL, escaped; NULL at the end. */
static char *next_url(CURL *curl, const char *url, const char *text)
{
    const char *tag = "<NextContinuationToken>", *token = strstr(text, tag), *end;
    char *escaped, *next = NULL;

    if (!token || !(end = strstr(token, "</")))
        return NULL;
    token += strlen(tag);
    escaped = curl_easy_escape(curl, token, (int)(end - token));
    if (!escaped || asprintf(&next, "%s&continuation-token=%s", url, escaped) < 0)
        errx(1, "memory");
    curl_free(escaped);
    return next;
}

static void list(const char *url, struct work_done *done)
{
    CURL *curl = new_handle();
    struct page page = {.text = malloc(PAGE_MAX)};
    char *at = strdup(url), *warm;
    double start;

    if (!page.text || !at)
        errx(1, "memory");
    if (asprintf(&warm, "%s&max-keys=0", url) < 0)
        errx(1, "memory");
    get(curl, warm, NULL);
    free(warm);
    start = now();
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &page);
    while (at) {
        char *next;

        page.size = 0;
        perform(curl, at);
        done->items += keys_in(page.text);
        done->bytes += page.size;
        if (done->first_s < 0)
            done->first_s = now() - start;
        next = next_url(curl, url, page.text);
        free(at);
        at = next;
    }
    done->seconds = now() - start;
    curl_easy_cleanup(curl);
    free(page.text);
}

int main(int argc, char **argv)
{
    struct floor f = {0};
    struct work_done done = {.first_s = -1};

    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (argc >= 4 && strcmp(argv[1], "get") == 0) {
        f.warm = argc > 4 ? argv[4] : NULL;
        transfer(&f, argv[2], argv[3], &done);
    } else if (argc == 5 && strcmp(argv[1], "put") == 0) {
        f.put_size = strtoull(argv[4], NULL, 10);
        transfer(&f, argv[2], argv[3], &done);
    } else if (argc == 3 && strcmp(argv[1], "list") == 0) {
        list(argv[2], &done);
    } else {
        errx(2, "usage: see the head of tests/bench/floor.c");
    }
    printf("{\"seconds\": %.6f, \"first_s\": %.6f, \"bytes\": %" PRIu64 ", \"items\": %" PRIu64 "}\n", done.seconds,
           done.first_s, done.bytes, done.items);
    return 0;
}
