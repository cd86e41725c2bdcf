/* The command line. Called once, by main. */
#ifndef AB_APP_CLI_H
#define AB_APP_CLI_H

/* What the process ends with; documented in the manual page. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,  /* it could not be done now; the message says why */
    EXIT_USAGE = 2,   /* the command line is wrong */
    EXIT_CONFIG = 3,  /* the configuration is wrong: only a person can mend it */
    EXIT_REFUSED = 4, /* a service owns the listener, or does not take the token */
    EXIT_FATAL = 5    /* the service ended itself: it could not go on (a supervisor should start it again) */
};

int cli_main(int argc, char **argv);

#endif
