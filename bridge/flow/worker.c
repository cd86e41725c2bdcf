/* The workers: threads with small stacks that run jobs in order. Opening and closing partitions goes before
 * runs: nothing else can be done about a partition until then. So do commands: somebody waits. */
#include "commands.h"

void jobs_push(struct bridge *b, struct job *job)
{
    (void)pthread_mutex_lock(&b->mutex);
    job->next = NULL;
    if (job->kind == JOB_RUN) {
        *b->jobs_tail = job;
        b->jobs_tail = &job->next;
    } else {
        job->next = b->urgent_jobs;
        b->urgent_jobs = job;
    }
    (void)pthread_cond_signal(&b->has_job);
    (void)pthread_mutex_unlock(&b->mutex);
}

bool jobs_wait(struct bridge *b)
{
    (void)pthread_mutex_lock(&b->mutex);
    bool wait = b->jobs || b->urgent_jobs;
    (void)pthread_mutex_unlock(&b->mutex);
    return wait;
}

/* The next job, NULL at the end. */
static struct job *jobs_take(struct bridge *b)
{
    struct job *job = NULL;
    (void)pthread_mutex_lock(&b->mutex);
    while (!b->workers_must_end && !b->jobs && !b->urgent_jobs)
        (void)pthread_cond_wait(&b->has_job, &b->mutex);
    if (b->urgent_jobs) {
        job = b->urgent_jobs;
        b->urgent_jobs = job->next;
    } else if (b->jobs) {
        job = b->jobs;
        b->jobs = job->next;
        if (!b->jobs)
            b->jobs_tail = &b->jobs;
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return job;
}

void *worker_main(void *arg)
{
    struct bridge *b = arg;
    struct job *job;
    struct listener *l;
    while ((job = jobs_take(b))) {
        switch (job->kind) {
        case JOB_OPEN:
            ownership_open(job->owned);
            break;
        case JOB_CLOSE:
            ownership_close(job->owned);
            break;
        case JOB_LOOK:
            ownership_look(job->owned);
            break;
        case JOB_RUN:
            l = job->listener;
            if (run_go_on(l))
                prober_post(l, true);
            break;
        case JOB_COMMAND:
            command_go_on(job->listener);
            prober_post(job->listener, true);
            break;
        case JOB_COMMANDS:
            commands_go_on(job->owned);
            break;
        }
    }
    return NULL;
}
