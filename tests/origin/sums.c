#include "sums.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crc.h"

static const struct {
    const char *name;
    size_t len;
    const EVP_MD *(*md)(void);
} algs[SUM_ALGS] = {
    [SUM_CRC32] = {"CRC32", 4, NULL},          [SUM_CRC32C] = {"CRC32C", 4, NULL},
    [SUM_CRC64NVME] = {"CRC64NVME", 8, NULL},  [SUM_SHA1] = {"SHA1", 20, EVP_sha1},
    [SUM_SHA256] = {"SHA256", 32, EVP_sha256}, [SUM_SHA512] = {"SHA512", 64, EVP_sha512},
    [SUM_MD5] = {"MD5", 16, EVP_md5},
};

const char *sum_name(enum sum_alg alg)
{
    return algs[alg].name;
}

size_t sum_len(enum sum_alg alg)
{
    return algs[alg].len;
}

size_t sum_offset(enum sum_alg alg)
{
    static const size_t offsets[SUM_ALGS] = {0, 4, 8, 16, 36, 68, 132};

    return offsets[alg];
}

bool sum_combines(enum sum_alg alg)
{
    return !algs[alg].md;
}

enum sum_alg sum_by_name(const char *name)
{
    int alg = 0;

    while (alg < SUM_ALGS && strcasecmp(name, algs[alg].name) != 0)
        alg++;
    return (enum sum_alg)alg;
}

void sums_init(struct sums *s, unsigned want)
{
    memset(s, 0, sizeof(*s));
    s->want = want;
    for (int alg = 0; alg < SUM_ALGS; alg++) {
        if (!(want & 1U << alg) || !algs[alg].md)
            continue;
        s->md[alg] = EVP_MD_CTX_new();
        if (!s->md[alg] || EVP_DigestInit_ex(s->md[alg], algs[alg].md(), NULL) != 1)
            abort();
    }
}

void sums_update(struct sums *s, const void *data, size_t len)
{
    for (int alg = 0; alg < SUM_ALGS; alg++) {
        if (!(s->want & 1U << alg))
            continue;
        if (sum_combines((enum sum_alg)alg))
            s->crc[alg] = crc_update((enum crc_kind)alg, s->crc[alg], data, len);
        else if (EVP_DigestUpdate(s->md[alg], data, len) != 1)
            abort();
    }
}

static void put_big_endian(uint64_t v, size_t len, unsigned char *out)
{
    while (len--) {
        out[len] = (unsigned char)v;
        v >>= 8;
    }
}

static uint64_t get_big_endian(const unsigned char *p, size_t len)
{
    uint64_t v = 0;

    while (len--)
        v = v << 8 | *p++;
    return v;
}

void sums_final(struct sums *s, struct sum_set *out)
{
    for (int alg = 0; alg < SUM_ALGS; alg++) {
        if (!(s->want & 1U << alg))
            continue;
        if (sum_combines((enum sum_alg)alg))
            put_big_endian(s->crc[alg], algs[alg].len, SUM_VALUE(out, alg));
        else if (EVP_DigestFinal_ex(s->md[alg], SUM_VALUE(out, alg), NULL) != 1)
            abort();
        out->have |= 1U << alg;
    }
    sums_release(s);
}

void sums_release(struct sums *s)
{
    for (int alg = 0; alg < SUM_ALGS; alg++)
        EVP_MD_CTX_free(s->md[alg]);
    memset(s, 0, sizeof(*s));
}

void sum_of(enum sum_alg alg, const void *data, size_t len, unsigned char *out)
{
    struct sum_set set = {0};
    struct sums s;

    sums_init(&s, 1U << alg);
    sums_update(&s, data, len);
    sums_final(&s, &set);
    memcpy(out, SUM_VALUE(&set, alg), algs[alg].len);
}

void sum_set_append(struct sum_set *total, const struct sum_set *part, uint64_t len_b)
{
    for (int alg = 0; alg < CRC_KINDS; alg++) {
        unsigned bit = 1U << alg;
        uint64_t crc;

        if (!(total->have & bit))
            continue;
        if (!(part->have & bit)) {
            total->have &= ~bit;
            continue;
        }
        crc = crc_combine((enum crc_kind)alg, get_big_endian(SUM_VALUE(total, alg), algs[alg].len),
                          get_big_endian(SUM_VALUE(part, alg), algs[alg].len), len_b);
        put_big_endian(crc, algs[alg].len, SUM_VALUE(total, alg));
    }
}

void base64_encode(const unsigned char *data, size_t len, char *out)
{
    EVP_EncodeBlock((unsigned char *)out, data, (int)len);
}

int base64_decode(const char *text, unsigned char *out)
{
    unsigned char bytes[SUM_BASE64_MAX];
    size_t len = strlen(text);
    int n;

    if (len == 0 || len % 4 || len > SUM_BASE64_MAX - 4)
        return -1;
    n = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len);
    if (n < 0)
        return -1;
    n -= text[len - 1] == '=';
    n -= text[len - 2] == '=';
    if (n > SUM_MAX)
        return -1;
    memcpy(out, bytes, (size_t)n);
    return n;
}

void hex_encode(const unsigned char *data, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = "0123456789abcdef"[data[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[data[i] & 15];
    }
    out[2 * len] = 0;
}
