#include "config_kafka.h"

#include <limits.h>

#include "client.h"
#include "config_read.h"
#include "config_text.h"

/* kafka/client.c's defaults, which a value given here meets. */
enum { DEFAULT_MESSAGE_TIMEOUT_MS = 12000, DEFAULT_TRANSACTION_TIMEOUT_MS = 15000 };

#define CALLBACK "only a program can set it"

static const struct config_kafka_owned owned[] = {
    {"transactional.id", "each state partition has its own: `<group_id>-<partition>`"},
    {"enable.idempotence", "transactions need it on"},
    {"enable.gapless.guarantee", "transactions see to it"},
    {"group.id", "it is `bridge.group_id`"},
    {"group.instance.id", "it is `bridge.instance_id`"},
    {"partition.assignment.strategy", "it is range: assignments are taken whole"},
    {"socket.max.fails", "a connection that lost a request is closed, so that it shows"},
    {"isolation.level", "state is read committed, always"},
    {"enable.auto.commit", "the bridge commits no offsets: progress is kept in the state topic"},
    {"auto.commit.enable", "the bridge commits no offsets: progress is kept in the state topic"},
    {"auto.commit.interval.ms", "the bridge commits no offsets: progress is kept in the state topic"},
    {"enable.auto.offset.store", "the bridge commits no offsets: progress is kept in the state topic"},
    {"auto.offset.reset", "the state topic is always read from its beginning"},
    {"enable.partition.eof", "it tells the bridge that it has read all of the state"},
    {"allow.auto.create.topics", "it is `bridge.create_topics`"},
    {"enabled.events", CALLBACK},
    {"opaque", CALLBACK},
    {"interceptors", CALLBACK},
    {"default.topic.conf", CALLBACK},
    {"*_cb", CALLBACK},
};

const struct config_kafka_owned *config_kafka_owned(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(owned);
    return owned;
}

static void to_dots(const char *name, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s", name);
    for (char *p = ret; *p; p++)
        if (*p == '_')
            *p = '.';
}

static const char *underscored(const char *name, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s", name);
    for (char *p = ret; *p; p++)
        if (*p == '.')
            *p = '_';
    return ret;
}

/* Why the bridge keeps `dotted` for itself, or NULL. */
static const char *owned_why(const char *dotted)
{
    size_t len = strlen(dotted);
    if (len > 3 && strcmp(dotted + len - 3, ".cb") == 0)
        return CALLBACK;
    for (size_t i = 0; i < ARRAY_LEN(owned); i++)
        if (strcmp(owned[i].name, dotted) == 0)
            return owned[i].why;
    return NULL;
}

/* The value as librdkafka wants it: text. NULL: reported. */
static char *value_text(struct cfg *c, const config_setting_t *s)
{
    const char *text;
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        if (cfg_source_is_wrong_literal(&c->source, s))
            return NULL;
        return config_setting_type(s) == CONFIG_TYPE_INT ? xasprintf("%d", config_setting_get_int(s))
                                                         : xasprintf("%lld", config_setting_get_int64(s));
    case CONFIG_TYPE_FLOAT:
        return xasprintf("%.15g", config_setting_get_float(s));
    case CONFIG_TYPE_BOOL:
        return xstrdup(config_setting_get_bool(s) ? "true" : "false");
    case CONFIG_TYPE_STRING:
        text = cfg_get_string(c, s);
        return text ? xstrdup(text) : NULL;
    default:
        cfg_error(c, s, "%s takes a string, a number or a boolean, not %s", config_setting_name(s),
                  cfg_type_words(s));
        if (!config_setting_is_group(s))
            cfg_hint(c, "one string, with commas: \"a,b\"");
        return NULL;
    }
}

/* The nearest property; librdkafka doesn't list the names by which most people know these. */
static const char *nearest(const char *dotted)
{
    static const char *const aliases[] = {
        "bootstrap.servers", "linger.ms",           "acks",
        "retries",           "compression.type",    "max.partition.fetch.bytes",
        "sasl.mechanism",    "delivery.timeout.ms", "max.in.flight"};
    struct near near = {.name = dotted};
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        near_try(&near, aliases[i]);
    return near.best ? near.best : kafka_property_nearest(dotted);
}

/* librdkafka's words about a bad value repeat it. */
static void report_refused(struct cfg *c, const config_setting_t *s, const char *group, const struct err *e)
{
    static const char unknown[] = "unknown property";
    const char *name = config_setting_name(s);
    size_t len = strlen(e->msg), tail = sizeof unknown - 1;
    if (len >= tail && strcmp(e->msg + len - tail, unknown) == 0) {
        char dotted[128], written[128];
        to_dots(name, dotted, sizeof dotted);
        const char *near = nearest(dotted);
        cfg_error(c, s, "librdkafka has no property `%s` (in %s)", name, group);
        if (config_option_find(GROUP_BRIDGE, name))
            cfg_hint(c, "it belongs in `bridge`");
        else if (near && !owned_why(near))
            cfg_hint(c, "did you mean `%s`?", underscored(near, written, sizeof written));
    } else if (cfg_is_secret_name(name)) {
        cfg_error(c, s, "librdkafka doesn't take the value of `%s`", name);
    } else {
        cfg_error(c, s, "%s", e->msg);
    }
}

