#include "cli/stack.h"

#include "aws/client.h"
#include "aws/creds.h"
#include "aws/settings.h"
#include "backends/buckets/buckets.h"
#include "backends/s3/s3.h"
#include "backends/ssm/ssm.h"
#include "cache/cache.h"
#include "cli/cache_dir.h"
#include "cli/changes.h"
#include "cli/sdnotify.h"
#include "cli/sse_key.h"
#include "cli/unsent.h"
#include "fuse/notify.h"
#include "net/http.h"
#include "awsfs/store.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/private_dir.h"
#include "util/secret.h"
#include "util/str.h"
#include "vfs/vfs.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* The mount is gone, and what was fetched is still written to the cache. */
#define CACHE_END_MS (10 * 60 * 1000)
/* A mount shows no half of a rename that can be finished so soon. */
#define RENAMES_MS 10000

/* Values of parameters pass through buffers that are not ours (libfuse's, libcurl's, TLS's): where the limits allow it the
 * whole process stays out of swap. */
static void lock_process(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && (limit.rlim_cur == RLIM_INFINITY || geteuid() == 0) &&
        mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
        return;
    LOG_INFO("mount", "RLIMIT_MEMLOCK does not allow to lock the whole process: only the values held are locked");
}

static enum aws_choice choice(const struct options *o, const char *name, bool value)
{
    return !options_given(o, name) ? AWS_AS_SET : value ? AWS_YES : AWS_NO;
}

/* Certificates and time-outs are the profile's business too. */
static enum err_code build_engine(struct stack *s, struct err *e)
{
    const struct options *o = s->options;
    CLEANUP(profiles_free) struct profiles *p = profiles_load(o->profile, e);
    struct aws_settings settings;
    BUF(bundle, PATH_MAX);

    if (!p || aws_settings_read(p, &settings, e) != ERR_OK)
        return e->code;
    aws_settings_ca_bundle(p, &bundle);
    const struct http_config http = {.insecure_tls = o->insecure_tls,
                                     .connect_ms = settings.connect_ms,
                                     .ca_bundle = bundle.len ? buf_str(&bundle) : NULL,
                                     .user_agent = "awsfs/" AWSFS_VERSION};
    s->engine = http_engine_new(&http, e);
    return s->engine ? ERR_OK : e->code;
}

/* The error itself has room for one line only. Standard error is the command's until the mount serves. */
static void say_why_not(void *arg, const char *source, const char *why)
{
    fprintf(stderr, "awsfs: credentials: %s: %s\n", source, why);
}

/* `bucket` NULL: the service itself. */
static struct aws_client *new_client(const struct stack *s, const char *bucket, const char *region, struct err *e)
{
    const struct options *o = s->options;
    const struct aws_client_config config = {
        .service = s->source->is_ssm ? "ssm" : "s3",
        .endpoint = o->endpoint,
        .region = region,
        .bucket = bucket,
        .profile = o->profile,
        .addressing = (enum aws_addressing)o->addressing,
        .dualstack = choice(o, "dualstack", o->dualstack),
        .fips = choice(o, "fips", o->fips),
        .session_sse = o->sse == SSE_KMS ? "aws:kms" : o->sse == SSE_S3 ? "AES256" : NULL,
        .session_sse_key = o->sse == SSE_KMS ? o->sse_kms_key : NULL,
        .timeout_ms = (unsigned)o->timeout_ms,
    };

    return aws_client_new(s->engine, s->creds, &config, e);
}

static enum err_code build_client(struct stack *s, struct err *e)
{
    const struct options *o = s->options;
    const struct creds_options who = {.profile = o->profile, .anonymous = o->anonymous, .region = o->region,
                                       .explain = s->explain ? s->explain : say_why_not,
                                       .explain_arg = s->explain_arg};

    if (build_engine(s, e) == ERR_OK)
        s->creds = creds_provider_new(s->engine, &who, e);
    if (s->creds)
        s->client = new_client(s, s->source->bucket, o->region, e);
    return s->client ? ERR_OK : e->code;
}

