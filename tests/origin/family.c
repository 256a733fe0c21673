#include "family.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "pattern.h"

enum { WIDTH_MAX = 12 };
static const uint64_t SIZE_LIMIT = 5ULL << 40, COUNT_LIMIT = 1000000000000ULL;
static const json_int_t DEFAULT_MTIME = 1700000000;

/* A number in the name: zero-padded to its width, so that it sorts by value. */
struct field {
    unsigned width;
    uint64_t values; /* 0 to values - 1 */
    uint64_t stride; /* keys from one value to the next */
};

struct family {
    char *name;
    size_t fields;
    char *literal[FAMILY_FIELDS + 1]; /* what stands before each field, and behind the last one */
    struct field field[FAMILY_FIELDS];
    uint64_t count;
    uint64_t size_min, size_max, seed;
    time_t mtime;
};

void family_free(struct family *f)
{
    if (!f)
        return;
    for (size_t i = 0; i <= FAMILY_FIELDS; i++)
        free(f->literal[i]);
    free(f->name);
    free(f);
}

static const char *parse_name(struct family *f, const char *name)
{
    struct buf literal = {0};

    if (!name || !*name || strlen(name) > FAMILY_KEY_MAX / 2)
        return "family: name is a string of at most 512 bytes";
    f->name = x_strdup(name);
    while (*name) {
        char *end;
        unsigned long width;

        if (*name != '%' || name[1] == '%') {
            buf_add(&literal, name, 1);
            name += *name == '%' ? 2 : 1;
            continue;
        }
        width = name[1] == '0' ? strtoul(name + 1, &end, 10) : 0;
        if (width == 0 || width > WIDTH_MAX || *end != 'd' || f->fields == FAMILY_FIELDS) {
            buf_release(&literal);
            return "family: name has at most four fields %0Nd, N from 1 to 12, and %% for a percent sign";
        }
        f->literal[f->fields] = buf_take(&literal);
        f->field[f->fields++].width = (unsigned)width;
        name = end + 1;
    }
    f->literal[f->fields] = buf_take(&literal);
    return NULL;
}

static uint64_t power_of_ten(unsigned n)
{
    uint64_t v = 1;

    while (n--)
        v *= 10;
    return v;
}

static const char *parse_counts(struct family *f, const json_t *each, const json_t *count)
{
    uint64_t product = 1;

    if (each ? json_array_size(each) != f->fields : f->fields > 1 || (f->fields == 1 && !count))
        return "family: each is an array with the number of values of every field of name";
    for (size_t i = f->fields; i-- > 0;) {
        const json_t *v = each ? json_array_get(each, i) : count;

        if (!json_is_integer(v) || json_integer_value(v) < 1 ||
            (uint64_t)json_integer_value(v) > power_of_ten(f->field[i].width))
            return "family: a field of N digits has 1 to 10^N values";
        f->field[i].values = (uint64_t)json_integer_value(v);
        f->field[i].stride = product;
        if (f->field[i].values > COUNT_LIMIT / product)
            return "family: at most 10^12 keys";
        product *= f->field[i].values;
    }
    f->count = product;
    if (!count)
        return NULL;
    if (!json_is_integer(count) || json_integer_value(count) < 1 || (uint64_t)json_integer_value(count) > product)
        return "family: count is an integer, at most the number of keys that each gives";
    f->count = (uint64_t)json_integer_value(count);
    return NULL;
}

static bool is_size(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) >= 0 && (uint64_t)json_integer_value(v) <= SIZE_LIMIT;
}

static const char *parse_size(struct family *f, const json_t *size)
{
    const json_t *min = json_is_array(size) ? json_array_get(size, 0) : size;
    const json_t *max = json_is_array(size) ? json_array_get(size, 1) : size;

    if (!is_size(min) || !is_size(max) || json_integer_value(min) > json_integer_value(max))
        return "family: size is a number of bytes or [MIN, MAX], at most 5 TiB";
    f->size_min = (uint64_t)json_integer_value(min);
    f->size_max = (uint64_t)json_integer_value(max);
    return NULL;
}

struct family *family_new(const json_t *rule, const char **wrong)
{
    struct family *f = x_alloc(sizeof(*f));
    const json_t *mtime = json_object_get(rule, "mtime");

