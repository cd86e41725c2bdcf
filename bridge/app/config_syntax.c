#include <ctype.h>

#include "config_source.h"

/* Line `number` (from 1) of `text`, without its newline. */
static struct slice line_of(const char *text, unsigned number)
{
    while (number > 1 && (text = strchr(text, '\n'))) {
        text++;
        number--;
    }
    if (!text || number == 0)
        return slice_of("");
    return (struct slice){text, strcspn(text, "\r\n")};
}

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

/* What stands before the first '=' or ':' of the line behind the last '{', ',' or ';' before it: the name of
 * a setting, if it looks like one. */
static bool name_before_equals(struct slice line, char *ret, size_t size)
{
    for (size_t i = 0; i < line.len && line.p[i] != '"'; i++) {
        if (line.p[i] != '=' && line.p[i] != ':')
            continue;
        size_t end = i, begin;
        while (end > 0 && isspace((unsigned char)line.p[end - 1]))
            end--;
        for (begin = end; begin > 0 && is_name_char(line.p[begin - 1]);)
            begin--;
        if (begin < end && (line.p[begin] == '_' || memchr(line.p + begin, '.', end - begin))) {
            (void)snprintf(ret, size, "%.*s", (int)(end - begin), line.p + begin);
            return true;
        }
    }
    return false;
}

static bool value_is(struct slice line, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= line.len; i++) {
        if ((i > 0 && is_name_char(line.p[i - 1])) || strncasecmp(line.p + i, word, len) != 0 ||
            (i + len < line.len && is_name_char(line.p[i + len])))
            continue;
        size_t before = i;
        while (before > 0 && isspace((unsigned char)line.p[before - 1]))
            before--;
        if (before > 0 && (line.p[before - 1] == '=' || line.p[before - 1] == ':'))
            return true;
    }
    return false;
}

/* A comma before the ']' or ')' that begins in this line. */
static bool has_last_comma(const char *text, struct slice line)
{
    for (const char *p = line.p; p < line.p + line.len; p++) {
        if (*p != ']' && *p != ')')
            continue;
        const char *before = p;
        while (before > text && isspace((unsigned char)before[-1]))
            before--;
        if (before > text && before[-1] == ',')
            return true;
    }
    return false;
}

static void hint_for_name(const char *name, char *ret, size_t size)
{
    if (name[0] == '_')
        (void)snprintf(ret, size, "names begin with a letter: `%.60s` does not", name);
    else
        (void)snprintf(ret, size, "names hold no dots: write `_` for each `.` of `%.60s`", name);
}

void cfg_syntax_hint(const char *text, unsigned line, const char *error, char *ret, size_t size)
{
    static const char *const words[] = {"yes", "no", "on", "off", "none", "null"};
    char name[128];
    struct slice l = line_of(text, line);
    ret[0] = '\0';
    if (strstr(error, "duplicate")) {
        (void)snprintf(ret, size, "a name may stand only once in its group, a group only once in the file");
    } else if (strstr(error, "include")) {
        (void)snprintf(ret, size, "the file is looked for in the folder of the config file");
    } else if (strstr(error, "mismatched")) {
        (void)snprintf(ret, size, "the values in [ ] are of one type; ( ) takes any");
    } else if (!strncmp(text, "\xef\xbb\xbf", 3) && line == 1) {
        (void)snprintf(ret, size, "the file begins with a byte order mark: save it without");
    } else if (name_before_equals(l, name, sizeof name)) {
        hint_for_name(name, ret, size);
    } else if (has_last_comma(text, l)) {
        (void)snprintf(ret, size, "no comma after the last value of a list");
    } else if (memchr(l.p, '\'', l.len) && !memchr(l.p, '"', l.len)) {
        (void)snprintf(ret, size, "strings stand in double quotes");
    } else {
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
            if (value_is(l, words[i]))
                (void)snprintf(ret, size, "a boolean is true or false; to have none, leave the name out");
    }
}