/* Where all mounts of this user keep their state: state=DIR, or the default. */
static enum err_code state_root(const struct stack *s, char out[PATH_MAX], struct err *e)
{
    if (!s->options->state)
        return state_default(out, e);
    return snprintf(out, PATH_MAX, "%s", s->options->state) < PATH_MAX
               ? ERR_OK
               : err_set(e, ERR_NAME_TOO_LONG, "the state directory's path is too long");
}

/* The directory that remembers what servers can do; false where there is none: then each mount finds out anew. */
static bool servers_dir(const struct stack *s, char out[PATH_MAX])
{
    struct err local = ERR_INIT;
    char root[PATH_MAX];

    if (s->source->is_ssm || state_root(s, root, &local) != ERR_OK || state_make_root(root, &local) != ERR_OK)
        return false;
    if (snprintf(out, PATH_MAX, "%s/servers", root) >= PATH_MAX)
        return false;
    if (private_dir(out, &local) == ERR_OK)
        return true;
    LOG_INFO("mount", "what the server can do is not remembered: %s", local.msg);
    return false;
}

static struct store *new_s3_store(const struct stack *s, struct aws_client *client, const char *bucket, struct err *e)
{
    const struct options *o = s->options;
    char servers[PATH_MAX];
    bool remembers = servers_dir(s, servers);
    const struct s3_options s3 = {
        .bucket = bucket,
        .prefix = s->source->prefix,
        .requester_pays = o->requester_pays,
        .sse = (enum s3_sse)o->sse,
        .sse_kms_key = o->sse_kms_key,
        .sse_c_key = s->sse_key,
        .storage_class = o->storage_class,
        .acl = o->acl,
        .read_only = o->read_only,
        .servers_dir = remembers ? servers : NULL,
    };

    return s3_store_new(client, &s3, e);
}

/* Where a bucket's region is not known it is looked for from the mount's. */
static struct aws_client *bucket_client(void *arg, const char *bucket, const char *region, struct err *e)
{
    const struct stack *s = arg;
    char own[64];

    aws_client_region(s->client, own, sizeof(own));
    return new_client(s, bucket, region ? region : own, e);
}

static struct store *bucket_store(void *arg, struct aws_client *client, const char *bucket, struct err *e)
{
    return new_s3_store(arg, client, bucket, e);
}

static struct store *new_store(struct stack *s, struct err *e)
{
    const struct options *o = s->options;
    struct store_caps bucket_caps;
    const struct buckets_options buckets = {
        .caps = &bucket_caps,
        .read_only = o->read_only,
        .anonymous = o->anonymous,
        .client_for = bucket_client,
        .store_for = bucket_store,
        .arg = s,
    };
    const struct ssm_options ssm = {
        .path = s->source->path,
        .type = o->ssm_type,
        .key_id = o->ssm_key,
        .tier = o->ssm_tier,
        .rules = o->ssm_rule,
        .seal = o->ssm_decrypt == 1,
        .queue = o->ssm_watch,
        .queue_client = s->queue_client,
        .rename_copy = o->ssm_rename != NULL,
        .rate = (unsigned)o->ssm_rate,
        .newline = (enum ssm_newline)o->newline,
        .read_only = o->read_only,
    };

    if (s->source->is_ssm)
        return ssm_store_new(s->client, &ssm, e);
    if (s->source->bucket)
        return new_s3_store(s, s->client, s->source->bucket, e);
    s3_bucket_caps(&bucket_caps);
    return buckets_store_new(s->client, &buckets, e);
}

/* A queue's URL says where it is: "https://sqs.eu-west-1.amazonaws.com/123456789012/name". Elsewhere it is asked for there, and signed
 * for the parameters' region. */
static enum err_code build_queue_client(struct stack *s, struct err *e)
{
    const char *queue = s->options->ssm_watch;
    const char *host = queue ? strstr(queue, "://") : NULL;
    const char *path = host ? strchr(host + 3, '/') : NULL;
    char region[64];