    f->seed = (uint64_t)json_integer_value(json_object_get(rule, "seed"));
    f->mtime = (time_t)(json_is_integer(mtime) ? json_integer_value(mtime) : DEFAULT_MTIME);
    *wrong = parse_name(f, json_string_value(json_object_get(rule, "name")));
    if (!*wrong)
        *wrong = parse_counts(f, json_object_get(rule, "each"), json_object_get(rule, "count"));
    if (!*wrong)
        *wrong = parse_size(f, json_object_get(rule, "size"));
    if (!*wrong)
        return f;
    family_free(f);
    return NULL;
}

const char *family_name(const struct family *f)
{
    return f->name;
}

uint64_t family_count(const struct family *f)
{
    return f->count;
}

void family_key(const struct family *f, uint64_t number, char *out)
{
    for (size_t i = 0; i < f->fields; i++) {
        const struct field *d = &f->field[i];
        uint64_t value = number / d->stride % d->values;

        out = stpcpy(out, f->literal[i]);
        for (unsigned n = d->width; n-- > 0; value /= 10)
            out[n] = (char)('0' + value % 10);
        out += d->width;
    }
    stpcpy(out, f->literal[f->fields]);
}

/* The smallest value whose digits are >= what key has in their place; *equal when they are the same, and then key has
 * moved behind them. The value may be out of the field's range. */
static uint64_t seek_value(const struct field *d, const char **key, bool *equal)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < d->width; i++) {
        char c = (*key)[i];

        if (!isdigit((unsigned char)c)) {
            *equal = false;
            return (value + ((unsigned char)c > '9')) * power_of_ten(d->width - i);
        }
        value = value * 10 + (uint64_t)(c - '0');
    }
    *equal = true;
    *key += d->width;
    return value;
}

/* Goes through the name from left to right; what the key says so far leaves `span` keys from `first` on. */
static uint64_t seek(const struct family *f, const char *key)
{
    uint64_t first = 0, span = f->fields ? f->field[0].values * f->field[0].stride : 1;

    for (size_t i = 0;; i++) {
        size_t len = strlen(f->literal[i]);
        int order = strncmp(key, f->literal[i], len);
        uint64_t value;
        bool equal;

        if (order)
            return order < 0 ? first : first + span;
        key += len;
        if (i == f->fields)
            return *key ? first + span : first;
        value = seek_value(&f->field[i], &key, &equal);
        if (value >= f->field[i].values)
            return first + span;
        first += value * f->field[i].stride;
        if (!equal)
            return first;
        span = f->field[i].stride;
    }
}

uint64_t family_seek(const struct family *f, const char *key)
{
    uint64_t number = seek(f, key);

    return number < f->count ? number : f->count;
}

bool family_has(const struct family *f, const char *key)
{
    uint64_t number = family_seek(f, key);
    char found[FAMILY_KEY_MAX + 1];

    if (number == f->count)
        return false;
    family_key(f, number, found);
    return strcmp(found, key) == 0;
}

/* FNV-1a of the key: from it and the seed everything else of the object is derived. */
static uint64_t identity(const struct family *f, const char *key)
{
    uint64_t hash = 0xCBF29CE484222325U;

    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 0x100000001B3U;
    return synthetic_word(f->seed, hash);
}

static void hex16(uint64_t value, char *out)
{
    for (int i = 0; i < 16; i++)
        out[i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
}

uint64_t family_describe(const struct family *f, const char *key, struct object *o)
{
    uint64_t id = identity(f, key);
    uint64_t size = f->size_min + synthetic_word(id, 1) % (f->size_max - f->size_min + 1);

    o->etag[0] = '"';
    hex16(synthetic_word(id, 2), o->etag + 1);
    hex16(synthetic_word(id ^ size, 3), o->etag + 17);
    memcpy(o->etag + 33, "-1\"", 4);
    o->mtime = f->mtime;
    o->storage_class = "STANDARD";
    o->checksum.alg = SUM_ALGS;
    return size;
}

struct object *family_object(const struct family *f, const char *key)
{
    struct object *o = object_new(NULL);
    uint64_t size = family_describe(f, key, o);

    o->body = body_new_pattern(synthetic_word(identity(f, key), 0) % PATTERN_PERIOD, size);
    return o;
}
