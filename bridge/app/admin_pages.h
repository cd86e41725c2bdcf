/* The status page's files, put into the binary when it is built (page/embed.cmake). Constant; any thread. */
#ifndef AB_APP_ADMIN_PAGES_H
#define AB_APP_ADMIN_PAGES_H

#include <stddef.h>

struct admin_page {
    const char *path; /* "/page.js" */
    const char *content_type;
    const unsigned char *data;
    size_t len;
};
extern const struct admin_page admin_pages[];
extern const size_t admin_n_pages;

#endif