    if (!queue)
        return ERR_OK;
    if (!path || !strchr(path + 1, '/'))
        return err_set(e, ERR_INVAL, "ssm_watch=: must be a queue's URL, as in https://sqs.eu-west-1.amazonaws.com/123456789012/name");
    aws_client_region(s->client, region, sizeof(region));
    if (str_starts(host, "://sqs.") && strstr(host, ".amazonaws."))
        snprintf(region, sizeof(region), "%.*s", (int)strcspn(host + 7, "."), host + 7);
    CLEANUP(free) char *endpoint = str_printf("%.*s", (int)(path - queue), queue);
    const struct aws_client_config config = {.service = "sqs", .endpoint = endpoint, .region = region, .profile = s->options->profile,
                                             .max_attempts = 1};
    s->queue_client = endpoint ? aws_client_new(s->engine, s->creds, &config, e) : NULL;
    return s->queue_client ? ERR_OK : e->code ? e->code : err_set(e, ERR_NOMEM, "no memory");
}

static enum err_code build_store(struct stack *s, struct err *e)
{
    if (build_queue_client(s, e) != ERR_OK)
        return e->code;
    s->store = new_store(s, e);
    return s->store ? ERR_OK : e->code;
}

static void on_waiting(void *arg)
{
    struct stack *s = arg;

    LOG_INFO("mount", "waiting for the previous mount of %s at %s, which still sends what was written", s->source->text,
             s->mountpoint);
    sd_tell("STATUS=waiting for the previous mount, which still sends what was written");
    atomic_store(&s->behind, true);
}

/* Parameters leave nothing on a disk, so they have no state directory. */
static enum err_code build_state(struct stack *s, struct err *e)
{
    char root[PATH_MAX], where[512];
    enum err_code code;

    if (s->source->is_ssm)
        return ERR_OK;
    if ((code = state_root(s, root, e)) != ERR_OK)
        return code;
    aws_client_endpoint(s->client, where, sizeof(where));
    CLEANUP(free) char *identity = str_printf("%s\n%s\n%s\n", s->source->text, where, s->mountpoint);
    if (!identity)
        return err_set(e, ERR_NOMEM, "no memory");
    code = state_open(&s->state, root, identity, on_waiting, s, e);
    atomic_store(&s->behind, false);
    if (code == ERR_OK)
        state_write_options(&s->state, s->lists, s->n_lists);
    return code;
}

/* A directory that the user named must do; without the default one everything works, only slower. */
static enum err_code build_cache(struct stack *s, struct err *e)
{
    const struct options *o = s->options;
    char dir[PATH_MAX];

    if (s->source->is_ssm || !cache_dir(o, dir))
        return ERR_OK;
    const struct cache_config config = {.dir = dir, .size = o->cache_size, .keep_free = o->cache_free};
    enum err_code code = cache_open(&config, &s->cache, e);
    if (code == ERR_OK)
        return code;
    if (options_given(o, "cache"))
        return err_prefix(e, code, "option cache");
    LOG_WARN("mount", "no cache: %s", e->msg);
    e->code = ERR_OK;
    return ERR_OK;
}

static enum err_code build_vfs(struct stack *s, struct err *e)
{
    const struct options *o = s->options;
    char origin[512], prefix[2048], view[4096];
    s->notify = notify_new(e);
    if (!s->notify)
        return e->code;
    cache_names(s, origin, sizeof(origin), prefix, sizeof(prefix));
    changes_view(s, view, sizeof(view));
    const struct vfs_config config = {
        .cache = s->cache,
        .origin = origin,
        .cache_prefix = prefix,
        .cache_view = view,
        .overlaid = s->writeback != NULL,
        .ttl_ms = o->ttl_ms,
        .read_only = o->read_only,
        .uid = options_given(o, "uid") ? (uid_t)o->uid : getuid(),
        .gid = options_given(o, "gid") ? (gid_t)o->gid : getgid(),
        .umask = (mode_t)o->umask,
        .file_mode = (mode_t)o->file_mode,
        .dir_mode = (mode_t)o->dir_mode,
        .attrs = (enum vfs_attrs)o->attrs,
        .excl_open = o->excl == EXCL_OPEN,
        .force_uid = options_given(o, "uid"),
        .force_gid = options_given(o, "gid"),
        .memory = o->memory,
        .rename_limit = o->rename_limit,
        .shared = o->allow_other,
        .state_dir = s->source->is_ssm ? NULL : s->state.dir,
        .notify = notify_callbacks(s->notify),
    };

