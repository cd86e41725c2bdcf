/* Secrets that stand in files of their own. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_read.h"
#include "config_text.h"

enum { SECRET_MAX = 4096 };

/* Up to `size` bytes of an open file; their number, or -1 with errno set. */
static ssize_t read_all(int fd, char *ret, size_t size)
{
    size_t len = 0;
    ssize_t n = 0;
    while (len < size && (n = read(fd, ret + len, size - len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static void warn_if_open(struct cfg *c, const config_setting_t *s, int fd)
{
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !(st.st_mode & S_IROTH))
        return;
    cfg_warning(c, s, "%s can be read by every user of this machine", config_setting_name(s));
    cfg_hint(c, "chmod 0640 or 0600");
}

/* The one line that `text` is, on the heap; NULL: reported. */
static char *one_line(struct cfg *c, const config_setting_t *s, const char *what, const char *text,
                      size_t len)
{
    if (len > 0 && text[len - 1] == '\n')
        len--;
    if (len > 0 && text[len - 1] == '\r')
        len--;
    if (len == 0) {
        cfg_error(c, s, "%s is empty", config_setting_name(s));
        return NULL;
    }
    char *secret = xstrndup(text, len);
    if (strlen(secret) == len && !text_has_control(secret))
        return secret;
    cfg_error(c, s, "%s holds a control character", what);
    cfg_hint(c, "it must be one line, without anything around it");
    explicit_bzero(secret, len);
    free(secret);
    return NULL;
}

char *cfg_read_secret(struct cfg *c, const config_setting_t *s, const char *what)
{
    cleanup_free char *path = cfg_source_resolve(&c->source, config_setting_get_string(s));
    char text[SECRET_MAX + 1], *secret = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read_all(fd, text, sizeof text);
    if (len < 0)
        cfg_error(c, s, "%s can't be read: %s", config_setting_name(s), strerror(errno));
    else if (len > SECRET_MAX)
        cfg_error(c, s, "%s holds more than %d bytes: that is not %s", config_setting_name(s), SECRET_MAX,
                  what);
    else
        secret = one_line(c, s, what, text, (size_t)len);
    if (secret)
        warn_if_open(c, s, fd);
    explicit_bzero(text, sizeof text);
    if (fd >= 0)
        (void)close(fd);
    return secret;
}