static void add_property(struct kafka_properties *p, const char *name, char *value)
{
    p->items = xrealloc(p->items, (p->n + 1) * sizeof *p->items);
    p->items[p->n++] = (struct kafka_property){xstrdup(name), value};
}

static void read_property(struct cfg *c, const config_setting_t *s, enum kafka_role role, const char *group,
                          struct kafka_properties *ret)
{
    const char *name = config_setting_name(s);
    char dotted[128], found[128];
    struct err e = {0};
    to_dots(name, dotted, sizeof dotted);
    const char *why = owned_why(dotted);
    if (why) {
        if (strcmp(why, CALLBACK) == 0)
            cfg_error(c, s, "%s can't stand in a config file: %s", name, why);
        else
            cfg_error(c, s, "%s is not yours to set: %s", name, why);
        cfg_hint(c, "leave it out");
        return;
    }
    cleanup_free char *value = value_text(c, s);
    if (!value)
        return;
    if (kafka_property_check(role, name, value, found, sizeof found, &e))
        report_refused(c, s, group, &e);
    else
        add_property(ret, found, TAKE_PTR(value));
}

static void read_properties(struct cfg *c, const config_setting_t *group, enum kafka_role role,
                            struct kafka_properties *ret)
{
    static const char *const names[] = {"kafka", "kafka.producer", "kafka.consumer"};
    if (!config_setting_is_group(group)) {
        cfg_error(c, group, "%s takes a group { }, not %s", names[role], cfg_type_words(group));
        return;
    }
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
        bool is_role = strcmp(config_setting_name(s), "producer") == 0 ||
                       strcmp(config_setting_name(s), "consumer") == 0;
        if (role != KAFKA_COMMON || !is_role)
            read_property(c, s, role, names[role], ret);
    }
}

static const char *find_value(const struct kafka_properties *p, const char *const names[2])
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i].name, names[0]) == 0 || strcmp(p->items[i].name, names[1]) == 0)
            return p->items[i].value;
    return NULL;
}

static bool has_bootstrap(const struct kafka_config *k)
{
    static const char *const names[2] = {"bootstrap.servers", "metadata.broker.list"};
    return find_value(&k->common, names) ||
           (find_value(&k->producer, names) && find_value(&k->consumer, names));
}

/* What the producer will have: its own value, else the common one, else the bridge's default. */
static long producer_ms(const struct kafka_config *k, const char *const names[2], long initial)
{
    const char *value = find_value(&k->producer, names);
    if (!value)
        value = find_value(&k->common, names);
    return value ? strtol(value, NULL, 10) : initial;
}

static const config_setting_t *setting_of(const config_setting_t *kafka, const char *a, const char *b)
{
    const config_setting_t *producer = cfg_member(kafka, "producer");
    const config_setting_t *groups[2] = {producer, kafka};
    for (int i = 0; i < 2; i++) {
        if (cfg_member(groups[i], a))
            return cfg_member(groups[i], a);
        if (cfg_member(groups[i], b))
            return cfg_member(groups[i], b);
    }
    return NULL;
}

/* A message may not outlive the transaction that it is in (KIP-98): the broker would have aborted it. */
static void check_timeouts(struct cfg *c, const config_setting_t *setting)
{
    static const char *const message_names[2] = {"message.timeout.ms", "delivery.timeout.ms"};
    static const char *const transaction_names[2] = {"transaction.timeout.ms", "transaction.timeout.ms"};
    const config_setting_t *at = setting_of(setting, "message_timeout_ms", "delivery_timeout_ms");
    if (!at)
        at = setting_of(setting, "transaction_timeout_ms", "transaction_timeout_ms");
    if (!at)
        return;
    long message = producer_ms(&c->config->kafka, message_names, DEFAULT_MESSAGE_TIMEOUT_MS);
    long transaction = producer_ms(&c->config->kafka, transaction_names, DEFAULT_TRANSACTION_TIMEOUT_MS);
    if (message > 0 && message < transaction)
        return;
    cfg_error(c, at, "message_timeout_ms (%ld%s) must be less than transaction_timeout_ms (%ld)", message,
              message == 0 ? ": without end" : "", transaction);
    cfg_hint(c, "set both: what is left out is %d and %d", DEFAULT_MESSAGE_TIMEOUT_MS,
             DEFAULT_TRANSACTION_TIMEOUT_MS);
}

void cfg_read_kafka(struct cfg *c, const config_setting_t *setting)
{
    struct kafka_config *k = &c->config->kafka;
    size_t errors = c->report->n_errors;
    if (setting)
        read_properties(c, setting, KAFKA_COMMON, &k->common);
    if (cfg_member(setting, "producer"))
        read_properties(c, cfg_member(setting, "producer"), KAFKA_PRODUCER, &k->producer);
    if (cfg_member(setting, "consumer"))
        read_properties(c, cfg_member(setting, "consumer"), KAFKA_CONSUMER, &k->consumer);
    if (c->report->n_errors == errors && !has_bootstrap(k)) {
        cfg_error(c, setting, "kafka: bootstrap_servers is missing");
        cfg_hint(c, "kafka: { bootstrap_servers = \"localhost:9092\"; };");
    }
    check_timeouts(c, setting);
}