    s->vfs = vfs_new(s->store, &config, e);
    if (s->vfs && !vfs_settled(s->vfs, RENAMES_MS))
        LOG_INFO("mount", "a rename that was cut off is still being finished: objects of it are under both names");
    return s->vfs ? ERR_OK : e->code;
}

enum err_code stack_open(struct stack *s, struct err *e)
{
    bool is_ssm = s->source->is_ssm;
    enum err_code code = secret_init(is_ssm, is_ssm, e);

    s->since_ms = clock_mono_ms();
    s->state = (struct state)STATE_INIT;
    if (is_ssm)
        lock_process();
    if (code == ERR_OK && s->options->sse_c_key_file && !(s->sse_key = sse_key_read(s->options->sse_c_key_file, e)))
        return e->code;
    if (code == ERR_OK)
        code = build_client(s, e);
    return code == ERR_OK ? build_store(s, e) : code;
}

static void say_behind(const struct stack *s)
{
    char process[32] = "";
    pid_t pid = state_holder(s->state.dir);

    if (pid > 0)
        snprintf(process, sizeof(process), " (process %d)", (int)pid);
    fprintf(stderr, "awsfs: waiting for the previous mount of %s at %s to end%s: it still sends what was written, or another mount namespace "
            "(of a container, a service) has it too\n", s->source->text, s->mountpoint, process);
}

static void say_asking(const struct stack *s, struct aws_client *c)
{
    struct err why = ERR_INIT;
    char endpoint[512];

    aws_client_endpoint(c, endpoint, sizeof(endpoint));
    bool failed = aws_client_trouble(c, &why);
    fprintf(stderr, "awsfs: waiting for %s, for up to %u s: %s\n", endpoint, (unsigned)(s->options->timeout_ms / 1000),
            failed ? why.msg : "no answer yet");
}

void stack_say_waiting(struct stack *s)
{
    struct aws_client *c = atomic_load(&s->asking);

    if (c && !s->said_asking) {
        s->said_asking = true;
        say_asking(s, c);
    }
    if (atomic_load(&s->behind) && !s->said_behind) {
        s->said_behind = true;
        say_behind(s);
    }
}

/* Whether it can be used at all. */
static enum err_code probe_store(struct stack *s, struct err *e)
{
    const struct store_call call = {.timeout_ms = (unsigned)s->options->timeout_ms, .urgent = true};

    atomic_store(&s->asking, s->client);
    enum err_code code = store_probe(s->store, &call, e);
    atomic_store(&s->asking, NULL);
    return code;
}

enum err_code stack_open_cache(struct stack *s, struct err *e)
{
    enum err_code code = build_cache(s, e);

    return code == ERR_OK ? changes_tell(s, e) : code;
}

enum err_code stack_build(struct stack *s, struct err *e)
{
    enum err_code code = stack_open(s, e);

    if (code == ERR_OK)
        code = probe_store(s, e);
    if (code == ERR_OK)
        code = build_state(s, e);
    if (code == ERR_OK)
        code = stack_open_cache(s, e);
    if (code == ERR_OK)
        code = unsent_open(s, e);
    if (code == ERR_OK && s->writeback)
        code = changes_tell(s, e);
    if (code == ERR_OK)
        code = build_vfs(s, e);
    return code;
}

void stack_release(struct stack *s)
{
    vfs_free(TAKE(s->vfs));
    s->writeback = NULL;
    store_free(TAKE(s->store));
    store_free(TAKE(s->inner));
    if (!cache_drain(s->cache, CACHE_END_MS))
        LOG_WARN("mount", "what was read last is not in the cache: it took too long to write");
    cache_close(TAKE(s->cache));
    free(TAKE(s->told));
    notify_free(TAKE(s->notify));
    aws_client_free(TAKE(s->queue_client));
    aws_client_free(TAKE(s->client));
    creds_provider_free(TAKE(s->creds));
    http_engine_free(TAKE(s->engine));
    secret_free(TAKE(s->sse_key));
    state_close(&s->state);
}
