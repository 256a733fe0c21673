#include "cli/option_table.h"

#include <string.h>

#define AT(member) offsetof(struct options, member)
#define MIB        (1ULL << 20)
#define TIB        (1ULL << 40)
#define HOUR       3600000ULL
#define IGNORED(option)             {.name = (option), .kind = OPTION_IGNORED}
#define KERNEL_FLAG(option, member) {.name = (option), .kind = OPTION_FLAG, .offset = AT(member)}

static const struct option_row table[] = {
    /* Where, and as whom */
    {"endpoint", OPTION_URL, AT(endpoint), .value = "URL", .help = "the server; default: the environment's, then AWS"},
    {"region", OPTION_REGION, AT(region), .value = "NAME", .help = "default: the environment's, the profile's"},
    {"profile", OPTION_TEXT, AT(profile), .value = "NAME", .help = "profile of ~/.aws/config and ~/.aws/credentials"},
    {"anonymous", OPTION_FLAG, AT(anonymous), FOR_S3, .help = "sign nothing (public buckets)"},
    {"addressing", OPTION_CHOICE, AT(addressing), FOR_S3, "auto|path|virtual", .preset = "auto",
     .help = "where the bucket's name stands in a URL"},
    {"dualstack", OPTION_FLAG, AT(dualstack), .help = "AWS's endpoints with IPv6"},
    {"fips", OPTION_FLAG, AT(fips), .help = "AWS's FIPS endpoints"},
    {"insecure_tls", OPTION_FLAG, AT(insecure_tls), .help = "do not verify the server's certificate"},
    {"timeout", OPTION_DURATION, AT(timeout_ms), .min = 1000, .max = HOUR, .value = "SECONDS", .preset = "60",
     .help = "one request with its retries"},
    {"requester_pays", OPTION_FLAG, AT(requester_pays), FOR_S3, .help = "agree to pay for the requests"},

    /* How it shows */
    {"ro", OPTION_FLAG, AT(read_only), .help = "read-only"},
    {"allow_other", OPTION_FLAG, AT(allow_other), .help = "let other users in"},
    {"uid", OPTION_USER, AT(uid), .value = "USER", .help = "owner of everything; default: who mounts"},
    {"gid", OPTION_GROUP, AT(gid), .value = "GROUP", .help = "group of everything"},
    {"umask", OPTION_MODE, AT(umask), .max = 0777, .value = "OCTAL", .help = "permissions taken away from everything"},
    {"file_mode", OPTION_MODE, AT(file_mode), .max = 0777, .value = "OCTAL", .preset = "0644",
     .help = "of files without a stored mode"},
    {"dir_mode", OPTION_MODE, AT(dir_mode), .max = 0777, .value = "OCTAL", .preset = "0755",
     .help = "of directories without a stored mode"},
    {"ttl", OPTION_DURATION, AT(ttl_ms), .max = UINT64_MAX, .value = "SECONDS|inf",
     .help = "nothing older is shown; default 5, for parameters 60"},
    {"attrs", OPTION_CHOICE, AT(attrs), FOR_S3, "auto|list|head", .preset = "auto",
     .help = "when to ask for each object's own attributes"},

    /* Writing */
    {"write", OPTION_CHOICE, AT(write), FOR_ALL, "through|back", .preset = "through",
     .help = "close and fsync return when the server has it, or when the local journal has it"},
    {"excl", OPTION_CHOICE, AT(excl), FOR_S3, "close|open", .preset = "close", .help = "when O_EXCL is decided"},
    {"rename_limit", OPTION_NUMBER, AT(rename_limit), FOR_S3, .min = 0, .max = 1000000000, .value = "OBJECTS",
     .preset = "100000", .help = "larger directories are not renamed (EXDEV)"},
    {"sse", OPTION_CHOICE, AT(sse), FOR_S3, "bucket|s3|kms|c", .preset = "bucket", .help = "encryption of new objects"},
    {"sse_kms_key", OPTION_TEXT, AT(sse_kms_key), FOR_S3, .value = "KEY", .help = "with sse=kms"},
    {"sse_c_key_file", OPTION_PATH, AT(sse_c_key_file), FOR_S3, .value = "FILE", .help = "with sse=c: 32 bytes, hex or base64"},
    {"storage_class", OPTION_WORD, AT(storage_class), FOR_S3,
     "STANDARD|STANDARD_IA|ONEZONE_IA|INTELLIGENT_TIERING|GLACIER_IR|GLACIER|DEEP_ARCHIVE|REDUCED_REDUNDANCY|OUTPOSTS|SNOW|"
     "EXPRESS_ONEZONE", .help = "of new objects"},
    {"acl", OPTION_WORD, AT(acl), FOR_S3,
     "private|public-read|public-read-write|authenticated-read|aws-exec-read|bucket-owner-read|bucket-owner-full-control",
     .help = "canned ACL of new objects"},

    /* Parameters */
    {"ssm_type", OPTION_WORD, AT(ssm_type), FOR_SSM, "SecureString|String|StringList", .preset = "SecureString",
     .help = "of new parameters"},
    {"ssm_key", OPTION_TEXT, AT(ssm_key), FOR_SSM, .value = "KEY", .help = "KMS key of new SecureStrings"},
    {"ssm_tier", OPTION_WORD, AT(ssm_tier), FOR_SSM, "Standard|Advanced|Intelligent-Tiering", .preset = "Standard",
     .help = "of new parameters"},
    {"ssm_rule", OPTION_TEXT, AT(ssm_rule), FOR_SSM, .value = "GLOB:TYPE",
     .help = "type of new parameters of such names; several with blanks between"},
    {"ssm_rename", OPTION_WORD, AT(ssm_rename), FOR_SSM, "copy",
     .help = "directories are renamed also where older versions are lost"},
    {"ssm_decrypt", OPTION_CHOICE, AT(ssm_decrypt), FOR_SSM, "list|read", .preset = "list",
     .help = "when SecureStrings are decrypted"},
    {"ssm_watch", OPTION_URL, AT(ssm_watch), FOR_SSM, .value = "URL",
     .help = "an SQS queue with Parameter Store Change events, of this mount alone"},
    {"ssm_rate", OPTION_NUMBER, AT(ssm_rate), FOR_SSM, .min = 1, .max = 10000, .value = "NUMBER", .preset = "10",
     .help = "requests a second"},
    {"newline", OPTION_CHOICE, AT(newline), FOR_SSM, "keep|chomp|add", .preset = "keep",
     .help = "the newline at a value's end: as it is, not stored, shown"},

    /* Resources */
    {"memory", OPTION_SIZE, AT(memory), .min = 16 * MIB, .max = TIB, .value = "SIZE", .preset = "128M",
     .help = "of the blocks held"},
    {"state", OPTION_PATH, AT(state), .value = "DIR",
     .help = "what is being written; default /var/lib/awsfs, for users ~/.local/state/awsfs"},
    {"offline", OPTION_CHOICE, AT(offline), FOR_ALL, "fail|serve", "serve", .preset = "fail",
     .help = "without the server, what is held and too old is an error"},
    {"cache", OPTION_PATH, AT(cache), .value = "DIR|none", .word = "none",
     .help = "what was read is kept here; default /var/cache/awsfs, for users ~/.cache/awsfs"},
    {"cache_size", OPTION_SIZE, AT(cache_size), .min = 32 * MIB, .max = 1024 * TIB, .value = "SIZE", .preset = "10G",
     .help = "bytes on the disk it may take"},
    {"cache_free", OPTION_SIZE, AT(cache_free), .max = 1024 * TIB, .value = "SIZE", .preset = "1G",
     .help = "bytes of the disk that stay free of it"},
    {"dirty_limit", OPTION_SIZE, AT(dirty_limit), .min = MIB, .max = 1024 * TIB, .value = "SIZE", .preset = "10G",
     .help = "with write=back: bytes that may be unsent"},
    {"passthrough", OPTION_CHOICE, AT(passthrough), FOR_ALL, "auto|off", .preset = "auto",
     .help = "auto: the kernel reads whole files of the cache by itself, where it can"},

    /* The daemon */
    {"log", OPTION_TEXT, AT(log), .value = "syslog|stderr|FILE", .help = "default: syslog, with -f stderr"},
    {"log_level", OPTION_CHOICE, AT(log_level), FOR_ALL, "error|warn|info|debug", .preset = "info", .help = "least important"},
    {"config", OPTION_PATH, AT(config), .value = "FILE", .help = "more options, one a line"},

    /* Generic ones that the kernel carries out */
    KERNEL_FLAG("noexec", noexec),
    KERNEL_FLAG("noatime", noatime),
    KERNEL_FLAG("nodiratime", nodiratime),
    KERNEL_FLAG("sync", sync),
    KERNEL_FLAG("dirsync", dirsync),

    /* Later versions */

    /* Of mount(8), fstab and systemd */
    IGNORED("rw"),
    IGNORED("defaults"),
    IGNORED("auto"),
    IGNORED("noauto"),
    IGNORED("_netdev"),
    IGNORED("nofail"),
    IGNORED("nosuid"),
    IGNORED("nodev"),
    IGNORED("exec"),
    IGNORED("async"),
    IGNORED("atime"),
    IGNORED("diratime"),
    IGNORED("relatime"),
    IGNORED("norelatime"),
    IGNORED("strictatime"),
    IGNORED("nostrictatime"),
    IGNORED("lazytime"),
    IGNORED("nolazytime"),
    IGNORED("user"),
    IGNORED("nouser"),
    IGNORED("users"),
    IGNORED("owner"),
    IGNORED("group"),
    IGNORED("comment"),
    IGNORED("uhelper"),
    IGNORED("helper"),
    IGNORED("silent"),
    IGNORED("loud"),
    IGNORED("default_permissions"),
};

_Static_assert(sizeof(table) / sizeof(table[0]) <= OPTIONS_MAX, "struct options has a mark for each");

const struct option_row *option_table(size_t *n)
{
    *n = sizeof(table) / sizeof(table[0]);
    return table;
}

const struct option_row *option_find(const char *name)
{
    size_t n;
    const struct option_row *rows = option_table(&n);

    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}
