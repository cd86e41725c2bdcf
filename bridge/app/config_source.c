#include "config_source.h"

#include <errno.h>
#include <sys/stat.h>

#include "config_text.h"

char *cfg_source_resolve(const struct cfg_source *s, const char *name)
{
    if (name[0] == '/' || strcmp(s->dir, ".") == 0)
        return xstrdup(name);
    return xasprintf("%s%s%s", s->dir, s->dir[strlen(s->dir) - 1] == '/' ? "" : "/", name);
}

char *cfg_source_path(const struct cfg_source *s, const char *file)
{
    return file ? cfg_source_resolve(s, file) : xstrdup(s->path);
}

unsigned cfg_source_rank(const struct cfg_source *s, const char *file)
{
    for (unsigned i = 0; file && i < s->tree.num_filenames; i++)
        if (strcmp(s->tree.filenames[i], file) == 0)
            return i + 1;
    return 0;
}

bool cfg_source_is_wrong_literal(const struct cfg_source *s, const config_setting_t *setting)
{
    int type = config_setting_type(setting);
    long long value =
        type == CONFIG_TYPE_INT ? config_setting_get_int(setting) : config_setting_get_int64(setting);
    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
        return false;
    for (size_t i = 0; i < s->n_literals; i++) {
        const struct cfg_literal *l = &s->literals[i];
        if (l->file == config_setting_source_file(setting) && l->read_as == value &&
            l->line >= config_setting_source_line(setting))
            return true;
    }
    return false;
}

/* The whole of a file, a newline at its end (libconfig takes no comment on a last line without one). */
static int read_whole(const char *path, struct buf *ret, const char **ret_problem)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    size_t n;
    *ret_problem = NULL;
    if (!f || fstat(fileno(f), &st)) {
        *ret_problem = strerror(errno);
    } else if (S_ISDIR(st.st_mode)) {
        *ret_problem = "it is a folder";
    } else {
        char chunk[8192];
        while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
            buf_add(ret, chunk, n);
        buf_addch(ret, '\n');
        explicit_bzero(chunk, sizeof chunk);
        if (ferror(f))
            *ret_problem = strerror(errno);
        else if (ret->overflow)
            *ret_problem = "it is larger than 4 MiB";
    }
    if (f)
        (void)fclose(f);
    return *ret_problem ? -1 : 0;
}

static void wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    buf_release(b);
}

static void add_error(struct cfg_source *s, const char *file, unsigned line, const char *text)
{
    cleanup_free char *path = cfg_source_path(s, file);
    config_report_add(s->report, CONFIG_ERROR, path, cfg_source_rank(s, file), line, "%s", text);
}

/* libconfig reads bytes; what goes into JSON must be text. Also finds a NUL, where libconfig would stop. */
static bool is_text(struct cfg_source *s, const char *file, const struct buf *text)
{
    unsigned line = 1;
    for (const char *p = text->data, *end = p + text->len; p < end; line++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((newline ? newline : end) - p);
        if (memchr(p, '\0', len) || !text_is_utf8(p, len)) {
            add_error(s, file, line, "this line is not UTF-8 text");
            return false;
        }
        p += len + 1;
    }
    return true;
}

static void report_syntax(struct cfg_source *s, const struct buf *main_text)
{
    const char *file = config_error_file(&s->tree), *problem;
    unsigned line = (unsigned)config_error_line(&s->tree);
    struct buf included = buf_make(CONFIG_FILE_MAX);
    char hint[256] = "";
    add_error(s, file, line, config_error_text(&s->tree));
    if (!file) {
        cfg_syntax_hint(buf_str(main_text), line, config_error_text(&s->tree), hint, sizeof hint);
    } else {
        cleanup_free char *path = cfg_source_path(s, file);
        if (!read_whole(path, &included, &problem))
            cfg_syntax_hint(buf_str(&included), line, config_error_text(&s->tree), hint, sizeof hint);
    }
    if (hint[0])
        config_report_hint(s->report, "%s", hint);
    wipe(&included);
}

static void scan_included(struct cfg_source *s)
{
    for (unsigned i = 0; i < s->tree.num_filenames; i++) {
        const char *file = s->tree.filenames[i], *problem;
        cleanup_free char *path = cfg_source_path(s, file);
        struct buf text = buf_make(CONFIG_FILE_MAX);
        if (read_whole(path, &text, &problem))
            add_error(s, file, 0, problem);
        else if (is_text(s, file, &text))
            cfg_literals_scan(s, file, text.data, text.len);
        wipe(&text);
    }
}

/* The text is read once and libconfig given that copy: what is looked through is then what was parsed. */
static int parse(struct cfg_source *s, const struct buf *text)
{
    FILE *f = fmemopen(text->data, text->len, "r");
    if (!f) {
        add_error(s, NULL, 0, strerror(errno));
        return -1;
    }
    int ok = config_read(&s->tree, f);
    (void)fclose(f);
    if (!ok) {
        report_syntax(s, text);
        return -1;
    }
    cfg_literals_scan(s, NULL, text->data, text->len);
    scan_included(s);
    return 0;
}

int cfg_source_read(struct cfg_source *s, const char *path, struct config_report *report)
{
    const char *slash = strrchr(path, '/'), *problem;
    struct buf text = buf_make(CONFIG_FILE_MAX);
    int r = -1;
    *s = (struct cfg_source){.path = path, .report = report};
    s->dir = !slash ? xstrdup(".") : slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
    config_init(&s->tree);
    config_set_include_dir(&s->tree, s->dir);
    if (read_whole(path, &text, &problem))
        add_error(s, NULL, 0, problem);
    else if (is_text(s, NULL, &text))
        r = parse(s, &text);
    wipe(&text);
    return r;
}

static void wipe_strings(config_setting_t *setting)
{
    if (config_setting_type(setting) == CONFIG_TYPE_STRING) {
        /* libconfig hands out its own string as const; it is the tree's, and the tree is about to go */
        char *text = setting->value.sval;
        if (text)
            explicit_bzero(text, strlen(text));
    } else if (config_setting_is_aggregate(setting)) {
        for (int i = 0; i < config_setting_length(setting); i++)
            wipe_strings(config_setting_get_elem(setting, (unsigned)i));
    }
}

void cfg_source_release(struct cfg_source *s)
{
    if (config_root_setting(&s->tree))
        wipe_strings(config_root_setting(&s->tree));
    config_destroy(&s->tree);
    free(s->literals);
    free(s->dir);
    *s = (struct cfg_source){0};
}
